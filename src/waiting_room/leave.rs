//! Giving a place up.

use super::{Change, Event, Place, QueueRefusal, QueueToken, WaitingRooms, store};
use crate::kernel::{Actor, Failure, ScheduleId};

impl WaitingRooms {
    /// Gives the person's place up. Called again, it returns the place that ended.
    ///
    /// # Errors
    /// [`QueueRefusal::NotInQueue`] when there never was a place, or a fault.
    pub async fn leave(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
    ) -> Result<Place, Failure<QueueRefusal>> {
        if let Some(token) = store::journal::leave(&self.db, schedule_id, actor.person_id).await? {
            self.announce(
                schedule_id,
                Event { changes: vec![change_of(&token)], ..Event::default() },
            )
            .await;
            self.kick(schedule_id);
            // It is done, whatever fails now.
            let summary = self.summary(schedule_id).await.ok().flatten();
            return Ok(Place::of(token, None, summary.as_ref()));
        }
        match store::latest(&self.db, schedule_id, actor.person_id).await? {
            Some(token) => Ok(self.place(token).await?),
            None => {
                let summary = self.summary(schedule_id).await?;
                // A draft of somebody else's does not exist.
                let known = summary.is_some_and(|it| it.visible_to(Some(actor.person_id)));
                Err(Failure::Refused(if known {
                    QueueRefusal::NotInQueue
                } else {
                    QueueRefusal::ScheduleNotFound
                }))
            }
        }
    }
}

fn change_of(token: &QueueToken) -> Change {
    Change {
        number: token.number,
        person_id: token.person_id,
        status: token.status,
        version: token.version,
        activated_at: token.activated_at,
        expires_at: token.expires_at,
    }
}
