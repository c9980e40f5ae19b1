//! Gathers the reads of one answer: whatever its fields ask for at the same time goes out as one statement per kind.
//!
//! The crate's `DataLoader` is not used: it waits on a timer, which costs more than a millisecond per level of a query
//! even when told to wait for no time at all. Nothing is kept between batches.

use std::{
    any::{Any, TypeId},
    collections::{HashMap, HashSet},
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::task::yield_now;

use super::{ApiError, ApiResult};

/// What names a thing to read.
pub(super) trait Key: Send + Sync + Hash + Eq + Clone + 'static {}

impl<K: Send + Sync + Hash + Eq + Clone + 'static> Key for K {}

/// Reads things by their keys.
pub(super) trait Loader<K: Key>: Send + Sync + 'static {
    /// What is read.
    type Value: Send + Sync + Clone + 'static;

    /// The things of these keys, in one statement where that can be; keys of nothing are left out.
    fn load(&self, keys: &[K]) -> impl Future<Output = ApiResult<HashMap<K, Self::Value>>> + Send;
}

/// A statement's answer, shared by everybody who waits for it.
type Batch<K, V> = Shared<BoxFuture<'static, ApiResult<Arc<HashMap<K, V>>>>>;

/// The keys gathered so far, and the batch that will ask for them.
struct Gathering<K: Key, V> {
    keys: HashSet<K>,
    batch: Option<Batch<K, V>>,
}

/// What everybody who asks by this type of key meets in.
type Meeting<K, V> = Arc<Mutex<Gathering<K, V>>>;

/// Gathers reads of `R`, which implements `Loader` for every type of key.
pub(super) struct Gatherer<R> {
    reads: Arc<R>,
    /// A [`Meeting`] per type of key.
    gatherings: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl<R: Send + Sync + 'static> Gatherer<R> {
    /// Gathers what `reads` will read.
    pub(super) fn new(reads: R) -> Self {
        Self { reads: Arc::new(reads), gatherings: Mutex::default() }
    }

    /// Reads one thing along with others of its kind; `None` when there is none of this key.
    pub(super) async fn load<K: Key>(&self, key: K) -> ApiResult<Option<R::Value>>
    where
        R: Loader<K>,
    {
        let gathering = self.gathering::<K>()?;
        let batch = {
            let mut open = lock(&gathering);
            open.keys.insert(key.clone());
            open.batch.get_or_insert_with(|| self.batch(&gathering)).clone()
        };
        // The first poll of the batch closes it. Everybody steps back once before that, and so all fields of the answer
        // that can be resolved by now have added their keys.
        yield_now().await;
        Ok(batch.await?.get(&key).cloned())
    }

    /// A batch that closes when it is first polled, and asks for all keys gathered by then.
    ///
    /// Whoever waits drives it, so that it goes on when one of them hangs up, and ends with the last.
    fn batch<K: Key>(&self, gathering: &Meeting<K, R::Value>) -> Batch<K, R::Value>
    where
        R: Loader<K>,
    {
        let (reads, gathering) = (Arc::clone(&self.reads), Arc::clone(gathering));
        let ask = async move {
            let keys: Vec<K> = {
                let mut open = lock(&gathering);
                open.batch = None;
                open.keys.drain().collect()
            };
            reads.load(&keys).await.map(Arc::new)
        };
        ask.boxed().shared()
    }

    fn gathering<K: Key>(&self) -> ApiResult<Meeting<K, R::Value>>
    where
        R: Loader<K>,
    {
        let empty = || Gathering::<K, R::Value> { keys: HashSet::new(), batch: None };
        let mut gatherings = lock(&self.gatherings);
        let any =
            gatherings.entry(TypeId::of::<K>()).or_insert_with(|| Arc::new(Mutex::new(empty())));
        let downcast = Arc::clone(any).downcast();
        downcast.map_err(|_| ApiError::internal("a gathering of another type of key"))
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::kernel::RequestCode;

    type Asked = Arc<Mutex<Vec<Vec<u32>>>>;

    /// Remembers what it was asked; knows nothing of 13, and fails when asked for 0.
    #[derive(Default)]
    struct Squares {
        asked: Asked,
    }

    impl Loader<u32> for Squares {
        type Value = u32;
        async fn load(&self, keys: &[u32]) -> ApiResult<HashMap<u32, u32>> {
            let mut sorted = keys.to_vec();
            sorted.sort_unstable();
            lock(&self.asked).push(sorted);
            yield_now().await;
            if keys.contains(&0) {
                return Err(ApiError::new(RequestCode::Internal, "no square"));
            }
            Ok(keys.iter().filter(|key| **key != 13).map(|key| (*key, key * key)).collect())
        }
    }

    fn gatherer() -> (Gatherer<Squares>, Asked) {
        let squares = Squares::default();
        let asked = Arc::clone(&squares.asked);
        (Gatherer::new(squares), asked)
    }

    #[tokio::test]
    async fn what_is_asked_at_the_same_time_is_read_at_once() {
        let (gatherer, asked) = gatherer();
        let answers = join_all((1..=100).map(|key| gatherer.load(key % 50 + 1))).await;
        assert!(answers.into_iter().all(|answer| answer.is_ok()));
        assert_eq!(*lock(&asked), [(1..=50).collect::<Vec<u32>>()]);
        assert_eq!(gatherer.load(7).await.ok(), Some(Some(49)));
        assert_eq!(gatherer.load(13).await.ok(), Some(None));
        assert_eq!(lock(&asked).len(), 3);
    }

    #[tokio::test]
    async fn a_batch_goes_on_when_somebody_hangs_up() {
        let (gatherer, asked) = gatherer();
        let mut leaver = Box::pin(gatherer.load(2));
        assert!(futures_util::poll!(&mut leaver).is_pending());
        let mut stayer = Box::pin(gatherer.load(3));
        assert!(futures_util::poll!(&mut stayer).is_pending());
        assert!(futures_util::poll!(&mut leaver).is_pending());
        drop(leaver);
        assert_eq!(stayer.await.ok(), Some(Some(9)));
        assert_eq!(*lock(&asked), [[2, 3]]);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_everybody_and_forgotten() {
        let (gatherer, _) = gatherer();
        let (one, two) = tokio::join!(gatherer.load(0), gatherer.load(4));
        assert!(one.is_err() && two.is_err());
        assert_eq!(gatherer.load(4).await.ok(), Some(Some(16)));
    }
}
