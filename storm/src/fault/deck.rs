//! Which fault comes when: dealt from a seed, so that a storm can be had again.

use std::time::Duration;

use fastrand::Rng;

use super::kind::Kind;

/// Calm before each fault, in milliseconds: long enough to be well again, and not always the same.
const CALM_MS: std::ops::Range<u64> = 1_500..4_000;

/// One fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) kind: Kind,
    /// Which instance it befalls, where it is one: 0 or 1.
    pub(crate) victim: usize,
    /// Whether some connections survive a silence.
    pub(crate) spares: bool,
    pub(crate) calm: Duration,
}

/// Deals every kind once in a random order, then again, without end.
#[derive(Debug, Clone)]
pub(crate) struct Deck {
    rng: Rng,
    kinds: Vec<Kind>,
    left: Vec<Kind>,
}

impl Deck {
    /// A deck of these kinds; of all, where none is named.
    pub(crate) fn new(seed: u64, kinds: &[Kind]) -> Self {
        let mut kinds = if kinds.is_empty() { Kind::all() } else { kinds.to_vec() };
        // However they were named.
        kinds.sort_unstable();
        kinds.dedup();
        Self { rng: Rng::with_seed(seed), kinds, left: Vec::new() }
    }
}

impl Iterator for Deck {
    type Item = Turn;

    fn next(&mut self) -> Option<Turn> {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            self.rng.shuffle(&mut self.left);
        }
        let kind = self.left.pop()?;
        let (victim, spares) = (self.rng.usize(0..2), self.rng.bool());
        let calm = Duration::from_millis(self.rng.u64(CALM_MS));
        Some(Turn { kind, victim, spares, calm })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn dealt(seed: u64, kinds: &[Kind], count: usize) -> Vec<Turn> {
        Deck::new(seed, kinds).take(count).collect()
    }

    #[test]
    fn the_same_seed_deals_the_same_storm_and_another_seed_another() {
        assert_eq!(dealt(7, &[], 100), dealt(7, &[], 100));
        assert_ne!(dealt(7, &[], 100), dealt(8, &[], 100));
        let (one, other) = ([Kind::KillOne, Kind::RedisAway], [Kind::RedisAway, Kind::KillOne]);
        assert_eq!(dealt(7, &one, 20), dealt(7, &other, 20));
    }

    #[test]
    fn every_kind_comes_once_before_any_comes_twice() {
        let all = Kind::all();
        let turns = dealt(3, &[], all.len() * 2);
        for deck in turns.chunks(all.len()) {
            let kinds: BTreeSet<Kind> = deck.iter().map(|turn| turn.kind).collect();
            assert_eq!(kinds.len(), all.len());
        }
    }

    #[test]
    fn both_instances_have_their_share_and_only_what_was_asked_for_comes() {
        let turns = dealt(5, &[Kind::StopOne], 100);
        assert!(turns.iter().all(|turn| turn.kind == Kind::StopOne));
        let first = turns.iter().filter(|turn| turn.victim == 0).count();
        assert!((25..=75).contains(&first), "{first} of 100");
    }
}
