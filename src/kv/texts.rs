//! Texts that are kept for some time under a name, and that nobody misses for long.

use std::time::Duration;

use super::Kv;
use crate::kernel::Fault;

impl Kv {
    /// Keeps a text under a key, instead of the one before.
    ///
    /// # Errors
    /// As [`Kv::call`].
    pub async fn keep_text(&self, key: &str, text: &str, lifetime: Duration) -> Result<(), Fault> {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(text).arg("EX").arg(lifetime.as_secs());
        self.call(key, |mut connection| async move { command.query_async(&mut connection).await })
            .await
    }

    /// The text under a key, if there is one. It is kept for that long again.
    ///
    /// # Errors
    /// As [`Kv::call`].
    pub async fn text(&self, key: &str, lifetime: Duration) -> Result<Option<String>, Fault> {
        let mut command = redis::cmd("GETEX");
        command.arg(key).arg("EX").arg(lifetime.as_secs());
        self.call(key, |mut connection| async move { command.query_async(&mut connection).await })
            .await
    }
}
