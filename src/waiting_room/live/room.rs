//! One room of this instance: who watches, what they were shown last, and the arithmetic in between.
//!
//! Everything here happens in memory. `follow` feeds it with what Redis and the journal say.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::{Notify, SetOnce};

use super::{
    passes::Passes,
    positions::{Gap, Positions},
    screen::{Screen, ScreenWatch},
    view::View,
};
use crate::{
    kernel::{PersonId, ScheduleId},
    waiting_room::{
        Change, Event, QueueStatus, QueueToken, RoomStatus, Summary, announce::Message,
        index::Ranks, rules,
    },
};

/// Changes of status remembered for people who subscribe while they are being told.
const REMEMBERED_CHANGES: usize = 2_048;

#[derive(Debug)]
struct Watcher {
    person_id: PersonId,
    /// Of this person on this instance: tabs and devices.
    watches: usize,
    screen: Arc<Screen>,
    shown_at: Instant,
}

#[derive(Debug)]
struct State {
    /// Whether positions can be trusted; if not, ranks are read again at the next tick.
    synced: bool,
    generation: Option<u64>,
    positions: Positions,
    watchers: BTreeMap<i64, Watcher>,
    recent: VecDeque<Change>,
    summary: Option<Summary>,
    /// Something changed that may be worth showing.
    dirty: bool,
}

/// One watched room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) schedule_id: ScheduleId,
    /// Watches, and those about to be. The room is given up when there are none, and nobody needs a pass.
    pub(super) watches: AtomicUsize,
    /// People known to be ACTIVE; under a lock of its own, because showing positions takes long.
    pub(super) passes: Arc<Passes>,
    claimed: AtomicBool,
    followed: SetOnce<()>,
    /// Rung when the room's summary has to be read again.
    pub(super) bell: Notify,
    state: Mutex<State>,
}

