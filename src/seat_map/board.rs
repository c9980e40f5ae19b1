//! One hall in memory.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, OnceCell, broadcast};

use super::{
    SeatChange, SeatFilter, SeatStatus,
    choose::SortedGrade,
    claims::Claims,
    rules::{Grade, Spot},
};
use crate::kernel::{Points, ScheduleId, SeatId, Timestamp};

/// Batches that a slow subscriber may be behind before it is given the whole hall again.
const BACKLOG: usize = 64;
/// A board that nobody looks at is kept for this long.
const IDLE: Duration = Duration::from_secs(120);
/// A person who asked this long ago may still be looking.
const LOOKING: Duration = Duration::from_secs(5);

/// What never changes about a seat.
#[derive(Debug, PartialEq, Eq)]
pub struct SeatPlace {
    /// Names it.
    pub id: SeatId,
    /// The section of the hall.
    pub section: String,
    /// The row's letters.
    pub row: String,
    /// The row's place in its section, from the front.
    pub row_index: i32,
    /// The seat's number in its row, from 1.
    pub number: i32,
    /// Its grade.
    pub grade: String,
    /// Its price.
    pub price: Points,
    /// How good it is; lower is better.
    pub preference: i32,
}

/// A seat as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatView {
    /// What never changes.
    pub place: Arc<SeatPlace>,
    /// Where it stands; a lapsed hold reads AVAILABLE.
    pub status: SeatStatus,
    /// Grows with every change.
    pub version: i32,
}

/// A seat as it was loaded or told.
#[derive(Debug, Clone)]
pub(super) struct BoardSeat {
    pub place: Arc<SeatPlace>,
    pub status: SeatStatus,
    pub version: i32,
    pub hold_expires_at: Option<Timestamp>,
}

impl BoardSeat {
    fn has_lapsed(&self, now: Timestamp) -> bool {
        self.status == SeatStatus::Hold && self.hold_expires_at.is_some_and(|end| end <= now)
    }

    fn is_free(&self, now: Timestamp) -> bool {
        self.status == SeatStatus::Available || self.has_lapsed(now)
    }

    /// A lapsed hold is shown as the free seat that it is, one version on: as the sweeper will write it.
    fn view(&self, now: Timestamp) -> SeatView {
        let lapsed = self.has_lapsed(now);
        SeatView {
            place: self.place.clone(),
            status: if lapsed { SeatStatus::Available } else { self.status },
            version: self.version + i32::from(lapsed),
        }
    }
}

/// What a hall comes to. Versions only grow and are told after they are committed, so a board whose tally was taken
/// before Postgres was asked for its own is complete if, and only if, both are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// How many seats there are.
    pub seats: i64,
    /// The sum of their versions.
    pub versions: i64,
}

#[derive(Debug, Default)]
struct State {
    seats: Vec<BoardSeat>,
    by_id: HashMap<SeatId, usize>,
    /// The database's clock and the process's when the board was loaded.
    loaded: Option<(Timestamp, Instant)>,
    /// The grades that somebody chose seats of, since the board was loaded.
    grades: HashMap<String, Arc<SortedGrade>>,
}

impl SeatFilter {
    fn is_empty(&self) -> bool {
        self.section.is_none() && self.grade.is_none() && self.status.is_none()
    }

    fn wants(&self, place: &SeatPlace) -> bool {
        self.section.as_ref().is_none_or(|section| *section == place.section)
            && self.grade.as_ref().is_none_or(|grade| *grade == place.grade)
    }
}

impl State {
    /// The database's clock, as far as this process can tell. Nothing is decided by it.
    fn now(&self) -> Timestamp {
        self.loaded.map_or(Timestamp::UNIX_EPOCH, |(now, at)| now + at.elapsed())
    }

