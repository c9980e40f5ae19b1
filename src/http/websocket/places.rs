//! How many sockets one address and one person have.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The sockets that are open, by key.
#[derive(Debug)]
pub(in super::super) struct Places<K> {
    /// So many each; 0 for as many as come.
    most: usize,
    open: Mutex<HashMap<K, usize>>,
}

/// One socket's place; free when this is dropped.
#[derive(Debug)]
pub(in super::super) struct Place<K: Hash + Eq> {
    places: Arc<Places<K>>,
    key: K,
}

impl<K: Hash + Eq + Clone> Places<K> {
    /// Nobody has a socket.
    pub(in super::super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A place for one more; `None` when the key has as many as it may.
    pub(super) fn take(self: &Arc<Self>, key: K) -> Option<Place<K>> {
        let mut open = self.open();
        let count = open.get(&key).copied().unwrap_or(0);
        if self.most > 0 && count >= self.most {
            return None;
        }
        open.insert(key.clone(), count + 1);
        Some(Place { places: self.clone(), key })
    }
}

impl<K> Places<K> {
    fn open(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut open = self.places.open();
        match open.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_so_many_and_is_forgotten_with_the_last() {
        let places = Places::new(2);
        let (one, two) = (places.take("mina"), places.take("mina"));
        assert!(one.is_some() && two.is_some() && places.take("mina").is_none());
        let other = places.take("jun");
        assert!(other.is_some());
        drop(one);
        let three = places.take("mina");
        assert!(three.is_some() && places.take("mina").is_none());
        drop((two, three, other));
        assert!(places.open().is_empty());
        let unlimited = Places::new(0);
        let many: Vec<_> = (0..100).map(|_| unlimited.take(0)).collect();
        assert!(many.iter().all(Option::is_some));
    }
}
