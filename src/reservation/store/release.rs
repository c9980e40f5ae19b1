//! Freeing seats: by their holder, by a refund, and by the clock.

use sea_orm::FromQueryResult;

use super::ReservationRow;
use crate::{
    db::{Db, Session},
    kernel::{Fault, PersonId, ReservationId, ScheduleId, SeatId, Timestamp, WalletEntryId},
    reservation::{Cancelled, Reservation, SeatChange, SeatStatus},
    waiting_room::{Change, QueueStatus},
};

/// Holds that one call of [`expire`] tidies at most.
pub(in crate::reservation) const EXPIRE_BATCH: usize = 500;

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
/// Locks in the order token, reservation, seats, wallet. A payment that is being decided is not overtaken. The token's
/// version must be that of the statement's snapshot: else a payment was committed while this waited for the lock, and its
/// row, which is to be refunded, cannot be seen.
pub(in crate::reservation) async fn cancel(
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
    let seats = rows.iter().filter_map(|row| freed(row.seat_id, row.seat_version)).collect();
    Ok(Some(Cancelled { reservation: first.reservation.clone().into(), seats, token }))
}

fn freed(seat_id: Option<SeatId>, version: Option<i32>) -> Option<SeatChange> {
    let (seat_id, version) = seat_id.zip(version)?;
    Some(SeatChange { seat_id, status: SeatStatus::Available, version, hold_expires_at: None })
}

/// What stood in the way of a cancellation.
#[derive(Debug)]
pub(in crate::reservation) struct CancelFacts {
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
pub(in crate::reservation) async fn cancel_facts(
    db: &Db,
    person_id: PersonId,
    id: ReservationId,
) -> Result<Option<CancelFacts>, Fault> {
    const SQL: &str = "
        SELECT r.id, r.person_id, r.schedule_id, r.queue_token_id, r.status, r.seat_count, r.total_price,
               r.held_at, r.expires_at, r.confirmed_at, r.cancelled_at, clock_timestamp() AS now,
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

/// One seat of a hold that was tidied; a hold whose seats were all taken over since has one row without a seat.
#[derive(Debug)]
pub(in crate::reservation) struct Lapsed {
    pub reservation_id: ReservationId,
    pub schedule_id: ScheduleId,
    pub person_id: PersonId,
    pub seat: Option<SeatChange>,
}

#[derive(Debug, FromQueryResult)]
struct LapsedRow {
    reservation_id: ReservationId,
    schedule_id: ScheduleId,
    person_id: PersonId,
    seat_id: Option<SeatId>,
    seat_version: Option<i32>,
}

/// Turns lapsed holds EXPIRED and their seats AVAILABLE. Seats that somebody took over meanwhile are theirs.
///
/// A hold with a payment that is being decided is left to that payment.
pub(in crate::reservation) async fn expire(db: &Db) -> Result<Vec<Lapsed>, Fault> {
    const SQL: &str = include_str!("expire.sql");
    let limit = i64::try_from(EXPIRE_BATCH).unwrap_or(i64::MAX);
    let rows: Vec<LapsedRow> = db.rows(SQL, vec![limit.into()]).await?;
    let lapsed = |row: LapsedRow| Lapsed {
        reservation_id: row.reservation_id,
        schedule_id: row.schedule_id,
        person_id: row.person_id,
        seat: freed(row.seat_id, row.seat_version),
    };
    Ok(rows.into_iter().map(lapsed).collect())
}
