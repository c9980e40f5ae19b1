//! Traces: what an operation does and waits for, as spans that an OpenTelemetry collector takes.
//!
//! Off unless a collector is named, and then nothing but one look at [`TRACER`] is left of it. Names and attributes follow
//! OpenTelemetry's conventions. They hold names of ours, numbers, ids and an operation's name; never a token, an address of
//! a person, a parameter or a text that somebody wrote.

mod export;
mod settings;
mod summary;

use std::{
    collections::HashMap,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

pub use export::Export;
use opentelemetry::{
    Context, ContextGuard, KeyValue, Value,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
pub use settings::{TraceAddress, TraceHeaders, TraceSettings};
use uuid::Uuid;

use super::{Asked, Metrics};
use crate::kernel::Fault;

/// What makes spans, once traces were started.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();
/// Attributes of a span, spans that it is linked to: as many as a group of a lane, and more than anything of ours has.
const ATTRIBUTES_MAX: u32 = 32;
const LINKS_MAX: u32 = 32;
/// Statements whose names are remembered; what the server asks has a few hundred texts.
const NAMES_MAX: usize = 1_000;

/// Starts traces where a collector is named. What has to be run then sends them: see [`Export::run`].
///
/// # Errors
/// When the way to the collector cannot be built.
pub fn start(settings: &TraceSettings, metrics: &Metrics) -> Result<Option<Export>, Fault> {
    let Some(url) = settings.endpoint.url() else { return Ok(None) };
    let resource = Resource::builder()
        .with_service_name(settings.service.clone())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
        ])
        .build();
    let (queue, export) = Export::to(url, settings, &resource, metrics)?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.ratio)));
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_max_attributes_per_span(ATTRIBUTES_MAX)
        .with_max_links_per_span(LINKS_MAX)
        .with_resource(resource)
        .with_span_processor(queue)
        .build();
    // A second start is refused, and the first one stands.
    Ok(TRACER.set(provider.tracer("frontrow")).is_ok().then_some(export))
}

/// Where a request's trace began, as who sent it says (W3C Trace Context).
#[derive(Debug, Clone)]
pub struct Parent(SpanContext);

impl Parent {
    /// Reads a `traceparent`; nothing when it is none, or nobody traces.
    pub fn read(traceparent: &str) -> Option<Self> {
        struct Header<'a>(&'a str);
        impl Extractor for Header<'_> {
            fn get(&self, key: &str) -> Option<&str> {
                (key == "traceparent").then_some(self.0)
            }
            fn keys(&self) -> Vec<&str> {
                vec!["traceparent"]
            }
        }
        TRACER.get()?;
        let read = TraceContextPropagator::new()
            .extract_with_context(&Context::new(), &Header(traceparent));
        let context = read.span().span_context().clone();
        context.is_valid().then_some(Self(context))
    }
}

/// The ids of the span that is going on, for the log.
pub(super) fn current_ids() -> Option<(String, String)> {
    TRACER.get()?;
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid().then(|| (ids.trace_id().to_string(), ids.span_id().to_string()))
    })
}

/// A span, or nothing where nobody traces. It is over when this and all that runs in it are, or when it is ended.
#[derive(Clone, Default)]
pub struct Span(Option<Context>);

impl Span {
    /// What somebody outside of this process asked for.
    pub fn of_request(name: impl FnOnce() -> String, parent: Option<&Parent>) -> Self {
        Self::begin(|| SpanBuilder::from_name(name()).with_kind(SpanKind::Server), parent)
    }

    /// What this process does by itself.
    pub fn of_worker(name: &'static str) -> Self {
        Self::begin(|| SpanBuilder::from_name(name), None)
    }

