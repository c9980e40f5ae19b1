//! A circuit breaker: after a few failures in a row Redis is left alone for a moment, so that nobody waits for it.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// This many failures in a row open the circuit.
const FAILURES_TO_OPEN: u32 = 5;
/// This many failures in a row are remembered as trouble. One alone is bad luck.
const FAILURES_OF_TROUBLE: u32 = 2;
/// After this time one call may try again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Breaker {
    start: Instant,
    failures: AtomicU32,
    /// Milliseconds since `start` at which the next probe may go; meaningful while open.
    probe_at: AtomicU64,
    /// Milliseconds since `start` until which there was trouble; 0 for never.
    trouble_until: AtomicU64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            failures: AtomicU32::new(0),
            probe_at: AtomicU64::new(0),
            trouble_until: AtomicU64::new(0),
        }
    }
}

impl Breaker {
    /// Whether a call may go to Redis now. While open, one caller per [`RETRY_AFTER`] is let through as a probe.
    pub(super) fn permits(&self) -> bool {
        if self.closed() {
            return true;
        }
        let now = self.now();
        let due = self.probe_at.load(Ordering::Relaxed);
        now >= due
            && self
                .probe_at
                .compare_exchange(
                    due,
                    now + millis(RETRY_AFTER),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// Whether calls go through as usual.
    pub(super) fn closed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) < FAILURES_TO_OPEN
    }

    /// Whether several calls in a row have failed within this time.
    pub(super) fn troubled_within(&self, time: Duration) -> bool {
        let until = self.trouble_until.load(Ordering::Relaxed);
        self.failures.load(Ordering::Relaxed) >= FAILURES_OF_TROUBLE
            || (until > 0 && self.now().saturating_sub(until) < millis(time))
    }

    /// Takes in how a call went; `true` when the circuit is open after it.
    pub(super) fn record(&self, success: bool) -> bool {
        if success {
            // Mostly there is nothing to reset, and then nobody else's cache line is taken away.
            if self.failures.load(Ordering::Relaxed) > 0
                && self.failures.swap(0, Ordering::Relaxed) >= FAILURES_OF_TROUBLE
            {
                self.trouble_until.store(self.now().max(1), Ordering::Relaxed);
            }
            return false;
        }
        let open = self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_TO_OPEN;
        if open {
            // Also when a probe has failed: that puts the next one off.
            self.probe_at.store(self.now() + millis(RETRY_AFTER), Ordering::Relaxed);
        }
        open
    }

    fn now(&self) -> u64 {
        millis(self.start.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circuit_opens_after_failures_in_a_row_and_closes_with_the_first_success() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN - 1 {
            breaker.record(false);
        }
        assert!(breaker.permits());
        breaker.record(false);
        assert!(!breaker.permits(), "open");
        breaker.record(true);
        assert!(breaker.permits(), "closed again");
    }

    #[test]
    fn trouble_is_remembered_for_as_long_as_somebody_asks_and_one_failure_is_none() {
        let breaker = Breaker::default();
        let minute = Duration::from_secs(60);
        breaker.record(false);
        breaker.record(true);
        assert!(!breaker.troubled_within(minute));
        breaker.record(false);
        breaker.record(false);
        assert!(breaker.troubled_within(Duration::ZERO), "at this moment");
        breaker.record(true);
        assert!(breaker.troubled_within(minute));
        assert!(!breaker.troubled_within(Duration::ZERO), "over");
    }

    #[test]
    fn one_probe_at_a_time_goes_through_an_open_circuit() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            breaker.record(false);
        }
        breaker.probe_at.store(0, Ordering::Relaxed);
        assert!(breaker.permits(), "the probe");
        assert!(!breaker.permits(), "nobody behind it");
    }
}
