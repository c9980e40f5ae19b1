//! Reservations: holding seats, keeping them for longer, reading and watching reservations, and holds that lapse. Paying for them and giving them
//! back move points, and are the business of `payment`.
//!
//! Postgres's seat rows are the referee: a seat names its one holder, and a hold is one guarded statement. A lapsed hold
//! counts as free in every read and write by the database's clock; `expire` only tidies.

mod announce;
mod best;
mod browse;
mod expire;
mod extend;
mod hold;
mod lane;
mod rules;
mod seats;
mod store;
mod watch;

pub use announce::{News, person_channel};
pub use hold::HoldRefusal;
use lane::HoldLane;
pub use rules::{ATTEMPTS, SEATS_MAX};
pub(crate) use store::ReservationRow;

use std::time::Duration;

pub use crate::seat_map::{SeatChange, SeatStatus};

use crate::{
    db::Db,
    kernel::{
        PersonId, Points, QueueTokenId, ReservationId, ScheduleId, SeatId, Timestamp,
        seconds_between, text_enum,
    },
    kv::Kv,
    lanes::{LaneSettings, Lanes},
    seat_map::SeatMaps,
    tasks::Tasks,
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
        /// That grade has fewer free seats side by side than were asked for.
        NoAdjacentSeats = "NO_ADJACENT_SEATS",
        /// More seats than a person may hold and own at this performance.
        SeatLimitReached = "SEAT_LIMIT_REACHED",
        /// The sale is over, or not on.
        SaleClosed = "SALE_CLOSED",
    }
}

text_enum! {
    /// Why a hold is not extended.
    pub enum ExtendRefusal {
        /// No such reservation of the caller.
        NotFound = "RESERVATION_NOT_FOUND",
        /// It is no HOLD any more.
        HoldExpired = "HOLD_EXPIRED",
        /// It lasts as long as it can.
        Limit = "EXTENSION_LIMIT",
    }
}

/// A reservation, as it stood when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Names it.
    pub id: ReservationId,
    /// The person who made it.
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
    /// How far [`Reservations::extend`] can move that.
    pub extendable_until: Timestamp,
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
    kv: Kv,
    waiting_rooms: WaitingRooms,
    seat_maps: SeatMaps,
    metrics: Metrics,
    lanes: Lanes<HoldLane>,
    terms: HoldTerms,
}

/// What everybody's holds have in common.
#[derive(Debug, Clone, Copy)]
pub struct HoldTerms {
    /// How long a hold lasts, in seconds.
    pub hold_seconds: u32,
    /// How many holds somebody may let lapse at one performance within a day, before they rest.
    pub lapses_free: i32,
}

/// How holds are made.
#[derive(Debug, Clone, Copy)]
pub struct HoldSettings {
    /// What everybody's holds have in common.
    pub terms: HoldTerms,
    /// How long a hold waits for a lane that serves nobody.
    pub patience: Duration,
}

impl Reservations {
    /// Builds the service, and starts the lanes in which holds share statements.
    pub fn new(
        db: Db,
        kv: Kv,
        waiting_rooms: WaitingRooms,
        seat_maps: SeatMaps,
        metrics: Metrics,
        tasks: &Tasks,
        HoldSettings { terms, patience }: HoldSettings,
    ) -> Self {
        let lane = HoldLane::new(&db, &kv, &waiting_rooms, terms);
        let settings = LaneSettings { name: "holds", task: "serving holds", patience };
        let lanes = Lanes::start(lane, &settings, &metrics, tasks);
        Self { db, kv, waiting_rooms, seat_maps, metrics, lanes, terms }
    }
}
