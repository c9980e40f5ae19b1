//! The waiting room: who may go in, in which order, and what everybody is shown meanwhile. Here are its nouns and its
//! service.
//!
//! The line is a journal in Postgres (`store`), Redis is its index (`index`). `enter` and `leave` write the journal,
//! `rounds` let people in and send them home, `draw` settles the order of a pre-queue, `settings` says how a room works.
//! `status`, `summary` and `live` show how things stand; `announce` tells every instance what changed. `rules` is pure.

mod announce;
mod draw;
mod enter;
mod index;
mod leave;
mod live;
mod rounds;
mod rules;
mod settings;
mod status;
mod store;
mod summary;
mod token;

use std::sync::Arc;

pub use announce::{Change, Event};
pub use draw::{
    DRAW_SECRET_BYTES, Draw, DrawFault, Drawn, Entrant, commitment, draw_number, from_hexadecimal,
    hexadecimal, roster, verify_draw,
};
use tokio::sync::mpsc;

use crate::{
    account::Keyring,
    db::Db,
    kernel::{PersonId, QueueTokenId, ScheduleId, Timestamp, text_enum},
    kv::Kv,
    tasks::Tasks,
    telemetry::Metrics,
};
pub use live::Watch;
pub use rules::Line;
pub use settings::{WaitingRoomPatch, WaitingRoomSettings};
pub use status::Place;
pub use store::TouchedToken;
pub use summary::Summary;
pub use token::{Admission, PassRefusal};

text_enum! {
    /// Where a person stands.
    pub enum QueueStatus {
        /// In line.
        Waiting = "WAITING",
        /// In: may look at seats, hold and pay.
        Active = "ACTIVE",
        /// Done: the person owns as many seats as one person may.
        Used = "USED",
        /// Over for another reason, a [`QueueEnd`].
        Expired = "EXPIRED",
    }
}

impl QueueStatus {
    /// Whether nothing follows any more.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Used | Self::Expired)
    }
}

text_enum! {
    /// Why a place has EXPIRED.
    pub enum QueueEnd {
        /// Its person gave it up.
        Left = "LEFT",
        /// The person was in, and did nothing for as long as one may.
        Idle = "IDLE",
        /// The person was in for as long as one may be.
        TimeOver = "TIME_OVER",
        /// The person was away when it was their turn, and for too long after it.
        Away = "AWAY",
        /// The sale ended.
        SaleClosed = "SALE_CLOSED",
        /// The sale ended, and every seat was sold.
        SoldOut = "SOLD_OUT",
        /// The performance was called off.
        ScheduleCancelled = "SCHEDULE_CANCELLED",
        /// The person had become the owner of as many seats as one may before the place was given.
        SeatLimitReached = "SEAT_LIMIT_REACHED",
    }
}

text_enum! {
    /// What a waiting room does at the moment.
    pub enum RoomStatus {
        /// Not on sale, or not any more.
        Closed = "CLOSED",
        /// People may enter; nobody is admitted before the sale opens.
        Prequeue = "PREQUEUE",
        /// People are admitted.
        Open = "OPEN",
        /// The organizer stopped admission for now.
        Paused = "PAUSED",
        /// Every seat is sold; nobody is admitted.
        SoldOut = "SOLD_OUT",
    }
}

text_enum! {
    /// Why a person cannot enter or leave a line.
    pub enum QueueRefusal {
        /// There is no such performance.
        ScheduleNotFound = "SCHEDULE_NOT_FOUND",
        /// The organizer has not opened the sale.
        SaleNotOpen = "SALE_NOT_OPEN",
        /// The sale is over.
        SaleClosed = "SALE_CLOSED",
        /// Every seat is sold.
        SoldOut = "SOLD_OUT",
        /// The person owns as many seats as one person may: there is nothing to wait for.
        SeatLimitReached = "SEAT_LIMIT_REACHED",
        /// Nothing to leave.
        NotInQueue = "NOT_IN_QUEUE",
    }
}

/// One person's place for one schedule, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueToken {
    /// Names this place.
    pub id: QueueTokenId,
    /// The performance.
    pub schedule_id: ScheduleId,
    /// The person who has it.
    pub person_id: PersonId,
    /// The order of the line; never changes. Positive in the order of entering, negative when drawn before the opening.
    pub number: i64,
    /// Where they stand; a lapsed ACTIVE reads EXPIRED.
    pub status: QueueStatus,
    /// Grows with every hold, payment and cancellation under this place.
    pub version: i64,
    /// When the place was taken.
    pub entered_at: Timestamp,
    /// When they were passed over, if they are away since.
    pub passed_over_at: Option<Timestamp>,
    /// When they were admitted.
    pub activated_at: Option<Timestamp>,
    /// When the ACTIVE time ends.
    pub expires_at: Option<Timestamp>,
    /// Why it has EXPIRED; `None` unless it has, and where that was not noted.
    pub ended_because: Option<QueueEnd>,
    /// The database's clock when this was read.
    pub now: Timestamp,
}

/// The waiting rooms of all schedules; cheap to clone.
#[derive(Debug, Clone)]
pub struct WaitingRooms {
    db: Db,
    /// For what nobody waits for: rounds, comparisons, rebuilds.
    background: Db,
    keyring: Keyring,
    metrics: Metrics,
    tasks: Tasks,
    index: index::Index,
    backlog: Arc<enter::Backlog>,
    rooms: Arc<live::Rooms>,
    summaries: Arc<summary::Summaries>,
    snapshots: Arc<status::Snapshots>,
    rebuilds: Arc<index::Rebuilds>,
    kicks: mpsc::Sender<ScheduleId>,
}

impl WaitingRooms {
    /// Builds the service. The receiver hands out schedules that may have a free place right now; a worker runs
    /// [`WaitingRooms::run_round`] for each.
    pub fn new(
        db: Db,
        kv: &Kv,
        keyring: Keyring,
        metrics: Metrics,
        tasks: Tasks,
    ) -> (Self, mpsc::Receiver<ScheduleId>) {
        let (kicks, kicked) = mpsc::channel(1024);
        let rooms = Self {
            background: db.for_background(),
            db,
            keyring,
            metrics,
            tasks,
            index: index::Index::new(kv.clone()),
            backlog: Arc::default(),
            rooms: Arc::default(),
            summaries: Arc::default(),
            snapshots: Arc::default(),
            rebuilds: Arc::default(),
            kicks,
        };
        (rooms, kicked)
    }

    /// Says that a place may have become free; the next round comes at once.
    pub fn kick(&self, schedule_id: ScheduleId) {
        // A full queue of kicks is no loss: the regular rounds look at every room.
        _ = self.kicks.try_send(schedule_id);
    }
}
