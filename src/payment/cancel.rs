//! Giving a reservation back, with the points that were paid for it.

use super::{CancelRefusal, Herald, Payments, store};
use crate::{
    kernel::{Actor, Failure, Fault, ReservationId},
    reservation::{Reservation, ReservationStatus, SEATS_MAX},
    waiting_room::Event,
};

/// A statement that found nothing in its way and yet changed nothing met a change just made, of this or another of the
/// person's reservations; it is run again this many times. A person in a hurry has one for each of their seats.
const ATTEMPTS: usize = SEATS_MAX + 5;

impl Payments {
    /// Gives a HOLD back, or refunds a CONFIRMED reservation that was paid with points. Called again, it returns the
    /// CANCELLED reservation and refunds nothing more.
    ///
    /// # Errors
    /// A [`CancelRefusal`], or a fault; in both cases nothing was changed.
    pub async fn cancel(
        &self,
        actor: Actor,
        id: ReservationId,
    ) -> Result<Reservation, Failure<CancelRefusal>> {
        for _ in 0..ATTEMPTS {
            if let Some(cancelled) = store::cancel(&self.money, actor.person_id, id).await? {
                self.announce_cancelled(actor, &cancelled).await;
                return Ok(cancelled.reservation);
            }
            let refusal = match store::cancel_facts(&self.db, actor.person_id, id).await? {
                None => CancelRefusal::NotFound,
                Some(facts) => match facts.reservation.status {
                    ReservationStatus::Cancelled => return Ok(facts.reservation),
                    ReservationStatus::Expired => CancelRefusal::Expired,
                    ReservationStatus::Confirmed if facts.begun => CancelRefusal::Closed,
                    _ if facts.payment_pending => CancelRefusal::PaymentInProgress,
                    ReservationStatus::Hold | ReservationStatus::Confirmed => continue,
                },
            };
            return Err(Failure::Refused(refusal));
        }
        Err(Fault::unavailable("the reservation changed too often to be cancelled").into())
    }

    async fn announce_cancelled(&self, actor: Actor, cancelled: &store::Cancelled) {
        let reservation = &cancelled.reservation;
        let event =
            Event { changes: cancelled.token.iter().cloned().collect(), room_changed: true };
        let Herald { reservations, waiting_rooms } = &self.herald;
        let schedule_id = reservation.schedule_id;
        tokio::join!(
            reservations.announce(schedule_id, actor.person_id, reservation.id, &cancelled.seats),
            waiting_rooms.announce(schedule_id, event),
        );
        // With a seat free again the line moves.
        waiting_rooms.kick(schedule_id);
    }
}
