//! Wallets: `charge` is `Payments::charge`; `balance` and `walletEntries` are `Wallets::balance` and `entries`.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    ApiResult, budget, context,
    error::settle,
    loaders,
    page::{self, Connection},
    payment::{Payment, PaymentAction, PaymentStatus},
    scalars::{DateTime, PointsScalar, SignedPoints},
    user_error::{ChargeError, told},
};
use crate::{
    kernel::{PaymentId, Points},
    payment::{ChargeOrder, Charged},
    wallet::{self, ChargeRefusal},
};

/// What an entry of the ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "wallet::WalletEntryKind")]
pub(super) enum WalletEntryKind {
    /// Points added by their owner.
    Charge,
    /// Points spent on a reservation.
    Deduct,
    /// Points given back for a cancelled reservation.
    Rollback,
}

/// One line of the wallet's ledger; never changed, never deleted.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(super) struct WalletEntry {
    /// Names it; it never changes.
    id: ID,
    #[graphql(skip)]
    payment_id: Option<PaymentId>,
    /// Why the balance changed.
    kind: WalletEntryKind,
    /// Positive for CHARGE and ROLLBACK, negative for DEDUCT.
    delta: SignedPoints,
    /// The balance with this line.
    balance_after: PointsScalar,
    /// When it was booked.
    created_at: DateTime,
}

impl From<wallet::WalletEntry> for WalletEntry {
    fn from(entry: wallet::WalletEntry) -> Self {
        Self {
            id: entry.id.0.into(),
            // A card that paid for points paid for no reservation.
            payment_id: entry.payment_id.filter(|_| entry.kind != wallet::WalletEntryKind::Charge),
            kind: entry.kind.into(),
            delta: SignedPoints(entry.delta),
            balance_after: entry.balance_after.into(),
            created_at: entry.created_at.into(),
        }
    }
}

#[ComplexObject]
impl WalletEntry {
    /// What a DEDUCT paid for, or a ROLLBACK gave back; null for a CHARGE.
    async fn payment(&self, ctx: &Context<'_>) -> ApiResult<Option<Payment>> {
        match self.payment_id {
            Some(id) => Ok(loaders::load(ctx, id).await?.map(Payment::from)),
            None => Ok(None),
        }
    }
}

/// Points to be added.
#[derive(Debug, InputObject)]
pub(super) struct ChargeInput {
    /// 1 to 10000000 points at a time.
    amount: PointsScalar,
    /// 1 to 255 characters; one per intent to charge.
    idempotency_key: String,
    /// Charges the card; without one points are a gift, which only shops with free charging make (demonstrations do).
    card_token: Option<String>,
    /// An https address of an allowed origin, where the buyer's browser comes back to; with a card only.
    return_url: Option<String>,
    /// What the gateway's window gave back, where it gives something; no part of what the key stands for.
    action_result: Option<String>,
}

/// The ledger's entry and the balance with it, or why nothing was added. While the card is being decided entry is null and
/// status PENDING; repeating the mutation with the same key tells how it went.
#[derive(Debug, SimpleObject)]
pub(super) struct ChargePayload {
    /// The line of the ledger; null while the card is being decided, and when nothing was added.
    entry: Option<WalletEntry>,
    /// The balance with this entry.
    balance: Option<PointsScalar>,
    /// Where the money stands; null where nothing was begun.
    status: Option<PaymentStatus>,
    /// What the buyer has to do now; null unless PENDING and something is to be done.
    action: Option<PaymentAction>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<ChargeError>,
}

impl From<Result<Charged, Vec<ChargeRefusal>>> for ChargePayload {
    fn from(outcome: Result<Charged, Vec<ChargeRefusal>>) -> Self {
        let (charged, refusals) = match outcome {
            Ok(charged) => (Some(charged.clone()), charged.refusal.into_iter().collect()),
            Err(refusals) => (None, refusals),
        };
        let entry = charged.as_ref().and_then(|charged| charged.entry);
        Self {
            entry: entry.map(WalletEntry::from),
            balance: entry.map(|entry| entry.balance_after.into()),
            status: charged.as_ref().map(|charged| charged.status.into()),
            action: charged.and_then(|charged| charged.action).map(PaymentAction::from),
            user_errors: refusals.into_iter().map(charge_error).map(told).collect(),
        }
    }
}

