//! Keeping a hold for longer: `extendHold` is `Reservations::extend`.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};

use super::{
    ApiResult, context,
    error::settle,
    reservation::Reservation,
    user_error::{ExtendError, payload},
};
use crate::{
    kernel::ReservationId,
    reservation::{self, ExtendRefusal},
};

/// The reservation as it is now, or why it ends when it would have ended.
#[derive(Debug, SimpleObject)]
pub(super) struct ExtendPayload {
    /// As it is now; null when nothing was done.
    reservation: Option<Reservation>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<ExtendError>,
}

impl From<Result<reservation::Reservation, ExtendRefusal>> for ExtendPayload {
    fn from(outcome: Result<reservation::Reservation, ExtendRefusal>) -> Self {
        let (reservation, user_errors) =
            payload(outcome.map(Reservation::from).map_err(extend_error));
        Self { reservation, user_errors }
    }
}

/// Why a hold was not extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum ExtendErrorCode {
    /// It does not exist, or is another person's.
    ReservationNotFound,
    /// It is no HOLD any more: lapsed, paid or given back.
    HoldExpired,
    /// expiresAt has reached extendableUntil.
    ExtensionLimit,
}

fn extend_error(refusal: ExtendRefusal) -> ExtendError {
    use ExtendErrorCode as Code;
    let (code, message) = match refusal {
        ExtendRefusal::NotFound => (Code::ReservationNotFound, "You have no such reservation."),
        ExtendRefusal::HoldExpired => {
            (Code::HoldExpired, "These seats are not held any more; there is nothing to extend.")
        }
        ExtendRefusal::Limit => {
            (Code::ExtensionLimit, "This hold lasts as long as it can; pay before it lapses.")
        }
    };
    ExtendError::new(code, message).at(&["reservationId"])
}

/// Keeping what is held.
#[derive(Debug, Default)]
pub(super) struct ExtensionMutation;

#[Object]
impl ExtensionMutation {
    /// Keeps a HOLD for its full time from now, at most until extendableUntil. While a payment for it is being decided the
    /// seats are kept anyway. Safe to repeat.
    async fn extend_hold(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A HOLD of the caller.")] reservation_id: ID,
    ) -> ApiResult<ExtendPayload> {
        let actor = context::actor(ctx)?;
        let outcome = match ReservationId::parse(&reservation_id) {
            Some(id) => settle(context::app(ctx)?.reservations.extend(actor, id).await)?,
            None => Err(ExtendRefusal::NotFound),
        };
        if outcome == Err(ExtendRefusal::NotFound) {
            context::still_here(ctx, actor).await?;
        }
        Ok(outcome.into())
    }
}
