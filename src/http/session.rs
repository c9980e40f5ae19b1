//! The person who sends a request: `Authorization: Bearer <accessToken>`, in a header, also of a WebSocket's handshake, or in
//! `connection_init`.

use axum::http::{HeaderMap, header};

use super::error::Refusal;
use crate::{
    account::{Sessions, TokenRefusal},
    api::{self, Caller, Gone},
    kernel::{Actor, Failure, RequestCode},
};

/// Longer than any session of ours.
const CREDENTIALS_BYTES_MAX: usize = 4096;

/// The caller that a request's headers name.
///
/// # Errors
/// UNAUTHENTICATED when there is a session which is no longer, or never was, good.
pub(super) async fn from_headers(
    sessions: &Sessions,
    headers: &HeaderMap,
) -> Result<Caller, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(Caller(None)),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| refused())?;
            caller(sessions, text).await
        }
        (Some(_), Some(_)) => Err(refused()),
    }
}

/// Whether a request brings a session, good or not: then the answer is one person's.
pub(super) fn is_sent(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    values.any(|value| value.to_str().map_or(true, |text| !names_nobody(text)))
}

/// Whether credentials are empty, or a scheme without a token: what a client's template makes while nobody is signed in.
pub(super) fn names_nobody(credentials: &str) -> bool {
    let credentials = credentials.trim();
    credentials.is_empty() || credentials.eq_ignore_ascii_case("bearer")
}

/// The credentials that the handshake of a WebSocket brings, for a client that says none in `connection_init`. Other schemes are
/// not ours: a browser may send `Basic` by itself, to a proxy in front.
///
/// # Errors
/// UNAUTHENTICATED where there are several.
pub(super) fn of_handshake(headers: &HeaderMap) -> Result<Option<Box<str>>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next(), values.next()) else { return Err(refused()) };
    let credentials = value.and_then(|value| value.to_str().ok());
    Ok(credentials.filter(|credentials| bearer(credentials).is_some()).map(Box::from))
}

/// The caller that credentials name. Empty ones, and a scheme alone, which clients send before anybody signed in, name nobody.
///
/// # Errors
/// As [`from_headers`].
pub(super) async fn caller(sessions: &Sessions, credentials: &str) -> Result<Caller, Refusal> {
    if names_nobody(credentials) {
        return Ok(Caller(None));
    }
    let token = bearer(credentials).ok_or_else(refused)?;
    told(sessions.verify(token).await).map(|actor| Caller(Some(actor)))
}

/// Who may send a mutation all the same whose session was refused.
///
/// # Errors
/// The refusal, unless the mutation brings its own proof, or ends a session that has ended by itself.
pub(super) async fn excused(
    sessions: &Sessions,
    headers: &HeaderMap,
    mutation: Option<&str>,
    refusal: Refusal,
) -> Result<Option<Gone>, Refusal> {
    let Some(mutation) = mutation else { return Err(refusal) };
    if api::brings_proof(mutation) {
        return Ok(None);
    }
    if !api::is_log_out(mutation) {
        return Err(refusal);
    }
    let credentials = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = credentials.and_then(bearer) else { return Err(refusal) };
    told(sessions.verify_whose(token).await).map(|actor| Some(Gone(actor)))
}

fn told(verified: Result<Actor, Failure<TokenRefusal>>) -> Result<Actor, Refusal> {
    verified.map_err(|failure| match failure {
        Failure::Refused(_) => refused(),
        Failure::Fault(fault) => {
            tracing::warn!(fault = %fault.report(), "a session could not be checked");
            let text = "The session cannot be checked at the moment; try again.";
            Refusal::new(RequestCode::Overloaded, text)
        }
    })
}

fn bearer(credentials: &str) -> Option<&str> {
    let credentials = credentials.trim();
    let (scheme, token) = credentials.split_once(' ')?;
    let fits = credentials.len() <= CREDENTIALS_BYTES_MAX && scheme.eq_ignore_ascii_case("bearer");
    fits.then(|| token.trim_start())
}

fn refused() -> Refusal {
    Refusal::new(
        RequestCode::Unauthenticated,
        "The session has ended or is not one of this server's; refresh it, or sign in again.",
    )
}
