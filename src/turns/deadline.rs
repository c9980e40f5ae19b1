//! The time by which a request has to be answered, however many lines and statements lie on its way.
//!
//! It travels with the request's task. What runs in a task of its own has no deadline but the limits of what it does.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Runs work that has this much time. Nothing is broken off: whatever waits inside asks [`at_most`] how long it may.
pub async fn within<T>(time: Duration, work: impl Future<Output = T>) -> T {
    DEADLINE.scope(Instant::now() + time, work).await
}

/// `time`, or what is left until the deadline, if that is less; nothing when it is over.
pub fn at_most(time: Duration) -> Duration {
    let left = DEADLINE.try_with(|at| at.saturating_duration_since(Instant::now()));
    left.map_or(time, |left| left.min(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_gets_shorter_as_time_passes() {
        const HOUR: Duration = Duration::from_secs(3_600);
        assert_eq!(at_most(HOUR), HOUR);
        within(HOUR, async {
            let left = at_most(HOUR * 2);
            assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
            assert_eq!(at_most(HOUR / 2), HOUR / 2);
        })
        .await;
        within(Duration::from_millis(1), async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert!(at_most(HOUR).is_zero());
        })
        .await;
    }
}
