//! The people who are ACTIVE in one room, as far as this instance knows. So a crowd that looks at seats asks Postgres now
//! and then, and not each time.
//!
//! What Postgres said of a token is a pass for a moment, when the room's changes were followed from before it was asked.
//! Whatever is told of the token afterwards takes the pass away. Any doubt about what is told takes away all of them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    kernel::QueueTokenId,
    waiting_room::{Change, QueueStatus},
};

/// The longest time for which a pass is good. The journal is compared more often, and further back; so this bounds what can
/// go wrong when messages and comparisons both fail.
const TRUSTED: Duration = Duration::from_secs(10);
/// A room whose seats somebody looked at is followed for this long.
const NEEDED: Duration = Duration::from_secs(60);
/// Passes of one room. A caller who finds no place here asks Postgres, as without a pass.
const PASSES_MAX: usize = 100_000;
/// Changes remembered for those who ask Postgres while they are told.
const REMEMBERED: usize = 2_048;

/// The passes of one room.
#[derive(Debug, Default)]
pub(in crate::waiting_room) struct Passes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether all that changes is told at the moment.
    sound: bool,
    /// How often that came into doubt.
    doubts: u64,
    /// How many changes were told.
    told: u64,
    /// The last of them.
    recent: VecDeque<Told>,
    passes: HashMap<QueueTokenId, Pass>,
    /// The tokens that have one, by their numbers in line.
    tokens: HashMap<i64, QueueTokenId>,
    /// When somebody last looked at the seats.
    needed: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    number: i64,
    /// Of a token that is ACTIVE still.
    active: Option<i64>,
}

impl Told {
    /// Whether a token that was ACTIVE with this version is so still, and has done nothing since.
    fn agrees(self, version: i64) -> bool {
        self.active.is_some_and(|told| told <= version)
    }
}

#[derive(Debug, Clone, Copy)]
struct Pass {
    number: i64,
    version: i64,
    until: Instant,
}

/// What Postgres said of an ACTIVE token.
#[derive(Debug, Clone, Copy)]
pub(in crate::waiting_room) struct Found {
    pub id: QueueTokenId,
    pub number: i64,
    pub version: i64,
    /// For how long nothing about it changes by itself.
    pub quiet: Duration,
}

/// Taken before Postgres is asked: what is told from then on counts.
#[derive(Debug, Clone, Copy)]
pub(in crate::waiting_room) struct Asking {
    doubts: u64,
    told: u64,
    at: Instant,
}

impl Passes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that somebody looks at the seats.
    pub(in crate::waiting_room) fn need(&self) {
        self.state().needed = Some(Instant::now());
    }

    /// Whether somebody looked at the seats lately.
    pub(in crate::waiting_room) fn needed(&self) -> bool {
        self.state().needed.is_some_and(|at| at.elapsed() < NEEDED)
    }

    /// Whether a token is known to be ACTIVE. `false` says nothing: ask Postgres.
    pub(in crate::waiting_room) fn knows(&self, id: QueueTokenId) -> bool {
        let state = self.state();
        state.sound && state.passes.get(&id).is_some_and(|pass| Instant::now() < pass.until)
    }

    /// To be called before Postgres is asked.
    pub(in crate::waiting_room) fn ask(&self) -> Asking {
        let state = self.state();
        Asking { doubts: state.doubts, told: state.told, at: Instant::now() }
    }

    /// Keeps what Postgres said, unless something was told or missed since it was asked.
    pub(in crate::waiting_room) fn grant(&self, asking: Asking, found: Found) {
        let mut state = self.state();
        if state.sound && state.doubts == asking.doubts && !state.told_otherwise(asking, &found) {
            let until = asking.at + found.quiet.min(TRUSTED);
            state.keep(found.id, Pass { number: found.number, version: found.version, until });
        }
    }

    /// Takes in what is told of people, by a message or by the journal.
    pub(in crate::waiting_room) fn hear(&self, changes: &[Change]) {
        let mut state = self.state();
        for change in changes {
            let active = (change.status == QueueStatus::Active).then_some(change.version);
            let told = Told { number: change.number, active };
            if let Some(id) = state.tokens.get(&change.number).copied()
                && state.passes.get(&id).is_some_and(|pass| !told.agrees(pass.version))
            {
                state.take(id);
            }
            state.told += 1;
            if state.recent.len() == REMEMBERED {
                state.recent.pop_front();
            }
            state.recent.push_back(told);
        }
    }

    /// Something may have been missed, or is about to be.
    pub(in crate::waiting_room) fn doubt(&self) {
        let mut state = self.state();
        state.sound = false;
        state.doubts += 1;
        state.passes.clear();
        state.tokens.clear();
    }

    /// From now on everything is told.
    pub(in crate::waiting_room) fn trust(&self) {
        self.state().sound = true;
    }
}

