//! Counting who is in and who is away, and telling what each room does, for the metrics.

use crate::{
    kernel::Fault,
    waiting_room::{RoomStatus, WaitingRooms, rules, store::rounds},
};

/// What a room that is OPEN has for a status among the metrics while every seat that is not sold is held.
const EVERYTHING_HELD: &str = "EVERYTHING_HELD";

impl WaitingRooms {
    /// Counts who is in and who is away in the rooms that are open and says what each does, for those who look at the metrics,
    /// and takes the others off the page. Lines are counted when they are compared.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn count_heads(&self) -> Result<(), Fault> {
        let rooms = rounds::headcounts(&self.background).await?;
        self.metrics.rooms.keep(&rooms.iter().map(|room| room.schedule_id).collect());
        let watchers = self.rooms.watchers();
        for room in rooms {
            let metrics = self.metrics.rooms.of(room.schedule_id);
            let facts = room.facts();
            let status = match rules::room_status(&facts) {
                // A line that stands still because of that stands still by right, and an alarm has to know.
                RoomStatus::Open if rules::everything_held(&facts) => EVERYTHING_HELD,
                status => status.as_str(),
            };
            let all = RoomStatus::ALL.iter().map(|one| one.as_str());
            metrics.has_status(status, all.chain([EVERYTHING_HELD]));
            metrics.active.set(room.active);
            metrics.absent.set(room.absent);
            let watchers = watchers.get(&room.schedule_id).copied().unwrap_or(0);
            metrics.watchers.set(i64::try_from(watchers).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}
