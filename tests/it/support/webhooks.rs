//! Somebody who takes webhooks and keeps them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use frontrow::{
    http::{self, Lifetime, Limits, Listener},
    telemetry::Metrics,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A webhook as it came.
pub(crate) type Came = (HeaderMap, Vec<u8>);

/// A server that keeps what it is told; it ends with the test.
#[derive(Debug)]
pub(crate) struct Webhooks {
    pub(crate) url: String,
    kept: Kept,
    stopping: CancellationToken,
}

#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<(Vec<Came>, usize)>>);

impl Webhooks {
    /// Starts one that answers the first so many with 500.
    pub(crate) async fn start(failures: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/webhooks", listener.local_addr().expect("an address"));
        let kept = Kept(Arc::new(Mutex::new((Vec::new(), failures))));
        let router = Router::new().route("/webhooks", post(take)).with_state(kept.clone());
        let stopping = CancellationToken::new();
        let listener = Listener::with(listener, Limits::default(), Metrics::new());
        let lifetime = Lifetime::new(stopping.clone());
        tokio::spawn(http::serve(listener, router, lifetime, Duration::ZERO));
        Self { url, kept, stopping }
    }

    /// What has come so far.
    pub(crate) fn came(&self) -> Vec<Came> {
        self.kept.0.lock().expect("no panic").0.clone()
    }

    /// What has come, once it is so many.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Came> {
        super::eventually("webhooks", async || Some(self.came()).filter(|came| came.len() >= count))
            .await
    }
}

async fn take(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut kept = kept.0.lock().expect("no panic");
    kept.0.push((headers, body.to_vec()));
    if kept.1 > 0 {
        kept.1 -= 1;
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::OK
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}
