//! The serve loop and its end: stop accepting, close the sockets, and wait for what has begun.

use std::{io, pin::pin, time::Duration};

use axum::{Router, serve::ListenerExt};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

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
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    lifetime: Lifetime,
    patience: Duration,
) -> io::Result<()> {
    // Answers are written in one go; Nagle's algorithm would only hold them back.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let Lifetime { stopping, work } = lifetime;
    let server =
        axum::serve(listener, router).with_graceful_shutdown(stopping.clone().cancelled_owned());
    let mut served = pin!(async {
        server.await?;
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
