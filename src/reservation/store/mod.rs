//! The tables of reservations and seats: the statements that make (`seats`), claim (`hold`), keep (`extend`),
//! free (`release`) and read (`read`) them.

mod extend;
mod hold;
mod read;
mod release;
mod seats;

pub(super) use extend::{Extended, extend, extend_facts};
pub(super) use hold::{Held, HoldOrder, Locks, hold, hold_facts};
pub(super) use read::{by_ids, has_seats_ahead, list, seats_of};
pub(super) use release::{EXPIRE_BATCH, expire};
use sea_orm::FromQueryResult;
pub(super) use seats::insert as insert_seats;

use super::{Reservation, ReservationStatus};
use crate::{
    db::text_column,
    kernel::{PersonId, Points, QueueTokenId, ReservationId, ScheduleId, Timestamp},
};

text_column!(ReservationStatus);

/// A reservation as statements return it, here and in stores above: its columns, and `now` by the database's clock.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct ReservationRow {
    id: ReservationId,
    person_id: PersonId,
    schedule_id: ScheduleId,
    queue_token_id: QueueTokenId,
    status: ReservationStatus,
    seat_count: i32,
    total_price: Points,
    held_at: Timestamp,
    expires_at: Timestamp,
    extendable_until: Option<Timestamp>,
    confirmed_at: Option<Timestamp>,
    cancelled_at: Option<Timestamp>,
    now: Timestamp,
}

impl From<ReservationRow> for Reservation {
    fn from(row: ReservationRow) -> Self {
        let lapsed = row.status == ReservationStatus::Hold && row.expires_at <= row.now;
        Self {
            id: row.id,
            person_id: row.person_id,
            schedule_id: row.schedule_id,
            queue_token_id: row.queue_token_id,
            status: if lapsed { ReservationStatus::Expired } else { row.status },
            seat_count: row.seat_count,
            total_price: row.total_price,
            held_at: row.held_at,
            expires_at: row.expires_at,
            // Holds of earlier versions end when they end.
            extendable_until: row.extendable_until.unwrap_or(row.expires_at),
            confirmed_at: row.confirmed_at,
            cancelled_at: row.cancelled_at,
            now: row.now,
        }
    }
}
