//! Answers that may be a moment old: loaded once for everybody who asks at the same time.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;

use crate::kernel::Fault;

/// So many answers are kept before the old ones are thrown away.
const SWEEP_ABOVE: usize = 4_096;

/// A cache whose answers are at most `max_age` old, counted from when their load began.
pub struct Fresh<K, V> {
    max_age: Duration,
    slots: Mutex<HashMap<K, Slot<V>>>,
}

struct Slot<V> {
    since: Instant,
    cell: Arc<OnceCell<V>>,
}

impl<K: Hash + Eq + Send, V: Clone + Send + Sync> Fresh<K, V> {
    /// An empty cache.
    pub fn new(max_age: Duration) -> Self {
        Self { max_age, slots: Mutex::default() }
    }

    /// The answer for a key, loaded unless a young one is there or on its way.
    ///
    /// # Errors
    /// The load's fault; the next caller tries again.
    pub async fn get<F>(&self, key: K, load: impl FnOnce() -> F + Send) -> Result<V, Fault>
    where
        F: Future<Output = Result<V, Fault>> + Send,
    {
        let cell = self.cell(key);
        cell.get_or_try_init(load).await.cloned()
    }

    /// Drops an answer that is known to be wrong by now.
    pub fn forget(&self, key: &K) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn cell(&self, key: K) -> Arc<OnceCell<V>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() > SWEEP_ABOVE {
            slots.retain(|_, slot| slot.since.elapsed() < self.max_age);
        }
        let fresh = || Slot { since: Instant::now(), cell: Arc::default() };
        let slot = slots.entry(key).or_insert_with(fresh);
        if slot.since.elapsed() >= self.max_age {
            *slot = fresh();
        }
        slot.cell.clone()
    }
}

impl<K, V> fmt::Debug for Fresh<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("max_age", &self.max_age).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn everybody_who_asks_at_once_shares_one_load_and_a_failed_load_is_tried_again() {
        let cache = Fresh::new(Duration::from_secs(60));
        let loads = AtomicU32::new(0);
        let load = || async {
            tokio::task::yield_now().await;
            match loads.fetch_add(1, Ordering::Relaxed) {
                0 => Err(Fault::unavailable("away")),
                count => Ok(count),
            }
        };
        assert!(cache.get("a", load).await.is_err());
        let (one, two) = tokio::join!(cache.get("a", load), cache.get("a", load));
        assert_eq!((one.unwrap(), two.unwrap()), (1, 1));
        cache.forget(&"a");
        assert_eq!(cache.get("a", load).await.unwrap(), 2);
    }
}
