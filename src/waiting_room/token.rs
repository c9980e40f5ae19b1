//! The queue token as clients hold it: signed, so that it is checked in memory, and bound to person and schedule.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Event, QueueStatus, QueueToken, WaitingRooms, store};
use crate::kernel::{Actor, Failure, Fault, PersonId, QueueTokenId, ScheduleId, text_enum};

const AUDIENCE: &str = "frontrow:queue";

/// It has no end of its own: the journal knows when the place ends. Nor has it the number, which nobody knows before the
/// draw.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    aud: String,
    sub: PersonId,
    sch: ScheduleId,
    jti: QueueTokenId,
}

text_enum! {
    /// Why a queue token opens nothing.
    pub enum PassRefusal {
        /// Not a token of this server, of this person or for this schedule.
        Invalid = "QUEUE_TOKEN_INVALID",
        /// Still WAITING.
        NotActive = "QUEUE_NOT_ACTIVE",
        /// USED or EXPIRED.
        Ended = "QUEUE_ENDED",
    }
}

/// A queue token whose signature, person and schedule were checked; whether it is ACTIVE only Postgres knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The place it names.
    pub queue_token_id: QueueTokenId,
}

impl WaitingRooms {
    /// The text that clients send along with `seats`, `holdSeat` and the like. The same place always has the same text
    /// as long as the secret stays.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign(&self, token: &QueueToken) -> Result<String, Fault> {
        self.keyring.sign(&Claims {
            aud: AUDIENCE.to_owned(),
            sub: token.person_id,
            sch: token.schedule_id,
            jti: token.id,
        })
    }

    /// Checks a queue token in memory: signature, person and schedule.
    ///
    /// # Errors
    /// [`PassRefusal::Invalid`], whatever is wrong, so that nothing can be learnt about other people's tokens.
    pub fn check(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
        token: &str,
    ) -> Result<Admission, PassRefusal> {
        let claims: Claims = self
            .keyring
            .verify(token, AUDIENCE, &["aud", "sub"])
            .map_err(|_| PassRefusal::Invalid)?;
        if claims.sub != actor.person_id || claims.sch != schedule_id {
            return Err(PassRefusal::Invalid);
        }
        Ok(Admission { queue_token_id: claims.jti })
    }

    /// Checks a queue token, and that it is ACTIVE now; counts as an action of its person.
    ///
    /// Postgres is asked where this instance does not know, where it may have missed something, and where the action has to
    /// be written down.
    ///
    /// # Errors
    /// [`PassRefusal`], or a fault.
    pub async fn admitted(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
        token: &str,
    ) -> Result<Admission, Failure<PassRefusal>> {
        let admission = self.check(actor, schedule_id, token).map_err(Failure::Refused)?;
        let passes = self.look_in(schedule_id);
        if self.index.listening() && passes.knows(admission.queue_token_id) {
            return Ok(admission);
        }
        let asking = passes.ask();
        let touched = self.touch(schedule_id, admission).await?;
        match touched.as_ref().map(|touched| touched.status) {
            Some(QueueStatus::Active) => {
                let found = touched.and_then(|touched| touched.found);
                if let Some(found) = found {
                    passes.grant(asking, found);
                }
                Ok(admission)
            }
            Some(QueueStatus::Waiting) => Err(Failure::Refused(PassRefusal::NotActive)),
            Some(QueueStatus::Used | QueueStatus::Expired) => {
                Err(Failure::Refused(PassRefusal::Ended))
            }
            None => Err(Failure::Refused(PassRefusal::Invalid)),
        }
    }

    /// Counts as an action of an ACTIVE token's person; the token's status now, `None` when there is no such token.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn acted(
        &self,
        schedule_id: ScheduleId,
        admission: Admission,
    ) -> Result<Option<QueueStatus>, Fault> {
        Ok(self.touch(schedule_id, admission).await?.map(|touched| touched.status))
    }

    /// Writes an action down, where it has to be, and tells.
    async fn touch(
        &self,
        schedule_id: ScheduleId,
        admission: Admission,
    ) -> Result<Option<store::Touched>, Fault> {
        let touched = store::touch(&self.db, admission.queue_token_id).await?;
        if let Some(change) = touched.as_ref().and_then(|touched| touched.change.clone()) {
            let event = Event { changes: vec![change], ..Event::default() };
            let rooms = self.clone();
            self.tasks.spawn("announcing an action", async move {
                rooms.announce(schedule_id, event).await;
            });
        }
        Ok(touched)
    }

    /// Counts as an action of many people at once, as [`WaitingRooms::acted`] does for one. A person who is doing something
    /// else this instant is left out: that counts, too.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn all_acted(&self, tokens: &[QueueTokenId]) -> Result<(), Fault> {
        let mut events: HashMap<ScheduleId, Event> = HashMap::new();
        for (schedule_id, change) in store::touch_all(&self.db, tokens).await? {
            events.entry(schedule_id).or_default().changes.push(change);
        }
        for (schedule_id, event) in events {
            let rooms = self.clone();
            self.tasks.spawn("announcing an action", async move {
                rooms.announce(schedule_id, event).await;
            });
        }
        Ok(())
    }
}
