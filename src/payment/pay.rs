//! Paying a hold.

use std::time::Duration;

use tokio::time::timeout;

use super::{Paid, PayOrder, PayRefusal, PaymentMethod, Payments, rules, store};
use crate::{
    kernel::{Actor, Checks, Failure, Fault, FaultKind, PaymentId},
    reservation::ATTEMPTS,
    telemetry::OutcomeLabels,
};

/// This many of them share a statement with other people's payments. A payment that is left out that often meets a lock that
/// stays.
const TOGETHER: usize = 2;
/// How long to look for a payment whose answer was lost: its person has waited for four seconds already.
const SECOND_LOOK: Duration = Duration::from_secs(1);

impl Payments {
    /// Pays a HOLD of the caller, once per key: the same key with the same order returns the same payment, as it stands then.
    ///
    /// # Errors
    /// Every [`PayRefusal`], of which there is no record; or a fault. No money has moved, except by a card whose fault is
    /// [`FaultKind::Unanswered`]: asking again tells.
    pub async fn pay(
        &self,
        actor: Actor,
        order: &PayOrder,
    ) -> Result<Paid, Failure<Vec<PayRefusal>>> {
        let result = match rules::check(order) {
            Ok(()) => match order.method {
                PaymentMethod::Point => {
                    self.pay_with_points(actor, order).await.map_err(Failure::from)
                }
                PaymentMethod::Card => self.pay_by_card(actor, order).await,
            },
            // Where the key can stand for nothing, no payment is found that the rest of the order would not matter to.
            Err(_) => Err(Failure::Refused(self.faults(order))),
        };
        let outcome = match &result {
            Ok(Paid { refusal: None, .. }) => "ok",
            Ok(_) | Err(Failure::Refused(_)) => "refused",
            Err(Failure::Fault(_)) => "fault",
        };
        self.metrics.payments.get_or_create(&OutcomeLabels { outcome }).inc();
        result
    }

    /// Everything that is wrong with an order by itself, whatever it is to pay for.
    pub fn faults(&self, order: &PayOrder) -> Vec<PayRefusal> {
        let mut checks = Checks::default();
        checks.keep(rules::check(order));
        if order.method == PaymentMethod::Card
            && let Err(refusals) = self.card_of(order)
        {
            checks.add(refusals);
        }
        checks.outcome(()).err().unwrap_or_default()
    }

    async fn pay_with_points(
        &self,
        actor: Actor,
        order: &PayOrder,
    ) -> Result<Paid, Failure<PayRefusal>> {
        let asked = store::Order {
            person_id: actor.person_id,
            reservation_id: order.reservation_id,
            amount: order.amount,
            key: order.idempotency_key.clone(),
            fingerprint: rules::fingerprint(order),
        };
        for attempt in 0..ATTEMPTS {
            match self.try_to_pay(&asked, attempt).await {
                Ok(Some(paid)) => return Ok(Paid { payment: paid.payment, refusal: None }),
                Ok(None) => {}
                Err(fault) => return self.after(fault, actor, order, &asked.fingerprint).await,
            }
            // In this order: if this payment is what made the reservation CONFIRMED, it is found after that was seen.
            let facts =
                store::pay_facts(&self.money, actor.person_id, order.reservation_id).await?;
            if let Some(paid) = self.replay(actor, order, &asked.fingerprint).await? {
                return Ok(paid);
            }
            let Some(facts) = facts else {
                return Err(Failure::Refused(PayRefusal::ReservationNotFound));
            };
            if let Some(refusal) = rules::why_refused(&facts, order.amount) {
                return self.refused(actor, order, &asked, refusal).await;
            }
            if facts.balance.is_none() {
                // Somebody who has never charged can pay for what costs nothing, too. The statement finds no wallet and pays
                // nothing: making one in there would wait for a charge that makes the same, and a group waits for nobody.
                self.wallets.open(actor.person_id).await?;
            }
        }
        Err(Fault::unavailable("the reservation changed too often to be paid").into())
    }

    /// Pays, and tells of it. A payment that was left out of [`TOGETHER`] groups because of somebody else's lock waits for
    /// it by itself, and keeps nobody else waiting.
    async fn try_to_pay(
        &self,
        asked: &store::Order,
        attempt: usize,
    ) -> Result<Option<store::Paid>, Fault> {
        if attempt < TOGETHER {
            return self.lanes.ask(asked.clone()).await;
        }
        let paid = store::pay_alone(&self.money, asked).await?;
        self.herald.tell(&paid).await;
        Ok(paid)
    }

    /// When the answer was lost, the payment may have been made. Its key tells, if Postgres can be asked again by now.
    async fn after(
        &self,
        fault: Fault,
        actor: Actor,
        order: &PayOrder,
        fingerprint: &[u8],
    ) -> Result<Paid, Failure<PayRefusal>> {
        if fault.kind() == FaultKind::Unanswered {
            match timeout(SECOND_LOOK, self.replay(actor, order, fingerprint)).await {
                Ok(Ok(Some(paid))) => return Ok(paid),
                Ok(Err(Failure::Refused(refusal))) => return Err(Failure::Refused(refusal)),
                Ok(Ok(None) | Err(Failure::Fault(_))) | Err(_) => {}
            }
        }
        Err(fault.into())
    }

    /// A refusal that is final for its key is a record, as long as the reservation has few of them; the others leave the key
    /// free.
    async fn refused(
        &self,
        actor: Actor,
        order: &PayOrder,
        asked: &store::Order,
        refusal: PayRefusal,
    ) -> Result<Paid, Failure<PayRefusal>> {
        if refusal == PayRefusal::InsufficientBalance {
            store::record_failure(&self.money, PaymentId::new(), asked, refusal).await?;
            // Or what the same order, sent twice, has become meanwhile.
            if let Some(paid) = self.replay(actor, order, &asked.fingerprint).await? {
                return Ok(paid);
            }
        }
        Err(Failure::Refused(refusal))
    }

    /// What became of this order, if its key was used before.
    async fn replay(
        &self,
        actor: Actor,
        order: &PayOrder,
        fingerprint: &[u8],
    ) -> Result<Option<Paid>, Failure<PayRefusal>> {
        Ok(self.keyed(actor, order, fingerprint).await?.map(Paid::from))
    }
}
