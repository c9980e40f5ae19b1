//! What the handlers of both transports share.

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_graphql::{Executor, Request, Response};
use futures_util::{future::BoxFuture, stream::BoxStream};

use super::{
    document::Documents,
    introspection::Introspection,
    lifetime::Lifetime,
    load::Load,
    rate_limits::{RateLimits, RateSettings},
    roots::Roots,
    share::Shares,
    websocket::Places,
};
use crate::{
    account::Sessions,
    api::{Budget, Caller, RequestId},
    app::Settings,
    kernel::PersonId,
    tasks::Tasks,
    telemetry::Metrics,
};

/// The longest body of a request, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Requests that are answered at the same time, for each core; most of them wait for a commit that they share.
const AT_ONCE_PER_CORE: usize = 256;
/// On one core, so that a crowd that enters at one instant finds room.
const AT_ONCE_LEAST: usize = 512;

/// How much and how long. Sizes of documents are in `document`.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Whether anybody may ask for the schema.
    pub(super) introspection: bool,
    /// Subscriptions that may run on one socket at once.
    pub(super) subscriptions: usize,
    /// Messages that one client may send over one socket in a minute.
    pub(super) messages_per_minute: u32,
    /// How long a request may take. A query is broken off; a mutation runs to its end, and nothing in it waits any longer.
    pub(super) request: Duration,
    /// How long an operation may take without a word in the log; none is slow without.
    pub(super) slow: Option<Duration>,
    /// How long a request waits while no other of the same person is answered.
    pub(super) patience: Duration,
    /// Requests that are answered at the same time, besides what pays, gives back or ends something.
    pub(super) at_once: usize,
    /// How often an address and a person may ask.
    pub(super) rates: RateSettings,
    /// How long a client may take to send a request's body.
    pub(super) body: Duration,
    /// How long a socket may stay without `connection_init`.
    pub(super) init: Duration,
    /// How often a socket is pinged.
    pub(super) ping: Duration,
    /// How long a socket's peer may be silent, pongs included.
    pub(super) silence: Duration,
    /// How long a socket's peer may take to read one message.
    pub(super) send: Duration,
    /// How long a socket lives; a quarter less at most.
    pub(super) socket_age: Duration,
    /// Sockets of one address, of one person; 0 for as many as come.
    pub(super) sockets_per_address: usize,
    pub(super) sockets_per_person: usize,
    /// How long before its session ends a socket's client is told, at most; of short sessions their last third.
    pub(super) warning: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            introspection: true,
            subscriptions: 10,
            messages_per_minute: 300,
            request: Duration::from_secs(5),
            slow: Some(Duration::from_secs(1)),
            patience: Duration::from_millis(200),
            at_once: at_once(),
            rates: RateSettings::default(),
            body: Duration::from_secs(10),
            init: Duration::from_secs(3),
            ping: Duration::from_secs(20),
            silence: Duration::from_secs(45),
            send: Duration::from_secs(20),
            socket_age: Duration::from_secs(6 * 3600),
            sockets_per_address: 2_000,
            sockets_per_person: 20,
            warning: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// The limits that an operator set, and the usual ones besides.
    pub(super) fn of(settings: &Settings) -> Self {
        let limits = Self::default();
        let set = settings.rates.requests_at_once.and_then(|places| usize::try_from(places).ok());
        Self {
            subscriptions: settings.sockets.subscriptions_per_socket,
            request: Duration::from_millis(settings.request_ms),
            slow: settings.slow(),
            patience: settings.database.patience() / 5,
            at_once: set.unwrap_or(limits.at_once),
            rates: RateSettings::of(&settings.rates),
            introspection: settings.introspection,
            socket_age: Duration::from_secs(settings.sockets.socket_seconds),
            sockets_per_address: settings.sockets.sockets_per_address,
            sockets_per_person: settings.sockets.sockets_per_person,
            ..limits
        }
    }
}

/// As many requests at the same time as the cores have a use for.
fn at_once() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.saturating_mul(AT_ONCE_PER_CORE).max(AT_ONCE_LEAST)
}

/// The schema, whatever its root types are.
pub(super) trait Engine: Send + Sync {
    /// Runs a query or a mutation.
    fn execute(&self, request: Request) -> BoxFuture<'static, Response>;
    /// Runs a subscription.
    fn stream(&self, request: Request) -> BoxStream<'static, Response>;
}

impl<E: Executor> Engine for E {
    fn execute(&self, request: Request) -> BoxFuture<'static, Response> {
        let schema = self.clone();
        Box::pin(async move { Executor::execute(&schema, request).await })
    }

    fn stream(&self, request: Request) -> BoxStream<'static, Response> {
        self.execute_stream(request, None)
    }
}

