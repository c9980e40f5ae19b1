//! Telling every instance which seats and reservations changed, after Postgres has it.

use std::collections::BTreeMap;

use super::Reservations;
use crate::{
    kernel::{PersonId, ReservationId, ScheduleId},
    kv::Kv,
    seat_map::{SeatChange, seat_channel},
};

/// Stands behind the id of a reservation whose payment has changed: that is told even if nothing else has.
pub(super) const PAYMENT_MARK: u8 = b'!';

/// Where changes of a person's reservations are told: the reservation's id, and a mark behind it where its payment changed.
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
        let mut news = News::default();
        news.seats(schedule_id, seats);
        news.reservation(person_id, reservation_id);
        self.tell(news).await;
    }

    /// Tells all instances of many changes, as [`Reservations::announce`] does of one.
    pub async fn tell(&self, news: News) {
        news.tell(&self.kv).await;
    }
}

/// Changes of many people at once, told in one trip to Redis: one message for the seats of each performance, one for each
/// reservation.
#[derive(Debug, Default)]
pub struct News {
    seats: BTreeMap<ScheduleId, Vec<SeatChange>>,
    reservations: Vec<(PersonId, ReservationId)>,
    payments: Vec<(PersonId, ReservationId)>,
}

impl News {
    /// Seats of a performance have changed.
    pub fn seats(&mut self, schedule_id: ScheduleId, changes: &[SeatChange]) {
        if !changes.is_empty() {
            self.seats.entry(schedule_id).or_default().extend(changes);
        }
    }

    /// A person's reservation has changed.
    pub fn reservation(&mut self, person_id: PersonId, id: ReservationId) {
        self.reservations.push((person_id, id));
    }

    /// The payment of a person's reservation has changed, and perhaps the reservation.
    pub fn payment(&mut self, person_id: PersonId, id: ReservationId) {
        self.payments.push((person_id, id));
    }

    /// Tells all instances, as [`Reservations::announce`] does.
    pub(super) async fn tell(self, kv: &Kv) {
        let seats = self.seats.iter().filter_map(|(schedule_id, changes)| {
            Some((seat_channel(*schedule_id), serde_json::to_vec(changes).ok()?))
        });
        let reservations = self
            .reservations
            .iter()
            .map(|(person_id, id)| (person_channel(*person_id), id.to_string().into_bytes()));
        let payments = self.payments.iter().map(|(person_id, id)| {
            let mut message = id.to_string().into_bytes();
            message.push(PAYMENT_MARK);
            (person_channel(*person_id), message)
        });
        let messages: Vec<_> = seats.chain(reservations).chain(payments).collect();
        if messages.is_empty() {
            return;
        }
        if let Err(fault) = kv.publish_all(&messages).await {
            tracing::debug!(fault = %fault.report(), "changed seats and reservations were not told");
        }
    }
}
