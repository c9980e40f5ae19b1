//! Telling the shop: signed, at least once, and again with growing pauses until it says that it has understood.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use reqwest::{Client, Url, header::CONTENT_TYPE};
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::{SandboxSettings, ledger::Event};
use crate::{
    gateway::{client, sign},
    kernel::Fault,
    tasks::Tasks,
};

/// Events that wait to be told; further ones are dropped, as a gateway drops them in the end.
const EVENTS_MAX: usize = 20_000;
/// Calls under way at once.
const CALLS_AT_ONCE: usize = 32;
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an event is told.
const ATTEMPTS_MAX: u32 = 12;
/// The first pause; it doubles up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How late the second copy of an event comes that comes twice.
const LATE: Duration = Duration::from_secs(2);

pub(super) struct Webhooks {
    client: Client,
    url: Url,
    secret: SecretString,
    tasks: Tasks,
    waiting: Arc<Semaphore>,
    calls: Arc<Semaphore>,
}

impl Webhooks {
    pub(super) fn new(settings: &SandboxSettings, tasks: &Tasks) -> Result<Self, Fault> {
        Ok(Self {
            client: client(true)?,
            url: settings.webhook_url.clone(),
            secret: settings.secret.clone(),
            tasks: tasks.clone(),
            waiting: Arc::new(Semaphore::new(EVENTS_MAX)),
            calls: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
        })
    }

    /// Tells an event, from now on.
    pub(super) fn send(&self, event: Event) {
        let body = json!({
            "eventId": Uuid::new_v4(),
            "type": event.kind,
            "paymentId": event.payment_id,
        });
        let body = body.to_string();
        self.start(body.clone(), Duration::ZERO);
        if event.twice {
            self.start(body, LATE);
        }
    }

    fn start(&self, body: String, after: Duration) {
        let Ok(place) = self.waiting.clone().try_acquire_owned() else {
            tracing::warn!("too many webhooks wait; one is dropped");
            return;
        };
        let delivery = Delivery {
            client: self.client.clone(),
            url: self.url.clone(),
            secret: self.secret.clone(),
            calls: self.calls.clone(),
            body,
            _place: place,
        };
        drop(self.tasks.spawn("delivering a webhook", delivery.run(after)));
    }
}

struct Delivery {
    client: Client,
    url: Url,
    secret: SecretString,
    calls: Arc<Semaphore>,
    body: String,
    _place: OwnedSemaphorePermit,
}

impl Delivery {
    async fn run(self, after: Duration) {
        tokio::time::sleep(after).await;
        let mut pause = PAUSE_FIRST;
        for _ in 0..ATTEMPTS_MAX {
            if self.call().await {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        tracing::warn!("a webhook was never taken");
    }

    /// Whether the shop took it.
    async fn call(&self) -> bool {
        let Ok(_turn) = self.calls.acquire().await else { return false };
        // Each attempt is signed anew: a signature is good for minutes.
        let signature = sign(&self.secret, SystemTime::now(), self.body.as_bytes());
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let request = request.header("sandbox-signature", signature).timeout(CALL_TIMEOUT);
        match request.body(self.body.clone()).send().await {
            Ok(answer) => answer.status().is_success(),
            Err(_) => false,
        }
    }
}
