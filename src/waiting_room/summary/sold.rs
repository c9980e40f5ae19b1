//! Telling everybody that the last seat is sold.

use std::time::Duration;

use crate::{
    kernel::ScheduleId,
    waiting_room::{RoomStatus, WaitingRooms},
};

/// Sales within this time are followed by one look whether that was the last seat.
const SALES_PER_LOOK: Duration = Duration::from_millis(300);

impl WaitingRooms {
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
}
