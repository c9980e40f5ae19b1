//! Telling everybody that the last seat is sold.

use std::time::Duration;

use crate::{
    kernel::{Fault, ScheduleId},
    waiting_room::{RoomStatus, WaitingRooms, store},
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
            if let Err(fault) = rooms.tell_if_sold_out(schedule_id).await {
                tracing::warn!(fault = %fault.report(), "sold out or not could not be told")
            }
        });
    }

    async fn tell_if_sold_out(&self, schedule_id: ScheduleId) -> Result<(), Fault> {
        // Until the last seat this is the answer, and the whole summary costs forty times as much.
        if store::has_unsold(&self.db, schedule_id).await? {
            return Ok(());
        }
        self.summaries.forget(schedule_id);
        let summary = self.summary(schedule_id).await?;
        if summary.is_some_and(|summary| summary.status == RoomStatus::SoldOut) {
            self.announce_room(schedule_id).await;
        }
        Ok(())
    }
}
