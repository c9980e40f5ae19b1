//! The picture of a hall: seats with their status, from memory, so that a crowd looking at one hall costs Postgres nothing.
//!
//! A board is loaded once per performance, kept current by messages about what was committed (`change`), and reloaded on any
//! doubt. It shows seats, and proposes the best ones (`choose`, by `rules`); holds never trust it.

mod board;
mod change;
mod choose;
mod claims;
mod rules;
mod store;
mod watch;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use board::Board;
pub use board::{SeatPlace, SeatView};
pub use change::{SeatChange, SeatStatus, seat_channel};
pub use choose::{Choice, Offer, Wish};

use crate::{
    db::Db,
    kernel::{Fault, ScheduleId, into_composed},
    kv::Kv,
    tasks::Tasks,
};

/// Which seats are asked for; an empty filter asks for all.
#[derive(Debug, Clone, Default)]
pub struct SeatFilter {
    /// Only this section.
    pub section: Option<String>,
    /// Only this grade.
    pub grade: Option<String>,
    /// Only these states.
    pub status: Option<Vec<SeatStatus>>,
}

impl SeatFilter {
    /// The same filter with names in the spelling in which boards have them.
    #[must_use]
    pub fn composed(self) -> Self {
        Self {
            section: self.section.map(into_composed),
            grade: self.grade.map(into_composed),
            ..self
        }
    }
}

/// The boards of all performances that somebody looks at; cheap to clone.
#[derive(Debug, Clone)]
pub struct SeatMaps {
    db: Db,
    kv: Kv,
    tasks: Tasks,
    boards: Arc<Mutex<HashMap<ScheduleId, Arc<Board>>>>,
}

impl SeatMaps {
    /// Builds the service.
    pub fn new(db: Db, kv: Kv, tasks: Tasks) -> Self {
        Self { db, kv, tasks, boards: Arc::default() }
    }

    /// The seats of a performance in the order of the hall.
    ///
    /// # Errors
    /// When the board has to be loaded and Postgres cannot be asked.
    pub async fn seats(
        &self,
        schedule_id: ScheduleId,
        filter: &SeatFilter,
    ) -> Result<Vec<SeatView>, Fault> {
        let board = self.board(schedule_id).await?;
        Ok(board.seats(filter))
    }

    /// How many seats [`SeatMaps::seats`] would have, without building the list.
    ///
    /// # Errors
    /// As there.
    pub async fn count(
        &self,
        schedule_id: ScheduleId,
        filter: &SeatFilter,
    ) -> Result<usize, Fault> {
        let board = self.board(schedule_id).await?;
        Ok(board.count(filter))
    }

    fn slot(&self, schedule_id: ScheduleId) -> Arc<Board> {
        let mut boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        let board = boards.entry(schedule_id).or_insert_with(|| Arc::new(Board::new(schedule_id)));
        // Noted under the lock, so that nobody forgets the board before it is looked at.
        board.touch();
        board.clone()
    }

    /// Forgets a board that nobody has looked at for a while; `true` when it is gone.
    fn forget_if_idle(&self, board: &Arc<Board>) -> bool {
        let mut boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = board.idle();
        if idle {
            boards.remove(&board.schedule_id);
        }
        idle
    }
}
