//! Payments: `pay` is `Payments::pay`.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    ApiError, ApiResult, context,
    error::settle,
    loaders,
    reservation::Reservation,
    scalars::{DateTime, PointsScalar},
    user_error::{PayError, payload},
};
use crate::{
    kernel::ReservationId,
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
    id: ID,
    #[graphql(skip)]
    reservation_id: ReservationId,
    method: PaymentMethod,
    amount: PointsScalar,
    status: PaymentStatus,
    /// Why it FAILED.
    failure_code: Option<PayErrorCode>,
    /// Null when no refund was asked for. A payment is REFUNDED once its refund is DONE.
    refund_status: Option<RefundStatus>,
    created_at: DateTime,
    approved_at: Option<DateTime>,
    refunded_at: Option<DateTime>,
}

impl From<payment::Payment> for Payment {
    fn from(inner: payment::Payment) -> Self {
        Self {
            id: inner.id.0.into(),
            reservation_id: inner.reservation_id,
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
    async fn reservation(&self, ctx: &Context<'_>) -> ApiResult<Reservation> {
        let found = loaders::load(ctx, self.reservation_id).await?;
        found
            .map(Reservation::from)
            .ok_or_else(|| ApiError::internal("a payment without its reservation"))
    }
}

/// What is to be paid, and how.
#[derive(Debug, InputObject)]
pub(super) struct PayInput {
    reservation_id: ID,
    method: PaymentMethod,
    /// What the client showed the buyer; AMOUNT_MISMATCH if it is not the reservation's price.
    amount: PointsScalar,
    /// 1 to 255 characters; one per intent to pay.
    idempotency_key: String,
    /// The card gateway's token for the card; with CARD only.
    card_token: Option<String>,
}

/// The payment, or why no money has moved.
#[derive(Debug, SimpleObject)]
pub(super) struct PayPayload {
    payment: Option<Payment>,
    user_errors: Vec<PayError>,
}

impl From<Result<payment::Payment, PayRefusal>> for PayPayload {
    fn from(outcome: Result<payment::Payment, PayRefusal>) -> Self {
        let (payment, user_errors) = payload(outcome.map(Payment::from).map_err(pay_error));
        Self { payment, user_errors }
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
    /// The card gateway declined.
    CardDeclined,
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
            (Code::CardTokenMissing, "Paying by card needs the gateway's card token.", "cardToken")
        }
        PayRefusal::CardDeclined => {
            (Code::CardDeclined, "The card was declined; use another one.", "cardToken")
        }
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
    name: &'static str,
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
    /// Pays a HOLD. The same key with the same input returns the same payment and moves no more money.
    async fn pay(&self, ctx: &Context<'_>, input: PayInput) -> ApiResult<PayPayload> {
        let actor = context::actor(ctx)?;
        let outcome = match ReservationId::parse(&input.reservation_id) {
            Some(reservation_id) => {
                let order = PayOrder {
                    reservation_id,
                    method: input.method.into(),
                    amount: input.amount.0,
                    idempotency_key: input.idempotency_key,
                    card_token: input.card_token,
                };
                settle(context::app(ctx)?.payments.pay(actor, &order).await)?
            }
            None => Err(PayRefusal::ReservationNotFound),
        };
        if outcome == Err(PayRefusal::ReservationNotFound) {
            context::still_here(ctx, actor).await?;
        }
        Ok(outcome.into())
    }
}
