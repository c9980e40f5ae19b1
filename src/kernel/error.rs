//! How a use case fails: with a refusal that the caller can act on, or with a fault that is ours.

use std::{error::Error, fmt};

use super::text_enum;

/// Why a use case gave no result.
#[derive(Debug)]
pub enum Failure<R> {
    /// The rules say no; `R` lists every reason of this use case.
    Refused(R),
    /// Something of ours broke. Nothing was changed, unless the fault is [`FaultKind::Unanswered`].
    Fault(Fault),
}

/// One reason, of a use case that tells everything that is wrong at once.
impl<R> From<Failure<R>> for Failure<Vec<R>> {
    fn from(failure: Failure<R>) -> Self {
        match failure {
            Failure::Refused(refusal) => Self::Refused(vec![refusal]),
            Failure::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl<R> From<Fault> for Failure<R> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A defect or a broken environment; a person has to look.
    Internal,
    /// A dependency is away or busy, and nothing was changed; the same request may succeed in a moment.
    Unavailable,
    /// A dependency was asked, and its answer was lost: what was asked for may have been done. Asking again tells.
    Unanswered,
    /// Nothing of ours: the caller's account was deleted, and their session has outlived it.
    CallerGone,
    /// Nothing of ours: somebody did something too often. Nothing was changed, and it may be done again later.
    TooOften {
        /// What they did.
        what: TooOften,
        /// In how many seconds it may be done again; 1 at least.
        seconds: u32,
    },
}

/// What somebody did too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooOften {
    /// Gave wrong passwords for one account.
    WrongPasswords,
    /// Let holds lapse at one performance.
    LapsedHolds,
}

/// A failure of ours. It has no `Display`, so that its text cannot end up in an answer to a client by accident.
#[derive(Debug)]
pub struct Fault {
    kind: FaultKind,
    context: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault with what went wrong underneath.
    pub fn new(
        kind: FaultKind,
        context: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, context, source: Some(source.into()) }
    }

    /// A state that the code holds to be impossible.
    pub const fn internal(context: &'static str) -> Self {
        Self { kind: FaultKind::Internal, context, source: None }
    }

    /// A dependency that did not answer in time.
    pub const fn unavailable(context: &'static str) -> Self {
        Self { kind: FaultKind::Unavailable, context, source: None }
    }

    /// A fault that follows from another one, of its kind, for everybody whom that one met.
    pub const fn alike(kind: FaultKind, context: &'static str) -> Self {
        Self { kind, context, source: None }
    }

    /// The caller's account is gone.
    pub const fn caller_gone() -> Self {
        Self { kind: FaultKind::CallerGone, context: "the caller has no account", source: None }
    }

    /// Somebody did something too often, and may do it again in so many seconds; 1 at least.
    pub fn too_often(what: TooOften, seconds: u32) -> Self {
        let kind = FaultKind::TooOften { what, seconds: seconds.max(1) };
        Self { kind, context: "somebody did something too often", source: None }
    }

    /// Whether trying again can help.
    pub const fn kind(&self) -> FaultKind {
        self.kind
    }

    /// The whole story, for the log only.
    pub fn report(&self) -> impl fmt::Display + '_ {
        Report(self)
    }
}

struct Report<'a>(&'a Fault);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut story = self.0.context.to_owned();
        let mut source: Option<&(dyn Error + 'static)> =
            self.0.source.as_deref().map(|source| source as _);
        while let Some(error) = source {
            // Many errors tell their source's text along with their own.
            let text = error.to_string();
            if !story.contains(&text) {
                story.push_str(": ");
                story.push_str(&text);
            }
            source = error.source();
        }
        f.write_str(&story)
    }
}

text_enum! {
    /// What stands in `errors[].extensions.code`: the closed set of answers that are not data.
    pub enum RequestCode {
        /// No session, or one that is no longer good.
        Unauthenticated = "UNAUTHENTICATED",
        /// A good session that may not do this.
        Forbidden = "FORBIDDEN",
        /// The request itself is wrong: syntax, types, ranges.
        BadRequest = "BAD_REQUEST",
        /// What was named does not exist, or is not the caller's to see.
        NotFound = "NOT_FOUND",
        /// Not a queue token of this server, of this person or for this schedule.
        QueueTokenInvalid = "QUEUE_TOKEN_INVALID",
        /// The queue token is still WAITING.
        QueueNotActive = "QUEUE_NOT_ACTIVE",
        /// The queue token was USED, or EXPIRED.
        QueueEnded = "QUEUE_ENDED",
        /// The document asks for more than one request may.
        QueryTooComplex = "QUERY_TOO_COMPLEX",
        /// A document is named by a hash that is not known here; clients send it then.
        PersistedQueryNotFound = "PERSISTED_QUERY_NOT_FOUND",
        /// Documents are not named by hashes here; clients send them then.
        PersistedQueryNotSupported = "PERSISTED_QUERY_NOT_SUPPORTED",
        /// Too many requests from this caller.
        RateLimited = "RATE_LIMITED",
        /// The server, or something it needs, is too busy or away.
        Overloaded = "OVERLOADED",
        /// A fault of ours.
        Internal = "INTERNAL",
    }
}

impl RequestCode {
    /// Whether the same request may succeed later.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Overloaded | Self::Internal | Self::QueueNotActive)
    }
}
