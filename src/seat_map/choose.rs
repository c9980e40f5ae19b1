//! Choosing the best free seats side by side from a board. What is chosen is an offer: Postgres decides who has it.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::{
    SeatMaps,
    board::Board,
    rules::{Grade, Order},
};
use crate::kernel::{Fault, ScheduleId, SeatId};

/// Larger halls are looked through on a thread where nobody else waits.
const SEATS_AT_ONCE: usize = 2_000;

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The grade.
    pub grade: String,
    /// How many seats side by side.
    pub count: usize,
    /// How many of the best blocks are good enough: one of them is chosen.
    pub among: usize,
    /// Which of them; any number will do.
    pub dice: usize,
    /// Seats that are not wanted.
    pub without: HashSet<SeatId>,
}

/// What a board has to offer.
#[derive(Debug)]
pub enum Offer {
    /// Seats side by side, free as far as the board knows.
    Seats(Choice),
    /// All such seats are taken, as far as the board knows.
    Taken,
    /// The hall has no such seats, taken or free.
    Never,
}

/// Seats that were chosen; nobody else on this instance is offered them while this lives.
#[derive(Debug)]
pub struct Choice {
    board: Arc<Board>,
    seats: Vec<SeatId>,
}

impl Choice {
    /// The seats, in the order of the hall.
    pub fn seats(&self) -> &[SeatId] {
        &self.seats
    }

    /// Says that these of them have an owner now. Nobody on this instance is offered them until the board is told, or should
    /// have been told long ago.
    pub fn taken(&self, seats: &[SeatId]) {
        self.board.claims.taken(seats);
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        self.board.claims.give_back(&self.seats);
    }
}

impl SeatMaps {
    /// Offers seats side by side, the best by `rules`. Seats that others on this instance are trying to hold at the moment
    /// are offered only where there are no others.
    ///
    /// # Errors
    /// When the board has to be loaded and Postgres cannot be asked.
    pub async fn choose(&self, schedule_id: ScheduleId, wish: Wish) -> Result<Offer, Fault> {
        let board = self.board(schedule_id).await?;
        // One at a time: the next one sees what was chosen before.
        let turn = board.choosing.clone().lock_owned().await;
        let large = board.size() > SEATS_AT_ONCE;
        let choose = move || {
            let _turn = turn;
            offer(&board, &wish)
        };
        if large {
            let chosen = tokio::task::spawn_blocking(choose).await;
            chosen.map_err(|_| Fault::internal("choosing seats panicked"))
        } else {
            Ok(choose())
        }
    }

    /// Compares the board with Postgres, as Postgres stands after the call: what one comparison finds is for all who asked
    /// before it began.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn confirm(&self, schedule_id: ScheduleId) -> Result<(), Fault> {
        let asked = Instant::now();
        let board = self.board(schedule_id).await?;
        let mut confirmed = board.confirmed.lock().await;
        if confirmed.is_some_and(|began| began >= asked) {
            return Ok(());
        }
        let began = Instant::now();
        self.compare(&board).await?;
        *confirmed = Some(began);
        Ok(())
    }
}

/// A grade whose blocks were sorted when they were first asked for.
#[derive(Debug)]
pub(super) struct SortedGrade {
    grade: Grade,
    /// By how many seats a block has.
    orders: Mutex<HashMap<usize, Arc<Order>>>,
}

impl SortedGrade {
    /// Nothing is sorted yet.
    pub(super) fn new(grade: Grade) -> Self {
        Self { grade, orders: Mutex::default() }
    }

    fn order(&self, count: usize) -> Arc<Order> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.entry(count).or_insert_with(|| Arc::new(self.grade.order(count))).clone()
    }
}

fn offer(board: &Arc<Board>, wish: &Wish) -> Offer {
    let Some(sorted) = board.grade(&wish.grade) else { return Offer::Never };
    let (grade, order) = (&sorted.grade, sorted.order(wish.count));
    if order.is_empty() {
        return Offer::Never;
    }
    let free = board.free(grade, wish.without.iter().copied());
    let others = board.positions(grade, board.claims.now().into_iter());
    // First the blocks that nobody is about to have; then the others too, for not everybody gets what they try.
    let mut unclaimed = free.clone();
    others.iter().for_each(|at| unclaimed[*at] = false);
    let mut blocks = grade.best(&order, wish.among.max(1), &unclaimed);
    if blocks.is_empty() && !others.is_empty() {
        blocks = grade.best(&order, wish.among.max(1), &free);
    }
    let Some(block) = pick(blocks, wish.dice) else { return Offer::Taken };
    let seats = board.seats_at(grade.spots().get(block).unwrap_or_default());
    board.claims.try_for(&seats);
    Offer::Seats(Choice { board: board.clone(), seats })
}

fn pick(mut blocks: Vec<Range<usize>>, dice: usize) -> Option<Range<usize>> {
    let at = dice.checked_rem(blocks.len())?;
    Some(blocks.swap_remove(at))
}
