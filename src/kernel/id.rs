//! Typed ids: UUIDv7, so that they are made without asking anybody and sort by the time they were made.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! typed_ids {
    ($($(#[$meta:meta])* $name:ident,)+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, later than those made before by this process.
            #[expect(clippy::disallowed_methods, reason = "the one place where ids are made")]
            #[expect(clippy::new_without_default, reason = "an id that appears by default would hide mistakes")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Reads an id that a client sent; `None` when it is not a UUID.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

typed_ids! {
    /// Names a person: a fan or an organizer.
    PersonId,
    /// Names a session: what begins by logging in, and goes on by refreshing.
    SessionId,
    /// Names a concert.
    ConcertId,
    /// Names one performance of a concert.
    ScheduleId,
    /// Names one seat at one performance.
    SeatId,
    /// Names one person's place in one waiting room.
    QueueTokenId,
    /// Names a reservation.
    ReservationId,
    /// Names a payment.
    PaymentId,
    /// Names a refund of a payment.
    RefundId,
    /// Names a line of a wallet's ledger.
    WalletEntryId,
    /// Names one attempt to build a room's index anew.
    RebuildId,
    /// Names a connection to Postgres, while this process has it.
    ConnectionId,
}
