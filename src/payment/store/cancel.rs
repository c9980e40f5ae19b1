//! Giving seats back, and the points that were paid for them.

use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Session},
    kernel::{Fault, PersonId, ReservationId, SeatId, Timestamp, WalletEntryId},
    reservation::{Reservation, ReservationRow, SeatChange, SeatStatus},
    waiting_room::{Change, QueueStatus},
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
}

#[derive(Debug, FromQueryResult)]
struct CancelledRow {
    seat_id: Option<SeatId>,
    seat_version: Option<i32>,
    number: i64,
    token_status: QueueStatus,
    token_version: i64,
    activated_at: Option<Timestamp>,
    token_expires_at: Option<Timestamp>,
    #[sea_orm(nested)]
    reservation: ReservationRow,
}

/// The whole cancellation in one statement: seats, payment, wallet and ledger. `None` when something stood in its way.
///
/// Locks in the order token, reservation, seats, wallet, and then reads the time: a hold is given back before it lapses, and
/// a purchase before the performance begins, however long this waited. A payment that is being decided is not overtaken. The
/// token's version must be that of the statement's snapshot: else a payment was committed while this waited for the lock,
/// and its row, which is to be refunded, cannot be seen.
pub(in crate::payment) async fn cancel(
    db: &Db,
    person_id: PersonId,
    id: ReservationId,
) -> Result<Option<Cancelled>, Fault> {
    const SQL: &str = include_str!("cancel.sql");
    let values = vec![id.into(), person_id.into(), WalletEntryId::new().into()];
    let rows: Vec<CancelledRow> = db.rows(SQL, values).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let token = (first.token_status == QueueStatus::Active).then_some(Change {
        number: first.number,
        person_id,
        status: first.token_status,
        version: first.token_version,
        activated_at: first.activated_at,
        expires_at: first.token_expires_at,
    });
    let freed = |row: &CancelledRow| {
        let (seat_id, version) = row.seat_id.zip(row.seat_version)?;
        Some(SeatChange { seat_id, status: SeatStatus::Available, version, hold_expires_at: None })
    };
    let seats = rows.iter().filter_map(freed).collect();
    Ok(Some(Cancelled { reservation: first.reservation.clone().into(), seats, token }))
}

/// What stood in the way of a cancellation.
#[derive(Debug)]
pub(in crate::payment) struct CancelFacts {
    pub reservation: Reservation,
    pub begun: bool,
    pub payment_pending: bool,
}

#[derive(Debug, FromQueryResult)]
struct CancelFactsRow {
    begun: bool,
    payment_pending: bool,
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
               s.starts_at <= clock_timestamp() AS begun,
               EXISTS (SELECT 1 FROM payment p WHERE p.reservation_id = r.id AND p.status = 'PENDING')
                   AS payment_pending
        FROM reservation r JOIN schedule s ON s.id = r.schedule_id
        WHERE r.id = $1 AND r.person_id = $2";
    let row: Option<CancelFactsRow> = db.row(SQL, vec![id.into(), person_id.into()]).await?;
    Ok(row.map(|row| CancelFacts {
        reservation: row.reservation.into(),
        begun: row.begun,
        payment_pending: row.payment_pending,
    }))
}
