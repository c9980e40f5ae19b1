//! Payments: `pay` is `Payments::pay`.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    ApiError, ApiResult, context,
    error::settle,
    loaders, part_id,
    reservation::Reservation,
    scalars::{DateTime, PointsScalar},
    user_error::{PayError, told},
};
use crate::{
    kernel::{PersonId, ReservationId},
    payment::{self, PayOrder, PayRefusal},
};

/// What is paid with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "payment::PaymentMethod")]
pub(super) enum PaymentMethod {
    /// Points charged before.
    Point,
    /// A card, through the gateway.
    Card,
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "payment::PaymentStatus")]
pub(super) enum PaymentStatus {
    /// Being decided.
    Pending,
    /// The money has moved.
    Approved,
    /// No money has moved.
    Failed,
    /// The money went back.
    Refunded,
}

/// What the buyer has to do before the card's bank decides (3-D Secure, a window of the gateway). Afterwards the client repeats
/// the mutation with the same key, or waits for reservationChanges.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct PaymentAction {
    /// Names what is to be done for this payment, for caches; it never changes.
    id: ID,
    /// Where the buyer's browser goes; it comes back to the returnUrl.
    redirect_url: Option<String>,
    /// For the gateway's own library in the page.
    client_secret: Option<String>,
    /// Then the payment FAILS by itself.
    expires_at: DateTime,
}

impl From<payment::PaymentAction> for PaymentAction {
    fn from(inner: payment::PaymentAction) -> Self {
        Self {
            id: part_id(inner.payment_id, "action"),
            redirect_url: inner.redirect_url,
            client_secret: inner.client_secret,
            expires_at: inner.expires_at.into(),
        }
    }
}

/// Of a refund: on its way, done, or given up and in need of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "payment::RefundStatus")]
pub(super) enum RefundStatus {
    /// On its way; tried again until it is done.
    Pending,
    /// The money is back.
    Done,
    /// Given up after a day (FRONTROW_REFUND_SECONDS). The organizer can have it tried anew: `refundReservation`.
    Failed,
}

/// A payment for one reservation.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(super) struct Payment {
    /// Names it; it never changes.
    id: ID,
    #[graphql(skip)]
    reservation_id: ReservationId,
    #[graphql(skip)]
    person_id: PersonId,
    #[graphql(skip)]
    to_do: Option<payment::PaymentAction>,
    /// What it is paid with.
    method: PaymentMethod,
    /// The reservation's price.
    amount: PointsScalar,
    /// Where the money stands.
    status: PaymentStatus,
    /// Why it FAILED.
    failure_code: Option<PayErrorCode>,
    /// Null when no refund was asked for. A payment is REFUNDED once its refund is DONE.
    refund_status: Option<RefundStatus>,
    /// When it was asked for.
    created_at: DateTime,
    /// When the money had come; null before.
    approved_at: Option<DateTime>,
    /// When the money was back; null before.
    refunded_at: Option<DateTime>,
}

impl From<payment::Payment> for Payment {
    fn from(inner: payment::Payment) -> Self {
        Self {
            id: inner.id.0.into(),
            reservation_id: inner.reservation_id,
            person_id: inner.person_id,
            to_do: inner.action,
            method: inner.method.into(),
            amount: inner.amount.into(),
            status: inner.status.into(),
            failure_code: inner.failure.map(|refusal| words(refusal).0),
            refund_status: inner.refund.map(RefundStatus::from),
            created_at: inner.created_at.into(),
            approved_at: inner.approved_at.map(DateTime::from),
            refunded_at: inner.refunded_at.map(DateTime::from),
        }
    }
}

#[ComplexObject]
impl Payment {
    /// What is paid for.
    async fn reservation(&self, ctx: &Context<'_>) -> ApiResult<Reservation> {
        let found = loaders::load(ctx, self.reservation_id).await?;
        found
            .map(Reservation::from)
            .ok_or_else(|| ApiError::internal("a payment without its reservation"))
    }

    /// What the buyer has to do now; null unless PENDING and something is to be done. For the buyer alone.
    async fn action(&self, ctx: &Context<'_>) -> ApiResult<Option<PaymentAction>> {
        let actor = context::actor(ctx)?;
        let to_do = self.to_do.clone().filter(|_| actor.person_id == self.person_id);
        Ok(to_do.map(PaymentAction::from))
    }
}

/// What is to be paid, and how.
#[derive(Debug, InputObject)]
pub(super) struct PayInput {
    /// A HOLD of the caller.
    reservation_id: ID,
    /// What it is paid with.
    method: PaymentMethod,
    /// What the client showed the buyer; AMOUNT_MISMATCH if it is not the reservation's price.
    amount: PointsScalar,
    /// 1 to 255 characters; one per intent to pay.
    idempotency_key: String,
    /// The card gateway's token for the card; with CARD only.
    card_token: Option<String>,
    /// An https address of an allowed origin, where the buyer's browser comes back to; with CARD only.
    return_url: Option<String>,
    /// What the gateway's window gave back, where it gives something; no part of what the key stands for.
    action_result: Option<String>,
}

/// The payment as it stands, why the seats are not paid for, or both: a payment that FAILED is a record.
#[derive(Debug, SimpleObject)]
pub(super) struct PayPayload {
    /// As it stands now, also when it FAILED; null when nothing was begun.
    payment: Option<Payment>,
    /// Why nothing was paid; empty when it was.
    user_errors: Vec<PayError>,
}

