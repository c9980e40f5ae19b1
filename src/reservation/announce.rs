//! Telling every instance which seats and reservations changed, after Postgres has it.

use super::Reservations;
use crate::{
    kernel::{PersonId, ReservationId, ScheduleId},
    seat_map::{SeatChange, seat_channel},
};

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
        tokio::join!(self.announce_seats(schedule_id, seats), async {
            let told = self
                .kv
                .publish(&person_channel(person_id), reservation_id.to_string().into_bytes())
                .await;
            if let Err(fault) = told {
                tracing::debug!(fault = %fault.report(), "a reservation's change was not told");
            }
        });
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