    fn shown(&self, filter: &SeatFilter) -> impl Iterator<Item = SeatView> {
        let now = self.now();
        let seats = self.seats.iter().filter(|seat| filter.wants(&seat.place));
        let seats = seats.map(move |seat| seat.view(now));
        seats.filter(|seat| {
            filter.status.as_ref().is_none_or(|wanted| wanted.contains(&seat.status))
        })
    }

    /// The seats of a grade; `None` when the hall has none.
    fn grade(&self, name: &str) -> Option<Grade> {
        let (mut spots, mut place) = (Vec::new(), 0);
        let mut before: Option<&SeatPlace> = None;
        for (index, seat) in self.seats.iter().enumerate() {
            let seat = &seat.place;
            let same = |other: &SeatPlace| {
                other.section == seat.section && other.row_index == seat.row_index
            };
            place += usize::from(!before.is_some_and(same));
            before = Some(seat);
            if seat.grade == name {
                let SeatPlace { number, preference, .. } = **seat;
                spots.push(Spot { index, place, number, preference });
            }
        }
        (!spots.is_empty()).then(|| Grade::new(spots))
    }
}

#[derive(Debug)]
pub(super) struct Board {
    pub(super) schedule_id: ScheduleId,
    /// Set once somebody follows the hall's changes.
    pub(super) followed: OnceCell<()>,
    /// Held while loading, so that a crowd loads once.
    pub(super) loading: Mutex<()>,
    /// Whether the board may have missed something.
    doubtful: AtomicBool,
    used: std::sync::Mutex<Instant>,
    /// When the board was last compared with Postgres, or loaded.
    compared: std::sync::Mutex<Instant>,
    state: RwLock<State>,
    /// Held while somebody chooses seats.
    pub(super) choosing: Arc<Mutex<()>>,
    /// Seats that others are about to have.
    pub(super) claims: Claims,
    /// When the last comparison began that somebody waited for; held while there is one.
    pub(super) confirmed: Mutex<Option<Instant>>,
    changes: broadcast::Sender<Arc<[SeatView]>>,
}

