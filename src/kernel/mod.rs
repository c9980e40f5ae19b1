//! The words everything else is written in: ids, points, time, pages, and how a use case says no.
//!
//! No async, no I/O, no framework. Every other module may name this one, and it names none.

mod address;
mod checks;
mod error;
mod id;
mod page;
mod points;
mod text;
mod text_enum;
mod time;

pub use address::{Address, AddressFault};
pub use checks::Checks;
pub use error::{Failure, Fault, FaultKind, RequestCode, TooOften};
pub use id::{
    ConcertId, ConnectionId, PaymentId, PersonId, QueueTokenId, RebuildId, RefundId, ReservationId,
    ScheduleId, SeatId, SessionId, WalletEntryId,
};
pub use page::{PAGE_MAX, Page, PageRequest};
pub use points::{POINTS_MAX, Points};
pub use text::{
    appearance, composed, folded, into_composed, is_a_book, is_hidden, line, lines, trimmed,
};
pub(crate) use text_enum::text_enum;
pub use time::{Timestamp, seconds_between};

text_enum! {
    /// What a person may do.
    pub enum Role {
        /// Buys.
        Fan = "FAN",
        /// Sells: makes concerts and runs their waiting rooms.
        Organizer = "ORGANIZER",
    }
}

/// The person who asks, as the session token says; the token's signature has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The person who signed in.
    pub person_id: PersonId,
    /// Their role when they signed in.
    pub role: Role,
    /// The session, where it has a name: it can be ended before its time.
    pub session_id: Option<SessionId>,
    /// When the session ends.
    pub expires_at: Timestamp,
}
