//! What one person is shown of their place.

use std::{sync::Arc, time::Duration};

use super::{
    QueueStatus, QueueToken, RoomStatus, Summary, WaitingRooms, index::Ranks, rules, store,
};
use crate::{
    db::Fresh,
    kernel::{Actor, Fault, ScheduleId, seconds_between},
};

/// Without Redis, positions come from a list of numbers that is at most this old.
const SNAPSHOT_MAX_AGE: Duration = Duration::from_secs(2);
/// People in a snapshot at most.
const SNAPSHOT_LIMIT: i64 = 2_000_000;

/// The numbers of everybody WAITING, per room, as they were a moment ago.
#[derive(Debug)]
pub(super) struct Snapshots(Fresh<ScheduleId, Arc<[i64]>>);

impl Default for Snapshots {
    fn default() -> Self {
        Self(Fresh::new(SNAPSHOT_MAX_AGE))
    }
}

/// A place in line, with everything that a client is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The place itself.
    pub token: QueueToken,
    /// What the waiting room does, when known.
    pub room: Option<RoomStatus>,
    /// Whether no seat is free and some are only held, when known: see [`Summary::everything_held`].
    pub everything_held: Option<bool>,
    /// 1 for the next in line; `None` unless WAITING, and before the draw of a pre-queue.
    pub position: Option<i64>,
    /// Everybody WAITING, this person included.
    pub waiting: i64,
    /// Seconds until this person is admitted, when known.
    pub wait_seconds: Option<i32>,
}

/// Where somebody stands, and among how many; the count is missing when it came without the index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Located {
    pub position: i64,
    pub waiting: Option<i64>,
}

impl Place {
    pub(super) fn of(
        token: QueueToken,
        located: Option<Located>,
        summary: Option<&Summary>,
    ) -> Self {
        let located = located.filter(|_| token.status == QueueStatus::Waiting);
        // A drawn place stays a secret also while nobody can tell whether the draw is over.
        let shown = !summary.map_or(token.number < 0, Summary::before_draw);
        let position = located.map(|located| located.position).filter(|_| shown);
        let wait_seconds =
            position.zip(summary).and_then(|(position, summary)| summary.wait_seconds(position));
        // The count that came with the position is exact; that of the room as a whole may be a second old.
        let waiting = match located {
            Some(Located { waiting: Some(waiting), .. }) => waiting,
            _ => summary.map_or(0, |summary| summary.waiting).max(position.unwrap_or(0)),
        };
        let room = summary.map(|summary| summary.status);
        let everything_held = summary.map(|summary| summary.everything_held);
        Self { token, room, everything_held, position, waiting, wait_seconds }
    }

    /// The position, as far as the API can count.
    pub fn shown_position(&self) -> Option<i32> {
        self.position.map(|position| i32::try_from(position).unwrap_or(i32::MAX))
    }

    /// How many are WAITING, as far as the API can count.
    pub fn shown_waiting(&self) -> i32 {
        i32::try_from(self.waiting).unwrap_or(i32::MAX)
    }

    /// Seconds left of the ACTIVE time, rounded down; 0 unless ACTIVE.
    pub fn remaining_seconds(&self) -> i32 {
        match self.token.expires_at {
            Some(end) if self.token.status == QueueStatus::Active => {
                seconds_between(self.token.now, end)
            }
            _ => 0,
        }
    }

    /// When a client that polls should ask again, in seconds.
    pub fn poll_after_seconds(&self) -> i32 {
        rules::poll_after_seconds(self.position, self.wait_seconds)
    }
}

impl WaitingRooms {
    /// The person's place for a schedule: the live one, else the latest; `None` if there never was one. Counts as a sign
    /// of life.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn status(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
    ) -> Result<Option<Place>, Fault> {
        let Some(token) = store::latest(&self.db, schedule_id, actor.person_id).await? else {
            return Ok(None);
        };
        Ok(Some(self.place(token).await?))
    }

    /// The place of a token that has just been read. A WAITING person counts as present, and as back if they were away.
    pub(super) async fn place(&self, token: QueueToken) -> Result<Place, Fault> {
        let located = self.locate(&token).await?;
        let summary = self.summary(token.schedule_id).await?;
        Ok(Place::of(token, located, summary.as_ref()))
    }

    async fn locate(&self, token: &QueueToken) -> Result<Option<Located>, Fault> {
        if token.status != QueueStatus::Waiting {
            return Ok(None);
        }
        let ranks = self.indexed(token, rules::POLL_PRESENCE).await;
        // Present first, then back: else a round in between finds them away, and passes them over again.
        self.welcome_back(token).await?;
        if let Some(ranks) = ranks
            && let Some(position) = ranks.positions.first()
        {
            return Ok(Some(Located { position: *position, waiting: Some(ranks.waiting) }));
        }
        let position = self.position_from_journal(token).await?;
        Ok(Some(Located { position, waiting: None }))
    }

    /// Where a WAITING person stands by the index, who counts as present for `presence`; `None` while the index cannot tell.
    pub(super) async fn indexed(&self, token: &QueueToken, presence: Duration) -> Option<Ranks> {
        let (schedule_id, person_id) = (token.schedule_id, token.person_id);
        let stands = |ranks: &Ranks| ranks.positions.first().is_some_and(|position| *position > 0);
        match self.index.look(schedule_id, &[person_id], presence).await {
            Ok(Some(ranks)) if stands(&ranks) => Some(ranks),
            // In the journal and not in the index: the index is behind, and this heals it.
            Ok(Some(_)) => {
                let people = [(person_id, token.number)];
                let entered = self.index.enter(schedule_id, &people, presence).await;
                entered.ok().flatten().filter(stands)
            }
            Ok(None) => {
                self.rebuild_soon(schedule_id);
                None
            }
            Err(fault) => {
                tracing::debug!(fault = %fault.report(), "position comes from the journal");
                None
            }
        }
    }

    pub(super) async fn position_from_journal(&self, token: &QueueToken) -> Result<i64, Fault> {
        let line = self.snapshot(token.schedule_id).await?;
        Ok(rules::position_in(&line, token.number))
    }

    /// The numbers of everybody WAITING in order, at most two seconds old: what positions come from without Redis.
    pub(super) async fn snapshot(&self, schedule_id: ScheduleId) -> Result<Arc<[i64]>, Fault> {
        self.snapshots
            .0
            .get(schedule_id, || async {
                store::journal::numbers(&self.db, schedule_id, SNAPSHOT_LIMIT).await.map(Arc::from)
            })
            .await
    }

    /// Puts a person who had been passed over back to where they stood: at the front.
    pub(super) async fn welcome_back(&self, token: &QueueToken) -> Result<(), Fault> {
        if token.passed_over_at.is_some()
            && store::welcome(&self.db, token.schedule_id, &[token.number]).await? > 0
        {
            self.kick(token.schedule_id);
        }
        Ok(())
    }
}
