//! Keeping a hold for longer.

use super::{
    ExtendRefusal, Reservation, Reservations,
    announce::News,
    rules::{self, ATTEMPTS, Extension},
    store::{self, Extended},
};
use crate::{
    kernel::{Actor, Failure, Fault, ReservationId},
    waiting_room::Event,
};

impl Reservations {
    /// Keeps a HOLD of the caller for its full time from now, at most until its `extendable_until`. While a payment for it is
    /// being decided the seats are kept anyway, and nothing is changed.
    ///
    /// # Errors
    /// An [`ExtendRefusal`], or a fault; in both cases the hold ends when it would have ended.
    pub async fn extend(
        &self,
        actor: Actor,
        id: ReservationId,
    ) -> Result<Reservation, Failure<ExtendRefusal>> {
        for _ in 0..ATTEMPTS {
            let extended =
                store::extend(&self.db, actor.person_id, id, self.terms.hold_seconds).await?;
            if let Some(extended) = extended {
                return Ok(self.announce_extended(extended).await);
            }
            let facts = store::extend_facts(&self.db, actor.person_id, id).await?;
            match rules::extension(facts, self.terms.hold_seconds) {
                Extension::Stands(reservation) => return Ok(*reservation),
                Extension::Refused(refusal) => return Err(Failure::Refused(refusal)),
                Extension::Again => {}
            }
        }
        Err(Fault::unavailable("the reservation changed too often to be extended").into())
    }

    async fn announce_extended(&self, extended: Extended) -> Reservation {
        let Extended { reservation, seats, token } = extended;
        let mut news = News::default();
        news.seats(reservation.schedule_id, &seats);
        news.reservation(reservation.person_id, reservation.id);
        let place = async {
            if let Some(token) = token {
                let event = Event { changes: vec![token], ..Event::default() };
                self.waiting_rooms.announce(reservation.schedule_id, event).await;
            }
        };
        tokio::join!(news.tell(&self.kv), place);
        reservation
    }
}
