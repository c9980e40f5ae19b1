//! Paying a hold by card. The payment is written down as PENDING, the gateway is asked, and what it says is written down: three
//! steps, and a process may die between any two of them. Whoever comes next looks (settle.rs).

use super::{
    Paid, PayOrder, PayRefusal, Payments, rules,
    settle::Again,
    store::{self, Keyed},
};
use crate::{
    gateway::{Card, CardPayment},
    kernel::{Actor, Checks, Failure, Fault, PaymentId},
    reservation::ATTEMPTS,
};

impl Payments {
    /// Pays by card, or tells how the payment stands that the key was used for.
    pub(super) async fn pay_by_card(
        &self,
        actor: Actor,
        order: &PayOrder,
    ) -> Result<Paid, Failure<Vec<PayRefusal>>> {
        let refused = |refusal| Failure::Refused(vec![refusal]);
        let fingerprint = rules::fingerprint(order);
        if let Some(keyed) = self.keyed(actor, order, &fingerprint).await? {
            return Ok(self.repeat(actor, order, keyed).await?);
        }
        let (card_token, return_url) = self.card_of(order).map_err(Failure::Refused)?;
        if self.gateway.name().is_none() {
            return Err(refused(PayRefusal::GatewayUnavailable));
        }
        let asked = store::Order {
            person_id: actor.person_id,
            reservation_id: order.reservation_id,
            amount: order.amount,
            key: order.idempotency_key.clone(),
            fingerprint,
        };
        for _ in 0..ATTEMPTS {
            let id = PaymentId::new();
            if let Some(moved) = store::begin(&self.money, id, &asked, self.pace()).await? {
                self.herald.tell_moved(&moved).await;
                let card = Card { token: card_token, return_url: return_url.as_deref() };
                self.ask(new_payment(id, &asked), card).await?;
                return Ok(self.as_it_stands(actor, order, &fingerprint).await?);
            }
            let facts =
                store::pay_facts(&self.money, actor.person_id, order.reservation_id).await?;
            if let Some(keyed) = self.keyed(actor, order, &fingerprint).await? {
                return Ok(self.repeat(actor, order, keyed).await?);
            }
            let facts = facts.ok_or(refused(PayRefusal::ReservationNotFound))?;
            if let Some(refusal) = rules::why_not_by_card(&facts, order.amount, store::FAILURES_MAX)
            {
                return Err(refused(refusal));
            }
        }
        Err(Fault::unavailable("the reservation changed too often to be paid").into())
    }

    /// The card of an order, and where its buyer comes back to; or everything that is wrong with them.
    pub(super) fn card_of<'a>(
        &self,
        order: &'a PayOrder,
    ) -> Result<(&'a str, Option<String>), Vec<PayRefusal>> {
        let mut checks = Checks::default();
        let token = rules::card_token(order.card_token.as_deref());
        let token = checks.keep(token.ok_or(PayRefusal::CardTokenMissing));
        let url = self.return_url(order.return_url.as_deref());
        let url = checks.keep(url.map_err(|()| PayRefusal::ReturnUrlInvalid));
        checks.outcome((token.unwrap_or_default(), url.flatten()))
    }

    /// Asks the gateway for the money, outside of every transaction, and writes down what it says.
    async fn ask(&self, payment: store::Undecided, card: Card<'_>) -> Result<(), Fault> {
        let answer = self.gateway.begin(&payment.card, card).await;
        self.after_begin(&payment, answer).await
    }

    /// The same order once more: what is decided stays so, what is not is looked into.
    async fn repeat(
        &self,
        actor: Actor,
        order: &PayOrder,
        keyed: Keyed,
    ) -> Result<Paid, Failure<PayRefusal>> {
        let (Some(card_token), Some(payment)) = (
            rules::card_token(order.card_token.as_deref()),
            store::undecided(&self.money, keyed.payment.id, self.pace()).await?,
        ) else {
            return self.as_it_stands(actor, order, &keyed.fingerprint).await;
        };
        let return_url = self
            .return_url(order.return_url.as_deref())
            .map_err(|()| Failure::Refused(PayRefusal::ReturnUrlInvalid))?;
        let again = Again {
            card_token,
            return_url: return_url.as_deref(),
            action_result: order.action_result.as_deref(),
        };
        self.go_on(&payment, again).await?;
        self.as_it_stands(actor, order, &keyed.fingerprint).await
    }

    /// The payment that the key stands for by now.
    async fn as_it_stands(
        &self,
        actor: Actor,
        order: &PayOrder,
        fingerprint: &[u8],
    ) -> Result<Paid, Failure<PayRefusal>> {
        let keyed = self.keyed(actor, order, fingerprint).await?;
        keyed.map(Paid::from).ok_or(Fault::internal("a payment that was begun is gone").into())
    }

    /// The payment that this key stands for, if it was used before.
    pub(super) async fn keyed(
        &self,
        actor: Actor,
        order: &PayOrder,
        fingerprint: &[u8],
    ) -> Result<Option<Keyed>, Failure<PayRefusal>> {
        match store::by_key(&self.money, actor.person_id, &order.idempotency_key).await? {
            None => Ok(None),
            Some(keyed) if keyed.fingerprint == fingerprint => Ok(Some(keyed)),
            Some(_) => Err(Failure::Refused(PayRefusal::KeyReused)),
        }
    }

    /// Where the buyer's browser comes back to.
    pub(super) fn return_url(&self, given: Option<&str>) -> Result<Option<String>, ()> {
        given.map(|url| self.cards.return_origins.admit(url).ok_or(())).transpose()
    }
}

fn new_payment(id: PaymentId, order: &store::Order) -> store::Undecided {
    store::Undecided::new(CardPayment { id, amount: order.amount, reference: None }, true)
}

impl From<Keyed> for Paid {
    fn from(keyed: Keyed) -> Self {
        let Keyed { payment, late, called_off, .. } = keyed;
        let refusal = match (late, called_off) {
            (true, true) => Some(PayRefusal::NotPayable),
            (true, false) => Some(PayRefusal::HoldExpired),
            (false, _) => payment.failure,
        };
        Self { payment, refusal }
    }
}