/// The state of the GraphQL handlers.
pub(super) struct Transport {
    pub(super) engine: Box<dyn Engine>,
    pub(super) sessions: Sessions,
    /// Behind one pointer: every running subscription has it.
    pub(super) metrics: Arc<Metrics>,
    pub(super) tasks: Tasks,
    pub(super) documents: Documents,
    pub(super) roots: Roots,
    pub(super) shares: Arc<Shares>,
    pub(super) load: Load,
    pub(super) rates: Arc<RateLimits>,
    pub(super) sockets_of_addresses: Arc<Places<IpAddr>>,
    pub(super) sockets_of_people: Arc<Places<PersonId>>,
    pub(super) introspection: Introspection,
    pub(super) limits: Limits,
    /// Browsers' origins that may use this server besides its own; `*` stands for all.
    pub(super) origins: Vec<String>,
    pub(super) lifetime: Lifetime,
}

impl Transport {
    /// A transport in front of `schema`.
    pub(super) fn new(
        schema: impl Executor,
        sessions: Sessions,
        metrics: Metrics,
        limits: Limits,
        origins: Vec<String>,
        lifetime: Lifetime,
    ) -> Self {
        let documents = Documents::new();
        let introspection = Introspection::new(&schema, limits.introspection);
        let roots = Roots::of(&schema);
        let origins = origins.iter().map(|origin| origin.trim().trim_end_matches('/'));
        let origins = origins.filter(|origin| !origin.is_empty()).map(str::to_owned).collect();
        Self {
            engine: Box::new(schema),
            sessions,
            tasks: Tasks::new(&metrics),
            load: Load::new(limits.at_once, &metrics),
            rates: Arc::new(RateLimits::new(limits.rates, &metrics)),
            sockets_of_addresses: Places::new(limits.sockets_per_address),
            sockets_of_people: Places::new(limits.sockets_per_person),
            metrics: Arc::new(metrics),
            documents,
            roots,
            shares: Shares::new(limits.patience),
            introspection,
            limits,
            origins,
            lifetime,
        }
    }
}

/// How many values the parameters have at most, those in lists and objects too: one takes two bytes on the wire and seventy
/// in memory. A performance of fifty sections has three hundred.
const JSON_VALUES_MAX: usize = 4_000;

/// About how many values some JSON has: each but the first has a comma, a colon or a bracket in front of it.
fn json_values(json: &[u8]) -> usize {
    let (mut values, mut text, mut escaped) = (1, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            b',' | b':' | b'[' | b'{' if !text => values += 1,
            _ => {}
        }
    }
    values
}

/// The parameters of a GraphQL request, as clients send them over HTTP and in `subscribe`.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameters {
    pub(super) query: String,
    #[serde(default)]
    operation_name: Option<String>,
    #[serde(default)]
    pub(super) variables: async_graphql::Variables,
    /// Must be a map where it is given; nothing reads it.
    #[serde(default, rename = "extensions")]
    _extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Parameters {
    /// Reads the parameters; batches, unknown shapes, JSON that nests too deep or has too many values are refused.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        // serde would read a list as the struct's fields in order.
        if json.trim_ascii_start().first() != Some(&b'{') || json_values(json) > JSON_VALUES_MAX {
            return None;
        }
        serde_json::from_slice(json).ok()
    }

    /// The operation that is to run, if the document holds several.
    pub(super) fn operation_name(&self) -> Option<&str> {
        self.operation_name.as_deref()
    }

    /// What the schema is to execute. The document has been parsed and guarded before.
    pub(super) fn into_request(
        self,
        document: async_graphql::parser::types::ExecutableDocument,
        caller: Caller,
        request_id: RequestId,
        budget: Arc<Budget>,
    ) -> Request {
        // The text is not needed any more, nor are variables that no operation has; a subscription would keep them for as
        // long as it lives.
        let mut variables = self.variables;
        variables.retain(|name, _| {
            let mut operations = document.operations.iter();
            operations.any(|(_, operation)| {
                let defined = &operation.node.variable_definitions;
                defined.iter().any(|variable| variable.node.name.node == *name)
            })
        });
        let mut request = Request::new("").variables(variables);
        request = request.data(caller).data(request_id).data(budget);
        request.operation_name = self.operation_name;
        request.set_parsed_query(document);
        request
    }
}

/// Shared by every handler.
pub(super) type SharedTransport = Arc<Transport>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts() {
        assert_eq!(json_values(b"{}"), 2);
        assert_eq!(json_values(br#"{"query":"{a,b:[\",{"}"#), 3);
        let many = |count: usize| {
            format!(r#"{{"query":"{{a}}","variables":{{"x":[{}0]}}}}"#, "0,".repeat(count))
        };
        assert!(Parameters::parse(many(3_900).as_bytes()).is_some());
        assert!(Parameters::parse(many(4_000).as_bytes()).is_none());
    }
}
