//! What the handlers of both transports share.

use std::{sync::Arc, time::Duration};

use async_graphql::{Executor, Request, Response};
use futures_util::{future::BoxFuture, stream::BoxStream};

use super::{document::Documents, introspection::Introspection, lifetime::Lifetime, share::Shares};
use crate::{
    account::Sessions,
    api::{Budget, Caller, RequestId},
    tasks::Tasks,
    telemetry::Metrics,
};

/// The longest body of a request, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

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
    /// How long a request waits while no other of the same person is answered.
    pub(super) patience: Duration,
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
            patience: Duration::from_millis(200),
            body: Duration::from_secs(10),
            init: Duration::from_secs(3),
            ping: Duration::from_secs(20),
            silence: Duration::from_secs(45),
            send: Duration::from_secs(20),
            warning: Duration::from_secs(60),
        }
    }
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
    pub(super) shares: Arc<Shares>,
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
        let origins = origins.iter().map(|origin| origin.trim().trim_end_matches('/'));
        let origins = origins.filter(|origin| !origin.is_empty()).map(str::to_owned).collect();
        Self {
            engine: Box::new(schema),
            sessions,
            tasks: Tasks::new(&metrics),
            metrics: Arc::new(metrics),
            documents,
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
