//! Giving a place up, and all places of somebody who goes for good.

use std::collections::HashMap;

use super::{Change, Event, Place, QueueRefusal, QueueToken, WaitingRooms, store};
use crate::{
    db::Tx,
    kernel::{Actor, Failure, Fault, PersonId, ScheduleId},
};

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

impl WaitingRooms {
    /// Gives all places of a person up. Tell them with [`WaitingRooms::tell_left`] after the commit.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn leave_all_in_tx(
        tx: &Tx,
        person_id: PersonId,
    ) -> Result<Vec<(ScheduleId, Change)>, Fault> {
        store::journal::leave_all(tx, person_id).await
    }

    /// Tells of places that were given up, and that others may have their turn.
    pub async fn tell_left(&self, left: Vec<(ScheduleId, Change)>) {
        let mut events: HashMap<ScheduleId, Event> = HashMap::new();
        for (schedule_id, change) in left {
            events.entry(schedule_id).or_default().changes.push(change);
        }
        for (schedule_id, event) in events {
            self.announce(schedule_id, event).await;
            self.kick(schedule_id);
        }
    }

    /// Ends places of deleted accounts: somebody may have entered at the very instant in which theirs was.
    ///
    /// # Errors
    /// When Postgres cannot be asked; the next call goes on.
    pub async fn end_places_of_erased(&self) -> Result<(), Fault> {
        let left = store::journal::leave_erased(&self.background).await?;
        self.tell_left(left).await;
        Ok(())
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
        was_active: false,
        ended_because: token.ended_because,
    }
}
