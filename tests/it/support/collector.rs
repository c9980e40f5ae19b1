//! A collector of traces: takes OTLP over HTTP as a real one does, and keeps what comes.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode as Outcome},
};
use prost::Message;
use tokio::net::TcpListener;

use super::eventually;

/// What has come so far; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    kept: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Mutex<Vec<Traced>>,
    bodies: Mutex<Vec<u8>>,
    /// Answers this instead, where it is not 0.
    refuses: AtomicU16,
    refused: AtomicUsize,
}

/// A span, as text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Traced {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty where it has none.
    pub(crate) parent: String,
    pub(crate) name: String,
    /// 1 for what is inside, 2 for a server's, 3 for a client's.
    pub(crate) kind: i32,
    pub(crate) failed: bool,
    attributes: Vec<(String, String)>,
    /// The spans that it names besides its parent.
    pub(crate) links: Vec<String>,
    /// What the process says of itself.
    resource: Vec<(String, String)>,
    pub(crate) nanoseconds: (u64, u64),
}

fn of<'a>(attributes: &'a [(String, String)], key: &str) -> Option<&'a str> {
    attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

impl Traced {
    pub(crate) fn attribute(&self, key: &str) -> Option<&str> {
        of(&self.attributes, key)
    }

    pub(crate) fn resource(&self, key: &str) -> Option<&str> {
        of(&self.resource, key)
    }

    fn read(span: &Span, resource: &[(String, String)]) -> Self {
        Self {
            trace: hexadecimal(&span.trace_id),
            id: hexadecimal(&span.span_id),
            parent: hexadecimal(&span.parent_span_id),
            name: span.name.clone(),
            kind: span.kind,
            failed: span.status.as_ref().is_some_and(|it| it.code() == Outcome::Error),
            attributes: texts(&span.attributes),
            links: span.links.iter().map(|link| hexadecimal(&link.span_id)).collect(),
            resource: resource.to_vec(),
            nanoseconds: (span.start_time_unix_nano, span.end_time_unix_nano),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |value: &AnyValue| match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("an attribute of another kind: {other:?}"),
    };
    let text = |it: &KeyValue| (it.key.clone(), it.value.as_ref().map_or_else(String::new, text));
    attributes.iter().map(text).collect()
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let kept = Arc::new(Kept::default());
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&kept));
        tokio::spawn(async move { axum::serve::serve(listener, router).await });
        Self { address, kept }
    }

    /// The flags of a server that sends its traces here.
    pub(crate) fn flag(&self) -> String {
        format!("--otlp-endpoint=http://{}", self.address)
    }

    /// Answers this from now on, and keeps nothing; 0 to be well again.
    pub(crate) fn refuse(&self, status: u16) {
        self.kept.refuses.store(status, Relaxed);
    }

    /// How often it has refused something.
    pub(crate) fn refused(&self) -> usize {
        self.kept.refused.load(Relaxed)
    }

    pub(crate) fn spans(&self) -> Vec<Traced> {
        self.kept.spans.lock().unwrap().clone()
    }

    /// Everything that came, byte for byte.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.kept.bodies.lock().unwrap().clone()
    }

    /// Waits for the first span of that name.
    pub(crate) async fn span(&self, name: &str) -> Traced {
        eventually(&format!("a span {name}"), async || {
            self.spans().into_iter().find(|span| span.name == name)
        })
        .await
    }

    /// What is directly below a span.
    pub(crate) fn below(&self, parent: &Traced) -> Vec<Traced> {
        let all = self.spans().into_iter();
        all.filter(|span| span.trace == parent.trace && span.parent == parent.id).collect()
    }

    /// All that is below a span, at any depth.
    pub(crate) fn all_below(&self, parent: &Traced) -> Vec<Traced> {
        let direct = self.below(parent);
        let deeper: Vec<Traced> = direct.iter().flat_map(|span| self.all_below(span)).collect();
        direct.into_iter().chain(deeper).collect()
    }
}

async fn take(State(kept): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let refuses = kept.refuses.load(Relaxed);
    if refuses > 0 {
        kept.refused.fetch_add(1, Relaxed);
        return StatusCode::from_u16(refuses).expect("a status");
    }
    let request = ExportTraceServiceRequest::decode(body.clone()).expect("OTLP");
    kept.bodies.lock().unwrap().extend_from_slice(&body);
    let mut spans = kept.spans.lock().unwrap();
    for of_resource in &request.resource_spans {
        let resource = of_resource.resource.as_ref().expect("a resource");
        let resource = texts(&resource.attributes);
        for scope in &of_resource.scope_spans {
            spans.extend(scope.spans.iter().map(|span| Traced::read(span, &resource)));
        }
    }
    StatusCode::OK
}
