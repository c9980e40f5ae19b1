//! Whose connections are: ours, or a pooler's that lends them out.

use std::sync::Arc;

use sea_orm::sqlx::{Connection, Error, Executor};
use tokio::time::timeout;

use super::pool::{CONNECT_PATIENCE, LENT, Lost, PING_PATIENCE, Pool, SLOW};
use crate::kernel::ConnectionId;

/// Connections that are taken from a pooler, to see whether it gives away one of ours.
const POOLED: usize = 2;

impl Pool {
    /// Opens the first connection, and finds out whether such connections are ours for as long as they live. PgBouncer may take
    /// one back after each transaction: what is set there is another's then, and another's limits are ours.
    pub(super) async fn look_whose_they_are(self: &Arc<Self>) -> Result<(), Lost> {
        let mut ours = self.lease().await?;
        let mark = ConnectionId::new();
        ours.execute_text(&format!("SET frontrow.connection = '{mark}'")).await?;
        let strangers = self.servers.with("");
        // These take what a pooler has at hand, the one that was just marked first of all.
        let mut others = Vec::new();
        for _ in 0..POOLED {
            let connected = timeout(CONNECT_PATIENCE, strangers.connect()).await;
            let mut other = connected.map_err(|_| Lost::NoConnection(SLOW, None))??.connection;
            other.execute("BEGIN").await.map_err(|error| match error {
                // Where each statement may go elsewhere, there are no transactions.
                Error::Database(_) => Lost::NoConnection(LENT, None),
                broken => Lost::Asked(broken),
            })?;
            others.push(other);
        }
        let still = format!(
            "SELECT current_setting('frontrow.connection', true) IS NOT DISTINCT FROM '{mark}'"
        );
        let still = ours.yes(&still).await?;
        for other in others {
            // One that does not take its leave is gone as well.
            drop(timeout(PING_PATIENCE, other.close()).await);
        }
        if still { Ok(()) } else { Err(Lost::NoConnection(LENT, None)) }
    }
}
