//! The way to a gateway: HTTP calls that end, in answers that are small, with errors in words of our own.
//!
//! Texts of the client and of the other side are never passed on: they repeat addresses and what was sent.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url, redirect::Policy};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::settings::GatewayAddress;
use crate::{
    kernel::{Fault, FaultKind},
    telemetry::Span,
};

/// How long connecting may take; a gateway that is away is told apart from one that is slow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Calls of an instance that may be under way at once. Gateways have limits of their own, some of 25 a second.
const CALLS_AT_ONCE: usize = 64;
/// How long a call waits for its turn; then nothing was asked.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);
/// The largest answer that is read. A page of a hundred payments has half of it.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long a connection is kept open for the next call.
const IDLE: Duration = Duration::from_secs(30);

/// A way to one gateway; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    client: Client,
    address: Url,
    calls: Arc<Semaphore>,
}

/// What came back, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The gateway had answered the same call before, and repeats that.
    pub(super) replayed: bool,
    body: Vec<u8>,
}

impl Wire {
    /// A way to this address. `direct` leaves out the proxies that the environment names, for what is on this machine.
    pub(super) fn new(address: &GatewayAddress, direct: bool) -> Result<Self, Fault> {
        let client = client(direct)?;
        let address = address.url().clone();
        Ok(Self { client, address, calls: Arc::new(Semaphore::new(CALLS_AT_ONCE)) })
    }

    /// A request to a path of fixed words and ids.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.address.clone();
        url.set_path(path);
        self.client.request(method, url)
    }

    /// The same with parameters.
    pub(super) fn query(&self, path: &str, parameters: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.address.clone();
        url.set_path(path);
        url.query_pairs_mut().extend_pairs(parameters);
        self.client.get(url)
    }

    /// Sends a request and reads its answer. Answers that say that the gateway is busy or broken are faults already.
    ///
    /// # Errors
    /// [`FaultKind::Unavailable`] when the request surely did nothing, [`FaultKind::Unanswered`] when it may have.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, Fault> {
        let _turn = self.turn().await?;
        let (client, request) = request.build_split();
        let request = request.map_err(|error| fault(&error))?;
        let (method, url) = (request.method().as_str(), request.url());
        let span = Span::of_call(method, url.host_str(), url.port_or_known_default());
        let answer = span.run(client.execute(request)).await;
        let mut response = answer.map_err(|error| {
            span.fail("broken");
            fault(&error)
        })?;
        let status = response.status();
        span.set("http.response.status_code", i64::from(status.as_u16()));
        let replayed = ["idempotent-replayed", "idempotency-replayed"]
            .iter()
            .any(|name| response.headers().get(*name).is_some_and(|value| value == "true"));
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| fault(&error))? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(unanswered("the answer is too long"));
            }
            body.extend_from_slice(&piece);
        }
        // What is repeated was the end of it, even a failure: asking again changes nothing.
        if !replayed {
            refuse(status)?;
        }
        Ok(Answer { status, replayed, body })
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Fault> {
        match tokio::time::timeout(TURN_TIMEOUT, self.calls.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Fault::unavailable("too many calls to the card gateway are under way")),
        }
    }
}

impl Answer {
    /// The answer as what it should be.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|_| unanswered("its answer was not understood"))
    }

    /// The status of an answer that should not have come.
    pub(super) fn unexpected(&self) -> Fault {
        let text = format!("it answered {}", self.status.as_u16());
        Fault::new(FaultKind::Internal, CONTEXT, text)
    }
}

const CONTEXT: &str = "asking the card gateway";

/// The HTTP client of everything that speaks to a gateway, or as one. It follows nobody elsewhere. `direct` leaves out the
/// proxies that the environment names.
///
/// # Errors
/// When the system has no certificates to trust.
pub fn client(direct: bool) -> Result<Client, Fault> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE)
        // Nobody who sends us elsewhere gets our secret.
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("frontrow/", env!("CARGO_PKG_VERSION")));
    let builder = if direct { builder.no_proxy() } else { builder };
    builder.build().map_err(|_| {
        Fault::internal("calls to a card gateway need the system's certificates (ca-certificates)")
    })
}

/// Answers that are about the gateway and not about the call.
fn refuse(status: StatusCode) -> Result<(), Fault> {
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            Err(Fault::new(FaultKind::Unavailable, CONTEXT, "it has too many requests"))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(Fault::new(FaultKind::Internal, CONTEXT, "it refuses our secret"))
        }
        status if status.is_server_error() => {
            Err(unanswered(&format!("it answered {}", status.as_u16())))
        }
        _ => Ok(()),
    }
}

/// What was asked for may have been done.
pub(super) fn unanswered(words: &str) -> Fault {
    Fault::new(FaultKind::Unanswered, CONTEXT, words)
}

/// It makes no sense, and a person has to look.
pub(super) fn nonsense(words: &str) -> Fault {
    Fault::new(FaultKind::Internal, CONTEXT, words)
}

fn fault(error: &reqwest::Error) -> Fault {
    let (kind, words) = if error.is_connect() {
        (FaultKind::Unavailable, "it cannot be reached")
    } else if error.is_builder() {
        (FaultKind::Internal, "the request could not be made")
    } else if error.is_timeout() {
        (FaultKind::Unanswered, "it did not answer in time")
    } else if error.is_body() || error.is_decode() {
        (FaultKind::Unanswered, "its answer broke off")
    } else {
        (FaultKind::Unanswered, "the connection broke")
    };
    Fault::new(kind, CONTEXT, words)
}
