//! What runs by itself: rounds, sweeps, comparisons. Loops live only here; what they do is a verb of a feature.
//!
//! Every instance runs all of it. Postgres sees to it that nothing is done twice, so there is no leader to lose.

mod rounds;

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::App,
    kernel::{Fault, ScheduleId},
};

/// How often lapsed holds are tidied, and people sent home after a sale.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// How often the draws are ended of rooms whose sale has opened.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// How often the index of the lines is compared with the journal.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// How often lines that could not be written to are tried again.
const CATCH_UP_EVERY: Duration = Duration::from_secs(1);

/// How often the people of all open rooms are counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Starts all workers. They stop when `stopping` is cancelled; `kicked` tells which rooms may have a free place.
pub fn start(
    app: &App,
    kicked: mpsc::Receiver<ScheduleId>,
    stopping: &CancellationToken,
    tracker: &TaskTracker,
) {
    tracker.spawn(rounds::run(app.waiting_rooms.clone(), kicked, stopping.clone()));
    tracker.spawn(every(
        SWEEP_EVERY,
        "sweeping lapsed holds",
        stopping.clone(),
        app.clone(),
        async |app| {
            while app.reservations.expire_lapsed().await? {}
            Ok(())
        },
    ));
    tracker.spawn(every(
        SWEEP_EVERY,
        "draining closed rooms",
        stopping.clone(),
        app.clone(),
        async |app| {
            while app.waiting_rooms.drain_closed().await? {}
            Ok(())
        },
    ));
    tracker.spawn(every(DRAW_EVERY, "closing draws", stopping.clone(), app.clone(), async |app| {
        app.waiting_rooms.close_draws().await
    }));
    tracker.spawn(every(
        COUNT_EVERY,
        "counting heads",
        stopping.clone(),
        app.clone(),
        async |app| app.waiting_rooms.count_heads().await,
    ));
    tracker.spawn(every(
        COMPARE_EVERY,
        "comparing the lines",
        stopping.clone(),
        app.clone(),
        async |app| app.waiting_rooms.compare().await,
    ));
    tracker.spawn(every(
        CATCH_UP_EVERY,
        "writing missed changes of the lines",
        stopping.clone(),
        app.clone(),
        async |app| {
            app.waiting_rooms.catch_up().await;
            Ok(())
        },
    ));
}

/// Does something again and again; a fault is logged, and the next time is tried as if nothing had been.
async fn every(
    period: Duration,
    what: &'static str,
    stopping: CancellationToken,
    app: App,
    work: impl AsyncFn(&App) -> Result<(), Fault>,
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
