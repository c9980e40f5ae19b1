//! Wallets: `charge`, `balance` and `walletEntries` are `Wallets::charge`, `balance` and `entries`.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    ApiResult, budget, context,
    error::settle,
    loaders,
    page::{self, Connection},
    payment::Payment,
    scalars::{DateTime, PointsScalar, SignedPoints},
    user_error::{ChargeError, payload},
};
use crate::{
    kernel::{PaymentId, Points},
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
    id: ID,
    #[graphql(skip)]
    payment_id: Option<PaymentId>,
    kind: WalletEntryKind,
    /// Positive for CHARGE and ROLLBACK, negative for DEDUCT.
    delta: SignedPoints,
    balance_after: PointsScalar,
    created_at: DateTime,
}

impl From<wallet::WalletEntry> for WalletEntry {
    fn from(entry: wallet::WalletEntry) -> Self {
        Self {
            id: entry.id.0.into(),
            payment_id: entry.payment_id,
            kind: entry.kind.into(),
            delta: SignedPoints(entry.delta),
            balance_after: entry.balance_after.into(),
            created_at: entry.created_at.into(),
        }
    }
}

#[ComplexObject]
impl WalletEntry {
    /// What a DEDUCT paid for, or a ROLLBACK gave back.
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
    /// 1 to 255 characters.
    idempotency_key: String,
}

/// The ledger's entry and the balance with it, or why nothing was added.
#[derive(Debug, SimpleObject)]
pub(super) struct ChargePayload {
    entry: Option<WalletEntry>,
    /// The balance with this entry.
    balance: Option<PointsScalar>,
    user_errors: Vec<ChargeError>,
}

impl From<Result<wallet::WalletEntry, ChargeRefusal>> for ChargePayload {
    fn from(outcome: Result<wallet::WalletEntry, ChargeRefusal>) -> Self {
        let balance = outcome.as_ref().ok().map(|entry| entry.balance_after.into());
        let (entry, user_errors) = payload(outcome.map(WalletEntry::from).map_err(charge_error));
        Self { entry, balance, user_errors }
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
            "This key was used before with another amount; take a new one for a new charge.",
            "idempotencyKey",
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
        after: Option<String>,
    ) -> ApiResult<Connection<WalletEntry>> {
        let actor = context::actor(ctx)?;
        let request = page::request(first, after.as_deref(), |cursor| cursor.parse().ok())?;
        budget::spend(ctx, budget::STATEMENT)?;
        let page = context::app(ctx)?.wallets.entries(actor, request).await?;
        if page.items.is_empty() {
            context::still_here(ctx, actor).await?;
        }
        let cursor = |entry: &wallet::WalletEntry| entry.sequence.to_string();
        page::connection(ctx, page, after.is_some(), cursor, WalletEntry::from)
    }
}

/// Adding points.
#[derive(Debug, Default)]
pub(super) struct WalletMutation;

#[Object]
impl WalletMutation {
    /// Adds points. The same key with the same input returns the same entry and adds no more.
    async fn charge(&self, ctx: &Context<'_>, input: ChargeInput) -> ApiResult<ChargePayload> {
        let actor = context::actor(ctx)?;
        let wallets = &context::app(ctx)?.wallets;
        Ok(settle(wallets.charge(actor, input.amount.0, &input.idempotency_key).await)?.into())
    }
}
