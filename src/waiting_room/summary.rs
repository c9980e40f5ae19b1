//! How a room stands as a whole, at most a second old: what everybody who looks at it shares.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};

use super::{Draw, Line, RoomStatus, WaitingRooms, rules, rules::Pace, store};
use crate::{
    db::Fresh,
    kernel::{Fault, PersonId, ScheduleId},
};

const MAX_AGE: Duration = Duration::from_millis(900);
/// Without Redis, positions come from a list of numbers that is at most this old.
const SNAPSHOT_MAX_AGE: Duration = Duration::from_secs(2);
/// Sales within this time are followed by one look whether that was the last seat.
const SALES_PER_LOOK: Duration = Duration::from_millis(300);
/// Rooms that Redis is asked about at once, of those that one request wants to know about.
const LOOKS_AT_ONCE: usize = 32;
/// People in a snapshot at most.
const SNAPSHOT_LIMIT: i64 = 2_000_000;

/// A waiting room as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// What the room does.
    pub status: RoomStatus,
    /// Who sells.
    pub organizer_id: PersonId,
    /// The organizer has not opened the sale.
    pub draft: bool,
    /// Everybody WAITING.
    pub waiting: i64,
    /// Everybody ACTIVE.
    pub active: i64,
    /// How many may be ACTIVE at once.
    pub max_active: i32,
    /// How many one round admits at most.
    pub admit_per_round: i32,
    /// How often a round runs, in milliseconds.
    pub round_ms: i32,
    /// How the line moved of late.
    pub line: Line,
    /// The draw of the pre-queue.
    pub draw: Draw,
}

impl Summary {
    /// Whether positions are not known yet: people may still be entering the draw.
    pub const fn before_draw(&self) -> bool {
        self.draw.secret.is_none()
    }

    /// Whether `viewer` may know of it: a draft is its organizer's alone.
    pub fn visible_to(&self, viewer: Option<PersonId>) -> bool {
        !self.draft || viewer == Some(self.organizer_id)
    }

    /// Seconds until somebody at `position` is admitted; `None` when unknown, and while the room is not OPEN.
    pub fn wait_seconds(&self, position: i64) -> Option<i32> {
        let open = self.status == RoomStatus::Open;
        if open { rules::wait_seconds(position, &self.pace()) } else { None }
    }

    const fn pace(&self) -> Pace {
        Pace {
            line: self.line,
            waiting: self.waiting,
            active: self.active,
            max_active: self.max_active,
            admit_per_round: self.admit_per_round,
            round_ms: self.round_ms,
        }
    }
}

#[derive(Debug)]
pub(super) struct Summaries {
    rooms: Fresh<ScheduleId, Option<Summary>>,
    snapshots: Fresh<ScheduleId, Arc<[i64]>>,
    /// Rooms that are about to be asked whether they are sold out.
    asked: Mutex<HashSet<ScheduleId>>,
}

impl Default for Summaries {
    fn default() -> Self {
        Self {
            rooms: Fresh::new(MAX_AGE),
            snapshots: Fresh::new(SNAPSHOT_MAX_AGE),
            asked: Mutex::default(),
        }
    }
}

impl Summaries {
    fn asked(&self) -> MutexGuard<'_, HashSet<ScheduleId>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget(&self, schedule_id: ScheduleId) {
        self.rooms.forget(&schedule_id);
    }
}

fn summary_of(row: &store::RoomRow, waiting: i64) -> Result<Summary, Fault> {
    Ok(Summary {
        status: rules::room_status(&row.facts()),
        organizer_id: row.organizer_id,
        draft: row.schedule_status == "DRAFT",
        waiting,
        active: row.active,
        max_active: row.max_active,
        admit_per_round: row.admit_per_round,
        round_ms: row.round_ms,
        line: row.line(),
        draw: row.draw()?,
    })
}

impl WaitingRooms {
    /// How the waiting room of a schedule stands, at most a second old; `None` when there is no such schedule.
    ///
    /// # Errors
    /// A fault when Postgres cannot be asked.
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
    /// A fault when Postgres cannot be asked.
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
            found.insert(row.schedule_id, Some(summary_of(&row, waiting)?));
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

    /// Has everybody told, if a performance is sold out now. Called after a sale; many sales share one look.
    pub fn sold(&self, schedule_id: ScheduleId) {
        if !self.summaries.asked().insert(schedule_id) {
            return;
        }
        let rooms = self.clone();
        self.tasks.spawn("looking whether all is sold", async move {
            tokio::time::sleep(SALES_PER_LOOK).await;
            rooms.summaries.asked().remove(&schedule_id);
            rooms.summaries.forget(schedule_id);
            match rooms.summary(schedule_id).await {
                Ok(Some(summary)) if summary.status == RoomStatus::SoldOut => {
                    rooms.announce_room(schedule_id).await;
                }
                Ok(_) => {}
                Err(fault) => {
                    tracing::warn!(fault = %fault.report(), "sold out or not could not be told")
                }
            }
        });
    }

    /// The numbers of everybody WAITING in order, at most two seconds old: what positions come from without Redis.
    pub(super) async fn snapshot(&self, schedule_id: ScheduleId) -> Result<Arc<[i64]>, Fault> {
        self.summaries
            .snapshots
            .get(schedule_id, || async {
                store::journal::numbers(&self.db, schedule_id, SNAPSHOT_LIMIT).await.map(Arc::from)
            })
            .await
    }
}
