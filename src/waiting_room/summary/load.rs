//! Reading how rooms stand: once for everybody who asks at the same time, and at most a second old.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};

use super::Summary;
use crate::{
    db::Fresh,
    kernel::{Fault, ScheduleId},
    waiting_room::{WaitingRooms, store},
};

const MAX_AGE: Duration = Duration::from_millis(900);
/// Rooms that Redis is asked about at once, of those that one request wants to know about.
const LOOKS_AT_ONCE: usize = 32;

#[derive(Debug)]
pub(in crate::waiting_room) struct Summaries {
    rooms: Fresh<ScheduleId, Option<Summary>>,
    /// Rooms that are about to be asked whether they are sold out.
    asked: Mutex<HashSet<ScheduleId>>,
}

impl Default for Summaries {
    fn default() -> Self {
        Self { rooms: Fresh::new(MAX_AGE), asked: Mutex::default() }
    }
}

impl Summaries {
    pub(super) fn asked(&self) -> MutexGuard<'_, HashSet<ScheduleId>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::waiting_room) fn forget(&self, schedule_id: ScheduleId) {
        self.rooms.forget(&schedule_id);
    }
}

impl WaitingRooms {
    /// How the waiting room of a schedule stands, at most a second old; `None` when there is no such schedule.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn summary(&self, schedule_id: ScheduleId) -> Result<Option<Summary>, Fault> {
        let load = || async {
            Ok(self.load_summaries(vec![schedule_id]).await?.remove(&schedule_id).flatten())
        };
        self.summaries.rooms.get(schedule_id, load).await
    }

    /// How the waiting rooms of some schedules stand, as [`WaitingRooms::summary`] tells of one: what is not known is asked
    /// of Postgres in one statement.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn summaries(
        &self,
        schedule_ids: &[ScheduleId],
    ) -> Result<HashMap<ScheduleId, Option<Summary>>, Fault> {
        self.summaries.rooms.get_many(schedule_ids, |ids| self.load_summaries(ids)).await
    }

    async fn load_summaries(
        &self,
        ids: Vec<ScheduleId>,
    ) -> Result<HashMap<ScheduleId, Option<Summary>>, Fault> {
        let rows = store::rooms(&self.db, &ids).await?;
        let known: Vec<ScheduleId> = rows.iter().map(|row| row.schedule_id).collect();
        let waiting = self.waiting_in(known).await?;
        let mut found: HashMap<ScheduleId, Option<Summary>> =
            ids.into_iter().map(|id| (id, None)).collect();
        for row in rows {
            let waiting = waiting.get(&row.schedule_id).copied().unwrap_or_default();
            found.insert(row.schedule_id, Some(Summary::of(&row, waiting)?));
        }
        Ok(found)
    }

    /// How many are WAITING in some rooms: by the index, and by the journal where there is no index.
    async fn waiting_in(&self, ids: Vec<ScheduleId>) -> Result<HashMap<ScheduleId, i64>, Fault> {
        let looks = ids.into_iter().map(|id| async move {
            let ranks = self.index.look(id, &[], Duration::ZERO).await.ok().flatten();
            (id, ranks.map(|ranks| ranks.waiting))
        });
        let looks: Vec<_> = stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE).collect().await;
        let (mut waiting, mut untold) = (HashMap::new(), Vec::new());
        for (id, count) in looks {
            match count {
                Some(count) => _ = waiting.insert(id, count),
                None => untold.push(id),
            }
        }
        if !untold.is_empty() {
            waiting.extend(store::waiting_counts(&self.db, &untold).await?);
        }
        Ok(waiting)
    }
}
