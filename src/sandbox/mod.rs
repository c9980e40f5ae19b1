//! A card gateway to try cards with: `frontrow sandbox-gateway`. No money moves.
//!
//! It behaves as the real ones do where that hurts: it answers late, or not at all after it has charged, or with 500; its
//! refunds take time and fail, its webhooks come twice and late. What a payment does is decided by its token
//! (docs/payments.md lists them). It keeps everything in memory, and has forgotten it after a restart.

mod ledger;
mod page;
mod routes;
mod webhooks;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

pub use ledger::Token;
use ledger::{Done, Ledger, Step};
use reqwest::Url;
use secrecy::SecretString;
use tokio::{net::TcpListener, task::JoinHandle};
use webhooks::Webhooks;

use crate::{
    http::{self, Lifetime, Limits, Listener},
    kernel::Fault,
    tasks::Tasks,
    telemetry::Metrics,
};

/// How long shutdown waits for calls that are being answered; some never are.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// How a sandbox is set up.
#[derive(Debug, Clone)]
pub struct SandboxSettings {
    /// Where its events go.
    pub webhook_url: Url,
    /// Shared with the shop, for calls and for webhooks.
    pub secret: SecretString,
    /// How browsers reach it, without a slash at the end: `http://127.0.0.1:8030`.
    pub public_url: String,
    /// How long the buyer has for the bank's challenge.
    pub challenge: Duration,
}

/// Serves until the lifetime ends.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    settings: SandboxSettings,
    lifetime: Lifetime,
) -> Result<io::Result<()>, Fault> {
    let metrics = Metrics::new();
    let tasks = Tasks::new(&metrics);
    let webhooks = Webhooks::new(&settings, &tasks)?;
    let sandbox = Sandbox(Arc::new(Inner {
        ledger: Mutex::default(),
        trouble: Mutex::default(),
        settings,
        tasks,
        webhooks,
    }));
    // The list of everything is long, and goes to few.
    let usual = Limits::default();
    let limits = Limits { waiting_bytes_per_address: usual.waiting_bytes, ..usual };
    let listener = Listener::with(listener, limits, metrics);
    Ok(http::serve(listener, routes::router(sandbox), lifetime, SHUTDOWN).await)
}

/// The gateway; cheap to clone.
#[derive(Clone)]
struct Sandbox(Arc<Inner>);

struct Inner {
    ledger: Mutex<Ledger>,
    trouble: Mutex<Option<Trouble>>,
    settings: SandboxSettings,
    tasks: Tasks,
    webhooks: Webhooks,
}

/// While it lasts, every call is answered with 500.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    until: Instant,
    /// Whether what is asked for is done all the same.
    does: bool,
}

impl Sandbox {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is trouble now, and whether what is asked for is done all the same.
    fn trouble(&self) -> Option<bool> {
        let trouble = *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.filter(|trouble| Instant::now() < trouble.until).map(|trouble| trouble.does)
    }

    fn make_trouble(&self, lasts: Duration, does: bool) {
        let trouble = Trouble { until: Instant::now() + lasts, does };
        *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }

    /// Tells what was done, and sees to what comes of it later. The handle ends with that.
    fn follow(&self, done: Done) -> Option<JoinHandle<Option<()>>> {
        if let Some(event) = done.event {
            self.0.webhooks.send(event);
        }
        let (after, step) = done.later?;
        let sandbox = self.clone();
        Some(self.0.tasks.spawn("going on with a payment", async move {
            tokio::time::sleep(after).await;
            sandbox.step(step);
        }))
    }

    fn step(&self, step: Step) {
        let event = self.ledger().step(step, SystemTime::now());
        if let Some(event) = event {
            self.0.webhooks.send(event);
        }
    }
}
