//! What runs by itself: rounds, sweeps, comparisons. The loops that always run live here; what they do is a verb of a
//! feature. Loops that live only as long as somebody needs them stand beside what they serve: see "Where loops live" in
//! ARCHITECTURE.md.
//!
//! Every instance runs all of it. Postgres sees to it that nothing is done twice, so there is no leader to lose.

mod auditing;
mod rounds;
mod sessions;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::App,
    kernel::{Fault, ScheduleId},
    telemetry::Export,
};

/// How often lapsed holds are tidied, and people sent home after a sale.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// How often the draws are ended of rooms whose sale has opened.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// How often payments by card are looked for that nobody has decided in time.
const SETTLE_EVERY: Duration = Duration::from_millis(250);
/// How often refunds that are due are looked for, and reservations of performances that were called off.
const REFUND_EVERY: Duration = Duration::from_millis(500);
/// Of the refunds, so many batches are worked through at a stretch: whoever stops the server waits for no more.
const REFUND_BATCHES: usize = 32;
/// The same of the reservations, whose batches are larger.
const CALLED_OFF_BATCHES: usize = 8;
/// How often the index of the lines is compared with the journal.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// How often lines that could not be written to are tried again.
const CATCH_UP_EVERY: Duration = Duration::from_secs(1);
/// How often the lines of rooms that are over are looked for in Redis.
const RETIRE_EVERY: Duration = Duration::from_secs(5);
/// How often sessions that are over are deleted, and places of deleted accounts looked for.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// How often the people of all open rooms are counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Starts all workers. They stop when `stopping` is cancelled; `kicked` tells which rooms may have a free place. One that
/// dies is started again, and the server is unready meanwhile.
pub fn start(
    app: &App,
    kicked: mpsc::Receiver<ScheduleId>,
    stopping: &CancellationToken,
    tracker: &TaskTracker,
) {
    let staff = Staff { app, stopping, tracker };
    let (rooms, kicked) = (app.waiting_rooms.clone(), Arc::new(Mutex::new(kicked)));
    let until = stopping.clone();
    let tasks = app.tasks.clone();
    staff.keep("rounds", move || {
        rounds::run(rooms.clone(), tasks.clone(), kicked.clone(), until.clone())
    });
    if app.auditing.every().is_some() {
        let (audit, until) = (app.auditing.clone(), stopping.clone());
        staff.keep("auditing", move || auditing::run(audit.clone(), until.clone()));
    }
    let (accounts, until) = (app.accounts.clone(), stopping.clone());
    staff.keep("following ended sessions", move || sessions::run(accounts.clone(), until.clone()));
    staff.every(TIDY_EVERY, "tidying sessions", |app| {
        Box::pin(async {
            while app.accounts.tidy_sessions().await? {}
            app.waiting_rooms.end_places_of_erased().await
        })
    });
    staff.every(SWEEP_EVERY, "sweeping lapsed holds", |app| {
        Box::pin(async {
            while app.reservations.expire_lapsed().await? {}
            Ok(())
        })
    });
    staff.every(SWEEP_EVERY, "draining closed rooms", |app| {
        Box::pin(async {
            while app.waiting_rooms.drain_closed().await? {}
            Ok(())
        })
    });
    staff.every(SETTLE_EVERY, "settling card payments", |app| {
        Box::pin(async {
            while app.payments.settle_due().await? {}
            Ok(())
        })
    });
    staff.every(REFUND_EVERY, "calling off performances", |app| {
        Box::pin(async {
            for _ in 0..CALLED_OFF_BATCHES {
                if !app.payments.cancel_called_off().await? {
                    break;
                }
            }
            Ok(())
        })
    });
    staff.every(REFUND_EVERY, "giving money back", |app| {
        Box::pin(async {
            for _ in 0..REFUND_BATCHES {
                if !app.payments.refund_due().await? {
                    break;
                }
            }
            Ok(())
        })
    });
    staff.every(DRAW_EVERY, "closing draws", |app| Box::pin(app.waiting_rooms.close_draws()));
    staff.every(COUNT_EVERY, "counting heads", |app| Box::pin(app.waiting_rooms.count_heads()));
    staff.every(COMPARE_EVERY, "comparing the lines", |app| Box::pin(app.waiting_rooms.compare()));
    staff.every(RETIRE_EVERY, "retiring lines", |app| Box::pin(app.waiting_rooms.retire_drained()));
    staff.every(CATCH_UP_EVERY, "writing missed changes of the lines", |app| {
        Box::pin(async {
            app.waiting_rooms.catch_up().await;
            Ok(())
        })
    });
}

/// Sends what is traced, until `stopping` is cancelled; shutdown waits for it by its handle.
pub fn send_traces(
    app: &App,
    export: &Arc<Export>,
    stopping: &CancellationToken,
) -> JoinHandle<()> {
    let (export, until) = (Arc::clone(export), stopping.clone());
    app.tasks.keep("sending traces", stopping.clone(), move || {
        let (export, until) = (Arc::clone(&export), until.clone());
        async move { export.run(until).await }
    })
}

/// What a worker does each time.
type Work = for<'a> fn(&'a App) -> BoxFuture<'a, Result<(), Fault>>;

/// What all workers are started with.
struct Staff<'a> {
    app: &'a App,
    stopping: &'a CancellationToken,
    tracker: &'a TaskTracker,
}

impl Staff<'_> {
    fn keep<F: Future<Output = ()> + Send + 'static>(
        &self,
        what: &'static str,
        mut start: impl FnMut() -> F + Send + 'static,
    ) {
        // Shutdown waits until this is dropped.
        let tracked = self.tracker.token();
        self.app.tasks.keep_vital(what, self.stopping.clone(), move || {
            _ = &tracked;
            start()
        });
    }

    /// Does something again and again; a fault is logged, and the next time is tried as if nothing had been.
    fn every(&self, period: Duration, what: &'static str, work: Work) {
        let (app, stopping) = (self.app.clone(), self.stopping.clone());
        self.keep(what, move || every(period, what, stopping.clone(), app.clone(), work));
    }
}

async fn every(
    period: Duration,
    what: &'static str,
    stopping: CancellationToken,
    app: App,
    work: Work,
) {
    let mut tick = interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Err(fault) = work(&app).await {
            tracing::warn!(fault = %fault.report(), what, "a worker will try again");
        }
    }
}
