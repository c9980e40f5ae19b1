//! The server's life and its end: stop accepting, close the sockets, and wait for what has begun.

use std::{io, pin::pin, time::Duration};

use axum::Router;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::connection::Listener;

/// Whether the server is going down, and the work that it then waits for; cheap to clone.
#[derive(Debug, Clone)]
pub struct Lifetime {
    pub(super) stopping: CancellationToken,
    /// Mutations and sockets: what must not be cut off.
    pub(super) work: TaskTracker,
}

impl Lifetime {
    /// A lifetime that ends when `stopping` is cancelled.
    pub fn new(stopping: CancellationToken) -> Self {
        Self { stopping, work: TaskTracker::new() }
    }
}

/// Serves until the lifetime ends, then waits for running requests, mutations and sockets, but no longer than `patience`.
/// Nobody can connect any more. Connections that are open are served for a moment yet: what a proxy had sent before it knew is
/// answered.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: Listener,
    router: Router,
    lifetime: Lifetime,
    patience: Duration,
) -> io::Result<()> {
    let Lifetime { stopping, work } = lifetime;
    let mut served = pin!(async {
        listener.run(router, stopping.clone()).await?;
        work.close();
        work.wait().await;
        io::Result::Ok(())
    });
    tokio::select! {
        ended = &mut served => return ended,
        () = stopping.cancelled() => {}
    }
    tokio::time::timeout(patience, served).await.unwrap_or_else(|_| {
        tracing::warn!("shutdown did not wait for all requests to end");
        Ok(())
    })
}
