//! The way of spans out of the process: into a queue when they end, and from there to the collector, many at a time.
//!
//! Whoever ends a span waits for nothing. A queue that is full loses spans, a collector that is away loses batches, and
//! both are counted; nothing of it is noticed by requests.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use prost::Message;
use reqwest::{
    Client, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::settings::TraceSettings;
use crate::{
    kernel::Fault,
    telemetry::{Metrics, OutcomeLabels},
};

/// Spans that wait to be sent, about a kilobyte each; more are lost.
const QUEUE: usize = 8_192;
/// Spans that are sent together.
const BATCH: usize = 512;
/// How long a batch is collected.
const EVERY: Duration = Duration::from_secs(1);
/// How long the collector may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a batch is sent at most that the collector cannot take at the moment.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, if the collector asks for one.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A collector that is away is told of so often.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Puts spans that have ended into the queue.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: mpsc::Sender<SpanData>,
    metrics: Metrics,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _cx: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.waiting.try_send(span).is_err() {
            count(&self.metrics, "dropped", 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn count(metrics: &Metrics, outcome: &'static str, spans: usize) {
    let spans = u64::try_from(spans).unwrap_or(u64::MAX);
    metrics.spans.get_or_create(&OutcomeLabels { outcome }).inc_by(spans);
}

/// Takes spans out of the queue and sends them.
#[derive(Debug)]
pub struct Export {
    ended: tokio::sync::Mutex<mpsc::Receiver<SpanData>>,
    client: Client,
    url: Url,
    headers: HeaderMap,
    resource: ResourceAttributesWithSchema,
    metrics: Metrics,
    told: Mutex<Option<Instant>>,
}

/// Why a batch was not taken.
#[derive(Debug)]
struct Lost {
    why: String,
    /// When to try again; nothing where that is no use.
    again: Option<Duration>,
}

impl Export {
    /// A queue, and its way to the collector at `url`.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub(super) fn to(
        url: &Url,
        settings: &TraceSettings,
        resource: &Resource,
        metrics: &Metrics,
    ) -> Result<(Queue, Self), Fault> {
        let (waiting, ended) = mpsc::channel(QUEUE);
        let builder = Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("frontrow/", env!("CARGO_PKG_VERSION")));
        let here =
            url.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
        let builder = if here { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|_| {
            Fault::internal("sending traces needs the system's certificates (ca-certificates)")
        })?;
        let export = Self {
            ended: tokio::sync::Mutex::new(ended),
            client,
            url: url.clone(),
            headers: settings.headers.map().clone(),
            resource: resource.into(),
            metrics: metrics.clone(),
            told: Mutex::default(),
        };
        Ok((Queue { waiting, metrics: metrics.clone() }, export))
    }

    /// Sends what ends, until `stopping` is cancelled; then [`Export::flush`] sends the rest.
    pub async fn run(&self, stopping: CancellationToken) {
        let mut ended = self.ended.lock().await;
        while !stopping.is_cancelled() {
            let mut batch = Vec::with_capacity(BATCH);
            tokio::select! {
                () = stopping.cancelled() => return,
                // The first of them is waited for, whenever that comes.
                spans = ended.recv_many(&mut batch, BATCH) => if spans == 0 { return },
            }
            let complete = Instant::now() + EVERY;
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                let more = timeout_at(complete, ended.recv_many(&mut batch, room));
                tokio::select! {
                    () = stopping.cancelled() => break,
                    more = more => if !more.is_ok_and(|spans| spans > 0) { break },
                }
            }
            self.send(batch, &stopping).await;
        }
    }

    /// Sends what has ended by now, once, within this time. For the end of the server.
    pub async fn flush(&self, within: Duration) {
        let sent = timeout(within, async {
            let mut ended = self.ended.lock().await;
            let mut batch = Vec::with_capacity(BATCH);
            while let Ok(span) = ended.try_recv() {
                batch.push(span);
                if batch.len() == BATCH {
                    self.post_once(std::mem::take(&mut batch)).await;
                }
            }
            self.post_once(batch).await;
        });
        if sent.await.is_err() {
            self.tell("the last spans were not taken in time");
        }
    }

    async fn post_once(&self, batch: Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let spans = batch.len();
        let outcome = match self.post(self.encoded(batch)).await {
            Ok(()) => "exported",
            Err(lost) => {
                self.tell(&lost.why);
                "failed"
            }
        };
        count(&self.metrics, outcome, spans);
    }

    /// Sends a batch, several times where the collector cannot take it at the moment.
    async fn send(&self, batch: Vec<SpanData>, stopping: &CancellationToken) {
        let spans = batch.len();
        let body = self.encoded(batch);
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS {
            let lost = match self.post(body.clone()).await {
                Ok(()) => return count(&self.metrics, "exported", spans),
                Err(lost) => lost,
            };
            self.tell(&lost.why);
            let Some(asked) = lost.again.filter(|_| attempt < ATTEMPTS) else { break };
            tokio::select! {
                () = stopping.cancelled() => break,
                () = sleep(asked.max(pause).min(PAUSE_MAX)) => pause *= 2,
            }
        }
        count(&self.metrics, "failed", spans);
    }

    fn encoded(&self, batch: Vec<SpanData>) -> bytes::Bytes {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
    }

    async fn post(&self, body: bytes::Bytes) -> Result<(), Lost> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        let sent = request.header(CONTENT_TYPE, "application/x-protobuf").body(body).send().await;
        let answer = sent.map_err(|error| {
            // The client's own words repeat the address.
            let why = if error.is_timeout() {
                "it did not answer in time"
            } else if error.is_connect() {
                "it cannot be reached"
            } else {
                "the connection broke"
            };
            Lost { why: why.to_owned(), again: Some(Duration::ZERO) }
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let again = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        let asked = answer.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.parse().ok());
        let asked = Duration::from_secs(asked.unwrap_or(0));
        Err(Lost { why: format!("it answered {}", status.as_u16()), again: again.then_some(asked) })
    }

    /// Says that the collector takes nothing, once in a while.
    fn tell(&self, why: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            drop(told);
            tracing::warn!(why, "traces could not be sent to the collector");
        }
    }
}
