//! Charging points: with a card, or as a gift where the shop makes gifts. A key is for one of the two.

use super::{
    PayRefusal, PaymentAction, PaymentStatus, Payments, rules,
    settle::Again,
    store::{self, ChargeRow},
};
use crate::{
    gateway::{Card, CardPayment},
    kernel::{Actor, Checks, Failure, Fault, POINTS_MAX, PaymentId, Points},
    wallet::{ChargeRefusal, WalletEntry, check_charge},
};

/// What a client asks to charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeOrder {
    /// How many points.
    pub amount: Points,
    /// One per intent to charge; 1 to 255 characters.
    pub idempotency_key: String,
    /// The card gateway's token for the card; without one the points are a gift.
    pub card_token: Option<String>,
    /// Where the buyer's browser comes back to; no part of what the key stands for.
    pub return_url: Option<String>,
    /// What the gateway's window gave to the page; no part of what the key stands for.
    pub action_result: Option<String>,
}

/// What became of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charged {
    /// The ledger's entry, once the points are booked.
    pub entry: Option<WalletEntry>,
    /// Where the money stands.
    pub status: PaymentStatus,
    /// What the buyer has to do now.
    pub action: Option<PaymentAction>,
    /// Why no points are booked, where none are and none will be.
    pub refusal: Option<ChargeRefusal>,
}

/// How often a charge is looked for whose key somebody else used at that instant.
const ATTEMPTS: usize = 3;

impl Payments {
    /// Adds points to the caller's wallet, once per key: the same key with the same order returns the same entry.
    ///
    /// # Errors
    /// Every [`ChargeRefusal`], of which there is no record; or a fault. Nothing was added.
    pub async fn charge(
        &self,
        actor: Actor,
        order: &ChargeOrder,
    ) -> Result<Charged, Failure<Vec<ChargeRefusal>>> {
        let mut checks = Checks::default();
        if let Err(refusals) = check_charge(order.amount, &order.idempotency_key) {
            checks.add(refusals);
        }
        let by_card = order.card_token.as_deref().filter(|token| !token.is_empty());
        let card_token = by_card.and_then(|token| {
            let token = rules::card_token(Some(token));
            checks.keep(token.ok_or(ChargeRefusal::CardTokenMissing))
        });
        // Of a charge that was made before it is told how it went, wherever the buyer would come back to now.
        if by_card.is_some() && !checks.all_hold() {
            let url = self.return_url(order.return_url.as_deref());
            checks.keep(url.map_err(|()| ChargeRefusal::ReturnUrlInvalid));
        }
        match checks.outcome(card_token).map_err(Failure::Refused)? {
            Some(token) => Ok(self.charge_by_card(actor, order, token).await?),
            None => self.charge_without_card(actor, order).await,
        }
    }

    async fn charge_without_card(
        &self,
        actor: Actor,
        order: &ChargeOrder,
    ) -> Result<Charged, Failure<Vec<ChargeRefusal>>> {
        let refused = |refusal| Err(Failure::Refused(vec![refusal]));
        let key = order.idempotency_key.as_str();
        // Where there never was a gateway there is nothing to be found.
        if self.gateway.name().is_some()
            && store::charge_by_key(&self.money, actor.person_id, key).await?.is_some()
        {
            return refused(ChargeRefusal::KeyReused);
        }
        if !self.cards.free_charge {
            return refused(ChargeRefusal::CardTokenMissing);
        }
        let entry = self.wallets.charge(actor, order.amount, key).await?;
        Ok(Charged {
            entry: Some(entry),
            status: PaymentStatus::Approved,
            action: None,
            refusal: None,
        })
    }

