//! Wallets: points that a person charged, and the ledger of everything that moved them.
//!
//! The ledger is append-only, and the balance is the last entry's `balance_after`. Paying, refunding, and what a card has paid for
//! are written inside `payment`'s own statements; this module gives points without a card, and reads.

mod charge;
mod lane;
mod open;
mod rules;
mod store;

use std::time::Duration;

use lane::Charging;
pub use rules::{CHARGE_MAX, check_charge, key_is_valid};

use crate::{
    db::Db,
    kernel::{
        Actor, Fault, Page, PageRequest, PaymentId, PersonId, Points, Timestamp, WalletEntryId,
        text_enum,
    },
    lanes::{LaneSettings, Lanes},
    tasks::Tasks,
    telemetry::Metrics,
};

text_enum! {
    /// What an entry of the ledger is.
    pub enum WalletEntryKind {
        /// Points added by their owner.
        Charge = "CHARGE",
        /// Points spent on a reservation.
        Deduct = "DEDUCT",
        /// Points given back for a cancelled reservation.
        Rollback = "ROLLBACK",
    }
}

text_enum! {
    /// Why points cannot be added.
    pub enum ChargeRefusal {
        /// Not between 1 and [`CHARGE_MAX`].
        AmountInvalid = "AMOUNT_INVALID",
        /// The wallet would hold more than points can count.
        BalanceLimit = "BALANCE_LIMIT",
        /// Not 1 to 255 characters.
        KeyInvalid = "IDEMPOTENCY_KEY_INVALID",
        /// The key was used before with another amount, or another card.
        KeyReused = "IDEMPOTENCY_KEY_REUSED",
        /// Points are no gift here: a card is needed.
        CardTokenMissing = "CARD_TOKEN_MISSING",
        /// The card's issuer said no.
        CardDeclined = "CARD_DECLINED",
        /// The buyer did not do in time what the bank asked for, or the bank did not believe it.
        CardActionFailed = "CARD_ACTION_FAILED",
        /// Not an address that buyers may be sent back to.
        ReturnUrlInvalid = "RETURN_URL_INVALID",
        /// The card gateway cannot be reached.
        GatewayUnavailable = "GATEWAY_UNAVAILABLE",
    }
}

/// One line of a wallet's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalletEntry {
    /// Names the entry.
    pub id: WalletEntryId,
    /// Its place in the ledger; grows with every entry of a wallet.
    pub sequence: i64,
    /// What it is.
    pub kind: WalletEntryKind,
    /// Points with a sign: positive into the wallet.
    pub delta: i64,
    /// The balance with this entry.
    pub balance_after: Points,
    /// The payment behind a DEDUCT or ROLLBACK, and behind a CHARGE by card.
    pub payment_id: Option<PaymentId>,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Everybody's wallet; cheap to clone.
#[derive(Debug, Clone)]
pub struct Wallets {
    db: Db,
    money: Db,
    lanes: Lanes<Charging>,
}

impl Wallets {
    /// Builds the service and starts its lanes. `patience` is how long a charge waits for a lane while nobody is served.
    pub fn new(db: Db, metrics: &Metrics, tasks: &Tasks, patience: Duration) -> Self {
        let settings = LaneSettings { name: "charges", task: "serving charges", patience };
        let lanes = Lanes::start(Charging { db: db.for_lanes() }, &settings, metrics, tasks);
        Self { money: db.for_money(), db, lanes }
    }

    /// The caller's points.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn balance(&self, actor: Actor) -> Result<Points, Fault> {
        store::balance(&self.db, actor.person_id).await
    }

    /// The entry of the charge that a person's key was used for, with a card or without.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn charged(
        &self,
        person_id: PersonId,
        key: &str,
    ) -> Result<Option<WalletEntry>, Fault> {
        store::charge_by_key(&self.money, person_id, key).await
    }

    /// The caller's ledger, newest first. The cursor is an entry's sequence.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn entries(
        &self,
        actor: Actor,
        page: PageRequest<i64>,
    ) -> Result<Page<WalletEntry>, Fault> {
        store::entries(&self.db, actor.person_id, page).await
    }
}
