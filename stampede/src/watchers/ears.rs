//! What the watchers hear, and how a change reaches them.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use super::room::configure;
use crate::{
    Result,
    api::Api,
    measure::{Spread, Times},
    process::cpu_seconds,
};

/// One push.
#[derive(Debug, Clone, Copy)]
struct Heard {
    subscription: usize,
    at: Instant,
    /// It told that the person is not WAITING any more; the others told of the place in line.
    status: bool,
}

/// What came when, since the watchers were asked to listen.
#[derive(Debug, Default)]
pub(super) struct Ears {
    heard: Mutex<Vec<Heard>>,
    /// Sockets.
    pub(super) lost: AtomicUsize,
    /// Subscriptions last told of WAITING; the others are no longer told of the line.
    waiting: AtomicUsize,
}

impl Ears {
    /// Whether a push tells of WAITING; counts what begins and what ends.
    pub(super) fn note(&self, push: &[u8], was_waiting: bool) -> bool {
        const WAITING: &[u8] = br#""status":"WAITING""#;
        let waiting = push.windows(WAITING.len()).any(|window| window == WAITING);
        match (was_waiting, waiting) {
            (false, true) => drop(self.waiting.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.waiting.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
        waiting
    }

    /// Takes in a push to a subscription; whether it is WAITING now.
    pub(super) fn hear(&self, subscription: usize, push: &[u8], was_waiting: bool) -> bool {
        let waiting = self.note(push, was_waiting);
        let heard = Heard { subscription, at: Instant::now(), status: was_waiting && !waiting };
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
        waiting
    }

    fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How one kind of push arrived.
#[derive(Debug, Default, Serialize)]
pub(super) struct Arrival {
    /// Subscriptions that were told.
    pub(super) told: usize,
    /// Milliseconds from sending the mutation to the first such push of each subscription; the greatest is that of the last.
    pub(super) ms: Spread,
    /// From the first one told to the last.
    pub(super) spread_ms: f64,
}

impl Arrival {
    fn of<'a>(heard: impl Iterator<Item = &'a Heard>, begun: Instant) -> Self {
        let (mut times, mut told) = (Times::new(), HashSet::new());
        let (mut first, mut last) = (None, None);
        for heard in heard.filter(|heard| told.insert(heard.subscription)) {
            times.record(heard.at.saturating_duration_since(begun));
            first = first.or(Some(heard.at));
            last = Some(heard.at);
        }
        let spread = first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first);
        Self { told: told.len(), ms: times.spread(), spread_ms: spread.as_secs_f64() * 1e3 }
    }
}

/// One change that everybody is told.
#[derive(Debug, Serialize)]
pub(super) struct Delivery {
    pub(super) change: &'static str,
    /// Milliseconds until the organizer's mutation was answered.
    pub(super) answered_ms: f64,
    /// Subscriptions in line when the change was made, and how many of all were told something.
    pub(super) waiting: usize,
    pub(super) told: usize,
    pub(super) pushes: usize,
    /// Pushes from WAITING to another status.
    pub(super) status: Arrival,
    /// All others: the place in line, and what is known of it.
    pub(super) position: Arrival,
    pub(super) server_cpu_us_per_push: Option<f64>,
}

/// Makes a change to all rooms, one after the other, and listens to how it spreads.
///
/// # Errors
/// When the server refuses the change.
pub(super) async fn deliver(
    rooms: &[Arc<Api>],
    organizer: &str,
    (change, input): (&'static str, &Value),
    ears: &Ears,
    listen: Duration,
    (pids, idle): (&[u32], Option<f64>),
) -> Result<Delivery> {
    drop(ears.take());
    let waiting = ears.waiting.load(Ordering::Relaxed);
    let (before, begun) = (cpu_seconds(pids), Instant::now());
    configure(rooms, organizer, input).await?;
    let answered = begun.elapsed();
    sleep(listen.saturating_sub(answered)).await;
    let used = cpu_seconds(pids).zip(before).map(|(after, before)| after - before);
    let heard = ears.take();
    let told: HashSet<usize> = heard.iter().map(|heard| heard.subscription).collect();
    let per_push = f64::from(u32::try_from(heard.len().max(1))?);
    Ok(Delivery {
        change,
        answered_ms: answered.as_secs_f64() * 1e3,
        waiting,
        told: told.len(),
        pushes: heard.len(),
        status: Arrival::of(heard.iter().filter(|heard| heard.status), begun),
        position: Arrival::of(heard.iter().filter(|heard| !heard.status), begun),
        server_cpu_us_per_push: used
            .zip(idle)
            .map(|(used, idle)| (used - idle).max(0.0) * 1e6 / per_push),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITING: &[u8] = br#"{"data":{"it":{"status":"WAITING","position":3}}}"#;
    const ACTIVE: &[u8] = br#"{"data":{"it":{"status":"ACTIVE","position":null}}}"#;

    #[test]
    fn a_change_of_status_is_told_apart_from_one_of_position() {
        let ears = Ears::default();
        assert!(ears.note(WAITING, false));
        assert!(ears.hear(0, WAITING, true));
        assert!(!ears.hear(0, ACTIVE, true));
        // Later pushes to somebody who is in are no change of status.
        assert!(!ears.hear(0, ACTIVE, false));
        let status: Vec<bool> = ears.take().iter().map(|heard| heard.status).collect();
        assert_eq!(status, [false, true, false]);
        assert_eq!(ears.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_first_push_of_each_subscription_counts() {
        let begun = Instant::now();
        let heard = [(1, 10), (2, 30), (1, 500)].map(|(subscription, ms)| Heard {
            subscription,
            at: begun + Duration::from_millis(ms),
            status: true,
        });
        let arrival = Arrival::of(heard.iter(), begun);
        assert_eq!(arrival.told, 2);
        assert!((arrival.spread_ms - 20.0).abs() < 1e-6);
        assert!((arrival.ms.max - 30.0).abs() < 0.1, "{arrival:?}");
    }
}
