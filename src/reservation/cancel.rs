//! Giving a reservation back.

use super::{
    CancelRefusal, Reservation, ReservationStatus, Reservations, SeatChange, rules, store,
};
use crate::{
    kernel::{Actor, Failure, ReservationId},
    waiting_room::{Change, Event},
};

/// A cancellation that was just made, and what has to be told.
#[derive(Debug)]
pub struct Cancelled {
    /// The reservation, CANCELLED.
    pub reservation: Reservation,
    /// Its seats, AVAILABLE.
    pub seats: Vec<SeatChange>,
    /// The person's ACTIVE time, which the hold may have prolonged.
    pub token: Option<Change>,
}

/// A statement that found nothing in its way and yet changed nothing met a change just made, of this or another of the
/// person's reservations; it is run again so many times. A person in a hurry has one for each of their seats.
const ATTEMPTS: usize = rules::SEATS_MAX + 5;

impl Reservations {
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
                let schedule_id = cancelled.reservation.schedule_id;
                let event =
                    Event { changes: cancelled.token.into_iter().collect(), room_changed: true };
                tokio::join!(
                    self.announce(schedule_id, actor.person_id, id, &cancelled.seats),
                    self.waiting_rooms.announce(schedule_id, event),
                );
                // With a seat free again the line moves.
                self.waiting_rooms.kick(schedule_id);
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
        Err(crate::kernel::Fault::unavailable("the reservation changed too often to be cancelled")
            .into())
    }
}
