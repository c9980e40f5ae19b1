//! The rooms of this instance that somebody watches, or whose seats somebody looks at; each for as long as somebody does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use super::room::Room;
use crate::{kernel::ScheduleId, waiting_room::Event};

/// The watched rooms by schedule.
#[derive(Debug, Default)]
pub(in crate::waiting_room) struct Rooms(Mutex<HashMap<ScheduleId, Arc<Room>>>);

impl Rooms {
    fn map(&self) -> MutexGuard<'_, HashMap<ScheduleId, Arc<Room>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A room to watch; followed as long as what is returned is there.
    pub(super) fn enter(&self, schedule_id: ScheduleId) -> Followed {
        let mut rooms = self.map();
        let room =
            rooms.entry(schedule_id).or_insert_with(|| Arc::new(Room::new(schedule_id))).clone();
        room.watches.fetch_add(1, Ordering::AcqRel);
        Followed { room }
    }

    /// A room whose seats somebody looks at; kept for a while.
    pub(super) fn look_in(&self, schedule_id: ScheduleId) -> Arc<Room> {
        let mut rooms = self.map();
        let room =
            rooms.entry(schedule_id).or_insert_with(|| Arc::new(Room::new(schedule_id))).clone();
        // Noted under the lock, so that nobody gives the room up before.
        room.passes.need();
        room
    }

    /// How many subscriptions each watched room has.
    pub(in crate::waiting_room) fn watchers(&self) -> HashMap<ScheduleId, usize> {
        let count = |room: &Room| room.watches.load(Ordering::Acquire);
        self.map().iter().map(|(schedule_id, room)| (*schedule_id, count(room))).collect()
    }

    /// Gives a room up when nobody needs it; `true` when it is gone.
    pub(super) fn close_if_empty(&self, room: &Arc<Room>) -> bool {
        let mut rooms = self.map();
        let empty = room.watches.load(Ordering::Acquire) == 0 && !room.passes.needed();
        if empty {
            rooms.remove(&room.schedule_id);
        }
        empty
    }

    /// Takes in who changed, before anybody else is told.
    pub(in crate::waiting_room) fn hear(&self, schedule_id: ScheduleId, event: &Event) {
        let room = self.map().get(&schedule_id).cloned();
        if let Some(room) = room {
            room.passes.hear(&event.changes);
        }
    }

    pub(in crate::waiting_room) fn apply_unnumbered(&self, schedule_id: ScheduleId, event: &Event) {
        let room = self.map().get(&schedule_id).cloned();
        if let Some(room) = room {
            room.apply_unnumbered(event);
        }
    }

    /// Has a room's ranks read again.
    pub(in crate::waiting_room) fn resync(&self, schedule_id: ScheduleId) {
        let room = self.map().get(&schedule_id).cloned();
        if let Some(room) = room {
            room.doubt();
        }
    }
}

/// Keeps a room followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) room: Arc<Room>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.room.watches.fetch_sub(1, Ordering::AcqRel);
    }
}
