//! How many sockets and event streams one address and one person have.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::transport::Transport;
use crate::{api::Origin, kernel::PersonId, telemetry::LimitLabels};

/// The sockets that are open, by key.
#[derive(Debug)]
pub(super) struct Places<K> {
    /// So many each; 0 for as many as come.
    most: usize,
    open: Mutex<HashMap<K, usize>>,
}

/// One socket's place; free when this is dropped.
#[derive(Debug)]
pub(super) struct Place<K: Hash + Eq> {
    places: Arc<Places<K>>,
    key: K,
}

impl<K: Hash + Eq + Clone> Places<K> {
    /// Nobody has a socket.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A place for one more; `None` when the key has as many as it may.
    fn take(self: &Arc<Self>, key: K) -> Option<Place<K>> {
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

/// There are as many as there may be.
#[derive(Debug)]
pub(super) struct Full;

impl Transport {
    /// A place among those of an address; none is needed where that is not known.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn place_at(&self, origin: Origin) -> Result<Option<Place<IpAddr>>, Full> {
        let Some(address) = origin.0 else { return Ok(None) };
        let place = self.sockets_of_addresses.take(address);
        place.map(Some).ok_or_else(|| self.full("sockets_address"))
    }

    /// A place among those of a person.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn place_of(&self, person_id: PersonId) -> Result<Place<PersonId>, Full> {
        self.sockets_of_people.take(person_id).ok_or_else(|| self.full("sockets_person"))
    }

    fn full(&self, limit: &'static str) -> Full {
        self.metrics.rate_limited.get_or_create(&LimitLabels { limit }).inc();
        Full
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
