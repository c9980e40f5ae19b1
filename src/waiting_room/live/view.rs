//! What a watcher is shown, and how it changes. Pure.

use crate::{
    kernel::Timestamp,
    waiting_room::{Change, QueueEnd, QueueStatus, QueueToken, RoomStatus, Summary},
};

/// What a watcher is shown; only the newest is kept for a slow reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub status: QueueStatus,
    pub room: Option<RoomStatus>,
    pub everything_held: Option<bool>,
    pub position: Option<i64>,
    pub waiting: i64,
    pub wait_seconds: Option<i32>,
    pub version: i64,
    pub activated_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub ended_because: Option<QueueEnd>,
}

impl View {
    /// A place that was just read, in a room of which nothing else is known yet.
    pub(super) fn of(token: &QueueToken, position: Option<i64>, waiting: i64) -> Self {
        Self {
            status: token.status,
            room: None,
            everything_held: None,
            position: position.filter(|_| token.status == QueueStatus::Waiting),
            waiting,
            wait_seconds: None,
            version: token.version,
            activated_at: token.activated_at,
            expires_at: token.expires_at,
            ended_because: token.ended_because,
        }
    }

    /// The view after a change; a state never goes back to an earlier one.
    pub(super) fn changed(self, change: &Change) -> Self {
        if self.status.ended()
            || rank(change.status) < rank(self.status)
            || change.version < self.version
        {
            return self;
        }
        let waits = change.status == QueueStatus::Waiting;
        Self {
            status: change.status,
            position: self.position.filter(|_| waits),
            wait_seconds: self.wait_seconds.filter(|_| waits),
            version: change.version,
            activated_at: change.activated_at.or(self.activated_at),
            expires_at: change.expires_at,
            ended_because: change.ended_because,
            ..self
        }
    }

    /// The same with what follows from how the room stands.
    pub(super) fn estimated(self, summary: Option<&Summary>) -> Self {
        let Some(summary) = summary else { return self };
        Self {
            room: Some(summary.status),
            everything_held: Some(summary.everything_held),
            wait_seconds: self.position.and_then(|position| summary.wait_seconds(position)),
            waiting: summary.waiting.max(self.position.unwrap_or(0)),
            ..self
        }
    }

    /// Whether it says of the room what there is to be said, apart from how many wait.
    pub(super) fn tells(&self, summary: &Summary) -> bool {
        self.room == Some(summary.status) && self.everything_held == Some(summary.everything_held)
    }

    /// Whether its person has come further than in another view.
    pub(super) const fn is_further_than(&self, other: &Self) -> bool {
        rank(self.status) > rank(other.status)
    }
}

const fn rank(status: QueueStatus) -> u8 {
    match status {
        QueueStatus::Waiting => 0,
        QueueStatus::Active => 1,
        QueueStatus::Used | QueueStatus::Expired => 2,
    }
}
