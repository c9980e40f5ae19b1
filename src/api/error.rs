//! How failures reach a client: refusals as payload data, everything else as an entry of `errors` with a code.

use async_graphql::{Enum, Error, ErrorExtensionValues};

use crate::{
    kernel::{Failure, Fault, FaultKind, RequestCode, TooOften},
    telemetry::Seldom,
};

/// What stands in errors[].extensions.code. extensions also holds `retryable` (Boolean) and `requestId`, and
/// `retryAfterSeconds` where waiting helps. The QUEUE_ codes are for `seats` and `seatChanges`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "RequestCode")]
pub(super) enum RequestErrorCode {
    /// No session, or one that is no longer good: log in.
    Unauthenticated,
    /// A good session that may not do this.
    Forbidden,
    /// The request itself is wrong: syntax, types, ranges.
    BadRequest,
    /// What was named does not exist, or is not the caller's to see.
    NotFound,
    /// Not a queue token of this server, of this person or for this schedule.
    QueueTokenInvalid,
    /// The queue token is still WAITING.
    QueueNotActive,
    /// The queue token was USED, or EXPIRED.
    QueueEnded,
    /// The document asks for more than one request may.
    QueryTooComplex,
    /// A document is named by a hash that is not known here: send it, with the hash, and it is known.
    PersistedQueryNotFound,
    /// Documents are not named by hashes here: send them.
    PersistedQueryNotSupported,
    /// Too many requests from this caller.
    RateLimited,
    /// The server, or something it needs, is too busy or away.
    Overloaded,
    /// A failure of the server; nothing was changed.
    Internal,
}

/// The result of a resolver. [`ApiError`] has no `Display`, so `?` on a database error does not compile here.
pub(super) type ApiResult<T> = Result<T, ApiError>;

/// An answer that is not data.
#[derive(Debug, Clone, Copy)]
pub struct ApiError {
    code: RequestCode,
    message: &'static str,
    /// When trying again helps, where that is known.
    retry_after_seconds: Option<u32>,
}

impl ApiError {
    /// An error with a text that tells the client what to do next.
    pub const fn new(code: RequestCode, message: &'static str) -> Self {
        Self { code, message, retry_after_seconds: None }
    }

    /// Somebody did something too often; what to do meanwhile.
    const fn too_often(what: TooOften, seconds: u32) -> Self {
        let message = match what {
            TooOften::WrongPasswords => {
                "Too many wrong passwords were given for this account. Wait, then try again."
            }
            TooOften::LapsedHolds => {
                "You have let several holds lapse at this performance. Each one more makes the next wait longer. Wait before you \
                 hold again; then pay in time, or give back what you do not want: that costs nothing."
            }
        };
        Self { code: RequestCode::RateLimited, message, retry_after_seconds: Some(seconds) }
    }

    /// The session is good, and whose it was has no account any more.
    pub(super) const fn caller_gone() -> Self {
        Self::new(
            RequestCode::Unauthenticated,
            "The account of this session does not exist; log in again.",
        )
    }

    /// A defect; logged here, told to nobody.
    pub(super) fn internal(context: &'static str) -> Self {
        Fault::internal(context).into()
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault.kind() {
            FaultKind::Internal => {
                tracing::error!(fault = %fault.report(), "request failed");
                Self::new(
                    RequestCode::Internal,
                    "Something broke on our side; nothing was changed. Try again.",
                )
            }
            FaultKind::CallerGone => {
                tracing::info!(fault = %fault.report(), "a session has outlived its account");
                Self::caller_gone()
            }
            FaultKind::TooOften { what, seconds } => {
                static LINES: Seldom = Seldom::new();
                if let Some(left_out) = LINES.pass() {
                    tracing::info!(?what, seconds, left_out, "somebody did something too often");
                }
                Self::too_often(what, seconds)
            }
            FaultKind::Unavailable => {
                static LINES: Seldom = Seldom::new();
                if let Some(left_out) = LINES.pass() {
                    tracing::warn!(fault = %fault.report(), left_out, "request could not be served");
                }
                Self::new(RequestCode::Overloaded, "The service is busy; try again in a moment.")
            }
            FaultKind::Unanswered => {
                tracing::warn!(fault = %fault.report(), "the answer to a request was lost");
                Self::new(
                    RequestCode::Overloaded,
                    "The answer was lost on the way; a change may have been made. Look how it stands before you try again. A \
                     payment or a charge is sent again with the same key: nothing is done twice.",
                )
            }
        }
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", error.code.as_str());
        extensions.set("retryable", error.code.retryable());
        let overloaded = (error.code == RequestCode::Overloaded).then_some(1);
        if let Some(seconds) = error.retry_after_seconds.or(overloaded) {
            extensions.set("retryAfterSeconds", seconds);
        }
        Self { message: error.message.to_owned(), source: None, extensions: Some(extensions) }
    }
}

/// Splits an outcome into what becomes payload data (the value or the refusal) and what becomes an error.
pub(super) fn settle<T, R>(outcome: Result<T, Failure<R>>) -> ApiResult<Result<T, R>> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Failure::Refused(refusal)) => Ok(Err(refusal)),
        Err(Failure::Fault(fault)) => Err(fault.into()),
    }
}
