//! What the handlers of both transports share.

use std::{net::IpAddr, sync::Arc};

use async_graphql::{Executor, Request, Response, Value, Variables};
use futures_util::{future::BoxFuture, stream::BoxStream};

use super::{
    cross_origin::CrossOrigin, document::Documents, introspection::Introspection, lifetime::Lifetime, limits::Limits,
    load::Load, rate_limits::RateLimits, roots::Roots, share::Shares, strict::Strict,
    websocket::Places,
};
use crate::{
    account::Sessions,
    api::{Budget, Caller, RequestId},
    kernel::PersonId,
    tasks::Tasks,
    telemetry::Metrics,
};

/// The longest body of a request, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

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
    /// Whose pages may use this server besides its own.
    pub(super) cross_origin: CrossOrigin,
    pub(super) lifetime: Lifetime,
}

impl Transport {
    /// A transport in front of `schema`.
    pub(super) fn new(
        schema: impl Executor,
        sessions: Sessions,
        metrics: Metrics,
        limits: Limits,
        cross_origin: CrossOrigin,
        lifetime: Lifetime,
    ) -> Self {
        let documents = Documents::new();
        let introspection = Introspection::new(&schema, limits.introspection);
        let roots = Roots::of(&schema);
        Self {
            engine: Box::new(schema),
            sessions,
            tasks: Tasks::new(&metrics),
            load: Load::new(&limits, &metrics),
            rates: Arc::new(RateLimits::new(limits.rates, &metrics)),
            sockets_of_addresses: Places::new(limits.sockets_per_address),
            sockets_of_people: Places::new(limits.sockets_per_person),
            metrics: Arc::new(metrics),
            documents,
            roots,
            shares: Shares::new(limits.patience),
            introspection,
            limits,
            cross_origin,
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
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) query: String,
    operation_name: Option<String>,
    pub(super) variables: Variables,
}

impl Parameters {
    /// Reads the parameters; batches, unknown shapes, JSON that nests too deep, has too many values or a name twice are refused.
    /// Members that nobody asked for are read as well, and have to be right.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        if json_values(json) > JSON_VALUES_MAX {
            return None;
        }
        let text = std::str::from_utf8(json).ok()?;
        let Strict(Value::Object(mut members)) = serde_json::from_str(text).ok()? else {
            return None;
        };
        let mut member = |name: &str| members.swap_remove(name).unwrap_or_default();
        let Value::String(query) = member("query") else { return None };
        let operation_name = match member("operationName") {
            Value::Null => None,
            Value::String(name) => Some(name),
            _ => return None,
        };
        let variables = match member("variables") {
            variables @ (Value::Null | Value::Object(_)) => Variables::from_value(variables),
            _ => return None,
        };
        // Nothing reads them.
        if !matches!(member("extensions"), Value::Null | Value::Object(_)) {
            return None;
        }
        Some(Self { query, operation_name, variables })
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
