//! Hearing of sessions that ended at other instances, and tidying what is over.

use std::time::Duration;

use tokio::time::Instant;

use super::{Accounts, EndedSession, log_out, store};
use crate::{
    kernel::Fault,
    kv::{Signal, Topic},
};

/// A session's end may become visible this long after its time: no statement takes longer.
const MARGIN: Duration = Duration::from_secs(30);

/// Follows the ends of sessions; kept by who does so.
#[derive(Debug)]
pub struct EndedFeed {
    accounts: Accounts,
    topic: Option<Topic>,
    /// When Postgres was last asked.
    asked: Option<Instant>,
}

impl Accounts {
    /// Begins to follow the ends of sessions. [`EndedFeed::catch_up`] is to be called next, and then now and then.
    pub async fn follow_ended(&self) -> EndedFeed {
        let topic = match &self.kv {
            Some(kv) => Some(kv.listen(log_out::CHANNEL).await),
            None => None,
        };
        EndedFeed { accounts: self.clone(), topic, asked: None }
    }

    /// Reads all sessions that ended before their time.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn learn_ended(&self) -> Result<(), Fault> {
        self.learn_ended_within(None).await
    }

    async fn learn_ended_within(&self, within: Option<Duration>) -> Result<(), Fault> {
        let ended = store::session::ended(&self.background, within).await?;
        self.sessions.note_ended(&ended);
        self.sessions.forget_over();
        Ok(())
    }

    /// Deletes sessions that are over, some at a time; `true` when there may be more.
    ///
    /// # Errors
    /// When Postgres cannot be asked; the next call goes on.
    pub async fn tidy_sessions(&self) -> Result<bool, Fault> {
        store::session::tidy(&self.background).await
    }
}

impl EndedFeed {
    /// Waits until other instances have told something; whether messages may have been missed. Never returns without Redis.
    pub async fn heard(&mut self) -> bool {
        let Some(topic) = &mut self.topic else { return std::future::pending().await };
        match topic.next().await {
            Some(Signal::Message(message)) => {
                match serde_json::from_slice::<Vec<EndedSession>>(&message) {
                    Ok(ended) => self.accounts.sessions.note_ended(&ended),
                    Err(error) => {
                        tracing::warn!(%error, "what was told of ended sessions cannot be read");
                    }
                }
                false
            }
            Some(Signal::Gap) => true,
            None => {
                self.topic = None;
                false
            }
        }
    }

    /// Reads what ended since this was done last: everything, at first.
    ///
    /// # Errors
    /// When Postgres cannot be asked; the next call goes on.
    pub async fn catch_up(&mut self) -> Result<(), Fault> {
        let start = Instant::now();
        let within = self.asked.map(|asked| start.duration_since(asked) + MARGIN);
        self.accounts.learn_ended_within(within).await?;
        self.asked = Some(start);
        Ok(())
    }
}