impl Board {
    pub(super) fn new(schedule_id: ScheduleId) -> Self {
        Self {
            schedule_id,
            followed: OnceCell::new(),
            loading: Mutex::new(()),
            doubtful: AtomicBool::new(true),
            used: std::sync::Mutex::new(Instant::now()),
            compared: std::sync::Mutex::new(Instant::now()),
            state: RwLock::default(),
            choosing: Arc::default(),
            claims: Claims::default(),
            confirmed: Mutex::default(),
            changes: broadcast::channel(BACKLOG).0,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn doubt(&self) {
        self.doubtful.store(true, Ordering::Release);
    }

    /// Whether the board can be shown as it is.
    pub(super) fn sound(&self) -> bool {
        !self.doubtful.load(Ordering::Acquire)
    }

    /// To be called before the seats are read for [`Board::load`]: what is told from now on counts.
    pub(super) fn begin_load(&self) {
        self.doubtful.store(false, Ordering::Release);
        *self.compared.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether nobody has compared the board with Postgres for that long; then the caller has to do it now.
    pub(super) fn begin_comparison(&self, after: Duration) -> bool {
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        let due = compared.elapsed() >= after;
        if due {
            *compared = Instant::now();
        }
        due
    }

    /// What the hall comes to as it is shown.
    pub(super) fn tally(&self) -> Tally {
        let state = self.read();
        let mut tally = Tally { seats: 0, versions: 0 };
        for seat in &state.seats {
            tally.seats += 1;
            tally.versions += i64::from(seat.version);
        }
        tally
    }

    /// How long ago the board was loaded.
    pub(super) fn age(&self) -> Option<Duration> {
        self.read().loaded.map(|(_, at)| at.elapsed())
    }

    /// Takes in the whole hall. What differs from before is told to subscribers.
    pub(super) fn load(&self, now: Timestamp, seats: Vec<BoardSeat>) {
        let mut state = self.write();
        let mut changed = Vec::new();
        let newest = |seat: BoardSeat| {
            let known = state.by_id.get(&seat.place.id).map(|index| &state.seats[*index]);
            match known {
                // A message that overtook the load is newer than what was loaded.
                Some(known) if known.version > seat.version => known.clone(),
                Some(known) if known.version == seat.version => seat,
                Some(_) => {
                    changed.push(seat.view(now));
                    seat
                }
                None => seat,
            }
        };
        let seats: Vec<BoardSeat> = seats.into_iter().map(newest).collect();
        state.by_id =
            seats.iter().enumerate().map(|(index, seat)| (seat.place.id, index)).collect();
        state.seats = seats;
        state.loaded = Some((now, Instant::now()));
        state.grades.clear();
        drop(state);
        self.tell(changed);
    }

    /// Takes in what was told; of two states of a seat the larger version holds.
    pub(super) fn apply(&self, changes: &[SeatChange]) {
        let mut state = self.write();
        let now = state.now();
        let mut told = Vec::with_capacity(changes.len());
        for change in changes {
            let Some(index) = state.by_id.get(&change.seat_id).copied() else {
                // The first load is on its way, and may have read the seat as it was before.
                self.doubt();
                continue;
            };
            let seat = &mut state.seats[index];
            if change.version > seat.version {
                seat.status = change.status;
                seat.version = change.version;
                seat.hold_expires_at = change.hold_expires_at;
                told.push(seat.view(now));
            }
        }
        drop(state);
        self.tell(told);
    }

    fn tell(&self, changed: Vec<SeatView>) {
        if !changed.is_empty() {
            self.claims.told(changed.iter().map(|seat| seat.place.id));
            // Nobody subscribed is no error.
            drop(self.changes.send(changed.into()));
        }
    }

    /// Notes that somebody is about to look.
    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The seats that a filter lets through, in the order of the hall.
    pub(super) fn seats(&self, filter: &SeatFilter) -> Vec<SeatView> {
        self.read().shown(filter).collect()
    }

    /// How many seats a filter lets through.
    pub(super) fn count(&self, filter: &SeatFilter) -> usize {
        let state = self.read();
        if filter.is_empty() { state.seats.len() } else { state.shown(filter).count() }
    }

    /// How many seats the hall has.
    pub(super) fn size(&self) -> usize {
        self.read().seats.len()
    }

    /// The seats of a grade; `None` when the hall has none.
    pub(super) fn grade(&self, name: &str) -> Option<Arc<SortedGrade>> {
        if let Some(grade) = self.read().grades.get(name) {
            return Some(grade.clone());
        }
        let mut state = self.write();
        let grade = Arc::new(SortedGrade::new(state.grade(name)?));
        state.grades.insert(name.to_owned(), grade.clone());
        Some(grade)
    }

    /// Which seats of a grade are free, apart from some.
    pub(super) fn free(&self, grade: &Grade, without: impl Iterator<Item = SeatId>) -> Vec<bool> {
        let without = self.positions(grade, without);
        let state = self.read();
        let now = state.now();
        let is_free = |spot: &Spot| state.seats.get(spot.index).is_some_and(|it| it.is_free(now));
        let mut free: Vec<bool> = grade.spots().iter().map(is_free).collect();
        without.into_iter().for_each(|at| free[at] = false);
        free
    }

    /// Where in a grade some seats stand; those that are not in it are left out.
    pub(super) fn positions(
        &self,
        grade: &Grade,
        seats: impl Iterator<Item = SeatId>,
    ) -> Vec<usize> {
        let state = self.read();
        seats.filter_map(|id| grade.position(*state.by_id.get(&id)?)).collect()
    }

    /// The seats at some places of a grade.
    pub(super) fn seats_at(&self, spots: &[Spot]) -> Vec<SeatId> {
        let state = self.read();
        spots.iter().filter_map(|spot| Some(state.seats.get(spot.index)?.place.id)).collect()
    }

    /// Batches of changed seats from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<[SeatView]>> {
        self.changes.subscribe()
    }

    pub(super) fn idle(&self) -> bool {
        !self.looked_at_within(IDLE)
    }

    /// Whether somebody is looking at the moment.
    pub(super) fn looked_at(&self) -> bool {
        self.looked_at_within(LOOKING)
    }

    fn looked_at_within(&self, time: Duration) -> bool {
        self.changes.receiver_count() > 0
            || self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed() <= time
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn seat(id: SeatId, status: SeatStatus, version: i32) -> BoardSeat {
        let place = SeatPlace {
            id,
            section: "A".to_owned(),
            row: "A".to_owned(),
            row_index: 1,
            number: 1,
            grade: "R".to_owned(),
            price: Points::ZERO,
            preference: 0,
        };
        BoardSeat { place: Arc::new(place), status, version, hold_expires_at: None }
    }

    fn only(board: &Board) -> (SeatStatus, i32) {
        let seats = board.seats(&SeatFilter::default());
        (seats[0].status, seats[0].version)
    }

    fn change(seat_id: SeatId, status: SeatStatus, version: i32) -> SeatChange {
        SeatChange { seat_id, status, version, hold_expires_at: None }
    }

    #[test]
    fn an_older_message_never_overwrites_a_newer_one() {
        let id = SeatId::new();
        let board = Board::new(ScheduleId::new());
        board.load(Timestamp::UNIX_EPOCH, vec![seat(id, SeatStatus::Available, 1)]);
        board.apply(&[change(id, SeatStatus::SoldOut, 3)]);
        board.apply(&[change(id, SeatStatus::Hold, 2)]);
        assert_eq!(only(&board), (SeatStatus::SoldOut, 3));
        board.load(Timestamp::UNIX_EPOCH, vec![seat(id, SeatStatus::Hold, 2)]);
        assert_eq!(only(&board), (SeatStatus::SoldOut, 3), "not even by a load that began earlier");
    }

    #[test]
    fn a_message_that_overtakes_the_first_load_makes_the_board_doubtful() {
        let id = SeatId::new();
        let board = Board::new(ScheduleId::new());
        board.begin_load();
        board.apply(&[change(id, SeatStatus::Hold, 2)]);
        board.load(Timestamp::UNIX_EPOCH, vec![seat(id, SeatStatus::Available, 1)]);
        assert!(!board.sound());
        board.begin_load();
        board.load(Timestamp::UNIX_EPOCH, vec![seat(id, SeatStatus::Hold, 2)]);
        assert!(board.sound());
    }

    #[test]
    fn a_lapsed_hold_is_shown_free_one_version_on() {
        let id = SeatId::new();
        let board = Board::new(ScheduleId::new());
        let mut held = seat(id, SeatStatus::Hold, 2);
        held.hold_expires_at = Some(Timestamp::UNIX_EPOCH + TimeDelta::seconds(5));
        board.load(Timestamp::UNIX_EPOCH, vec![held.clone()]);
        assert_eq!(only(&board), (SeatStatus::Hold, 2));
        board.load(Timestamp::UNIX_EPOCH + TimeDelta::seconds(5), vec![held]);
        assert_eq!(only(&board), (SeatStatus::Available, 3));
    }

    #[test]
    fn a_reload_tells_subscribers_what_they_missed() {
        let id = SeatId::new();
        let board = Board::new(ScheduleId::new());
        board.load(Timestamp::UNIX_EPOCH, vec![seat(id, SeatStatus::Available, 1)]);
        let mut changes = board.subscribe();
        board.load(Timestamp::UNIX_EPOCH, vec![seat(id, SeatStatus::Hold, 2)]);
        assert_eq!(changes.try_recv().unwrap()[0].status, SeatStatus::Hold);
        board.load(Timestamp::UNIX_EPOCH, vec![seat(id, SeatStatus::Hold, 2)]);
        assert!(changes.try_recv().is_err(), "nothing new");
    }
}
