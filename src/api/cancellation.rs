//! Reservations given back: `cancelReservation` is `Payments::cancel`, `refundReservation` is `Payments::refund`.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};

use super::{
    ApiResult, context,
    error::settle,
    reservation::Reservation,
    user_error::{CancelError, payload},
};
use crate::{
    app::App,
    kernel::{Actor, Failure, ReservationId},
    payment::CancelRefusal,
    reservation,
};

/// The reservation as it is now, or why it was not cancelled.
#[derive(Debug, SimpleObject)]
pub(super) struct CancelPayload {
    /// As it is now; null when nothing was done.
    reservation: Option<Reservation>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<CancelError>,
}

impl From<Result<reservation::Reservation, CancelRefusal>> for CancelPayload {
    fn from(outcome: Result<reservation::Reservation, CancelRefusal>) -> Self {
        let (reservation, user_errors) =
            payload(outcome.map(Reservation::from).map_err(cancel_error));
        Self { reservation, user_errors }
    }
}

/// Why a reservation was not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum CancelErrorCode {
    /// It does not exist, or is another person's.
    ReservationNotFound,
    /// The hold lapsed; there is nothing to cancel.
    ReservationExpired,
    /// Too late: `cancelUntil` of the performance has passed.
    CancellationClosed,
    /// A payment for it is being decided; try again in a moment.
    PaymentInProgress,
    /// This shop takes no cards any more, so that the card cannot get its money back; nothing was changed.
    GatewayUnavailable,
}

fn cancel_error(refusal: CancelRefusal) -> CancelError {
    use CancelErrorCode as Code;
    let (code, message) = match refusal {
        CancelRefusal::NotFound => (Code::ReservationNotFound, "You have no such reservation."),
        CancelRefusal::Expired => {
            (Code::ReservationExpired, "The hold has lapsed; there is nothing to cancel.")
        }
        CancelRefusal::Closed => (
            Code::CancellationClosed,
            "It is too late to cancel: the time for that is over at this performance.",
        ),
        CancelRefusal::PaymentInProgress => {
            (Code::PaymentInProgress, "A payment is being decided; try again in a moment.")
        }
        CancelRefusal::GatewayUnavailable => (
            Code::GatewayUnavailable,
            "This shop has no card gateway that could give the money back.",
        ),
    };
    CancelError::new(code, message).at(&["id"])
}

/// Giving back.
#[derive(Debug, Default)]
pub(super) struct CancellationMutation;

#[Object]
impl CancellationMutation {
    /// Gives a HOLD back, or refunds a CONFIRMED reservation. The seats are free at once, and so are points back; the money of a
    /// card goes back through its gateway, see `payment.refundStatus`. Safe to repeat.
    async fn cancel_reservation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "One of the caller.")] id: ID,
    ) -> ApiResult<CancelPayload> {
        let actor = context::actor(ctx)?;
        cancel(ctx, actor, &id, async |app, id| app.payments.cancel(actor, id).await).await
    }

    /// Gives somebody's money back, or their HOLD up, whatever cancelUntil says, also after the performance has begun. A refund
    /// that FAILED is tried anew. Safe to repeat. For organizers, of their own performances.
    async fn refund_reservation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "One at a performance of the caller.")] id: ID,
    ) -> ApiResult<CancelPayload> {
        let actor = context::organizer(ctx)?;
        cancel(ctx, actor, &id, async |app, id| app.payments.refund(actor, id).await).await
    }
}

async fn cancel(
    ctx: &Context<'_>,
    actor: Actor,
    id: &ID,
    work: impl AsyncFnOnce(
        &App,
        ReservationId,
    ) -> Result<reservation::Reservation, Failure<CancelRefusal>>,
) -> ApiResult<CancelPayload> {
    let outcome = match ReservationId::parse(id) {
        Some(id) => settle(work(context::app(ctx)?, id).await)?,
        None => Err(CancelRefusal::NotFound),
    };
    if outcome == Err(CancelRefusal::NotFound) {
        context::still_here(ctx, actor).await?;
    }
    Ok(outcome.into())
}
