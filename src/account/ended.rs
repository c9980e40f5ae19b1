//! Sessions that ended before their time, as this process knows them, and who waits for the end of one.
//!
//! Access tokens are checked in memory. So each instance keeps the names of ended sessions until their last token is over by
//! itself: Redis tells of them at once, and what Redis does not tell is read from Postgres soon after.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::kernel::{SessionId, Timestamp};

/// A session that ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedSession {
    /// Names it.
    pub id: SessionId,
    /// When its last access token is over by itself.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    pub until: Timestamp,
}

/// The sessions that ended; cheap to clone, and clones know the same.
#[derive(Debug, Clone, Default)]
pub(super) struct EndedSessions(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    ended: HashMap<SessionId, Timestamp>,
    watched: HashMap<SessionId, Watchers>,
}

#[derive(Debug, Default)]
struct Watchers {
    count: usize,
    ended: CancellationToken,
}

impl EndedSessions {
    /// Whether a session has ended.
    pub(super) fn contains(&self, id: SessionId) -> bool {
        self.read().ended.contains_key(&id)
    }

    /// These have ended; who watches one is told.
    pub(super) fn note(&self, sessions: &[EndedSession]) {
        if sessions.is_empty() {
            return;
        }
        let mut inner = self.write();
        for EndedSession { id, until } in sessions {
            let known = inner.ended.entry(*id).or_insert(*until);
            *known = (*known).max(*until);
            if let Some(watchers) = inner.watched.get(id) {
                watchers.ended.cancel();
            }
        }
    }

    /// Forgets those of which no token can be shown any more.
    pub(super) fn forget_over(&self, now: Timestamp) {
        self.write().ended.retain(|_, until| *until > now);
    }

    /// Watches a session.
    pub(super) fn watch(&self, id: SessionId) -> WatchedSession {
        let mut inner = self.write();
        let over = inner.ended.contains_key(&id);
        let watchers = inner.watched.entry(id).or_default();
        watchers.count += 1;
        if over {
            watchers.ended.cancel();
        }
        WatchedSession { id, ended: watchers.ended.clone(), sessions: self.clone() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who wants to know when a session ends before its time.
#[derive(Debug)]
pub struct WatchedSession {
    id: SessionId,
    ended: CancellationToken,
    sessions: EndedSessions,
}

impl WatchedSession {
    /// Returns when the session has ended before its time.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for WatchedSession {
    fn drop(&mut self) {
        let mut inner = self.sessions.write();
        if let Some(watchers) = inner.watched.get_mut(&self.id) {
            watchers.count -= 1;
            if watchers.count == 0 {
                inner.watched.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use futures_util::FutureExt;

    use super::*;

    fn over(session: &WatchedSession) -> bool {
        session.ended().now_or_never().is_some()
    }

    #[test]
    fn who_watches_is_told_whenever_it_ended() {
        let (sessions, id, other) = (EndedSessions::default(), SessionId::new(), SessionId::new());
        let (first, second, third) =
            (sessions.watch(id), sessions.watch(id), sessions.watch(other));
        assert!(!over(&first) && !sessions.contains(id));
        let until = Timestamp::UNIX_EPOCH + TimeDelta::seconds(60);
        sessions.note(&[EndedSession { id, until }]);
        assert!(over(&first) && over(&second) && !over(&third));
        assert!(sessions.contains(id) && !sessions.contains(other));
        assert!(over(&sessions.watch(id)), "also who comes later");
        drop((first, second, third));
        assert!(sessions.read().watched.is_empty());
    }

    #[test]
    fn a_session_is_remembered_until_its_last_token_is_over() {
        let (sessions, id) = (EndedSessions::default(), SessionId::new());
        let after = |seconds| Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds);
        for seconds in [60, 30] {
            sessions.note(&[EndedSession { id, until: after(seconds) }]);
        }
        sessions.forget_over(after(59));
        assert!(sessions.contains(id));
        sessions.forget_over(after(60));
        assert!(!sessions.contains(id));
    }
}
