//! One round of a room: letting in the front of the line, and ending what is over. `workers` says when rounds run.

use std::{collections::HashSet, time::Duration};

use crate::{
    kernel::{Fault, PersonId, ScheduleId},
    waiting_room::{
        Change, Event, QueueStatus, WaitingRooms,
        index::CHUNK,
        rules,
        store::rounds::{self, Turn},
    },
};

/// People whose presence is looked up at once: at first about as many as there are places, then ever more.
const LOOKUP: std::ops::RangeInclusive<i64> = 20..=1_000;
/// Lookups in one round at most. Then those who are away are passed over, and the next round goes on from there at once.
const LOOKUPS: usize = 20;

/// The front of the line, as far as somebody has looked.
struct Front {
    /// Those who are away.
    away: Vec<PersonId>,
    /// The last number looked at. Nobody behind it is admitted: they may be away as well.
    upto: i64,
}

impl WaitingRooms {
    /// The rooms that a round could admit somebody in.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn with_people_in_front(&self) -> Result<Vec<ScheduleId>, Fault> {
        rounds::with_people_in_front(&self.background).await
    }

    /// The rooms that have somebody whose time is over.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn with_time_over(&self) -> Result<Vec<ScheduleId>, Fault> {
        rounds::with_time_over(&self.background).await
    }

    /// Runs one round of a room. Any number of instances may do so at once: Postgres lets one of them through.
    ///
    /// Returns when the next round is worth running, if that is known.
    ///
    /// # Errors
    /// When Postgres cannot be asked. Then nobody was admitted, or the next round repairs what was left undone.
    pub async fn run_round(&self, schedule_id: ScheduleId) -> Result<Option<Duration>, Fault> {
        let Some(outlook) = rounds::outlook(&self.background, schedule_id).await? else {
            return Ok(None);
        };
        let next =
            outlook.next_round_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        if outlook.places <= 0 && !outlook.overdue {
            return Ok(next);
        }
        let front = self.look_at_front(schedule_id, outlook.places).await?;
        let turns = rounds::admit(&self.background, schedule_id, &front.away, front.upto).await?;
        let (admitted, passed_over) = self.note(schedule_id, &turns);
        // People who were passed over are still WAITING. Nobody is told, since nothing changed for them that is shown.
        let changes: Vec<Change> = turns
            .into_iter()
            .map(|turn| turn.change)
            .filter(|change| change.status != QueueStatus::Waiting)
            .collect();
        let nothing = changes.is_empty();
        for chunk in changes.chunks(CHUNK) {
            let event = Event { changes: chunk.to_vec(), ..Event::default() };
            self.announce(schedule_id, event).await;
        }
        // Somebody was away, and a place is left for those behind them; or there were more than one round may send away.
        let places = u64::try_from(outlook.places).unwrap_or(0);
        let again = (passed_over > 0 && admitted < places) || changes.len() >= rounds::ENDED_MAX;
        Ok(if again || (next.is_none() && !nothing) { Some(Duration::ZERO) } else { next })
    }

    /// Counts what a round did: people admitted, and passed over.
    fn note(&self, schedule_id: ScheduleId, turns: &[Turn]) -> (u64, u64) {
        let room = self.metrics.rooms.of(schedule_id);
        for waited_ms in turns.iter().filter_map(|turn| turn.waited_ms) {
            let waited = Duration::from_millis(u64::try_from(waited_ms).unwrap_or(0));
            room.wait_seconds.observe(waited.as_secs_f64());
        }
        let count = |status| {
            let turns = turns.iter().filter(|turn| turn.change.status == status);
            u64::try_from(turns.count()).unwrap_or(u64::MAX)
        };
        let (admitted, passed_over) = (count(QueueStatus::Active), count(QueueStatus::Waiting));
        self.metrics.queue_admitted.inc_by(admitted);
        self.metrics.queue_passed_over.inc_by(passed_over);
        room.admitted.inc_by(admitted);
        room.passed_over.inc_by(passed_over);
        (admitted, passed_over)
    }

    /// Looks who is away, from the front of the line as far back as it takes to fill `places`.
    ///
    /// Without Redis it is not known who is away, so everybody counts as present.
    async fn look_at_front(&self, schedule_id: ScheduleId, places: i64) -> Result<Front, Fault> {
        let mut front = Front { away: Vec::new(), upto: i64::MIN };
        let mut missing = places;
        for lookup in 0..LOOKUPS {
            if missing <= 0 {
                break;
            }
            let limit = places.saturating_mul(1 << lookup).clamp(*LOOKUP.start(), *LOOKUP.end());
            let people =
                rounds::candidates(&self.background, schedule_id, front.upto, limit).await?;
            if people.is_empty() {
                break;
            }
            let unsure: Vec<PersonId> = people
                .iter()
                .filter(|person| !person.fresh)
                .map(|person| person.person_id)
                .collect();
            let gone = if unsure.is_empty() {
                HashSet::new()
            } else {
                let gone = self.index.away(schedule_id, &unsure, rules::POLL_PRESENCE).await;
                let Ok(gone) = gone else {
                    // Without the index everybody counts as present, so nobody further back has to be looked for.
                    return Ok(Front { away: Vec::new(), upto: i64::MAX });
                };
                gone
            };
            for person in people {
                if missing <= 0 {
                    break;
                }
                front.upto = person.number;
                if gone.contains(&person.person_id) {
                    front.away.push(person.person_id);
                } else {
                    missing -= 1;
                }
            }
        }
        Ok(front)
    }
}