impl Room {
    pub(super) fn new(schedule_id: ScheduleId) -> Self {
        Self {
            schedule_id,
            watches: AtomicUsize::new(0),
            passes: Arc::default(),
            claimed: AtomicBool::new(false),
            followed: SetOnce::new(),
            bell: Notify::new(),
            state: Mutex::new(State {
                synced: true,
                generation: None,
                positions: Positions::default(),
                watchers: BTreeMap::new(),
                recent: VecDeque::new(),
                summary: None,
                dirty: false,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `true` for the one caller who has to start following the room's events.
    pub(super) fn claim_following(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Says that events arrive from now on.
    pub(super) fn set_followed(&self) {
        // Only the one follower says so.
        _ = self.followed.set(());
    }

    /// Whether anybody has ever followed it.
    pub(super) fn is_followed(&self) -> bool {
        self.followed.initialized()
    }

    /// Waits until events arrive.
    pub(super) async fn followed(&self) {
        self.followed.wait().await;
    }

    /// Lets a person watch. `ranks` says where they stand; without it (no Redis) `position` is from the journal.
    ///
    /// # Errors
    /// [`Gap`] when the rank is too old; look again.
    pub(super) fn join(
        &self,
        token: &QueueToken,
        ranks: Option<&Ranks>,
        position: Option<i64>,
    ) -> Result<ScreenWatch, Gap> {
        let mut state = self.state();
        let waiting = state.summary.map_or(0, |summary| summary.waiting);
        let mut view = View::of(token, position, waiting);
        if token.status == QueueStatus::Waiting {
            if let (Some(ranks), Some(summary)) = (ranks, &mut state.summary) {
                summary.waiting = ranks.waiting;
            }
            match (ranks, position) {
                _ if state.before_draw() => view.position = None,
                (Some(ranks), Some(position)) if state.follows(ranks.generation) => {
                    state.positions.watch(token.number, position, ranks.seq)?;
                    view.position = state.positions.position(token.number);
                    view.waiting = ranks.waiting;
                }
                _ => state.synced = false,
            }
        }
        // What was told between reading the token and now.
        if let Some(change) = state.recent.iter().rev().find(|change| change.number == token.number)
        {
            view = view.changed(change);
        }
        view = view.estimated(state.summary.as_ref());
        let watcher = state.watchers.entry(token.number).or_insert_with(|| Watcher {
            person_id: token.person_id,
            watches: 0,
            screen: Screen::new(view),
            shown_at: Instant::now(),
        });
        watcher.watches += 1;
        if view.is_further_than(&watcher.screen.view()) {
            watcher.screen.show(view);
        }
        Ok(watcher.screen.watch())
    }

    /// A watch has ended.
    pub(super) fn leave(&self, number: i64) {
        let mut state = self.state();
        let Some(watcher) = state.watchers.get_mut(&number) else { return };
        watcher.watches -= 1;
        if watcher.watches == 0 {
            state.watchers.remove(&number);
            state.positions.forget(number);
        }
    }

    /// Takes in what Redis has told.
    pub(super) fn apply(&self, message: Message) {
        let mut state = self.state();
        let follows = state.follows(message.generation)
            && state.positions.apply(message.seq, message.gone, message.late).is_ok();
        if !follows {
            state.synced = false;
            self.passes.doubt();
        }
        self.passes.hear(&message.event.changes);
        if let Some(summary) = &mut state.summary {
            summary.waiting = message.waiting;
        }
        state.take_in(&message.event);
        if message.event.room_changed {
            self.bell.notify_one();
        }
    }

    /// Takes in what this instance knows without Redis; positions are then read again.
    pub(super) fn apply_unnumbered(&self, event: &Event) {
        let mut state = self.state();
        state.synced = false;
        self.passes.doubt();
        self.passes.hear(&event.changes);
        state.take_in(event);
        if event.room_changed {
            self.bell.notify_one();
        }
    }

    /// Takes in changes of status read from the journal; those known already change nothing.
    pub(super) fn reconcile(&self, changes: Vec<Change>) {
        self.passes.hear(&changes);
        let mut state = self.state();
        for change in changes {
            state.take_in_change(&change);
        }
    }

    /// Takes in how the room stands.
    pub(super) fn set_summary(&self, summary: Summary) {
        let mut state = self.state();
        state.dirty |= state.summary != Some(summary);
        // From the draw on everybody has a position, which was not followed until now.
        state.synced &= summary.before_draw() || !state.before_draw();
        state.summary = Some(summary);
    }

    /// Messages may have been missed.
    pub(super) fn doubt(&self) {
        self.state().synced = false;
        self.passes.doubt();
    }

    /// All ranks were read again: unless something was missed meanwhile, everything is told from now on.
    pub(super) fn resume(&self) {
        let state = self.state();
        if state.synced {
            self.passes.trust();
        }
    }

    /// Doubts the positions when the index has told of changes, for a while now, that have not arrived here.
    pub(super) fn check(&self, index: &Ranks) {
        let mut state = self.state();
        let Some(followed) = state.generation else { return };
        if followed != index.generation || state.positions.missed(index.seq) {
            state.synced = false;
            self.passes.doubt();
        }
    }

    /// Everybody whose rank has to be read again, or `None` when positions are sound.
    pub(super) fn to_resync(&self) -> Option<Vec<(i64, PersonId)>> {
        let mut state = self.state();
        if state.synced {
            return None;
        }
        // Messages that arrive from now on are newer than the ranks about to be read, or are skipped by their number.
        state.positions.reset();
        state.generation = None;
        state.synced = true;
        let waiting = |watcher: &Watcher| watcher.screen.view().status == QueueStatus::Waiting;
        Some(
            state
                .watchers
                .iter()
                .filter(|(_, w)| waiting(w))
                .map(|(number, w)| (*number, w.person_id))
                .collect(),
        )
    }

    /// Takes in ranks that were read again, for the given numbers in the same order.
    pub(super) fn resynced(&self, numbers: &[i64], ranks: &Ranks) {
        let mut state = self.state();
        if !state.follows(ranks.generation) {
            state.synced = false;
            return;
        }
        let shown = !state.before_draw();
        for (number, position) in numbers.iter().zip(&ranks.positions).filter(|_| shown) {
            // People who stopped watching while the ranks were read have been forgotten.
            let watched = state.watchers.contains_key(number);
            if watched
                && *position > 0
                && state.positions.watch(*number, *position, ranks.seq).is_err()
            {
                state.synced = false;
            }
        }
        if let Some(summary) = &mut state.summary {
            summary.waiting = ranks.waiting;
        }
        state.dirty = true;
    }

    /// Shows positions from the journal while Redis is away.
    pub(super) fn show_journal(&self, line: &[i64]) {
        let mut state = self.state();
        state.synced = false;
        if let Some(summary) = &mut state.summary {
            summary.waiting = i64::try_from(line.len()).unwrap_or(i64::MAX);
        }
        state.show_room();
        if state.before_draw() {
            return state.show_crowd();
        }
        let numbers: Vec<i64> = state.watchers.keys().copied().collect();
        for number in numbers {
            state.show(number, rules::position_in(line, number));
        }
    }

    /// Shows everybody what is worth showing.
    pub(super) fn flush(&self) {
        let mut state = self.state();
        if !std::mem::take(&mut state.dirty) || !state.synced {
            return;
        }
        state.show_room();
        if state.before_draw() {
            return state.show_crowd();
        }
        let positions: Vec<(i64, i64)> = state
            .watchers
            .keys()
            .filter_map(|number| {
                state.positions.position(*number).map(|position| (*number, position))
            })
            .collect();
        for (number, position) in positions {
            state.show(number, position);
        }
    }

    /// Everybody in line who watches: their presence is to be renewed.
    pub(super) fn present(&self) -> Vec<PersonId> {
        let state = self.state();
        state.watchers.values().map(|watcher| watcher.person_id).collect()
    }

    /// Everybody who watches and is in: their end may have been missed.
    pub(super) fn active(&self) -> Vec<i64> {
        let active = |watcher: &Watcher| watcher.screen.view().status == QueueStatus::Active;
        let state = self.state();
        state.watchers.iter().filter(|(_, w)| active(w)).map(|(number, _)| *number).collect()
    }

    /// Whether somebody watches this number.
    pub(super) fn watches(&self, number: i64) -> bool {
        self.state().watchers.contains_key(&number)
    }
}

impl State {
    /// Whether this is the generation that positions are counted in; the first one seen is.
    fn follows(&mut self, generation: u64) -> bool {
        *self.generation.get_or_insert(generation) == generation
    }

    /// Whether people are entering a draw, or may be, and nobody has a position yet.
    fn before_draw(&self) -> bool {
        self.summary.is_none_or(|summary| summary.before_draw())
    }

    /// What the room does concerns everybody who has a place, near the front or far back.
    fn show_room(&mut self) {
        let Some(summary) = self.summary else { return };
        for watcher in self.watchers.values_mut() {
            let current = watcher.screen.view();
            if !current.status.ended() && !current.tells(&summary) {
                watcher.shown_at = Instant::now();
                watcher.screen.show(current.estimated(Some(&summary)));
            }
        }
    }

    /// Before the draw: how many take part is all that there is to see.
    fn show_crowd(&mut self) {
        let Some(waiting) = self.summary.map(|summary| summary.waiting) else { return };
        for watcher in self.watchers.values_mut() {
            let current = watcher.screen.view();
            let since = watcher.shown_at.elapsed();
            if current.status == QueueStatus::Waiting
                && rules::worth_showing(current.waiting, waiting, since)
            {
                watcher.shown_at = Instant::now();
                watcher.screen.show(View { position: None, waiting, ..current });
            }
        }
    }

    fn take_in(&mut self, event: &Event) {
        self.dirty = true;
        for change in &event.changes {
            self.take_in_change(change);
        }
    }

    fn take_in_change(&mut self, change: &Change) {
        // People who are admitted right after the opening are told before the summary is read again.
        if change.status == QueueStatus::Active
            && let Some(summary) = &mut self.summary
            && summary.status == RoomStatus::Prequeue
        {
            summary.status = RoomStatus::Open;
        }
        let summary = self.summary;
        if let Some(watcher) = self.watchers.get_mut(&change.number) {
            let current = watcher.screen.view();
            let next = current.changed(change);
            if next != current {
                let next = next.estimated(summary.as_ref());
                watcher.shown_at = Instant::now();
                watcher.screen.show(next);
            }
        }
        self.recent.push_back(change.clone());
        if self.recent.len() > REMEMBERED_CHANGES {
            self.recent.pop_front();
        }
    }

    fn show(&mut self, number: i64, position: i64) {
        let summary = self.summary;
        let Some(watcher) = self.watchers.get_mut(&number) else { return };
        let current = watcher.screen.view();
        if current.status != QueueStatus::Waiting {
            return;
        }
        let next = View { position: Some(position), ..current }.estimated(summary.as_ref());
        let shown = current.position.unwrap_or(i64::MAX);
        let told_or_untold = current.wait_seconds.is_some() != next.wait_seconds.is_some();
        if told_or_untold || rules::worth_showing(shown, position, watcher.shown_at.elapsed()) {
            watcher.shown_at = Instant::now();
            watcher.screen.show(next);
        }
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
