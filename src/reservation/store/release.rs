//! Freeing seats when their time is over.

use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Session},
    kernel::{Fault, PersonId, ReservationId, ScheduleId, SeatId},
    reservation::{SeatChange, SeatStatus},
};

/// Holds that one call of [`expire`] tidies at most.
pub(in crate::reservation) const EXPIRE_BATCH: usize = 500;

fn freed(seat_id: Option<SeatId>, version: Option<i32>) -> Option<SeatChange> {
    let (seat_id, version) = seat_id.zip(version)?;
    Some(SeatChange { seat_id, status: SeatStatus::Available, version, hold_expires_at: None })
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
