//! How long something that stays open may: not for ever, and no longer than its session.

use std::{
    future::pending,
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use crate::{
    account::{Sessions, WatchedSession},
    api::{Caller, RequestId},
    kernel::Actor,
};

/// Why the time of a stay is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Its session has ended by itself.
    SessionExpired,
    /// It is old. Nothing lives for ever, so that what is open spreads over instances again, and over versions of the server.
    Aged,
}

/// A stay, of nobody until somebody is admitted.
pub(super) struct Stay {
    ends_at: Instant,
    session_until: Option<Instant>,
    /// The session, which may end before.
    session: Option<WatchedSession>,
}

impl Stay {
    /// A stay that lives for this long, or up to a quarter less.
    pub(super) fn new(age: Duration, request_id: &RequestId) -> Self {
        let dice = RandomState::new().hash_one(&request_id.0);
        let ends_at = Instant::now() + lifetime(age, dice);
        Self { ends_at, session_until: None, session: None }
    }

    /// From now on it is this caller's, until their session ends.
    pub(super) fn admit(&mut self, sessions: &Sessions, caller: Caller) {
        self.session_until = caller.0.as_ref().and_then(end_of);
        let id = caller.0.and_then(|actor| actor.session_id);
        self.session = id.map(|id| sessions.watch(id));
    }

    /// When the session ends, if it ends in a time that can be told.
    pub(super) const fn session_until(&self) -> Option<Instant> {
        self.session_until
    }

    /// When it is over at the latest.
    pub(super) fn until(&self) -> Instant {
        self.session_until.map_or(self.ends_at, |until| until.min(self.ends_at))
    }

    /// Why it is over, if it is.
    pub(super) fn over(&self, now: Instant) -> Option<Over> {
        match self.session_until {
            Some(until) if now >= until => Some(Over::SessionExpired),
            _ if now >= self.ends_at => Some(Over::Aged),
            _ => None,
        }
    }

    /// Returns when the session has ended before its time.
    pub(super) async fn ended(&self) {
        match &self.session {
            Some(session) => session.ended().await,
            None => pending().await,
        }
    }
}

/// How long it is: the last quarter of the age depends on the dice, so that what came together does not go together.
fn lifetime(age: Duration, dice: u64) -> Duration {
    let spread = u64::try_from(age.as_millis() / 4).unwrap_or(u64::MAX);
    age.saturating_sub(Duration::from_millis(dice % spread.max(1)))
}

/// When a session ends, on the clock that timers run by.
fn end_of(actor: &Actor) -> Option<Instant> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let until = Duration::from_secs(u64::try_from(actor.expires_at.timestamp()).ok()?);
    Instant::now().checked_add(until.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_came_together_go_one_after_the_other() {
        let hours = |hours: u64| Duration::from_secs(3_600 * hours);
        for dice in [0, 1, u64::MAX, u64::MAX / 3, 12_345_678_901] {
            let life = lifetime(hours(4), dice);
            assert!(life > hours(3) && life <= hours(4), "{dice}: {life:?}");
        }
        let lives: std::collections::HashSet<_> = (0..100).map(|n| lifetime(hours(4), n)).collect();
        assert_eq!(lives.len(), 100);
        assert_eq!(lifetime(Duration::ZERO, 5), Duration::ZERO);
    }
}
