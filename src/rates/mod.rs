//! How often somebody may do something: rates by key, an address or a person, in this instance's memory.
//!
//! The arithmetic is governor's: so many at once, and then one for each period that has passed. The table is ours, because it
//! is bounded: when it is full, those who have not been here for longest are forgotten, and begin anew.

mod table;

use std::{fmt, hash::Hash, num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
};
use table::Table;

/// How often something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    quota: Quota,
}

impl Rate {
    /// So many a second on average, and `burst` at once; `None` for 0, which is no limit.
    pub fn per_second(times: u32, burst: u32) -> Option<Self> {
        Self::new(Quota::per_second, times, burst)
    }

    /// So many a minute on average, and `burst` at once; `None` for 0, which is no limit.
    pub fn per_minute(times: u32, burst: u32) -> Option<Self> {
        Self::new(Quota::per_minute, times, burst)
    }

    fn new(quota: impl FnOnce(NonZeroU32) -> Quota, times: u32, burst: u32) -> Option<Self> {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = quota(NonZeroU32::new(times)?).allow_burst(burst);
        Some(Self { quota })
    }

    /// How long it takes until one more may be done.
    pub const fn period(self) -> Duration {
        self.quota.replenish_interval()
    }

    /// How many may be done at once.
    pub const fn burst(self) -> u32 {
        self.quota.burst_size().get()
    }
}

/// How long somebody has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(Duration);

impl Wait {
    /// A wait of so long.
    pub const fn new(time: Duration) -> Self {
        Self(time)
    }

    /// In whole seconds, 1 at least: when they are over, so is the wait.
    pub fn seconds(self) -> u32 {
        let rounded = self.0.as_millis().div_ceil(1000).max(1);
        u32::try_from(rounded).unwrap_or(u32::MAX)
    }
}

/// One rate, counted for each key by itself. Without a rate everything may be done.
pub struct Rates<K: Hash + Eq + Clone> {
    limiter: Option<RateLimiter<K, Table<K>, MonotonicClock>>,
    table: Table<K>,
    period: Duration,
}

impl<K: Hash + Eq + Clone> Rates<K> {
    /// Nobody has done anything yet.
    pub fn new(rate: Option<Rate>) -> Self {
        let table = Table::default();
        let limiter = rate.map(|rate| RateLimiter::new(rate.quota, table.clone(), MonotonicClock));
        Self { limiter, table, period: rate.map_or(Duration::ZERO, Rate::period) }
    }

    /// Counts one more, if the rate allows it.
    ///
    /// # Errors
    /// How long this key has to wait. What is refused is not counted.
    pub fn take(&self, key: &K) -> Result<(), Wait> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter
            .check_key(key)
            .map_err(|refused| Wait(refused.wait_time_from(limiter.clock().now())))
    }

    /// Takes back one that was counted: it turned out not to be what the rate is for.
    pub fn give_back(&self, key: &K) {
        self.table.sooner(key, self.period);
    }
}

impl<K: Hash + Eq + Clone> fmt::Debug for Rates<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").field("period", &self.period).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_burst() {
        let rates = Rates::new(Rate::per_minute(1, 3));
        for _ in 0..3 {
            assert_eq!(rates.take(&"mina"), Ok(()));
        }
        let wait = rates.take(&"mina").unwrap_err();
        assert!((1..=60).contains(&wait.seconds()), "{wait:?}");
        assert_eq!(rates.take(&"jun"), Ok(()));
    }

    #[test]
    fn what_is_given_back_may_be_done_again() {
        let rates = Rates::new(Rate::per_minute(1, 2));
        for _ in 0..10 {
            assert_eq!(rates.take(&1), Ok(()));
            rates.give_back(&1);
        }
        assert_eq!((rates.take(&1), rates.take(&1)), (Ok(()), Ok(())));
        assert!(rates.take(&1).is_err());
        rates.give_back(&2);
        assert_eq!(rates.take(&2), Ok(()));
    }

    #[test]
    fn what_is_refused_is_not_counted() {
        let rates = Rates::new(Rate::per_second(1_000_000, 1));
        let mut refused = 0;
        for _ in 0..100_000 {
            refused += u32::from(rates.take(&()).is_err());
        }
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(rates.take(&()), Ok(()), "{refused} were refused");
    }

    #[test]
    fn without_a_rate_everything_may_be_done() {
        assert_eq!((Rate::per_second(0, 5), Rate::per_minute(0, 5)), (None, None));
        let rates = Rates::new(None);
        assert!((0..10_000).all(|_| rates.take(&0).is_ok()));
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_that_suffice() {
        for (ms, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_000, 59)] {
            assert_eq!(Wait::new(Duration::from_millis(ms)).seconds(), seconds, "{ms}");
        }
    }
}
