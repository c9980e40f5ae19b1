//! Running a sale: making a performance with its seats and its waiting room, opening its sale and closing it, and
//! calling it off.
//!
//! Each of these changes what belongs to several features at once, in one transaction of theirs. Nothing here has a table:
//! the schedule is `catalogue`'s, the room `waiting_room`'s, the seats are `reservation`'s.

mod change;
mod create;

pub use create::{NewSale, ensure_in_tx};

use crate::{db::Db, waiting_room::WaitingRooms};

/// Runs sales; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sales {
    db: Db,
    waiting_rooms: WaitingRooms,
}

impl Sales {
    /// The sales of the schedules in `db`, told to those who wait in `waiting_rooms`.
    pub const fn new(db: Db, waiting_rooms: WaitingRooms) -> Self {
        Self { db, waiting_rooms }
    }
}
