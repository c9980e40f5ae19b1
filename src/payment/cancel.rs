//! Giving a reservation back, with the money that was paid for it: by its fan in time, by the organizer at any time, and
//! everything at a performance that is called off.

use futures_util::{StreamExt, stream};

use super::{
    CancelRefusal, Payments,
    rules::{self, Canceller, Verdict},
    store,
};
use crate::{
    kernel::{Actor, Failure, Fault, PersonId, ReservationId},
    reservation::{ATTEMPTS, Reservation},
};

/// Reservations of performances that were called off that one call cancels at most.
const CALLED_OFF_BATCH: usize = 200;
/// How many of them at once: half of the connections of what runs by itself.
const CALLED_OFF_AT_ONCE: usize = 2;

impl Payments {
    /// Gives a HOLD back, or refunds a CONFIRMED reservation: points at once, a card through the gateway afterwards. Called
    /// again, it returns the CANCELLED reservation and refunds nothing more.
    ///
    /// # Errors
    /// A [`CancelRefusal`], or a fault; in both cases nothing was changed.
    pub async fn cancel(
        &self,
        actor: Actor,
        id: ReservationId,
    ) -> Result<Reservation, Failure<CancelRefusal>> {
        self.cancel_by(Canceller::Fan, actor.person_id, id).await
    }

    /// Cancels somebody's reservation of this organizer's performances as [`Payments::cancel`] does, whatever the time is. A
    /// refund that was given up is tried anew.
    ///
    /// # Errors
    /// As [`Payments::cancel`].
    pub async fn refund(
        &self,
        organizer: Actor,
        id: ReservationId,
    ) -> Result<Reservation, Failure<CancelRefusal>> {
        let customer = store::customer(&self.money, organizer.person_id, id).await?;
        let customer = customer.ok_or(Failure::Refused(CancelRefusal::NotFound))?;
        self.cancel_by(Canceller::Organizer, customer, id).await
    }

    async fn cancel_by(
        &self,
        by: Canceller,
        person_id: PersonId,
        id: ReservationId,
    ) -> Result<Reservation, Failure<CancelRefusal>> {
        let cards = self.gateway.name().is_some();
        for _ in 0..ATTEMPTS {
            if let Some(cancelled) = store::cancel(&self.money, person_id, id, by, cards).await? {
                self.count_refunds([&cancelled]);
                self.herald.tell_cancelled([&cancelled]).await;
                return Ok(cancelled.reservation);
            }
            let facts = store::cancel_facts(&self.db, person_id, id).await?;
            let facts = facts.ok_or(Failure::Refused(CancelRefusal::NotFound))?;
            match rules::why_not_cancelled(&facts, by, cards) {
                Verdict::Refused(refusal) => return Err(Failure::Refused(refusal)),
                Verdict::Done => return Ok(facts.reservation),
                Verdict::RefundAnew(payment_id) => {
                    store::refund_anew(&self.money, payment_id).await?;
                    return Ok(facts.reservation);
                }
                Verdict::Again => {}
            }
        }
        Err(Fault::unavailable("the reservation changed too often to be cancelled").into())
    }

    /// Cancels what is still held and owned at performances that were called off, a few hundred at a time; `true` when there
    /// is more. What is paid is refunded, whatever the time is. Any number of instances may do so at once.
    ///
    /// # Errors
    /// The first fault that a reservation met, after all others were tried; the next call goes on.
    pub async fn cancel_called_off(&self) -> Result<bool, Fault> {
        let due = store::called_off(&self.background, CALLED_OFF_BATCH).await?;
        let full = due.len() >= CALLED_OFF_BATCH;
        let outcomes = stream::iter(due).map(|(id, person_id)| async move {
            // What cannot be refunded without a gateway waits for one, and calls a person in time.
            store::cancel(&self.background, person_id, id, Canceller::Organizer, true).await
        });
        let (mut cancelled, mut fault) = (Vec::new(), None);
        for outcome in outcomes.buffer_unordered(CALLED_OFF_AT_ONCE).collect::<Vec<_>>().await {
            match outcome {
                Ok(one) => cancelled.extend(one),
                Err(first) => fault = fault.or(Some(first)),
            }
        }
        self.count_refunds(&cancelled);
        self.herald.tell_cancelled(&cancelled).await;
        match fault {
            Some(fault) => Err(fault),
            None => Ok(full && !cancelled.is_empty()),
        }
    }

    /// Counts the refunds that were done with the cancellation.
    fn count_refunds<'a>(&self, cancelled: impl IntoIterator<Item = &'a store::Cancelled>) {
        let at_once = cancelled.into_iter().filter(|one| one.refunded == Some(true)).count();
        self.metrics.refunds("done").inc_by(u64::try_from(at_once).unwrap_or(0));
    }
}
