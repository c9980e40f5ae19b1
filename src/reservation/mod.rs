//! Reservations: holding seats, giving them back, and holds that lapse.
//!
//! Postgres's seat rows are the referee: a seat names its one holder, and a hold is one guarded statement. A lapsed hold
//! counts as free in every read and write by the database's clock; `expire` only tidies.

mod announce;
mod best;
mod browse;
mod cancel;
mod expire;
mod hold;
mod rules;
mod store;
mod watch;

pub use announce::person_channel;
pub use cancel::Cancelled;
pub use hold::HoldRefusal;
pub use rules::SEATS_MAX;

pub use crate::seat_map::{SeatChange, SeatStatus};

use crate::{
    db::Db,
    kernel::{
        PersonId, Points, QueueTokenId, ReservationId, ScheduleId, SeatId, Timestamp,
        seconds_between, text_enum,
    },
    kv::Kv,
    seat_map::SeatMaps,
    telemetry::Metrics,
    waiting_room::WaitingRooms,
};

text_enum! {
    /// Where a reservation stands.
    pub enum ReservationStatus {
        /// The seats are kept until the hold lapses.
        Hold = "HOLD",
        /// Paid.
        Confirmed = "CONFIRMED",
        /// Given back, with a refund if it was paid.
        Cancelled = "CANCELLED",
        /// Not paid in time.
        Expired = "EXPIRED",
    }
}

text_enum! {
    /// Why seats cannot be held.
    pub enum HoldCode {
        /// Not a token of this server, of this person or for this schedule.
        QueueTokenInvalid = "QUEUE_TOKEN_INVALID",
        /// Still WAITING.
        QueueNotActive = "QUEUE_NOT_ACTIVE",
        /// USED or EXPIRED.
        QueueEnded = "QUEUE_ENDED",
        /// No such seat at this performance.
        SeatNotFound = "SEAT_NOT_FOUND",
        /// Somebody holds it.
        SeatHeld = "SEAT_HELD",
        /// Somebody owns it.
        SeatSold = "SEAT_SOLD",
        /// Not so many adjacent free seats of that grade.
        NoAdjacentSeats = "NO_ADJACENT_SEATS",
        /// More than one person may hold and own at this performance.
        SeatLimitReached = "SEAT_LIMIT_REACHED",
        /// The sale is over, or not on.
        SaleClosed = "SALE_CLOSED",
    }
}

text_enum! {
    /// Why a reservation cannot be cancelled.
    pub enum CancelRefusal {
        /// No such reservation of the caller.
        NotFound = "RESERVATION_NOT_FOUND",
        /// The hold has lapsed.
        Expired = "RESERVATION_EXPIRED",
        /// The performance has begun.
        Closed = "CANCELLATION_CLOSED",
        /// A payment is being decided.
        PaymentInProgress = "PAYMENT_IN_PROGRESS",
        /// The card gateway cannot be reached.
        GatewayUnavailable = "GATEWAY_UNAVAILABLE",
    }
}

/// A reservation, as it stood when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Names it.
    pub id: ReservationId,
    /// Whose it is.
    pub person_id: PersonId,
    /// The performance.
    pub schedule_id: ScheduleId,
    /// The place in line it was held with.
    pub queue_token_id: QueueTokenId,
    /// Where it stands; a lapsed HOLD reads EXPIRED.
    pub status: ReservationStatus,
    /// How many seats.
    pub seat_count: i32,
    /// What they cost together.
    pub total_price: Points,
    /// When the seats were held.
    pub held_at: Timestamp,
    /// When a HOLD lapses.
    pub expires_at: Timestamp,
    /// When it was paid.
    pub confirmed_at: Option<Timestamp>,
    /// When it was given back.
    pub cancelled_at: Option<Timestamp>,
    /// The database's clock when this was read.
    pub now: Timestamp,
}

impl Reservation {
    /// Seconds left of a HOLD, rounded down; 0 otherwise.
    pub fn remaining_seconds(&self) -> i32 {
        match self.status {
            ReservationStatus::Hold => seconds_between(self.now, self.expires_at),
            _ => 0,
        }
    }
}

/// A seat as it stood when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Names it.
    pub id: SeatId,
    /// The section of the hall.
    pub section: String,
    /// The row's letters.
    pub row: String,
    /// The seat's number in its row, from 1.
    pub number: i32,
    /// Its grade.
    pub grade: String,
    /// Its price.
    pub price: Points,
    /// Where it stands; a lapsed hold reads AVAILABLE.
    pub status: SeatStatus,
    /// Grows with every change.
    pub version: i32,
}

/// Everybody's reservations; cheap to clone.
#[derive(Debug, Clone)]
pub struct Reservations {
    db: Db,
    money: Db,
    kv: Kv,
    waiting_rooms: WaitingRooms,
    seat_maps: SeatMaps,
    metrics: Metrics,
    hold_seconds: u32,
}

impl Reservations {
    /// Builds the service; a hold lasts `hold_seconds`.
    pub fn new(
        db: Db,
        kv: Kv,
        waiting_rooms: WaitingRooms,
        seat_maps: SeatMaps,
        metrics: Metrics,
        hold_seconds: u32,
    ) -> Self {
        Self { money: db.for_money(), db, kv, waiting_rooms, seat_maps, metrics, hold_seconds }
    }
}
