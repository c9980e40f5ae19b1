//! The person who sends a request: `Authorization: Bearer <accessToken>`, in a header or in `connection_init`.

use axum::http::{HeaderMap, header};

use super::error::Refusal;
use crate::{account::Sessions, api::Caller, kernel::RequestCode};

/// Longer than any session of ours.
const CREDENTIALS_BYTES_MAX: usize = 4096;

/// The caller that a request's headers name.
///
/// # Errors
/// UNAUTHENTICATED when there is a session which is no longer, or never was, good.
pub(super) fn from_headers(sessions: &Sessions, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(Caller(None)),
        (Some(value), None) => {
            value.to_str().map_err(|_| refused()).and_then(|text| caller(sessions, text))
        }
        (Some(_), Some(_)) => Err(refused()),
    }
}

/// The caller that credentials name. Empty ones, which clients send before anybody signed in, name nobody.
///
/// # Errors
/// As [`from_headers`].
pub(super) fn caller(sessions: &Sessions, credentials: &str) -> Result<Caller, Refusal> {
    let credentials = credentials.trim();
    if credentials.is_empty() {
        return Ok(Caller(None));
    }
    let token = match credentials.split_once(' ') {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("bearer")
                && credentials.len() <= CREDENTIALS_BYTES_MAX =>
        {
            token.trim_start()
        }
        _ => return Err(refused()),
    };
    sessions.verify(token).map(|actor| Caller(Some(actor))).map_err(|_| refused())
}

fn refused() -> Refusal {
    Refusal::new(
        RequestCode::Unauthenticated,
        "The session has ended or is not one of this server's; sign in again.",
    )
}
