//! The caller, and how a resolver finds the services.

use std::net::IpAddr;

use async_graphql::Context;

use super::{ApiResult, loaders};
use crate::{
    api::ApiError,
    app::App,
    kernel::{Actor, RequestCode, Role},
};

/// Who sent the request; put into every request by the transport.
#[derive(Debug, Clone, Copy)]
pub struct Caller(pub Option<Actor>);

/// Where a request comes from, if that is known; put into every request by the transport.
#[derive(Debug, Clone, Copy)]
pub struct Origin(pub Option<IpAddr>);

/// Who sent a request to log out with a token that has ended; put into such requests by the transport.
#[derive(Debug, Clone, Copy)]
pub struct Gone(pub Actor);

/// Names this request in answers and in the log; put into every request by the transport.
#[derive(Debug, Clone)]
pub struct RequestId(pub std::sync::Arc<str>);

/// The services.
pub(super) fn app<'a>(ctx: &Context<'a>) -> ApiResult<&'a App> {
    ctx.data_opt::<App>()
        .ok_or_else(|| ApiError::internal("the schema was built without its services"))
}

/// The caller, who has to be signed in.
pub(super) fn actor(ctx: &Context<'_>) -> ApiResult<Actor> {
    caller(ctx).ok_or_else(|| {
        ApiError::new(
            RequestCode::Unauthenticated,
            "Sign in first: send the access token of a session as a bearer in the Authorization header.",
        )
    })
}

/// The caller, if they are signed in.
pub(super) fn caller(ctx: &Context<'_>) -> Option<Actor> {
    ctx.data_opt::<Caller>().and_then(|caller| caller.0)
}

/// Where the request comes from, if that is known.
pub(super) fn origin(ctx: &Context<'_>) -> Option<IpAddr> {
    ctx.data_opt::<Origin>().and_then(|origin| origin.0)
}

/// Whoever is told that there is nothing of theirs may have no account any more: a session lives on when its account is
/// deleted. Asked only then, so that nobody else waits for it.
pub(super) async fn still_here(ctx: &Context<'_>, actor: Actor) -> ApiResult<()> {
    let person = loaders::load(ctx, actor.person_id).await?;
    person.filter(|person| !person.erased).map(drop).ok_or_else(ApiError::caller_gone)
}

/// The caller, who has to be an organizer.
pub(super) fn organizer(ctx: &Context<'_>) -> ApiResult<Actor> {
    let actor = actor(ctx)?;
    if actor.role == Role::Organizer {
        Ok(actor)
    } else {
        Err(ApiError::new(RequestCode::Forbidden, "Only organizers can do this."))
    }
}
