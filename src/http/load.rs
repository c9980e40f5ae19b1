//! Requests under way: how many at the same time, and who waits.
//!
//! A crowd that comes at one instant is worth a wait: it is served within a second. A line that stands still, or that does not
//! end, is not: who comes then is told so within 200 ms, and everybody who is in is served as quickly as ever. What pays, gives
//! back or ends something has places of its own, so that it is finished while everything else is refused.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use super::{document::Work, error::Refusal, limits::Limits};
use crate::{kernel::RequestCode, telemetry::Metrics};

/// So many requests wait for each place; more are refused at once.
const WAITING_MAX: usize = 8;

/// All requests under way.
#[derive(Debug)]
pub(super) struct Load {
    usual: Arc<Gate>,
    vital: Arc<Gate>,
    metrics: Metrics,
}

/// Places, and the line in front of them.
#[derive(Debug)]
struct Gate {
    places: Arc<Semaphore>,
    waiting_max: usize,
    patience: Duration,
    crowd: Duration,
    /// How many have left: tells whether the line moves.
    served: AtomicU64,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    waiting: usize,
    /// Since when somebody waits without a break.
    since: Instant,
}

/// A request that is being answered; its place is free when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    in_flight: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Load {
    /// Nothing is under way.
    pub(super) fn new(limits: &Limits, metrics: &Metrics) -> Self {
        let gate = |places| Arc::new(Gate::new(places, limits));
        let (usual, vital) = (gate(limits.at_once), gate(limits.vital_at_once));
        Self { usual, vital, metrics: metrics.clone() }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// OVERLOADED when there is none.
    pub(super) async fn place(&self, work: Work) -> Result<Place, Refusal> {
        let gate = if work.is_vital() { &self.vital } else { &self.usual };
        let Some(permit) = gate.enter().await else {
            self.metrics.shed.inc();
            let text = "Too many requests are under way; try again in a moment.";
            return Err(Refusal::new(RequestCode::Overloaded, text));
        };
        let in_flight = self.metrics.in_flight.clone();
        in_flight.inc();
        Ok(Place { gate: Arc::clone(gate), in_flight, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.in_flight.dec();
        self.gate.served.fetch_add(1, Relaxed);
    }
}

impl Gate {
    fn new(places: usize, limits: &Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            waiting_max: places.saturating_mul(WAITING_MAX),
            patience: limits.line,
            crowd: limits.crowd,
            served: AtomicU64::new(0),
            line: Mutex::new(Line { waiting: 0, since: Instant::now() }),
        }
    }

    async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(permit);
        }
        let _waiting = self.join()?;
        let mut permit = pin!(Arc::clone(&self.places).acquire_owned());
        let came = Instant::now();
        let mut seen = self.served.load(Relaxed);
        loop {
            tokio::select! {
                biased;
                permit = &mut permit => return permit.ok(),
                () = sleep(self.patience) => {}
            }
            let served = self.served.load(Relaxed);
            let without_end =
                self.line().since.elapsed() >= self.crowd || came.elapsed() >= self.crowd;
            if served == seen || without_end {
                return None;
            }
            seen = served;
        }
    }

    fn join(&self) -> Option<Waiting<'_>> {
        let mut line = self.line();
        if line.waiting >= self.waiting_max {
            return None;
        }
        if line.waiting == 0 {
            line.since = Instant::now();
        }
        line.waiting += 1;
        Some(Waiting(self))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's place in the line.
struct Waiting<'a>(&'a Gate);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.line().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(30);

    fn load(at_once: usize, line: Duration, crowd: Duration) -> Load {
        Load::new(&Limits { at_once, line, crowd, ..Limits::default() }, &Metrics::new())
    }

    /// Whether there was a place. It is used for some time.
    async fn served(load: &Load, time: Duration) -> bool {
        let place = load.place(Work::Usual).await;
        sleep(time).await;
        place.is_ok()
    }

    #[tokio::test]
    async fn nobody_waits_in_a_line_that_stands_still() {
        let load = load(2, 20 * MS, LONG);
        let held = [load.place(Work::Usual).await.unwrap(), load.place(Work::Usual).await.unwrap()];
        assert_eq!(load.metrics.in_flight.get(), 2);
        let refused = load.place(Work::Usual).await.unwrap_err();
        assert_eq!(refused.code, RequestCode::Overloaded);
        // What pays or gives back does not notice.
        for work in [Work::Pay, Work::Ending] {
            assert!(load.place(work).await.is_ok());
        }
        assert_eq!(load.metrics.shed.get(), 1);
        drop(held);
        assert!(load.place(Work::Usual).await.is_ok());
        assert_eq!(load.metrics.in_flight.get(), 0);
    }

    #[tokio::test]
    async fn a_crowd_that_comes_at_once_is_served() {
        let load = load(2, LONG, LONG);
        let crowd = join_all((0..2 * (WAITING_MAX + 1)).map(|_| served(&load, MS))).await;
        assert!(crowd.iter().all(|served| *served), "{crowd:?}");
        // The line has an end.
        let crowd = join_all((0..100).map(|_| served(&load, MS))).await;
        assert_eq!(crowd.iter().filter(|served| **served).count(), 2 * (WAITING_MAX + 1));
    }

    #[tokio::test]
    async fn in_a_line_without_end_nobody_waits_for_long_though_it_moves() {
        let load = load(4, 40 * MS, Duration::ZERO);
        // They would take twice the time that anybody waits.
        let crowd = join_all((0..36).map(|_| served(&load, 10 * MS))).await;
        let served = crowd.iter().filter(|served| **served).count();
        assert!((4..36).contains(&served), "{served}");
    }
}
