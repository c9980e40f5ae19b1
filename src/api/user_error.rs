//! Refusals as payload data: one type and one enum of codes per family, and the interface over all of them.

use async_graphql::{Enum, ID, Interface, OutputType, SimpleObject};

use crate::kernel::RequestCode;

/// Why a mutation did not do what it was asked for.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(
    concrete(name = "AccountError", params(AccountErrorCode)),
    concrete(name = "OrganizerError", params(OrganizerErrorCode)),
    concrete(name = "QueueError", params(QueueErrorCode)),
    concrete(name = "CancelError", params(CancelErrorCode)),
    concrete(name = "PayError", params(PayErrorCode)),
    concrete(name = "ChargeError", params(ChargeErrorCode))
)]
pub(super) struct Refusal<C: OutputType> {
    /// What a program decides by.
    code: C,
    /// What a person reads, in English.
    message: String,
    /// The input field at fault, from the mutation's argument down.
    path: Option<Vec<String>>,
}

impl<C: OutputType> Refusal<C> {
    /// A refusal that no single field is the cause of.
    pub(super) fn new(code: C, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), path: None }
    }

    /// The same refusal with the field at fault.
    pub(super) fn at(self, path: &[&str]) -> Self {
        Self { path: Some(path.iter().map(|&step| step.to_owned()).collect()), ..self }
    }
}

pub(super) type AccountError = Refusal<AccountErrorCode>;
pub(super) type OrganizerError = Refusal<OrganizerErrorCode>;
pub(super) type QueueError = Refusal<QueueErrorCode>;
pub(super) type CancelError = Refusal<CancelErrorCode>;
pub(super) type PayError = Refusal<PayErrorCode>;
pub(super) type ChargeError = Refusal<ChargeErrorCode>;

/// Why seats were not held.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct HoldError {
    /// What a program decides by.
    pub(super) code: HoldErrorCode,
    /// What a person reads, in English.
    pub(super) message: String,
    /// The input field at fault, from the mutation's argument down.
    pub(super) path: Option<Vec<String>>,
    /// The seats that were the cause.
    pub(super) seat_ids: Vec<ID>,
}

/// What every refusal has, whatever its family. `path` names the input field at fault, from the mutation's argument
/// down.
#[derive(Debug, Interface)]
#[graphql(
    field(name = "message", ty = "&String", desc = "What a person reads, in English."),
    field(
        name = "path",
        ty = "&Option<Vec<String>>",
        desc = "The input field at fault, from the mutation's argument down."
    )
)]
pub(super) enum UserError {
    Account(AccountError),
    Organizer(OrganizerError),
    Queue(QueueError),
    Hold(HoldError),
    Cancel(CancelError),
    Pay(PayError),
    Charge(ChargeError),
}

/// Takes an outcome apart into a payload's object and its `userErrors`.
pub(super) fn payload<T, E>(outcome: Result<T, E>) -> (Option<T>, Vec<E>) {
    match outcome {
        Ok(value) => (Some(value), Vec::new()),
        Err(error) => (None, vec![error]),
    }
}

/// Why an account was not made or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum AccountErrorCode {
    /// Not an e-mail address of at most 254 characters.
    EmailInvalid,
    /// There is an account with this address already.
    EmailTaken,
    /// Not 8 to 128 characters, or what anybody would try first.
    PasswordWeak,
    /// Not 1 to 100 characters on one line.
    NameInvalid,
    /// No account has this address and this password.
    WrongCredentials,
}

/// Why an organizer's change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum OrganizerErrorCode {
    /// It does not exist, or is another organizer's.
    NotFound,
    /// A value is not acceptable; `path` says which.
    ValueInvalid,
    /// The sale is not where this change needs it to be.
    WrongState,
}

/// Why a place in line was not taken or not given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum QueueErrorCode {
    /// There is no such schedule.
    ScheduleNotFound,
    /// Not on sale yet; nobody can enter.
    SaleNotOpen,
    /// Not on sale any more.
    SaleClosed,
    /// Every seat is sold. A ticket that comes back goes to those who wait.
    SoldOut,
    /// The caller has no place to give up.
    NotInQueue,
    /// The caller owns as many seats as one person may: there is nothing to wait for.
    SeatLimitReached,
}

/// Why seats were not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum HoldErrorCode {
    /// Not a token of this server, of this person or for this schedule.
    QueueTokenInvalid,
    /// Still WAITING.
    QueueNotActive,
    /// The token was USED, or EXPIRED.
    QueueEnded,
    /// There is no such seat at this schedule.
    SeatNotFound,
    /// Somebody holds it; it may come back.
    SeatHeld,
    /// Somebody owns it.
    SeatSold,
    /// No `count` adjacent free seats of that grade.
    NoAdjacentSeats,
    /// More seats than one person may hold and own at this schedule.
    SeatLimitReached,
    /// Not on sale any more.
    SaleClosed,
}

/// Why a reservation was not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum CancelErrorCode {
    /// It does not exist, or is another person's.
    ReservationNotFound,
    /// The hold lapsed; there is nothing to cancel.
    ReservationExpired,
    /// Too late: the performance has started.
    CancellationClosed,
    /// A payment for it is being decided; try again in a moment.
    PaymentInProgress,
    /// The card gateway cannot be reached; nothing was changed.
    GatewayUnavailable,
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

/// Why points were not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum ChargeErrorCode {
    /// Not 1 to 10000000 points.
    AmountInvalid,
    /// The balance would exceed what a wallet can hold.
    BalanceLimit,
    /// Not 1 to 255 characters.
    IdempotencyKeyInvalid,
    /// The key was used before with other input.
    IdempotencyKeyReused,
}

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
    /// Too many requests from this caller.
    RateLimited,
    /// The server, or something it needs, is too busy or away.
    Overloaded,
    /// A failure of the server; nothing was changed.
    Internal,
}
