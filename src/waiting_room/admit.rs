//! Rounds: letting in the front of the line, and ending what is over.

use std::time::Duration;

use super::{Event, QueueStatus, WaitingRooms, store, store::rounds};
use crate::kernel::{Fault, PersonId, ScheduleId};

/// People whose presence is looked up at once.
const LOOKUP: i64 = 200;
/// Lookups in one round at most; who is further back has their turn in the next.
const LOOKUPS: usize = 50;

impl WaitingRooms {
    /// The rooms that a round could admit somebody in.
    ///
    /// # Errors
    /// A fault when Postgres cannot be asked.
    pub async fn with_people_in_front(&self) -> Result<Vec<ScheduleId>, Fault> {
        rounds::with_people_in_front(&self.db).await
    }

    /// The rooms that have somebody whose time is over.
    ///
    /// # Errors
    /// A fault when Postgres cannot be asked.
    pub async fn with_time_over(&self) -> Result<Vec<ScheduleId>, Fault> {
        rounds::with_time_over(&self.db).await
    }

    /// Runs one round of a room. Any number of instances may do so at once: Postgres lets one of them through.
    ///
    /// Returns when the next round is worth running, if that is known.
    ///
    /// # Errors
    /// A fault; then nobody was admitted, or the next round repairs what was left undone.
    pub async fn run_round(&self, schedule_id: ScheduleId) -> Result<Option<Duration>, Fault> {
        let Some(outlook) = rounds::outlook(&self.db, schedule_id).await? else { return Ok(None) };
        let away = if outlook.places > 0 {
            self.who_is_away(schedule_id, outlook.places).await?
        } else {
            Vec::new()
        };
        let next =
            outlook.next_round_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        if outlook.places <= 0 && !outlook.overdue {
            return Ok(next);
        }
        let changes = rounds::admit(&self.db, schedule_id, &away).await?;
        // Who was passed over is still WAITING; nobody is told, since nothing changed for them that is shown.
        let (passed, changes): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| change.status == QueueStatus::Waiting);
        self.metrics.queue_passed_over.inc_by(u64::try_from(passed.len()).unwrap_or(0));
        if changes.is_empty() {
            return Ok(next);
        }
        let admitted = changes.iter().filter(|change| change.status == QueueStatus::Active).count();
        self.metrics.queue_admitted.inc_by(u64::try_from(admitted).unwrap_or(0));
        let admitted_of_late =
            outlook.admitted.saturating_add(i64::try_from(admitted).unwrap_or(0));
        let line = Some((admitted_of_late, outlook.window_ms.max(1_000)));
        self.announce(schedule_id, Event { changes, line, ..Event::default() }).await;
        Ok(next.or(Some(Duration::ZERO)))
    }

    /// Those at the front of the line who are away, looking far enough back to fill `places`.
    ///
    /// Without Redis nobody knows who is away, and nobody is held to be.
    async fn who_is_away(
        &self,
        schedule_id: ScheduleId,
        places: i64,
    ) -> Result<Vec<PersonId>, Fault> {
        let mut away = Vec::new();
        let (mut present, mut after) = (0, 0);
        for _ in 0..LOOKUPS {
            let front =
                rounds::candidates(&self.db, schedule_id, after, LOOKUP.min(places.max(20)))
                    .await?;
            let Some(last) = front.last() else { break };
            after = last.number;
            let unsure: Vec<PersonId> = front
                .iter()
                .filter(|candidate| !candidate.fresh)
                .map(|candidate| candidate.person_id)
                .collect();
            if !unsure.is_empty() {
                let Ok(gone) = self.index.away(schedule_id, &unsure).await else {
                    return Ok(Vec::new());
                };
                for candidate in &front {
                    if gone.contains(&candidate.person_id) {
                        away.push(candidate.person_id);
                    } else {
                        present += 1;
                    }
                    if present >= places {
                        return Ok(away);
                    }
                }
            } else {
                present += i64::try_from(front.len()).unwrap_or(i64::MAX);
            }
            if present >= places {
                break;
            }
        }
        Ok(away)
    }

    /// Sends people home whose sale is over, a few thousand at a time; `true` when there may be more.
    ///
    /// # Errors
    /// A fault; the next call goes on.
    pub async fn drain_closed(&self) -> Result<bool, Fault> {
        let drained = rounds::drain(&self.db).await?;
        let Some(schedule_id) = drained.first().map(|(schedule_id, _)| *schedule_id) else {
            return Ok(false);
        };
        let changes: Vec<_> = drained.into_iter().map(|(_, change)| change).collect();
        for chunk in changes.chunks(store::index::CHUNK) {
            let event = Event { changes: chunk.to_vec(), room_changed: true, ..Event::default() };
            self.announce(schedule_id, event).await;
        }
        Ok(true)
    }
}
