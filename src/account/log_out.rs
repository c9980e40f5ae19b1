//! Ending a session, and telling every instance.

use super::{Accounts, EndedSession, store};
use crate::kernel::{Actor, Fault, SessionId, Timestamp};

/// What ended sessions are told on.
pub(super) const CHANNEL: &str = "ended_sessions";

impl Accounts {
    /// Ends the session of this person, with all its tokens; whether there was anything to end. Safe to repeat.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn log_out(&self, actor: Actor) -> Result<bool, Fault> {
        match actor.session_id {
            Some(id) => self.end_one(id, actor.expires_at).await,
            // A token of an earlier version, which nothing names; it is over within the hour.
            None => Ok(false),
        }
    }

    /// Ends one session, whose access tokens are known to last until `until`; whether its row was there.
    pub(super) async fn end_one(&self, id: SessionId, until: Timestamp) -> Result<bool, Fault> {
        let (ended, found) = store::session::end_one(&self.db, id, until).await?;
        self.tell_ended(&ended).await;
        Ok(found)
    }

    /// Tells all instances of sessions that have ended. Postgres has it already: one that cannot be told reads it there.
    pub async fn tell_ended(&self, ended: &[EndedSession]) {
        if ended.is_empty() {
            return;
        }
        self.sessions.note_ended(ended);
        for _ in ended {
            self.count("ended");
        }
        let (Some(kv), Ok(message)) = (&self.kv, serde_json::to_vec(ended)) else { return };
        if let Err(fault) = kv.publish(CHANNEL, message).await {
            tracing::debug!(fault = %fault.report(), "ended sessions are told by Postgres alone");
        }
    }
}
