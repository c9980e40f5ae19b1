//! Answers that may be a moment old: loaded once for everybody who asks at the same time.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio::{sync::OnceCell, task::yield_now};

use crate::kernel::Fault;

/// At most this many answers are kept; then the old ones are thrown away.
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

    /// The answers for some keys; those that are neither there nor on their way are loaded together. `load` answers for
    /// every key that it is given.
    ///
    /// # Errors
    /// The load's fault; the next caller tries again.
    pub async fn get_many<F>(
        &self,
        keys: &[K],
        load: impl Fn(Vec<K>) -> F + Send + Sync,
    ) -> Result<HashMap<K, V>, Fault>
    where
        K: Clone + Sync,
        F: Future<Output = Result<HashMap<K, V>, Fault>> + Send,
    {
        let wanted: Mutex<Vec<K>> = Mutex::default();
        let together: OnceCell<HashMap<K, V>> = OnceCell::new();
        let load_all = || {
            let keys = mem::take(&mut *wanted.lock().unwrap_or_else(PoisonError::into_inner));
            // They were asked for together before, and could not be read: now is no time to ask for each alone.
            let lost = keys.is_empty();
            let loading = load(keys);
            async move {
                if lost {
                    Err(Fault::unavailable("a load that others share failed"))
                } else {
                    loading.await
                }
            }
        };
        let one = async |key: &K| {
            wanted.lock().unwrap_or_else(PoisonError::into_inner).push(key.clone());
            // All the others that find nothing say so before this one goes on.
            yield_now().await;
            if let Some(value) = together.get_or_try_init(load_all).await?.get(key) {
                return Ok(value.clone());
            }
            // Somebody else was to load it and gave up, after all the others had been loaded.
            let alone = load(vec![key.clone()]).await?.remove(key);
            alone.ok_or_else(|| Fault::internal("a load without an answer"))
        };
        let answers = keys.iter().map(|key| async {
            let cell = self.cell(key.clone());
            let value = cell.get_or_try_init(|| one(key)).await?.clone();
            Ok::<_, Fault>((key.clone(), value))
        });
        Ok(try_join_all(answers).await?.into_iter().collect())
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

    #[tokio::test]
    async fn many_are_loaded_together_and_only_those_that_are_missing() {
        let cache = Fresh::new(Duration::from_secs(60));
        let asked: Mutex<Vec<Vec<u32>>> = Mutex::default();
        let load = |keys: Vec<u32>| {
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            asked.lock().unwrap().push(sorted);
            async move {
                yield_now().await;
                if keys.contains(&0) {
                    return Err(Fault::unavailable("away"));
                }
                Ok(keys.into_iter().map(|key| (key, key * key)).collect())
            }
        };
        assert_eq!(cache.get(2, || async { Ok(4) }).await.unwrap(), 4);
        let (one, two) =
            tokio::join!(cache.get_many(&[1, 2, 3, 3], load), cache.get_many(&[3, 4], load));
        assert_eq!(one.unwrap(), HashMap::from([(1, 1), (2, 4), (3, 9)]));
        assert_eq!(two.unwrap(), HashMap::from([(3, 9), (4, 16)]));
        let mut loads = asked.lock().unwrap().clone();
        loads.sort_unstable();
        assert_eq!(loads.concat().len(), 3, "each key once: {loads:?}");
        assert_eq!(loads.len(), 2, "one load for each who asked");
        assert!(cache.get_many(&[0, 5], load).await.is_err());
        assert_eq!(cache.get_many(&[5], load).await.unwrap(), HashMap::from([(5, 25)]));
    }

    #[tokio::test]
    async fn what_another_was_to_load_and_did_not_is_loaded_after_all() {
        let cache = Fresh::new(Duration::from_secs(60));
        let never = || std::future::pending::<Result<u32, Fault>>();
        let mut leaver = Box::pin(cache.get(1, never));
        assert!(futures_util::poll!(&mut leaver).is_pending());
        let load = |keys: Vec<u32>| async move {
            Ok(keys.into_iter().map(|key| (key, key)).collect::<HashMap<_, _>>())
        };
        let mut stayer = Box::pin(cache.get_many(&[1, 2], load));
        for _ in 0..4 {
            assert!(futures_util::poll!(&mut stayer).is_pending());
        }
        drop(leaver);
        assert_eq!(stayer.await.unwrap(), HashMap::from([(1, 1), (2, 2)]));
    }
}