    fn begin(builder: impl FnOnce() -> SpanBuilder, parent: Option<&Parent>) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        // Whatever is going on here is not a part of it.
        let outside = Context::new();
        let outside = match parent {
            Some(Parent(parent)) => outside.with_remote_span_context(parent.clone()),
            None => outside,
        };
        let span = builder().start_with_context(tracer, &outside);
        Self(Some(outside.with_span(span)))
    }

    /// A part of what is going on.
    pub fn part(name: impl FnOnce() -> String) -> Self {
        Self::below(|| SpanBuilder::from_name(name()))
    }

    /// What is done for several spans together: a part of the first of them, and linked to all others.
    pub fn of_group<'a>(
        name: &'static str,
        waiting: impl ExactSizeIterator<Item = &'a Self>,
    ) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let size = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
        let mut recorded = waiting.filter_map(|span| span.recorded());
        let Some(first) = recorded.next() else { return Self(None) };
        let size = KeyValue::new("frontrow.group.size", size);
        let builder = SpanBuilder::from_name(name).with_attributes([size]);
        let group = Self(Some(first.with_span(builder.start_with_context(tracer, first))));
        for other in recorded {
            group.link(other);
            // Whoever looks at the other one finds the way here.
            if let Some(group) = &group.0 {
                other.span().add_link(group.span().span_context().clone(), Vec::new());
            }
        }
        group
    }

    /// A statement, by its text without parameters, sent to this server.
    pub(super) fn of_sql(text: &str, host: &str, port: u16) -> Self {
        Self::below(|| {
            let name = named(text);
            let mut attributes = vec![
                KeyValue::new("db.system.name", "postgresql"),
                KeyValue::new("db.query.summary", Arc::clone(&name)),
                KeyValue::new("server.address", host.to_owned()),
                KeyValue::new("server.port", i64::from(port)),
            ];
            // Only what does one thing has a verb.
            let mut words = name.split(' ');
            if let (Some(verb), None) = (words.next(), words.nth(1)) {
                attributes.push(KeyValue::new("db.operation.name", verb.to_owned()));
            }
            client(name.to_string(), attributes)
        })
    }

    /// A call to the Redis server at `host:port`.
    pub(super) fn of_redis(asked: Asked, address: &str) -> Self {
        Self::below(|| {
            let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
            let mut attributes = vec![
                KeyValue::new("db.system.name", "redis"),
                KeyValue::new("server.address", host.to_owned()),
            ];
            attributes
                .extend(port.parse().ok().map(|port: i64| KeyValue::new("server.port", port)));
            let (verb, name) = match asked {
                Asked::Command(verb) => (verb, verb.to_owned()),
                Asked::Script(script) => {
                    attributes.push(KeyValue::new("db.stored_procedure.name", script));
                    ("EVALSHA", format!("EVALSHA {script}"))
                }
            };
            attributes.push(KeyValue::new("db.operation.name", verb));
            client(name, attributes)
        })
    }

    /// A verb of the card gateway.
    pub(super) fn of_gateway(verb: &'static str) -> Self {
        Self::below(|| SpanBuilder::from_name(format!("card gateway {verb}")))
    }

    /// An HTTP request that we send.
    pub fn of_call(method: &str, host: Option<&str>, port: Option<u16>) -> Self {
        Self::below(|| {
            let mut attributes = vec![KeyValue::new("http.request.method", method.to_owned())];
            attributes.extend(host.map(|host| KeyValue::new("server.address", host.to_owned())));
            attributes.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
            client(method.to_owned(), attributes)
        })
    }

    /// What took this long and has just ended.
    pub(super) fn past(name: &'static str, took: Duration) {
        drop(Self::below(|| {
            let began = SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH);
            SpanBuilder::from_name(name).with_start_time(began)
        }));
    }

    fn below(builder: impl FnOnce() -> SpanBuilder) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        Context::map_current(|context| {
            // What is not recorded has no parts, and what belongs to nothing is nobody's.
            let recorded = context.span().is_recording();
            recorded.then(|| context.with_span(builder().start_with_context(tracer, context)))
        })
        .into()
    }

    /// Does work of it.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|task| {
            let _within = self.attached();
            work.as_mut().poll(task)
        })
        .await
    }

    /// Does something short of it.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _within = self.attached();
        work()
    }

    fn attached(&self) -> Option<ContextGuard> {
        self.0.clone().map(Context::attach)
    }

    /// Says something about it.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(context) = self.recorded() {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// It failed, in this way.
    pub fn fail(&self, error_type: impl Into<Value>) {
        if let Some(context) = self.recorded() {
            let span = context.span();
            span.set_attribute(KeyValue::new("error.type", error_type));
            span.set_status(Status::error(""));
        }
    }

    /// Ends it when what is returned is dropped, whoever else has it.
    pub fn until_dropped(&self) -> Over {
        Over(self.clone())
    }

    /// It is over, though something runs in it still.
    pub fn end(&self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }

    /// Whether anything of it is kept.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn link(&self, other: &Context) {
        if let Some(context) = &self.0 {
            context.span().add_link(other.span().span_context().clone(), Vec::new());
        }
    }

    fn recorded(&self) -> Option<&Context> {
        self.0.as_ref().filter(|context| context.span().is_recording())
    }
}

/// Ends a span when it is dropped.
#[derive(Debug)]
pub struct Over(Span);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl From<Option<Context>> for Span {
    fn from(context: Option<Context>) -> Self {
        Self(context)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Span(..)" } else { "Span(none)" })
    }
}

fn client(name: String, attributes: Vec<KeyValue>) -> SpanBuilder {
    SpanBuilder::from_name(name).with_kind(SpanKind::Client).with_attributes(attributes)
}

/// The name of a statement, found out once for each text.
fn named(sql: &str) -> Arc<str> {
    static NAMES: Mutex<Option<HashMap<Box<str>, Arc<str>>>> = Mutex::new(None);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    if let Some(name) = names.get(sql) {
        return Arc::clone(name);
    }
    let name: Arc<str> = summary::summary(sql).into();
    // Texts that hold a name of the moment are not worth remembering all.
    if names.len() < NAMES_MAX {
        names.insert(sql.into(), Arc::clone(&name));
    }
    name
}

#[cfg(test)]
mod tests;
