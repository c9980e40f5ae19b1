//! Keeping held seats for longer.

use sea_orm::FromQueryResult;

use super::ReservationRow;
use crate::{
    db::{Db, Session},
    kernel::{Fault, PersonId, ReservationId, SeatId},
    reservation::{Reservation, SeatChange, SeatStatus, rules::ExtendFacts},
    waiting_room::{Change, QueueStatus, TouchedToken},
};

/// A hold that was just extended, and what has to be told.
#[derive(Debug)]
pub(in crate::reservation) struct Extended {
    pub reservation: Reservation,
    pub seats: Vec<SeatChange>,
    /// The person's ACTIVE time, which follows the hold.
    pub token: Option<Change>,
}

#[derive(Debug, FromQueryResult)]
struct ExtendedRow {
    seat_id: SeatId,
    seat_version: i32,
    #[sea_orm(nested)]
    touched: TouchedToken,
    #[sea_orm(nested)]
    reservation: ReservationRow,
}

/// Extends a hold in one statement: reservation, seats, queue token. `None` when something stood in its way, or when there is
/// nothing to gain.
///
/// Locks in the order token, reservation, seats, and then reads the time: a hold that has lapsed by then stays lapsed, however
/// long this waited. The token's version must be that of the statement's snapshot: else a payment may have begun while this
/// waited for the lock, and its row cannot be seen.
pub(in crate::reservation) async fn extend(
    db: &Db,
    person_id: PersonId,
    id: ReservationId,
    hold_seconds: u32,
) -> Result<Option<Extended>, Fault> {
    const SQL: &str = include_str!("extend.sql");
    let values = vec![id.into(), person_id.into(), f64::from(hold_seconds).into()];
    let rows: Vec<ExtendedRow> = db.rows(SQL, values).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let token = first.touched.change(person_id, |status| status == QueueStatus::Active);
    let reservation: Reservation = first.reservation.clone().into();
    let kept = |row: &ExtendedRow| SeatChange {
        seat_id: row.seat_id,
        status: SeatStatus::Hold,
        version: row.seat_version,
        hold_expires_at: Some(reservation.expires_at),
    };
    let seats = rows.iter().map(kept).collect();
    Ok(Some(Extended { reservation, seats, token }))
}

#[derive(Debug, FromQueryResult)]
struct ExtendFactsRow {
    payment_pending: bool,
    seats_kept: bool,
    #[sea_orm(nested)]
    reservation: ReservationRow,
}

/// What stood in the way of extending a reservation of this person; `None` when they have no such reservation.
pub(in crate::reservation) async fn extend_facts(
    db: &Db,
    person_id: PersonId,
    id: ReservationId,
) -> Result<Option<ExtendFacts>, Fault> {
    const SQL: &str = "
        SELECT r.id, r.person_id, r.schedule_id, r.queue_token_id, r.status, r.seat_count, r.total_price,
               r.held_at, r.expires_at, r.extendable_until, r.confirmed_at, r.cancelled_at, clock_timestamp() AS now,
               EXISTS (SELECT 1 FROM payment p WHERE p.reservation_id = r.id AND p.status = 'PENDING')
                   AS payment_pending,
               (SELECT count(*) FROM reservation_seat l JOIN seat ON seat.id = l.seat_id
                WHERE l.reservation_id = r.id AND seat.reservation_id = r.id) = r.seat_count AS seats_kept
        FROM reservation r WHERE r.id = $1 AND r.person_id = $2";
    let row: Option<ExtendFactsRow> = db.row(SQL, vec![id.into(), person_id.into()]).await?;
    Ok(row.map(|row| ExtendFacts {
        reservation: row.reservation.into(),
        payment_pending: row.payment_pending,
        seats_kept: row.seats_kept,
    }))
}
