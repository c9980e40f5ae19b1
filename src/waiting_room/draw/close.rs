//! Ending draws: from then on people are admitted.

use std::pin::pin;

use futures_util::{StreamExt, stream};

use crate::{
    kernel::Fault,
    waiting_room::{WaitingRooms, store::rounds},
};

/// Draws that are ended at once: half of the connections for what runs by itself, so that rounds go on beside them.
const DRAWS_AT_ONCE: usize = 2;

impl WaitingRooms {
    /// Ends the draw of every room whose sale has opened, and tells who waits there; people are admitted from then on.
    ///
    /// # Errors
    /// When Postgres cannot be asked; the next call goes on. A room whose draw cannot be ended does not keep others waiting.
    pub async fn close_draws(&self) -> Result<(), Fault> {
        let due = rounds::with_draws_over(&self.background).await?;
        let closed = stream::iter(due)
            .map(async |id| (id, rounds::close_draw(&self.background, id).await))
            .buffer_unordered(DRAWS_AT_ONCE);
        let mut closed = pin!(closed);
        let mut failed = Ok(());
        while let Some((schedule_id, outcome)) = closed.next().await {
            match outcome {
                Ok(true) => {
                    tracing::info!(%schedule_id, "the draw is over");
                    self.announce_room(schedule_id).await;
                }
                Ok(false) => {}
                Err(fault) => failed = Err(fault),
            }
        }
        failed
    }
}
