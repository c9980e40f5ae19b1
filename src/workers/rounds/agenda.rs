//! Which room's round is due when, and which are under way. Pure: it is given the time.

use std::collections::{HashMap, HashSet};

use tokio::time::{Duration, Instant};

use crate::kernel::ScheduleId;

/// Rounds that run at once, of different rooms: as many as there are connections for what runs by itself.
const ROUNDS_AT_ONCE: usize = 4;
/// How long a room rests whose round failed. One that waits for a lock takes two seconds; half of the time others have its
/// turn.
const REST: Duration = Duration::from_secs(2);

/// Rooms that are due; each at most once, and never while its round is under way.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: HashMap<ScheduleId, Instant>,
    under_way: HashSet<ScheduleId>,
    /// Until when rooms rest.
    resting: HashMap<ScheduleId, Instant>,
}

impl Agenda {
    /// Has a room's round run at a time, or earlier if it is due earlier already; later while the room rests.
    pub(super) fn add(&mut self, schedule_id: ScheduleId, at: Instant) {
        let at = self.resting.get(&schedule_id).map_or(at, |until| at.max(*until));
        let due = self.due.entry(schedule_id).or_insert(at);
        *due = at.min(*due);
    }

    /// The next room whose round is to be started now, the one that is due for longest; it is under way then.
    pub(super) fn start(&mut self, now: Instant) -> Option<ScheduleId> {
        let (schedule_id, _) = self.first().filter(|(_, at)| *at <= now)?;
        self.due.remove(&schedule_id);
        self.under_way.insert(schedule_id);
        Some(schedule_id)
    }

    /// When the next round can be started, apart from those that have to wait for the end of another.
    pub(super) fn next(&self) -> Option<Instant> {
        self.first().map(|(_, at)| at)
    }

    fn first(&self) -> Option<(ScheduleId, Instant)> {
        if self.under_way.len() >= ROUNDS_AT_ONCE {
            return None;
        }
        let startable = self.due.iter().filter(|(id, _)| !self.under_way.contains(id));
        startable.min_by_key(|(_, at)| **at).map(|(id, at)| (*id, *at))
    }

    /// A round has come to its end.
    pub(super) fn over(&mut self, schedule_id: ScheduleId) {
        self.under_way.remove(&schedule_id);
        self.resting.remove(&schedule_id);
    }

    /// A round has failed: the room rests, even if it is kicked.
    pub(super) fn failed(&mut self, schedule_id: ScheduleId, now: Instant) {
        self.under_way.remove(&schedule_id);
        let until = now + REST;
        self.resting.insert(schedule_id, until);
        if let Some(at) = self.due.get_mut(&schedule_id) {
            *at = until.max(*at);
        }
    }

    /// Forgets who has rested.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.resting.retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_one_round_at_a_time_and_the_next_if_it_was_kicked_meanwhile() {
        let (mut agenda, now, room) = (Agenda::default(), Instant::now(), ScheduleId::new());
        agenda.add(room, now);
        agenda.add(room, now + REST);
        assert_eq!((agenda.next(), agenda.start(now)), (Some(now), Some(room)));
        assert_eq!((agenda.next(), agenda.start(now)), (None, None), "two times were one");
        agenda.add(room, now);
        assert_eq!((agenda.next(), agenda.start(now)), (None, None), "it is under way");
        agenda.over(room);
        assert_eq!(agenda.start(now), Some(room));
    }

    #[test]
    fn slow_rooms_leave_turns_to_others_and_those_that_fail_rest() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        let slow: Vec<ScheduleId> = (0..ROUNDS_AT_ONCE).map(|_| ScheduleId::new()).collect();
        let other = ScheduleId::new();
        slow.iter().for_each(|room| agenda.add(*room, now));
        agenda.add(other, now + GRAIN);
        let started: HashSet<_> = std::iter::from_fn(|| agenda.start(now)).collect();
        assert_eq!(started, slow.iter().copied().collect());
        assert_eq!(agenda.start(now + REST), None, "there are no more turns");
        // Kicked all the time, they come after the rooms that were due before, and not before they have rested.
        for room in &slow {
            agenda.add(*room, now);
            agenda.failed(*room, now + GRAIN);
            agenda.add(*room, now);
        }
        assert_eq!(agenda.start(now + GRAIN), Some(other));
        assert_eq!(agenda.start(now + REST), None);
        assert_eq!(agenda.next(), Some(now + GRAIN + REST));
        assert!(agenda.start(now + GRAIN + REST).is_some_and(|room| slow.contains(&room)));
    }

    #[test]
    fn nothing_is_kept_of_a_room_that_is_done() {
        let (mut agenda, now, room) = (Agenda::default(), Instant::now(), ScheduleId::new());
        agenda.add(room, now);
        assert_eq!(agenda.start(now), Some(room));
        agenda.failed(room, now);
        agenda.tidy(now);
        assert!(!agenda.resting.is_empty());
        agenda.tidy(now + REST);
        assert!(agenda.resting.is_empty() && agenda.due.is_empty() && agenda.under_way.is_empty());
    }

    const GRAIN: Duration = Duration::from_millis(1);
}
