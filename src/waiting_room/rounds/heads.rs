//! Counting who is in and who is away, and telling what each room does, for the metrics.

use crate::{
    kernel::Fault,
    waiting_room::{RoomStatus, WaitingRooms, rules, store::rounds},
};

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
            let status = rules::room_status(&room.facts());
            metrics.has_status(status.as_str(), RoomStatus::ALL.iter().map(|one| one.as_str()));
            metrics.active.set(room.active);
            metrics.absent.set(room.absent);
            let watchers = watchers.get(&room.schedule_id).copied().unwrap_or(0);
            metrics.watchers.set(i64::try_from(watchers).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}