impl From<Result<payment::Paid, Vec<PayRefusal>>> for PayPayload {
    fn from(outcome: Result<payment::Paid, Vec<PayRefusal>>) -> Self {
        let (payment, refusals) = match outcome {
            Ok(paid) => (Some(paid.payment.into()), paid.refusal.into_iter().collect()),
            Err(refusals) => (None, refusals),
        };
        Self { payment, user_errors: refusals.into_iter().map(pay_error).map(told).collect() }
    }
}

/// Why a reservation was not paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum PayErrorCode {
    /// It does not exist, or is another person's.
    ReservationNotFound,
    /// Already CONFIRMED or CANCELLED.
    ReservationNotPayable,
    /// The hold lapsed.
    HoldExpired,
    /// A payment for it is being decided; ask again with the same key in a moment.
    PaymentInProgress,
    /// The amount is not the reservation's price.
    AmountMismatch,
    /// Not enough points.
    InsufficientBalance,
    /// Not 1 to 255 characters.
    IdempotencyKeyInvalid,
    /// The key was used before with other input.
    IdempotencyKeyReused,
    /// CARD needs a `cardToken`.
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

fn pay_error(refusal: PayRefusal) -> PayError {
    let (code, message, field) = words(refusal);
    PayError::new(code, message).at(&["input", field])
}

const fn words(refusal: PayRefusal) -> (PayErrorCode, &'static str, &'static str) {
    use PayErrorCode as Code;
    match refusal {
        PayRefusal::ReservationNotFound => {
            (Code::ReservationNotFound, "You have no such reservation.", "reservationId")
        }
        PayRefusal::NotPayable => (
            Code::ReservationNotPayable,
            "This reservation is paid or cancelled already.",
            "reservationId",
        ),
        PayRefusal::HoldExpired => {
            (Code::HoldExpired, "The hold has lapsed; hold a seat again.", "reservationId")
        }
        PayRefusal::InProgress => (
            Code::PaymentInProgress,
            "A payment is being decided; ask again with the same key in a moment.",
            "reservationId",
        ),
        PayRefusal::AmountMismatch => {
            (Code::AmountMismatch, "The amount is not the reservation's price.", "amount")
        }
        PayRefusal::InsufficientBalance => (
            Code::InsufficientBalance,
            "There are not enough points; charge some and pay again.",
            "amount",
        ),
        PayRefusal::KeyInvalid => (
            Code::IdempotencyKeyInvalid,
            "An idempotency key has 1 to 255 characters.",
            "idempotencyKey",
        ),
        PayRefusal::KeyReused => (
            Code::IdempotencyKeyReused,
            "This key was used before with other input; take a new one for a new payment.",
            "idempotencyKey",
        ),
        PayRefusal::CardTokenMissing => {
            (Code::CardTokenMissing, "Paying by card needs a card; choose one.", "cardToken")
        }
        PayRefusal::CardDeclined => {
            (Code::CardDeclined, "The card was declined; use another one.", "cardToken")
        }
        PayRefusal::CardActionFailed => (
            Code::CardActionFailed,
            "The bank was not convinced, or waited in vain; pay again, with this card or another one.",
            "cardToken",
        ),
        PayRefusal::ReturnUrlInvalid => (
            Code::ReturnUrlInvalid,
            "You cannot be brought back to where you came from; an https address of this shop is needed.",
            "returnUrl",
        ),
        PayRefusal::GatewayUnavailable => (
            Code::GatewayUnavailable,
            "Cards cannot be charged at the moment; no money has moved. Pay with points, or try again.",
            "method",
        ),
    }
}

/// The card gateway of this shop; what the page needs to speak to it.
#[derive(Debug, SimpleObject)]
pub(super) struct CardGateway {
    /// Names it, for caches; it never changes.
    id: ID,
    /// Which gateway: `sandbox` or `stripe`.
    name: &'static str,
    /// What the gateway's library in the page wants to know; null where it wants nothing.
    publishable_key: Option<String>,
}

/// What cards are charged through.
#[derive(Debug, Default)]
pub(super) struct PaymentQuery;

#[Object]
impl PaymentQuery {
    /// Null when cards are not taken here.
    async fn card_gateway(&self, ctx: &Context<'_>) -> ApiResult<Option<CardGateway>> {
        let gateway = &context::app(ctx)?.card_gateway;
        Ok(gateway.name().map(|name| CardGateway {
            id: part_id("gateway", name.as_str()),
            name: name.as_str(),
            publishable_key: gateway.publishable_key().map(str::to_owned),
        }))
    }
}

/// Paying.
#[derive(Debug, Default)]
pub(super) struct PaymentMutation;

#[Object]
impl PaymentMutation {
    /// Pays a HOLD. The same key with the same input returns the same payment, as it stands then, and moves no more money. Every
    /// field at fault has an entry in `userErrors`.
    async fn pay(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is paid, and how.")] input: PayInput,
    ) -> ApiResult<PayPayload> {
        let (actor, payments) = (context::actor(ctx)?, &context::app(ctx)?.payments);
        let reservation_id = ReservationId::parse(&input.reservation_id);
        let order = PayOrder {
            reservation_id: reservation_id.unwrap_or_else(ReservationId::new),
            method: input.method.into(),
            amount: input.amount.0,
            idempotency_key: input.idempotency_key,
            card_token: input.card_token,
            return_url: input.return_url,
            action_result: input.action_result,
        };
        let outcome = match reservation_id {
            Some(_) => settle(payments.pay(actor, &order).await)?,
            None => {
                let faults = payments.faults(&order);
                Err([vec![PayRefusal::ReservationNotFound], faults].concat())
            }
        };
        let not_found = PayRefusal::ReservationNotFound;
        if matches!(&outcome, Err(refusals) if refusals.contains(&not_found)) {
            context::still_here(ctx, actor).await?;
        }
        Ok(outcome.into())
    }
}
