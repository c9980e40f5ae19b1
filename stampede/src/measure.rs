//! What operations take and how they end, gathered while the rehearsal runs.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::history::{Clock, Ms};

/// What is measured apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    Enter,
    Poll,
    Compare,
    Leave,
    Subscribe,
    Seats,
    Hold,
    HoldBest,
    Cancel,
    Balance,
    Charge,
    Pay,
    Room,
    Audit,
    Organize,
}

impl Op {
    /// Its name in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enter => "enterQueue",
            Self::Poll => "queueStatus",
            Self::Compare => "queueStatus (after a push)",
            Self::Leave => "leaveQueue",
            Self::Subscribe => "subscribe, to the first push",
            Self::Seats => "seats",
            Self::Hold => "holdSeat",
            Self::HoldBest => "holdBestSeats",
            Self::Cancel => "cancelReservation",
            Self::Balance => "balance",
            Self::Charge => "charge",
            Self::Pay => "pay",
            Self::Room => "schedule (the room)",
            Self::Audit => "walletEntries and reservations",
            Self::Organize => "the organizer's",
        }
    }

    /// Whether its refusals are shown over time.
    const fn sells(self) -> bool {
        matches!(self, Self::Hold | Self::HoldBest | Self::Pay)
    }
}

/// A distribution of times.
#[derive(Debug, Clone, Copy, Default, Serialize, PartialEq)]
pub struct Spread {
    pub count: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// Times from a microsecond to ten minutes, to three digits.
#[derive(Debug, Clone)]
pub struct Times(Option<Histogram<u32>>);

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

impl Times {
    const LONGEST_US: u64 = 600_000_000;

    /// Nothing yet.
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, Self::LONGEST_US, 3).ok())
    }

    pub fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(us.clamp(1, Self::LONGEST_US));
        }
    }

    /// In milliseconds.
    pub fn spread(&self) -> Spread {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Spread::default();
        };
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        Spread {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: ms(histogram.max()),
        }
    }

    /// Points of the cumulated distribution: percentile and milliseconds, denser towards the end.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Vec::new();
        };
        const TAIL: [f64; 6] = [0.985, 0.99, 0.995, 0.999, 0.9999, 1.0];
        let body = (0..40_u32).map(|step| f64::from(step) / 40.0);
        body.chain(TAIL).map(|at| (at * 100.0, ms(histogram.value_at_quantile(at)))).collect()
    }
}

fn ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1e3
}

/// How many of what by second; the second counts from the start.
pub type BySecond = BTreeMap<String, BTreeMap<i64, u64>>;

#[derive(Debug)]
struct Measured {
    times: BTreeMap<Op, Times>,
    /// Outcomes by code; "OK" for success.
    outcomes: BTreeMap<Op, BTreeMap<String, u64>>,
    sales: BySecond,
    queued: Times,
    pushes: BTreeMap<i64, u64>,
}

/// Counts, for people who watch while it runs.
#[derive(Debug, Default)]
pub struct Live {
    pub arrived: AtomicU64,
    pub entered: AtomicU64,
    pub admitted: AtomicU64,
    pub sold: AtomicU64,
    pub done: AtomicU64,
    pub pushes: AtomicU64,
    pub failures: AtomicU64,
    pub sockets: AtomicU64,
    /// When we heard that the last seat was paid for.
    pub last_sale: AtomicI64,
}

/// One more, or one less.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Takes in what is measured.
#[derive(Debug)]
pub struct Recorder {
    pub clock: Clock,
    pub started: Ms,
    pub live: Live,
    measured: Mutex<Measured>,
}

