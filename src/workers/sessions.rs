//! Sessions that ended at other instances end here, too: at once as Redis tells, and soon after as Postgres has it.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::account::Accounts;

/// How often Postgres is asked what ended of late.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

/// Follows until the server stops.
pub(super) async fn run(accounts: Accounts, stopping: CancellationToken) {
    let mut feed = accounts.follow_ended().await;
    let mut tick = interval(COMPARE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let missed = tokio::select! {
            () = stopping.cancelled() => return,
            missed = feed.heard() => missed,
            _ = tick.tick() => true,
        };
        if missed && let Err(fault) = feed.catch_up().await {
            tracing::warn!(fault = %fault.report(), "sessions that ended elsewhere will be looked for again");
        }
    }
}
