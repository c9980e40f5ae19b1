//! Every task of the server is started here and has a name. One that dies is logged and counted; one that should live is
//! started again. Readiness tells of the tasks that the server cannot do without.
//!
//! Nothing here knows what a task does. What a task leaves behind when it dies is given back by guards of its own module.

mod panics;

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
pub use panics::log_panics;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::telemetry::{Metrics, TaskLabels};

/// How long the first pause is before a task is started again; it doubles with every death.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest pause: nobody waits longer for a task that can live again.
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// A task that lived for this long counts as well, and its next pause is short again.
const CALM: Duration = Duration::from_secs(60);
/// This many deaths of one name within [`CALM`] make the server unready, however quickly they are got over.
const DEATHS_TO_TELL: usize = 3;

/// Starts tasks and knows how they fare; cheap to clone.
#[derive(Clone)]
pub struct Tasks(Arc<Inner>);

struct Inner {
    metrics: Metrics,
    /// How the tasks fare that readiness has to tell of.
    vital: Mutex<BTreeMap<&'static str, Health>>,
}

#[derive(Default)]
struct Health {
    /// How many of this name are dead and not started again yet.
    down: usize,
    /// The latest deaths, [`DEATHS_TO_TELL`] of them at most.
    died: VecDeque<Instant>,
}

/// Whether the server can do without a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Light,
    Vital,
}

impl Tasks {
    /// Counts deaths in `metrics`.
    pub fn new(metrics: &Metrics) -> Self {
        Self(Arc::new(Inner { metrics: metrics.clone(), vital: Mutex::default() }))
    }

    /// Starts something that ends by itself. The handle gives its result; nothing when it panicked.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        tokio::spawn(self.clone().watched(name, Weight::Light, work))
    }

    /// The same for something that the server cannot do without: several deaths make it unready.
    pub fn spawn_vital<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        tokio::spawn(self.clone().watched(name, Weight::Vital, work))
    }

    /// [`Tasks::spawn`] for something that shutdown waits for.
    pub fn spawn_tracked<T: Send + 'static>(
        &self,
        tracker: &TaskTracker,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        tracker.spawn(self.clone().watched(name, Weight::Light, work))
    }

    /// Keeps something running until `until` is cancelled: when it panics, or ends without cause, it is started again after
    /// a pause that grows. What ends for good cancels `until` before it does. Aborting the handle ends it, too.
    pub fn keep<F>(
        &self,
        name: &'static str,
        until: CancellationToken,
        start: impl FnMut() -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(self.clone().kept(name, Weight::Light, until, start))
    }

    /// The same for something that the server cannot do without: it is unready while that is down.
    pub fn keep_vital<F>(
        &self,
        name: &'static str,
        until: CancellationToken,
        start: impl FnMut() -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(self.clone().kept(name, Weight::Vital, until, start))
    }

    /// A vital task that is down, or has died several times within a minute.
    pub fn ailing(&self) -> Option<&'static str> {
        self.ailing_at(Instant::now())
    }

    fn ailing_at(&self, now: Instant) -> Option<&'static str> {
        let ailing = |health: &Health| {
            let lately = health.died.iter().filter(|at| now.duration_since(**at) < CALM).count();
            health.down > 0 || lately >= DEATHS_TO_TELL
        };
        self.vital().iter().find(|(_, health)| ailing(health)).map(|(name, _)| *name)
    }

    fn vital(&self) -> MutexGuard<'_, BTreeMap<&'static str, Health>> {
        self.0.vital.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn watched<T>(
        self,
        name: &'static str,
        weight: Weight,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(result) => Some(result),
            Err(panic) => {
                drop(self.died(name, weight, Some(&*panic)));
                None
            }
        }
    }

    async fn kept<F: Future<Output = ()>>(
        self,
        name: &'static str,
        weight: Weight,
        until: CancellationToken,
        mut start: impl FnMut() -> F,
    ) {
        // On the page from the start, so that its first death is seen as a change.
        drop(self.0.metrics.task_panics.get_or_create(&TaskLabels { task: name }));
        let mut pause = PAUSE_FIRST;
        loop {
            let begun = Instant::now();
            let ended = AssertUnwindSafe(async { start().await }).catch_unwind().await;
            if ended.is_ok() && until.is_cancelled() {
                return;
            }
            let down = self.died(name, weight, ended.as_ref().err().map(|panic| &**panic));
            if begun.elapsed() >= CALM {
                pause = PAUSE_FIRST;
            }
            tokio::select! {
                () = until.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = longer(pause);
            drop(down);
        }
    }

    /// Logs and counts a death. Until what is returned is dropped, the task is down.
    fn died(&self, name: &'static str, weight: Weight, panic: Option<&(dyn Any + Send)>) -> Down {
        let says = panic.and_then(panics::told);
        match panic {
            Some(_) => tracing::error!(task = name, says, "a task panicked"),
            None => tracing::error!(task = name, "a task ended that should not have"),
        }
        self.0.metrics.task_panics.get_or_create(&TaskLabels { task: name }).inc();
        if weight == Weight::Vital {
            let mut vital = self.vital();
            let health = vital.entry(name).or_default();
            health.down += 1;
            health.died.push_back(Instant::now());
            if health.died.len() > DEATHS_TO_TELL {
                health.died.pop_front();
            }
        }
        Down { tasks: self.clone(), name, weight }
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(PAUSE_MAX)
}

/// For commands, which nobody asks for metrics or readiness.
impl Default for Tasks {
    fn default() -> Self {
        Self::new(&Metrics::new())
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks")
    }
}

/// A task is dead, and not started again yet.
struct Down {
    tasks: Tasks,
    name: &'static str,
    weight: Weight,
}

impl Drop for Down {
    fn drop(&mut self) {
        if self.weight == Weight::Vital
            && let Some(health) = self.tasks.vital().get_mut(self.name)
        {
            health.down = health.down.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
