//! Payments: turning a hold into a purchase, once per key, and giving it back with a refund. With points that is one commit;
//! a card is decided by a gateway, which is asked between two.
//!
//! What moves money changes the reservation, its seats and the queue token in the same commit, so those statements stand
//! here, on the highest floor that they serve.

mod cancel;
mod card;
mod charge;
mod group;
mod pay;
mod refund;
mod retry;
mod rules;
mod settle;
mod store;

use std::{collections::HashMap, time::Duration};

use crate::{
    db::Db,
    gateway::{CardGateway, ReturnOrigins},
    kernel::{Fault, PaymentId, PersonId, Points, ReservationId, Timestamp, text_enum},
    lanes::{LaneSettings, Lanes},
    reservation::Reservations,
    tasks::Tasks,
    telemetry::Metrics,
    waiting_room::WaitingRooms,
    wallet::Wallets,
};
pub use charge::{ChargeOrder, Charged};
use group::{Herald, Paying};
pub use refund::RefundProgress;
pub use retry::{RetryRefusal, retry_refund};
pub use rules::PayOrder;

text_enum! {
    /// What is paid with.
    pub enum PaymentMethod {
        /// Points charged before.
        Point = "POINT",
        /// A card, through the gateway.
        Card = "CARD",
    }
}

text_enum! {
    /// Where a payment stands.
    pub enum PaymentStatus {
        /// Being decided.
        Pending = "PENDING",
        /// The money has moved.
        Approved = "APPROVED",
        /// No money has moved.
        Failed = "FAILED",
        /// The money went back.
        Refunded = "REFUNDED",
    }
}

text_enum! {
    /// Where money is that goes back.
    pub enum RefundStatus {
        /// On its way.
        Pending = "PENDING",
        /// It is back.
        Done = "DONE",
        /// Given up; a person has to see to it.
        Failed = "FAILED",
    }
}

text_enum! {
    /// Why a reservation cannot be paid.
    pub enum PayRefusal {
        /// No such reservation of the caller.
        ReservationNotFound = "RESERVATION_NOT_FOUND",
        /// Already CONFIRMED or CANCELLED.
        NotPayable = "RESERVATION_NOT_PAYABLE",
        /// The hold has lapsed.
        HoldExpired = "HOLD_EXPIRED",
        /// Another payment is being decided.
        InProgress = "PAYMENT_IN_PROGRESS",
        /// Not the reservation's price.
        AmountMismatch = "AMOUNT_MISMATCH",
        /// Not enough points.
        InsufficientBalance = "INSUFFICIENT_BALANCE",
        /// Not 1 to 255 characters.
        KeyInvalid = "IDEMPOTENCY_KEY_INVALID",
        /// The key was used before with other input.
        KeyReused = "IDEMPOTENCY_KEY_REUSED",
        /// A card payment without a card.
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

text_enum! {
    /// Why a reservation cannot be cancelled.
    pub enum CancelRefusal {
        /// No such reservation of the caller.
        NotFound = "RESERVATION_NOT_FOUND",
        /// The hold has lapsed.
        Expired = "RESERVATION_EXPIRED",
        /// The time in which fans may cancel is over.
        Closed = "CANCELLATION_CLOSED",
        /// A payment is being decided.
        PaymentInProgress = "PAYMENT_IN_PROGRESS",
        /// There is no gateway to give the card its money back.
        GatewayUnavailable = "GATEWAY_UNAVAILABLE",
    }
}

/// What a buyer has to do before the card's bank decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentAction {
    /// Of which payment.
    pub payment_id: PaymentId,
    /// Where the buyer's browser goes.
    pub redirect_url: Option<String>,
    /// For the gateway's own library in the page.
    pub client_secret: Option<String>,
    /// Then the payment fails by itself.
    pub expires_at: Timestamp,
}

/// A payment for seats, as it stood when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Names it.
    pub id: PaymentId,
    /// Who pays.
    pub person_id: PersonId,
    /// What is paid for.
    pub reservation_id: ReservationId,
    /// What is paid with.
    pub method: PaymentMethod,
    /// How much.
    pub amount: Points,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Why it FAILED.
    pub failure: Option<PayRefusal>,
    /// What the buyer has to do now.
    pub action: Option<PaymentAction>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the money moved.
    pub approved_at: Option<Timestamp>,
    /// When the money went back.
    pub refunded_at: Option<Timestamp>,
    /// Where the money is that goes back; `None` when no refund was asked for.
    pub refund: Option<RefundStatus>,
}

/// How payments are made.
#[derive(Debug, Clone)]
pub struct PaymentSettings {
    /// How long a payment waits for a lane while nobody is served.
    pub patience: Duration,
    /// How long a refund is tried before it is given up.
    pub refund_within: Duration,
    /// How cards are charged.
    pub cards: CardSettings,
}

/// What became of an order to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The payment, as it stands.
    pub payment: Payment,
    /// Why the seats are not paid for, where they are not and will not be by this payment.
    pub refusal: Option<PayRefusal>,
}

/// How cards are charged.
#[derive(Debug, Clone)]
pub struct CardSettings {
    /// How long a buyer has for what the bank wants of them.
    pub action: Duration,
    /// Where browsers may come back to.
    pub return_origins: ReturnOrigins,
    /// Points are also a gift: without a card.
    pub free_charge: bool,
}

/// What payments stand on.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Points.
    pub wallets: Wallets,
    /// What is paid for.
    pub reservations: Reservations,
    /// Whose turn a payment uses up.
    pub waiting_rooms: WaitingRooms,
    /// Cards.
    pub gateway: CardGateway,
}

/// Everybody's payments; cheap to clone.
#[derive(Debug, Clone)]
pub struct Payments {
    db: Db,
    money: Db,
    background: Db,
    wallets: Wallets,
    gateway: CardGateway,
    cards: CardSettings,
    herald: Herald,
    lanes: Lanes<Paying>,
    refund_within: Duration,
    metrics: Metrics,
}

impl Payments {
    /// Builds the service and starts its lanes.
    pub fn new(
        db: Db,
        neighbours: Neighbours,
        metrics: Metrics,
        tasks: &Tasks,
        settings: PaymentSettings,
    ) -> Self {
        let Neighbours { wallets, reservations, waiting_rooms, gateway } = neighbours;
        let PaymentSettings { patience, refund_within, cards } = settings;
        let herald = Herald { reservations, waiting_rooms };
        let paying = Paying { db: db.for_lanes(), herald: herald.clone() };
        let settings = LaneSettings { name: "payments", task: "serving payments", patience };
        let lanes = Lanes::start(paying, &settings, &metrics, tasks);
        Self {
            money: db.for_money(),
            background: db.for_background(),
            db,
            wallets,
            gateway,
            cards,
            herald,
            lanes,
            refund_within,
            metrics,
        }
    }

    /// Payments by id, whosever they are; for objects that the caller reached by right.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn by_ids(&self, ids: &[PaymentId]) -> Result<HashMap<PaymentId, Payment>, Fault> {
        let found = store::by_ids(&self.db, ids).await?;
        Ok(found.into_iter().map(|payment| (payment.id, payment)).collect())
    }

    /// The latest payment of each reservation that has one.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn latest_of(
        &self,
        ids: &[ReservationId],
    ) -> Result<HashMap<ReservationId, Payment>, Fault> {
        let found = store::latest_of(&self.db, ids).await?;
        Ok(found.into_iter().map(|payment| (payment.reservation_id, payment)).collect())
    }
}