/// Why points were not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum ChargeErrorCode {
    /// Not 1 to 10000000 points.
    AmountInvalid,
    /// The balance would exceed what a wallet can hold.
    BalanceLimit,
    /// Not 1 to 255 characters.
    IdempotencyKeyInvalid,
    /// The key was used before with other input.
    IdempotencyKeyReused,
    /// This shop makes no gifts: a card is needed.
    CardTokenMissing,
    /// The card was declined.
    CardDeclined,
    /// The buyer did not do in time what the bank asked for, or the bank did not believe it.
    CardActionFailed,
    /// `returnUrl` is no https address of an allowed origin.
    ReturnUrlInvalid,
    /// The card gateway cannot be reached; nothing was charged.
    GatewayUnavailable,
}

fn charge_error(refusal: ChargeRefusal) -> ChargeError {
    use ChargeErrorCode as Code;
    let (code, message, field) = match refusal {
        ChargeRefusal::AmountInvalid => {
            (Code::AmountInvalid, "Charge 1 to 10000000 points at a time.", "amount")
        }
        ChargeRefusal::BalanceLimit => {
            (Code::BalanceLimit, "The wallet cannot hold so many points.", "amount")
        }
        ChargeRefusal::KeyInvalid => (
            Code::IdempotencyKeyInvalid,
            "An idempotency key has 1 to 255 characters.",
            "idempotencyKey",
        ),
        ChargeRefusal::KeyReused => (
            Code::IdempotencyKeyReused,
            "This key was used before with other input; take a new one for a new charge.",
            "idempotencyKey",
        ),
        ChargeRefusal::CardTokenMissing => {
            (Code::CardTokenMissing, "Points are charged to a card; choose one.", "cardToken")
        }
        ChargeRefusal::CardDeclined => {
            (Code::CardDeclined, "The card was declined; use another one.", "cardToken")
        }
        ChargeRefusal::CardActionFailed => (
            Code::CardActionFailed,
            "The bank was not convinced, or waited in vain; charge again, with this card or another one.",
            "cardToken",
        ),
        ChargeRefusal::ReturnUrlInvalid => (
            Code::ReturnUrlInvalid,
            "You cannot be brought back to where you came from; an https address of this shop is needed.",
            "returnUrl",
        ),
        ChargeRefusal::GatewayUnavailable => (
            Code::GatewayUnavailable,
            "Cards cannot be charged at the moment; no money has moved. Try again later with a new key.",
            "cardToken",
        ),
    };
    ChargeError::new(code, message).at(&["input", field])
}

/// Looking into one's wallet.
#[derive(Debug, Default)]
pub(super) struct WalletQuery;

#[Object]
impl WalletQuery {
    /// The caller's points.
    #[graphql(complexity = "budget::STATEMENT")]
    async fn balance(&self, ctx: &Context<'_>) -> ApiResult<PointsScalar> {
        let actor = context::actor(ctx)?;
        budget::spend(ctx, budget::STATEMENT)?;
        let balance = context::app(ctx)?.wallets.balance(actor).await?;
        if balance == Points::ZERO {
            context::still_here(ctx, actor).await?;
        }
        Ok(balance.into())
    }

    /// The caller's ledger, newest first.
    #[graphql(complexity = "page::page_cost(first, child_complexity)")]
    async fn wallet_entries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "0 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "The cursor of the last one already seen.")] after: Option<String>,
    ) -> ApiResult<Connection<WalletEntry>> {
        let actor = context::actor(ctx)?;
        let request = page::request(first, after.as_deref())?;
        budget::spend(ctx, budget::STATEMENT)?;
        let page = context::app(ctx)?.wallets.entries(actor, request).await?;
        if page.items.is_empty() {
            context::still_here(ctx, actor).await?;
        }
        let cursor = |entry: &wallet::WalletEntry| entry.sequence;
        page::connection(ctx, page, after.is_some(), cursor, WalletEntry::from)
    }
}

/// Adding points.
#[derive(Debug, Default)]
pub(super) struct WalletMutation;

#[Object]
impl WalletMutation {
    /// Adds points. The same key with the same input returns the same entry and adds no more. Every field at fault has an entry in
    /// `userErrors`.
    async fn charge(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many points, and how they are paid.")] input: ChargeInput,
    ) -> ApiResult<ChargePayload> {
        let actor = context::actor(ctx)?;
        let order = ChargeOrder {
            amount: input.amount.0,
            idempotency_key: input.idempotency_key,
            card_token: input.card_token,
            return_url: input.return_url,
            action_result: input.action_result,
        };
        Ok(settle(context::app(ctx)?.payments.charge(actor, &order).await)?.into())
    }
}
