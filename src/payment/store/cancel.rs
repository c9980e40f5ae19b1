//! Giving seats back, and the money that was paid for them.

use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Session},
    kernel::{
        Fault, POINTS_MAX, PaymentId, PersonId, RefundId, ReservationId, SeatId, WalletEntryId,
    },
    payment::rules::{CancelFacts, Canceller},
    reservation::{Reservation, ReservationRow, SeatChange, SeatStatus},
    waiting_room::{Change, QueueStatus, TouchedToken},
};

/// A cancellation that was just made, and what has to be told.
#[derive(Debug)]
pub(in crate::payment) struct Cancelled {
    /// The reservation, CANCELLED.
    pub reservation: Reservation,
    /// Its seats, AVAILABLE.
    pub seats: Vec<SeatChange>,
    /// The person's ACTIVE time, which the hold may have prolonged.
    pub token: Option<Change>,
    /// Whether the money is back already; `None` when there was none.
    pub refunded: Option<bool>,
}

#[derive(Debug, FromQueryResult)]
struct CancelledRow {
    seat_id: Option<SeatId>,
    seat_version: Option<i32>,
    refunded: Option<bool>,
    #[sea_orm(nested)]
    touched: TouchedToken,
    #[sea_orm(nested)]
    reservation: ReservationRow,
}

/// The whole cancellation in one statement: seats, payment, wallet and ledger. `None` when something stood in its way.
/// `cards` says that there is a gateway: without one the money of a card has no way back, and nothing is cancelled.
///
/// Locks in the order token, reservation, payment, seats, wallet, and then reads the time: a hold is given back before it
/// lapses, and a purchase by its fan before the time for that is over, however long this waited. A payment that is being
/// decided is not overtaken. The token's version must be that of the statement's snapshot: else a payment was committed while
/// this waited for the lock, and its row, which is to be refunded, cannot be seen.
///
/// Points go back in the same commit, unless the wallet is too full for them. They, and the money of a card, are noted as
/// on their way; see [`super::claim_refunds`].
pub(in crate::payment) async fn cancel(
    db: &Db,
    person_id: PersonId,
    id: ReservationId,
    by: Canceller,
    cards: bool,
) -> Result<Option<Cancelled>, Fault> {
    const SQL: &str = include_str!("cancel.sql");
    let values = vec![
        id.into(),
        person_id.into(),
        WalletEntryId::new().into(),
        RefundId::new().into(),
        POINTS_MAX.into(),
        (by == Canceller::Organizer).into(),
        cards.into(),
    ];
    let rows: Vec<CancelledRow> = db.rows(SQL, values).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let token = first.touched.change(person_id, |status| status == QueueStatus::Active);
    let freed = |row: &CancelledRow| {
        let (seat_id, version) = row.seat_id.zip(row.seat_version)?;
        Some(SeatChange { seat_id, status: SeatStatus::Available, version, hold_expires_at: None })
    };
    let seats = rows.iter().filter_map(freed).collect();
    let (reservation, refunded) = (first.reservation.clone().into(), first.refunded);
    Ok(Some(Cancelled { reservation, seats, token, refunded }))
}

#[derive(Debug, FromQueryResult)]
struct CancelFactsRow {
    over: bool,
    payment_pending: bool,
    card_paid: bool,
    refund_asked: bool,
    failed_refund: Option<PaymentId>,
    #[sea_orm(nested)]
    reservation: ReservationRow,
}

/// The state of a reservation of this person, for finding words.
pub(in crate::payment) async fn cancel_facts(
    db: &Db,
    person_id: PersonId,
    id: ReservationId,
) -> Result<Option<CancelFacts>, Fault> {
    const SQL: &str = "
        SELECT r.id, r.person_id, r.schedule_id, r.queue_token_id, r.status, r.seat_count, r.total_price,
               r.held_at, r.expires_at, r.extendable_until, r.confirmed_at, r.cancelled_at, clock_timestamp() AS now,
               s.status <> 'CANCELLED' AND coalesce(s.cancel_until, s.starts_at) <= clock_timestamp() AS over,
               coalesce(paid.pending, false) AS payment_pending, coalesce(paid.card, false) AS card_paid,
               coalesce(paid.refund_asked, false) AS refund_asked, paid.failed_refund
        FROM reservation r
        JOIN schedule s ON s.id = r.schedule_id
        CROSS JOIN LATERAL (
            SELECT bool_or(p.status = 'PENDING') AS pending, bool_or(p.status = 'APPROVED' AND p.method = 'CARD') AS card,
                   bool_or(p.refund_status IS NOT NULL OR p.status = 'REFUNDED') AS refund_asked,
                   (array_agg(p.id) FILTER (WHERE p.refund_status = 'FAILED'))[1] AS failed_refund
            FROM payment p WHERE p.reservation_id = r.id
        ) paid
        WHERE r.id = $1 AND r.person_id = $2";
    let row: Option<CancelFactsRow> = db.row(SQL, vec![id.into(), person_id.into()]).await?;
    Ok(row.map(|row| CancelFacts {
        reservation: row.reservation.into(),
        over: row.over,
        payment_pending: row.payment_pending,
        card_paid: row.card_paid,
        refund_asked: row.refund_asked,
        failed_refund: row.failed_refund,
    }))
}

#[derive(Debug, FromQueryResult)]
struct OwnerRow {
    person_id: PersonId,
}

/// Whose reservation of this organizer's performances an id names; `None` when there is no such.
pub(in crate::payment) async fn customer(
    db: &Db,
    organizer: PersonId,
    id: ReservationId,
) -> Result<Option<PersonId>, Fault> {
    const SQL: &str = "
        SELECT r.person_id FROM reservation r
        JOIN schedule s ON s.id = r.schedule_id
        JOIN concert c ON c.id = s.concert_id
        WHERE r.id = $1 AND c.organizer_id = $2";
    let row: Option<OwnerRow> = db.row(SQL, vec![id.into(), organizer.into()]).await?;
    Ok(row.map(|row| row.person_id))
}

#[derive(Debug, FromQueryResult)]
struct CalledOffRow {
    id: ReservationId,
    person_id: PersonId,
}

/// Reservations of performances that were called off, and whose they are: `limit` at most, shuffled, so that several
/// instances seldom meet. A hold whose payment is being decided is left to that payment, and a lapsed one to the sweepers.
pub(in crate::payment) async fn called_off(
    db: &Db,
    limit: usize,
) -> Result<Vec<(ReservationId, PersonId)>, Fault> {
    const SQL: &str = "
        SELECT due.id, due.person_id FROM (
            SELECT r.id, r.person_id FROM schedule s, LATERAL (
                SELECT r.id, r.person_id FROM reservation r
                WHERE r.schedule_id = s.id AND r.status IN ('HOLD', 'CONFIRMED')
                  AND (r.status = 'CONFIRMED' OR r.expires_at > statement_timestamp())
                  AND NOT EXISTS (SELECT 1 FROM payment p WHERE p.reservation_id = r.id AND p.status = 'PENDING')
                LIMIT $1
            ) r
            WHERE s.status = 'CANCELLED' LIMIT $1
        ) due ORDER BY random()";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows: Vec<CalledOffRow> = db.rows(SQL, vec![limit.into()]).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.person_id)).collect())
}
