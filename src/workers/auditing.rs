//! The books are audited now and then, at a pace that nobody feels.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::audit::Auditing;

/// How often an instance looks whether it is time, and what others have found.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Looks until the server stops; an audit that is under way then is left.
pub(super) async fn run(auditing: Auditing, stopping: CancellationToken) {
    let mut tick = interval(auditing.every().map_or(LOOK_EVERY, |every| every.min(LOOK_EVERY)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = tick.tick() => {}
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            done = auditing.run_due() => if let Err(fault) = done {
                tracing::warn!(fault = %fault.report(), "the books will be audited later");
            },
        }
    }
}
