//! Taking a place in line.

use super::{Place, QueueRefusal, WaitingRooms};
use crate::kernel::{Actor, Failure, ScheduleId};

impl WaitingRooms {
    /// Takes a place for a person. Called again while the place lives, it returns the same one.
    ///
    /// When this returns, the place is committed in Postgres: no crash of any part loses it.
    ///
    /// # Errors
    /// A [`QueueRefusal`], or a fault.
    pub async fn enter(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
    ) -> Result<Place, Failure<QueueRefusal>> {
        self.enter_with_next_commit(actor.person_id, schedule_id).await
    }
}
