//! How a room stands as a whole, and what follows from that. Reading it, at most a second old, stands in `load`; telling
//! that everything is sold in `sold`.

mod load;
mod sold;

pub(super) use load::Summaries;

use super::{
    Draw, Line, RoomStatus,
    rules::{self, Pace},
    store,
};
use crate::kernel::{Fault, PersonId};

/// A waiting room as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// What the room does.
    pub status: RoomStatus,
    /// Every seat that is not sold is held: nobody is admitted until one comes back. Never unless the room is OPEN or PAUSED.
    pub everything_held: bool,
    /// Who sells.
    pub organizer_id: PersonId,
    /// The organizer has not opened the sale.
    pub draft: bool,
    /// Everybody WAITING.
    pub waiting: i64,
    /// Everybody ACTIVE.
    pub active: i64,
    /// How many may be ACTIVE at once.
    pub max_active: i32,
    /// How many one round admits at most.
    pub admit_per_round: i32,
    /// How often a round runs, in milliseconds.
    pub round_ms: i32,
    /// How the line moved of late.
    pub line: Line,
    /// The draw of the pre-queue.
    pub draw: Draw,
}

impl Summary {
    fn of(row: &store::RoomRow, waiting: i64) -> Result<Self, Fault> {
        let facts = row.facts();
        Ok(Self {
            status: rules::room_status(&facts),
            everything_held: rules::everything_held(&facts),
            organizer_id: row.organizer_id,
            draft: row.schedule_status == "DRAFT",
            waiting,
            active: row.active,
            max_active: row.max_active,
            admit_per_round: row.admit_per_round,
            round_ms: row.round_ms,
            line: row.line(),
            draw: row.draw()?,
        })
    }

    /// Whether positions are not known yet: people may still be entering the draw.
    pub const fn before_draw(&self) -> bool {
        self.draw.secret.is_none()
    }

    /// Whether `viewer` may know of it: a draft is its organizer's alone.
    pub fn visible_to(&self, viewer: Option<PersonId>) -> bool {
        !self.draft || viewer == Some(self.organizer_id)
    }

    /// Seconds until somebody at `position` is admitted; `None` when unknown, and while the room is not OPEN.
    pub fn wait_seconds(&self, position: i64) -> Option<i32> {
        let open = self.status == RoomStatus::Open;
        if open { rules::wait_seconds(position, &self.pace()) } else { None }
    }

    const fn pace(&self) -> Pace {
        Pace {
            line: self.line,
            waiting: self.waiting,
            active: self.active,
            max_active: self.max_active,
            admit_per_round: self.admit_per_round,
            round_ms: self.round_ms,
        }
    }
}
