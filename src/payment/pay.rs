//! Paying a hold.

use super::{PayOrder, PayRefusal, Payment, PaymentMethod, Payments, rules, store};
use crate::{
    db::constraint,
    kernel::{Actor, Failure, Fault},
    reservation::SEATS_MAX,
    telemetry::OutcomeLabels,
    waiting_room::Event,
};

/// A statement that found nothing in its way and yet moved nothing met a change just made, of this or another of the
/// person's reservations; it is run again so many times. A person in a hurry has one for each of their seats.
const ATTEMPTS: usize = SEATS_MAX + 5;

impl Payments {
    /// Pays a HOLD of the caller, once per key: the same key with the same order returns the same payment.
    ///
    /// # Errors
    /// A [`PayRefusal`], or a fault; in both cases no money has moved.
    pub async fn pay(
        &self,
        actor: Actor,
        order: &PayOrder,
    ) -> Result<Payment, Failure<PayRefusal>> {
        let result = match rules::check(order) {
            Ok(()) => match order.method {
                PaymentMethod::Point => self.pay_with_points(actor, order).await,
                PaymentMethod::Card => self.pay_by_card(actor, order).await,
            },
            Err(refusal) => Err(Failure::Refused(refusal)),
        };
        let outcome = match &result {
            Ok(_) => "ok",
            Err(Failure::Refused(_)) => "refused",
            Err(Failure::Fault(_)) => "fault",
        };
        self.metrics.payments.get_or_create(&OutcomeLabels { outcome }).inc();
        result
    }

    async fn pay_with_points(
        &self,
        actor: Actor,
        order: &PayOrder,
    ) -> Result<Payment, Failure<PayRefusal>> {
        let fingerprint = rules::fingerprint(order);
        for _ in 0..ATTEMPTS {
            match store::pay_with_points(&self.money, actor.person_id, order, &fingerprint).await {
                Ok(Some(paid)) => {
                    self.announce(actor, order, &paid).await;
                    return Ok(paid.payment);
                }
                Ok(None) => {}
                // The key was used before, or another payment of this reservation was first.
                Err(error)
                    if matches!(
                        constraint(&error),
                        Some("payment_idempotency_unique" | "payment_live_unique")
                    ) => {}
                Err(error) => return Err(Failure::Fault(error.into())),
            }
            if let Some(payment) = self.replay(actor, order, &fingerprint).await? {
                return Ok(payment);
            }
            let Some(facts) =
                store::pay_facts(&self.money, actor.person_id, order.reservation_id).await?
            else {
                return Err(Failure::Refused(PayRefusal::ReservationNotFound));
            };
            if let Some(refusal) = rules::why_refused(&facts, order.amount) {
                return Err(Failure::Refused(refusal));
            }
        }
        Err(Fault::unavailable("the reservation changed too often to be paid").into())
    }

    async fn pay_by_card(
        &self,
        actor: Actor,
        order: &PayOrder,
    ) -> Result<Payment, Failure<PayRefusal>> {
        if let Some(payment) = self.replay(actor, order, &rules::fingerprint(order)).await? {
            return Ok(payment);
        }
        if order.card_token.as_deref().unwrap_or_default().is_empty() {
            return Err(Failure::Refused(PayRefusal::CardTokenMissing));
        }
        // No gateway is configured.
        Err(Failure::Refused(PayRefusal::GatewayUnavailable))
    }

    /// The payment that this key stands for, if it was used before.
    async fn replay(
        &self,
        actor: Actor,
        order: &PayOrder,
        fingerprint: &[u8],
    ) -> Result<Option<Payment>, Failure<PayRefusal>> {
        match store::by_key(&self.money, actor.person_id, &order.idempotency_key).await? {
            None => Ok(None),
            Some((payment, first)) if first == fingerprint => Ok(Some(payment)),
            Some(_) => Err(Failure::Refused(PayRefusal::KeyReused)),
        }
    }

    async fn announce(&self, actor: Actor, order: &PayOrder, paid: &store::Paid) {
        let event = Event { changes: paid.token.iter().cloned().collect(), ..Event::default() };
        tokio::join!(
            self.reservations.announce(
                paid.schedule_id,
                actor.person_id,
                order.reservation_id,
                &paid.seats
            ),
            self.waiting_rooms.announce(paid.schedule_id, event),
        );
        self.waiting_rooms.sold(paid.schedule_id);
        // A used token is a free place.
        self.waiting_rooms.kick(paid.schedule_id);
    }
}
