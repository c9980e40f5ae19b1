//! The state of each key, in a table that does not grow beyond a size.

use std::{
    collections::HashMap,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{nanos::Nanos, state::StateStore};

/// Keys that are remembered at most.
const KEYS_MAX: usize = 100_000;

/// Two generations: a key that is used is in the young one. When that is full it becomes the old one, and the keys that
/// have not been used since the last time are forgotten. So nothing is ever looked through. Clones share the state.
#[derive(Clone)]
pub(super) struct Table<K> {
    half: usize,
    generations: Arc<Mutex<Generations<K>>>,
}

struct Generations<K> {
    young: HashMap<K, Nanos>,
    old: HashMap<K, Nanos>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self::of(KEYS_MAX)
    }
}

impl<K> Table<K> {
    fn of(keys: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Self { half: (keys / 2).max(1), generations: Arc::new(Mutex::new(generations)) }
    }

    fn generations(&self) -> MutexGuard<'_, Generations<K>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Table<K> {
    /// Lets a key have the next one sooner, if it is known.
    pub(super) fn sooner(&self, key: &K, time: Duration) {
        let mut generations = self.generations();
        let Generations { young, old } = &mut *generations;
        if let Some(state) = young.get_mut(key).or_else(|| old.get_mut(key)) {
            *state = state.saturating_sub(time.into());
        }
    }
}

impl<K: Hash + Eq + Clone> StateStore for Table<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut generations = self.generations();
        let Generations { young, old } = &mut *generations;
        if let Some(state) = young.get_mut(key) {
            let (answer, next) = measure(Some(*state))?;
            *state = next;
            return Ok(answer);
        }
        let before = old.remove(key);
        let measured = measure(before);
        // A key that is refused is in use as well.
        let state = measured.as_ref().map_or(before, |(_, next)| Some(*next));
        if let Some(state) = state {
            if young.len() >= self.half {
                *old = mem::take(young);
            }
            young.insert(key.clone(), state);
        }
        measured.map(|(answer, _)| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts up, from 1 for a key that is not known.
    fn count(table: &Table<u32>, key: u32) -> u64 {
        let counted = table.measure_and_replace(&key, |before| {
            let count = before.map_or(0, Nanos::as_u64) + 1;
            Ok::<_, ()>((count, Nanos::new(count)))
        });
        counted.unwrap()
    }

    #[test]
    fn a_full_table_forgets_who_has_not_been_here_for_longest() {
        let table = Table::of(10);
        assert_eq!((count(&table, 0), count(&table, 0)), (1, 2));
        for key in 1..1_000 {
            assert_eq!(count(&table, key), 1);
            // Who comes again and again is remembered.
            assert_eq!(count(&table, 0), u64::from(key) + 2);
            let generations = table.generations();
            assert!(generations.young.len() + generations.old.len() <= 10);
        }
        assert_eq!(count(&table, 1), 1, "it was forgotten");
    }

    #[test]
    fn who_is_refused_is_remembered() {
        let table = Table::of(4);
        count(&table, 0);
        for key in 1..100 {
            count(&table, key);
            let refused = table.measure_and_replace(&0, Err::<((), Nanos), _>);
            assert_eq!(refused, Err(Some(Nanos::new(1))));
        }
    }
}
