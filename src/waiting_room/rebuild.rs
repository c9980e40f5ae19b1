//! Building the index of a line anew from the journal: after Redis was wiped, and when the two have drifted apart.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{QueueStatus, WaitingRooms, rules, store};
use crate::kernel::{Fault, ScheduleId};

/// How long somebody who enters waits for the line to be rebuilt.
const PATIENCE: Duration = Duration::from_secs(1);

/// Which rooms this instance is rebuilding, and who waits for the end of it.
#[derive(Debug, Default)]
pub(super) struct Rebuilds(Mutex<HashMap<ScheduleId, Arc<Notify>>>);

impl Rebuilds {
    /// The end of a room's rebuild, and whether the caller has to start it.
    fn begin(&self, schedule_id: ScheduleId) -> (Arc<Notify>, bool) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = !running.contains_key(&schedule_id);
        (running.entry(schedule_id).or_default().clone(), fresh)
    }

    fn end(&self, schedule_id: ScheduleId) {
        let done = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&schedule_id);
        if let Some(done) = done {
            done.notify_waiters();
        }
    }
}

impl WaitingRooms {
    /// Rebuilds a room's index in the background, unless this instance is at it already.
    pub(super) fn rebuild_soon(&self, schedule_id: ScheduleId) {
        let (_, fresh) = self.rebuilds.begin(schedule_id);
        if fresh {
            self.spawn_rebuild(schedule_id);
        }
    }

    /// Rebuilds a room's index, and waits for it as long as a person would: short lines are back at once.
    pub(super) async fn rebuild_now(&self, schedule_id: ScheduleId) {
        let (done, fresh) = self.rebuilds.begin(schedule_id);
        let done = done.notified_owned();
        if fresh {
            self.spawn_rebuild(schedule_id);
        }
        // What takes longer goes on in the background, and positions come from the journal meanwhile.
        drop(tokio::time::timeout(PATIENCE, done).await);
    }

    fn spawn_rebuild(&self, schedule_id: ScheduleId) {
        let rooms = self.clone();
        tokio::spawn(async move {
            if let Err(fault) = rooms.rebuild(schedule_id).await {
                tracing::warn!(%schedule_id, fault = %fault.report(), "the line could not be rebuilt yet");
            }
            rooms.rebuilds.end(schedule_id);
        });
    }

    /// Builds the line beside the one in use and swaps it in, then replays what happened meanwhile.
    async fn rebuild(&self, schedule_id: ScheduleId) -> Result<(), Fault> {
        let generation = store::next_generation(&self.db, schedule_id).await?;
        let mut last = 0;
        loop {
            let people =
                store::journal::line_after(&self.db, schedule_id, last, chunk_size()).await?;
            let Some((_, number)) = people.last() else { break };
            last = *number;
            self.index.fill(schedule_id, generation, &people, rules::POLL_PRESENCE).await?;
        }
        self.index.swap(schedule_id, generation).await?;
        self.replay(schedule_id, last).await?;
        tracing::info!(%schedule_id, generation, "the line was rebuilt from the journal");
        self.rooms.resync(schedule_id);
        Ok(())
    }

    /// People who entered or left the journal after the rebuild had read it.
    async fn replay(&self, schedule_id: ScheduleId, last: i64) -> Result<(), Fault> {
        let mut after = last;
        loop {
            let people =
                store::journal::line_after(&self.db, schedule_id, after, chunk_size()).await?;
            let Some((_, number)) = people.last() else { break };
            after = *number;
            self.index.enter(schedule_id, &people, rules::POLL_PRESENCE).await?;
        }
        let window = Duration::from_secs(120).as_secs_f64();
        let changes = store::journal::recent_changes(&self.db, schedule_id, window).await?;
        let gone: Vec<_> =
            changes.into_iter().filter(|change| change.status != QueueStatus::Waiting).collect();
        for chunk in gone.chunks(store::index::CHUNK) {
            let event = super::Event { changes: chunk.to_vec(), ..super::Event::default() };
            self.index.publish(schedule_id, &event).await?;
        }
        Ok(())
    }

    /// Compares the index with the journal and rebuilds it when they differ twice in a row.
    ///
    /// # Errors
    /// A fault when Postgres cannot be asked.
    pub async fn compare(&self, schedule_id: ScheduleId) -> Result<(), Fault> {
        for look in 0..2 {
            let before = store::waiting_count(&self.db, schedule_id).await?;
            let Ok(ranks) = self.index.look(schedule_id, &[], Duration::ZERO).await else {
                return Ok(());
            };
            let after = store::waiting_count(&self.db, schedule_id).await?;
            let (low, high) = (before.min(after), before.max(after));
            match ranks {
                Some(ranks) if (low..=high).contains(&ranks.waiting) => return Ok(()),
                None if high == 0 => return Ok(()),
                _ if look == 1 => self.rebuild_soon(schedule_id),
                _ => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
        Ok(())
    }

    /// The rooms whose index is worth comparing: those with people in line.
    ///
    /// # Errors
    /// A fault when Postgres cannot be asked.
    pub async fn with_people_waiting(&self) -> Result<Vec<ScheduleId>, Fault> {
        store::with_people_waiting(&self.db).await
    }
}

fn chunk_size() -> i64 {
    i64::try_from(store::index::CHUNK).unwrap_or(i64::MAX)
}
