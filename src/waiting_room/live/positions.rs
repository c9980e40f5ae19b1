//! Everybody's position as arithmetic: a rank once, and then subtraction.
//!
//! Redis numbers the changes of a line. Change `n` names the people who are gone; everybody behind one of them moves up by
//! one. It also names those who came late, with others behind them already: these others move back by one. A watcher joins
//! with a rank that was true as of some change, and each later change is applied exactly once. Pure: the tests hold it
//! against a naive model.

use std::collections::{BTreeMap, VecDeque};

/// How many changes are remembered for watchers whose rank is older than what was applied already.
const REMEMBERED: usize = 256;

/// The changes do not follow one another, or lie too far back: ranks have to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap;

#[derive(Debug)]
struct Change {
    seq: u64,
    /// Sorted.
    gone: Vec<i64>,
    /// Sorted.
    late: Vec<i64>,
}

impl Change {
    /// By how many places somebody with this number moves up.
    fn moves(&self, number: i64) -> i64 {
        ahead(&self.gone, number) - ahead(&self.late, number)
    }

    /// The smallest number that may move.
    fn first(&self) -> Option<i64> {
        self.gone.first().into_iter().chain(self.late.first()).min().copied()
    }
}

#[derive(Debug)]
struct Spot {
    position: i64,
    as_of: u64,
}

/// The watched part of one line.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// The last change applied; `None` until the first.
    applied: Option<u64>,
    /// The last change by the index, when it was last asked.
    last: Option<u64>,
    recent: VecDeque<Change>,
    spots: BTreeMap<i64, Spot>,
}

impl Positions {
    /// Starts to watch the person with this number, whose rank was `position` (1 for the front) after change `as_of`.
    ///
    /// # Errors
    /// [`Gap`] when changes between `as_of` and now are forgotten; read the rank again.
    pub(super) fn watch(&mut self, number: i64, position: i64, as_of: u64) -> Result<(), Gap> {
        let mut spot = Spot { position, as_of };
        if let Some(applied) = self.applied {
            if as_of < applied {
                let first = self.recent.front().map_or(applied + 1, |change| change.seq);
                if as_of + 1 < first {
                    return Err(Gap);
                }
                for change in self.recent.iter().filter(|change| change.seq > as_of) {
                    spot.position -= change.moves(number);
                    spot.as_of = change.seq;
                }
            }
        } else {
            self.applied = Some(as_of);
        }
        self.spots.insert(number, spot);
        Ok(())
    }

    /// Stops watching.
    pub(super) fn forget(&mut self, number: i64) {
        self.spots.remove(&number);
    }

    /// Applies change `seq`: these numbers, in any order, are gone from the line, and those came late.
    ///
    /// # Errors
    /// [`Gap`] when a change between is missing; nothing is applied, and ranks have to be read again.
    pub(super) fn apply(
        &mut self,
        seq: u64,
        mut gone: Vec<i64>,
        mut late: Vec<i64>,
    ) -> Result<(), Gap> {
        match self.applied {
            Some(applied) if seq <= applied => return Ok(()),
            Some(applied) if seq > applied + 1 => return Err(Gap),
            _ => {}
        }
        gone.sort_unstable();
        late.sort_unstable();
        let change = Change { seq, gone, late };
        if let Some(first) = change.first() {
            for (number, spot) in self.spots.range_mut(first..) {
                if spot.as_of < seq {
                    spot.position -= change.moves(*number);
                }
            }
        }
        self.applied = Some(seq);
        self.recent.push_back(change);
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        Ok(())
    }

    /// Takes in which change is the last by the index; whether the one of the look before has not been applied even now.
    pub(super) fn missed(&mut self, last: u64) -> bool {
        let before = self.last.replace(last);
        self.applied.zip(before).is_some_and(|(applied, before)| applied < before)
    }

    /// Forgets what was applied: all ranks are about to be read again.
    pub(super) fn reset(&mut self) {
        (self.applied, self.last) = (None, None);
        self.recent.clear();
    }

    /// The position of a watched number.
    pub(super) fn position(&self, number: i64) -> Option<i64> {
        self.spots.get(&number).map(|spot| spot.position)
    }
}

