//! Sending people home whose sale is over.

use crate::{
    kernel::Fault,
    waiting_room::{Event, WaitingRooms, index::CHUNK, store::rounds},
};

impl WaitingRooms {
    /// Sends people home whose sale is over, a few thousand at a time; `true` when there may be more.
    ///
    /// # Errors
    /// When Postgres cannot be asked; the next call goes on.
    pub async fn drain_closed(&self) -> Result<bool, Fault> {
        let drained = rounds::drain(&self.background).await?;
        let Some(schedule_id) = drained.first().map(|(schedule_id, _)| *schedule_id) else {
            return Ok(false);
        };
        let changes: Vec<_> = drained.into_iter().map(|(_, change)| change).collect();
        for chunk in changes.chunks(CHUNK) {
            let event = Event { changes: chunk.to_vec(), room_changed: true };
            self.announce(schedule_id, event).await;
        }
        Ok(true)
    }
}