impl Recorder {
    pub fn new(clock: Clock) -> Self {
        Self {
            started: clock.now(),
            clock,
            live: Live::default(),
            measured: Mutex::new(Measured {
                times: BTreeMap::new(),
                outcomes: BTreeMap::new(),
                sales: BySecond::new(),
                queued: Times::new(),
                pushes: BTreeMap::new(),
            }),
        }
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn second(&self) -> i64 {
        (self.clock.now() - self.started) / 1_000
    }

    /// How long an operation took, or how long it was waited for in vain.
    pub fn took(&self, op: Op, latency: Duration) {
        self.measured().times.entry(op).or_default().record(latency);
    }

    /// How long a request waited for a connection of ours.
    pub fn queued(&self, op: Op, wait: Duration) {
        // Everybody leaves and is looked at in one go at the end, when nobody is in a hurry.
        if !matches!(op, Op::Leave | Op::Audit) {
            self.measured().queued.record(wait);
        }
    }

    /// How an operation ended.
    pub fn ended(&self, op: Op, code: &str) {
        let second = self.second();
        let mut measured = self.measured();
        let outcomes = measured.outcomes.entry(op).or_default();
        *outcomes.entry(code.to_owned()).or_default() += 1;
        if op.sells() {
            let name = if code == "OK" {
                if op == Op::Pay { "paid" } else { "held" }.to_owned()
            } else {
                code.to_owned()
            };
            *measured.sales.entry(name).or_default().entry(second).or_default() += 1;
        }
        drop(measured);
        if is_fault(code) {
            count(&self.live.failures);
        }
    }

    /// A push has come.
    pub fn pushed(&self) {
        count(&self.live.pushes);
        let second = self.second();
        *self.measured().pushes.entry(second).or_default() += 1;
    }

    /// Everything so far.
    pub fn figures(&self) -> Figures {
        let measured = self.measured();
        let operations = measured
            .outcomes
            .iter()
            .map(|(op, outcomes)| {
                let times = measured.times.get(op);
                Operation {
                    name: op.name(),
                    times: times.map(Times::spread).unwrap_or_default(),
                    curve: times.map(Times::curve).unwrap_or_default(),
                    outcomes: outcomes.clone(),
                }
            })
            .collect();
        Figures {
            operations,
            sales: measured.sales.clone(),
            queued: measured.queued.spread(),
            pushes: measured.pushes.clone(),
        }
    }
}

/// Whether an outcome says that the server or the way to it failed, rather than that it refused. Its first word tells; who or
/// what did so may follow.
pub fn is_fault(outcome: &str) -> bool {
    let word = outcome.split(' ').next().unwrap_or_default();
    ["INTERNAL", "TIMEOUT", "CONNECTION", "MALFORMED", "OVERLOADED", "HTTP", "TLS", "CLOSED"]
        .contains(&word)
}

/// One operation of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Operation {
    pub name: &'static str,
    pub times: Spread,
    pub curve: Vec<(f64, f64)>,
    pub outcomes: BTreeMap<String, u64>,
}

/// What was measured of all operations.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    pub operations: Vec<Operation>,
    pub sales: BySecond,
    /// What requests waited for a connection of ours.
    pub queued: Spread,
    pub pushes: BTreeMap<i64, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times_recorded() {
        let mut times = Times::new();
        for ms in 1..=1_000 {
            times.record(Duration::from_millis(ms));
        }
        let spread = times.spread();
        assert_eq!(spread.count, 1_000);
        for (found, expected) in
            [(spread.p50, 500.0), (spread.p90, 900.0), (spread.p99, 990.0), (spread.max, 1_000.0)]
        {
            assert!((found - expected).abs() <= expected * 0.002, "{found} is not {expected}");
        }
        let curve = times.curve();
        assert!(curve.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{curve:?}");
    }

    #[test]
    fn nothing_recorded_is_no_error_and_what_is_too_long_is_kept_as_the_longest() {
        assert_eq!(Times::new().spread(), Spread::default());
        let mut times = Times::new();
        times.record(Duration::from_secs(100_000));
        assert!(times.spread().max >= 599_000.0);
    }

    #[test]
    fn outcomes_are_counted_by_code_and_sales_by_second() {
        let recorder = Recorder::new(Clock::start());
        recorder.took(Op::Hold, Duration::from_millis(3));
        recorder.ended(Op::Hold, "OK");
        recorder.ended(Op::Hold, "SEAT_HELD");
        recorder.ended(Op::Enter, "INTERNAL");
        let figures = recorder.figures();
        let hold = figures.operations.iter().find(|op| op.name == "holdSeat").unwrap();
        assert_eq!((hold.outcomes["OK"], hold.outcomes["SEAT_HELD"]), (1, 1));
        assert_eq!(figures.sales["held"].values().sum::<u64>(), 1);
        assert_eq!(recorder.live.failures.load(Ordering::Relaxed), 1);
    }
}