/// How many of `gone` (sorted) stood before `number`.
fn ahead(gone: &[i64], number: i64) -> i64 {
    i64::try_from(gone.partition_point(|other| *other < number)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// People enter at the end.
        Enter(u8),
        /// The people at these places (modulo the line's length) are gone, in one change.
        Gone(Vec<u16>),
        /// Somebody who got their number earlier comes into the line late.
        Late(u8),
        /// Somebody starts to watch with a rank of this many changes ago.
        Watch { place: u16, age: u8 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1_u8..20).prop_map(Step::Enter),
            prop::collection::vec(any::<u16>(), 0..8).prop_map(Step::Gone),
            any::<u8>().prop_map(Step::Late),
            (any::<u16>(), 0_u8..5).prop_map(|(place, age)| Step::Watch { place, age }),
        ]
    }

    /// How many changes old a rank may be with which somebody starts to watch.
    const OLDEST: usize = 5;

    /// The arithmetic beside the naive model: the whole line, as it was after each of the last changes.
    struct Game {
        line: BTreeSet<i64>,
        last_number: i64,
        seq: u64,
        history: VecDeque<BTreeSet<i64>>,
        positions: Positions,
        watched: BTreeSet<i64>,
    }

    impl Game {
        fn new() -> Self {
            Self {
                line: BTreeSet::new(),
                // Numbers below zero come first in line like all others.
                last_number: -100,
                seq: 0,
                history: VecDeque::from([BTreeSet::new()]),
                positions: Positions { applied: Some(0), ..Positions::default() },
                watched: BTreeSet::new(),
            }
        }

        fn at(&self, place: u16) -> Option<i64> {
            let place = usize::from(place) % self.line.len().max(1);
            self.line.iter().nth(place).copied()
        }

        fn rank(line: &BTreeSet<i64>, number: i64) -> i64 {
            i64::try_from(line.range(..number).count()).unwrap() + 1
        }

        fn changed(&mut self) {
            self.seq += 1;
            self.history.push_back(self.line.clone());
            if self.history.len() > OLDEST {
                self.history.pop_front();
            }
        }

        fn play(&mut self, step: &Step) {
            match step {
                Step::Enter(count) => {
                    for _ in 0..*count {
                        // Every third number is left out, for those who come late.
                        self.last_number += if self.last_number.rem_euclid(3) == 1 { 2 } else { 1 };
                        self.line.insert(self.last_number);
                    }
                    *self.history.back_mut().unwrap() = self.line.clone();
                }
                Step::Gone(places) => {
                    let gone: BTreeSet<i64> =
                        places.iter().filter_map(|place| self.at(*place)).collect();
                    self.line.retain(|number| !gone.contains(number));
                    self.changed();
                    let numbers = gone.iter().rev().copied().collect();
                    self.positions.apply(self.seq, numbers, vec![]).unwrap();
                    for number in gone {
                        self.positions.forget(number);
                        self.watched.remove(&number);
                    }
                }
                Step::Late(place) => {
                    // Two more than a multiple of three: one of the numbers left out.
                    let number = i64::from(*place) * 3 - 100;
                    if number < self.last_number && self.line.insert(number) {
                        self.changed();
                        self.positions.apply(self.seq, vec![], vec![number]).unwrap();
                    }
                }
                Step::Watch { place, age } => {
                    let age = usize::from(*age).min(self.history.len() - 1);
                    let then = &self.history[self.history.len() - 1 - age];
                    let as_of = self.seq - u64::try_from(age).unwrap();
                    if let Some(number) = self.at(*place).filter(|number| then.contains(number)) {
                        self.positions.watch(number, Self::rank(then, number), as_of).unwrap();
                        self.watched.insert(number);
                    }
                }
            }
        }

        /// The first watched number whose position is not its rank in the line.
        fn mistake(&self) -> Option<i64> {
            let ranks: BTreeMap<i64, i64> = self.line.iter().copied().zip(1..).collect();
            let wrong =
                |number: &&i64| self.positions.position(**number) != ranks.get(*number).copied();
            self.watched.iter().find(wrong).copied()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn positions_agree_with_counting_the_line(steps in prop::collection::vec(step(), 1..120)) {
            let mut game = Game::new();
            for step in steps {
                game.play(&step);
                prop_assert_eq!(game.mistake(), None);
            }
        }
    }

    /// The same for long sequences, which proptest is slow to make; every sequence has a seed of its own.
    #[test]
    fn two_million_random_steps_agree_with_counting_the_line() {
        const SEQUENCES: u64 = 2_000;
        const STEPS: u64 = 1_000;
        for seed in 0..SEQUENCES {
            let (mut state, mut game) = (seed, Game::new());
            let mut random = |below: u64| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            for step in 0..STEPS {
                let place = u16::try_from(random(0x1_0000)).unwrap();
                let small = u8::try_from(random(5)).unwrap();
                let next = match random(10) {
                    // Short lines are quick to count; what matters happens among a few dozen people too.
                    0..3 if game.line.len() < 60 => Step::Enter(small + 1),
                    0..5 => Step::Gone(
                        (0..small).map(|i| place.wrapping_mul(u16::from(i) + 1)).collect(),
                    ),
                    5 => Step::Late(u8::try_from(place % 256).unwrap()),
                    _ => Step::Watch { place, age: small },
                };
                game.play(&next);
                // Mistakes stay, so that looking now and then finds them all.
                if step % 10 == 0 {
                    assert_eq!(game.mistake(), None, "sequence {seed}, step {step}");
                }
            }
            assert_eq!(game.mistake(), None, "sequence {seed}");
        }
    }

    #[test]
    fn a_missing_change_is_noticed_and_a_repeated_one_is_not_applied_twice() {
        let mut positions = Positions::default();
        positions.watch(10, 10, 5).unwrap();
        positions.apply(6, vec![1, 2], vec![]).unwrap();
        positions.apply(6, vec![1, 2], vec![]).unwrap();
        assert_eq!(positions.position(10), Some(8));
        assert_eq!(positions.apply(8, vec![3], vec![]), Err(Gap));
        assert_eq!(positions.position(10), Some(8), "nothing applied");
    }

    #[test]
    fn a_rank_from_before_the_remembered_changes_is_refused() {
        let mut positions = Positions::default();
        positions.watch(1_000, 1_000, 0).unwrap();
        for seq in 1..=u64::try_from(REMEMBERED).unwrap() + 1 {
            positions.apply(seq, vec![], vec![]).unwrap();
        }
        assert_eq!(positions.watch(999, 999, 0), Err(Gap));
        assert_eq!(positions.watch(999, 999, 1), Ok(()));
    }
}