    async fn charge_by_card(
        &self,
        actor: Actor,
        order: &ChargeOrder,
        card_token: &str,
    ) -> Result<Charged, Failure<ChargeRefusal>> {
        let refused = |refusal| Err(Failure::Refused(refusal));
        let charge = store::CardCharge {
            person_id: actor.person_id,
            amount: order.amount,
            key: &order.idempotency_key,
            fingerprint: rules::charge_fingerprint(order.amount, card_token),
        };
        for _ in 0..ATTEMPTS {
            let found = store::charge_by_key(&self.money, charge.person_id, charge.key).await?;
            if let Some(row) = found {
                return self.repeat_charge(&charge, order, card_token, row).await;
            }
            if self.wallets.charged(charge.person_id, charge.key).await?.is_some() {
                return refused(ChargeRefusal::KeyReused);
            }
            let Ok(return_url) = self.return_url(order.return_url.as_deref()) else {
                return refused(ChargeRefusal::ReturnUrlInvalid);
            };
            if self.gateway.name().is_none() {
                return refused(ChargeRefusal::GatewayUnavailable);
            }
            // The ledger refers to a wallet, and what is full is not charged for.
            self.wallets.open(charge.person_id).await?;
            let balance = self.wallets.balance(actor).await?;
            if balance.get() > POINTS_MAX - order.amount.get() {
                return refused(ChargeRefusal::BalanceLimit);
            }
            let id = PaymentId::new();
            if store::begin_charge(&self.money, id, &charge, self.pace()).await? {
                let card = CardPayment { id, amount: order.amount, reference: None };
                let payment = store::Undecided::new(card, false);
                let card = Card { token: card_token, return_url: return_url.as_deref() };
                let answer = self.gateway.begin(&payment.card, card).await;
                self.after_begin(&payment, answer).await?;
                return self.charge_as_it_stands(&charge).await;
            }
        }
        Err(Fault::unavailable("a charge's key was used, and its payment not found").into())
    }

    /// The same charge once more: what is decided stays so, what is not is looked into.
    async fn repeat_charge(
        &self,
        charge: &store::CardCharge<'_>,
        order: &ChargeOrder,
        card_token: &str,
        row: ChargeRow,
    ) -> Result<Charged, Failure<ChargeRefusal>> {
        if row.fingerprint != charge.fingerprint {
            return Err(Failure::Refused(ChargeRefusal::KeyReused));
        }
        if let Some(payment) = store::undecided(&self.money, row.id, self.pace()).await? {
            let return_url = self
                .return_url(order.return_url.as_deref())
                .map_err(|()| Failure::Refused(ChargeRefusal::ReturnUrlInvalid))?;
            let again = Again {
                card_token,
                return_url: return_url.as_deref(),
                action_result: order.action_result.as_deref(),
            };
            self.go_on(&payment, again).await?;
        }
        self.charge_as_it_stands(charge).await
    }

    /// What the key stands for by now.
    async fn charge_as_it_stands(
        &self,
        charge: &store::CardCharge<'_>,
    ) -> Result<Charged, Failure<ChargeRefusal>> {
        // In this order: an entry that is there with the approval is found after that was seen.
        let row = store::charge_by_key(&self.money, charge.person_id, charge.key).await?;
        let row = row.ok_or(Fault::internal("a charge that was begun is gone"))?;
        let entry = match row.status {
            PaymentStatus::Approved | PaymentStatus::Refunded => {
                self.wallets.charged(charge.person_id, charge.key).await?
            }
            PaymentStatus::Pending | PaymentStatus::Failed => None,
        };
        let refusal = match (row.status, &entry) {
            (PaymentStatus::Pending, _) => None,
            (PaymentStatus::Failed, _) => Some(failure(row.failure_code)),
            (_, Some(entry)) if entry.payment_id == Some(row.id) => None,
            // The money goes back.
            (_, Some(_)) => Some(ChargeRefusal::KeyReused),
            (_, None) => Some(ChargeRefusal::BalanceLimit),
        };
        let action =
            store::action(row.id, row.action_url, row.action_secret, row.action_expires_at);
        let entry = entry.filter(|_| refusal.is_none());
        Ok(Charged { entry, status: row.status, action, refusal })
    }
}

/// Why a charge has FAILED.
const fn failure(code: Option<PayRefusal>) -> ChargeRefusal {
    match code {
        Some(PayRefusal::CardActionFailed) => ChargeRefusal::CardActionFailed,
        Some(PayRefusal::GatewayUnavailable) => ChargeRefusal::GatewayUnavailable,
        _ => ChargeRefusal::CardDeclined,
    }
}