impl State {
    /// Whether, since Postgres was asked, something was told that it may not have known; or too much, to be sure.
    fn told_otherwise(&self, asking: Asking, found: &Found) -> bool {
        let Ok(since) = usize::try_from(self.told - asking.told) else { return true };
        let contradicts = |told: &Told| told.number == found.number && !told.agrees(found.version);
        since > self.recent.len() || self.recent.iter().rev().take(since).any(contradicts)
    }

    fn keep(&mut self, id: QueueTokenId, pass: Pass) {
        if self.passes.len() >= PASSES_MAX && !self.passes.contains_key(&id) {
            let now = Instant::now();
            self.passes.retain(|_, pass| now < pass.until);
            let passes = &self.passes;
            self.tokens.retain(|_, id| passes.contains_key(id));
            if self.passes.len() >= PASSES_MAX {
                return;
            }
        }
        self.tokens.insert(pass.number, id);
        self.passes.insert(id, pass);
    }

    fn take(&mut self, id: QueueTokenId) {
        if let Some(pass) = self.passes.remove(&id) {
            self.tokens.remove(&pass.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::PersonId;

    const LONG: Duration = Duration::from_secs(60);

    fn found(number: i64) -> Found {
        Found { id: QueueTokenId::new(), number, version: 3, quiet: LONG }
    }

    fn change(number: i64, status: QueueStatus, version: i64) -> Change {
        let person_id = PersonId::new();
        Change {
            number,
            person_id,
            status,
            version,
            activated_at: None,
            expires_at: None,
            ended_because: None,
            was_active: false,
        }
    }

    fn sound() -> Passes {
        let passes = Passes::default();
        passes.trust();
        passes
    }

    #[test]
    fn what_postgres_said_is_known_until_something_else_is_told() {
        for (told, stays) in [
            (change(7, QueueStatus::Expired, 3), false),
            (change(7, QueueStatus::Used, 1), false),
            (change(7, QueueStatus::Active, 4), false),
            (change(7, QueueStatus::Active, 3), true),
            (change(8, QueueStatus::Expired, 9), true),
        ] {
            let (passes, found) = (sound(), found(7));
            assert!(!passes.knows(found.id));
            passes.grant(passes.ask(), found);
            assert!(passes.knows(found.id));
            passes.hear(std::slice::from_ref(&told));
            assert_eq!(passes.knows(found.id), stays, "{told:?}");
        }
    }

    #[test]
    fn what_is_told_while_postgres_is_asked_counts() {
        let (passes, found) = (sound(), found(7));
        let asking = passes.ask();
        passes.hear(&[change(7, QueueStatus::Expired, 3)]);
        passes.grant(asking, found);
        assert!(!passes.knows(found.id));
        // What was told before is in what Postgres says.
        passes.grant(passes.ask(), found);
        assert!(passes.knows(found.id));
    }

    #[test]
    fn whoever_was_told_too_much_meanwhile_cannot_be_sure() {
        let (passes, found) = (sound(), found(7));
        let asking = passes.ask();
        passes.hear(&[change(7, QueueStatus::Expired, 3)]);
        let others = i64::try_from(REMEMBERED).unwrap();
        let others: Vec<_> = (0..others).map(|n| change(100 + n, QueueStatus::Used, 1)).collect();
        passes.hear(&others);
        passes.grant(asking, found);
        assert!(!passes.knows(found.id));
    }

    #[test]
    fn doubt_takes_all_away_and_lets_nobody_in_who_asked_before_it() {
        let (passes, found) = (sound(), found(7));
        passes.grant(passes.ask(), found);
        let asking = passes.ask();
        passes.doubt();
        assert!(!passes.knows(found.id));
        passes.grant(passes.ask(), found);
        assert!(!passes.knows(found.id), "not before everything is told again");
        passes.trust();
        passes.grant(asking, found);
        assert!(!passes.knows(found.id));
        passes.grant(passes.ask(), found);
        assert!(passes.knows(found.id));
    }

    #[test]
    fn a_pass_is_good_for_a_moment_only() {
        let (passes, mut found) = (sound(), found(7));
        found.quiet = Duration::ZERO;
        passes.grant(passes.ask(), found);
        assert!(!passes.knows(found.id));
        found.quiet = LONG;
        let mut asking = passes.ask();
        asking.at = asking.at.checked_sub(TRUSTED).unwrap();
        passes.grant(asking, found);
        assert!(!passes.knows(found.id), "counted from when Postgres was asked");
    }

    #[test]
    fn a_full_room_keeps_the_passes_that_it_has() {
        let passes = sound();
        let most = i64::try_from(PASSES_MAX).unwrap();
        let all: Vec<Found> = (0..=most).map(found).collect();
        for found in &all {
            passes.grant(passes.ask(), *found);
        }
        assert!(passes.knows(all[0].id));
        assert!(!passes.knows(all[PASSES_MAX].id));
        passes.hear(&[change(0, QueueStatus::Used, 9)]);
        passes.grant(passes.ask(), all[PASSES_MAX]);
        assert!(passes.knows(all[PASSES_MAX].id));
        let state = passes.state();
        assert_eq!((state.passes.len(), state.tokens.len()), (PASSES_MAX, PASSES_MAX));
    }
}
