//! Telling every instance which seats and reservations changed, after Postgres has it.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{Reservations, SeatStatus};
use crate::kernel::{PersonId, ReservationId, ScheduleId, SeatId, Timestamp};

/// A seat's new state. Of two changes the one with the larger version holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatChange {
    /// The seat.
    pub seat_id: SeatId,
    /// Its status.
    pub status: SeatStatus,
    /// Its version.
    pub version: i32,
    /// When its hold lapses.
    #[serde(with = "chrono::serde::ts_milliseconds_option", default)]
    pub hold_expires_at: Option<Timestamp>,
}

/// Where changes of a performance's seats are told: a JSON array of [`SeatChange`].
pub fn seat_channel(schedule_id: ScheduleId) -> String {
    format!("seats:{{{schedule_id}}}")
}

/// Where changes of a person's reservations are told: the reservation's id.
pub fn person_channel(person_id: PersonId) -> String {
    format!("person:{{{person_id}}}")
}

impl Reservations {
    /// Tells all instances about changed seats and a changed reservation.
    ///
    /// Awaited before a client is answered, so that what it asks next, of any instance, most likely knows already. A
    /// failure here delays, and loses nothing: a board that is looked at is compared with Postgres every few seconds, and a
    /// reservation that is asked for is read from Postgres. Only `reservationChanges` may stay silent about this change.
    pub async fn announce(
        &self,
        schedule_id: ScheduleId,
        person_id: PersonId,
        reservation_id: ReservationId,
        seats: &[SeatChange],
    ) {
        self.announce_all(schedule_id, &[(person_id, reservation_id)], seats).await;
    }

    /// The same for reservations of several people that changed together: the seats in one message, and each person is told of
    /// their own.
    pub async fn announce_all(
        &self,
        schedule_id: ScheduleId,
        whose: &[(PersonId, ReservationId)],
        seats: &[SeatChange],
    ) {
        let people = whose.iter().map(async |(person_id, reservation_id)| {
            let channel = person_channel(*person_id);
            let told = self.kv.publish(&channel, reservation_id.to_string().into_bytes()).await;
            if let Err(fault) = told {
                tracing::debug!(fault = %fault.report(), "a reservation's change was not told");
            }
        });
        tokio::join!(self.announce_seats(schedule_id, seats), join_all(people));
    }

    pub(super) async fn announce_seats(&self, schedule_id: ScheduleId, seats: &[SeatChange]) {
        if seats.is_empty() {
            return;
        }
        let Ok(json) = serde_json::to_vec(seats) else { return };
        if let Err(fault) = self.kv.publish(&seat_channel(schedule_id), json).await {
            tracing::debug!(fault = %fault.report(), "changed seats were not told");
        }
    }
}
