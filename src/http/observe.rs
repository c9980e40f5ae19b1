//! One log line and one count per GraphQL operation, however it ends; and a second line where it took long.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    document::{Kind, Operation},
    transport::SharedTransport,
};
use crate::{
    api::{Caller, RequestId},
    kernel::RequestCode,
    telemetry::{
        Course, OperationLabels, OperationOutcome as Outcome, Part, RefusalLabels, RequestLabels,
        Seldom, Span,
    },
};

/// Of an operation's name, which a client chose, so many bytes are logged.
const NAME_BYTES_MAX: usize = 100;

/// Watches one operation; when it is dropped the operation is over, and is logged and counted.
///
/// Never holds tokens, variables or anything else that a client wrote, but the operation's name.
pub(super) struct Observation {
    transport: SharedTransport,
    request_id: RequestId,
    started: Instant,
    operation: Option<Box<str>>,
    field: Option<Arc<str>>,
    person: Caller,
    kind: Option<Kind>,
    code: &'static str,
    outcome: Outcome,
    /// What it does while it runs; subscriptions, which run for long, have none.
    course: Option<Arc<Course>>,
    /// Of the request, until the operation has one of its own.
    span: Span,
}

impl Observation {
    /// A request arrives; `span` is its part of a trace, where it has one.
    pub(super) fn start(transport: &SharedTransport, request_id: &RequestId, span: Span) -> Self {
        Self {
            span,
            transport: transport.clone(),
            request_id: request_id.clone(),
            started: Instant::now(),
            operation: None,
            field: None,
            person: Caller(None),
            kind: None,
            // Stands when nobody waits for the answer any more.
            code: "cancelled",
            outcome: Outcome::Cancelled,
            course: None,
        }
    }

    /// All of it is there. How long a client takes to send it is no time of ours.
    pub(super) fn arrived(&mut self) {
        self.started = Instant::now();
    }

    /// What it does from now on is noted there.
    pub(super) fn course(&mut self) -> Arc<Course> {
        Arc::clone(self.course.get_or_insert_default())
    }

    /// It is known who asks.
    pub(super) const fn asked_by(&mut self, caller: Caller) {
        self.person = caller;
    }

    /// It is known what is asked for.
    pub(super) fn runs(&mut self, operation: &Operation) {
        self.kind = Some(operation.kind);
        self.field = Some(self.transport.roots.label(operation.field.as_deref()));
        let name = operation.name.as_deref().map(|name| name.get(..NAME_BYTES_MAX).unwrap_or(name));
        self.operation = name.map(Box::from);
        self.trace(operation.kind);
    }

    /// Goes on in a span of the operation: below that of its request, or by itself where there is none.
    fn trace(&mut self, kind: Kind) {
        let field = self.field.as_deref().unwrap_or_default();
        let name = || format!("{} {field}", kind.as_str());
        let span = if self.span.is_on() { Span::part(name) } else { Span::of_request(name, None) };
        if !span.is_on() {
            return;
        }
        span.set("graphql.operation.type", kind.as_str());
        if let Some(name) = self.operation.as_deref() {
            span.set("graphql.operation.name", name.to_owned());
        }
        self.span = span;
    }

    /// The operation's span, or the request's before it is known what is asked for.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// A subscription has its first result, or will have none. A span that went on for hours would be seen when they are over.
    pub(super) fn begun(&mut self) {
        self.tell_span(self.outcome, None);
        mem::take(&mut self.span).end();
    }

    fn tell_span(&self, outcome: Outcome, refusal: Option<&'static str>) {
        if !self.span.is_on() {
            return;
        }
        self.span.set("frontrow.outcome", outcome.as_str());
        self.span.set("frontrow.request_id", self.request_id.0.clone());
        if let Some(actor) = self.person.0 {
            self.span.set("user.id", actor.person_id.to_string());
        }
        match outcome {
            Outcome::Fault | Outcome::Shed => self.span.fail(self.code),
            Outcome::Refused | Outcome::Limited => {
                self.span.set("frontrow.refusal", refusal.unwrap_or(self.code));
            }
            Outcome::Ok | Outcome::Cancelled => {}
        }
    }

    /// It is known how it ended; `None` when all went well.
    pub(super) const fn answered(&mut self, code: Option<RequestCode>) {
        self.code = match code {
            Some(code) => code.as_str(),
            None => "ok",
        };
        self.outcome = match code {
            None => Outcome::Ok,
            Some(RequestCode::Internal | RequestCode::Overloaded) => Outcome::Fault,
            Some(RequestCode::RateLimited) => Outcome::Limited,
            Some(_) => Outcome::Refused,
        };
    }

    /// It was sent away because too much was under way.
    pub(super) const fn shed(&mut self) {
        self.outcome = Outcome::Shed;
    }

    fn count(&self, kind: &'static str, outcome: Outcome, refusal: Option<&'static str>) {
        let metrics = &self.transport.metrics;
        metrics.requests.get_or_create(&RequestLabels { kind, code: self.code }).inc();
        if [RequestCode::Internal, RequestCode::Overloaded]
            .map(RequestCode::as_str)
            .contains(&self.code)
        {
            metrics.faults.inc();
        }
        let field = self.field.clone().unwrap_or_else(|| self.transport.roots.unknown());
        if !matches!(outcome, Outcome::Ok | Outcome::Cancelled) {
            let labels = RefusalLabels { field: field.clone(), code: refusal.unwrap_or(self.code) };
            metrics.operations.refused.get_or_create(&labels).inc();
        }
        let labels = OperationLabels { kind, field, outcome: outcome.as_str() };
        metrics.operations.answered.get_or_create(&labels).inc();
    }

    /// Says where the time went. Parts may have run at the same time, and there is time that no part has: parsing, hashing,
    /// writing the answer.
    fn log_slow(&self, kind: &'static str, duration_us: u64) {
        static LINES: Seldom = Seldom::new();
        self.transport.metrics.operations.slow.inc();
        let Some(left_out) = LINES.pass() else { return };
        let took = |part| self.course.as_ref().and_then(|course| course.micros(part));
        let times = |part| self.course.as_ref().and_then(|course| course.times(part));
        tracing::warn!(
            left_out,
            kind,
            operation = self.operation.as_deref(),
            field = self.field.as_deref(),
            code = self.code,
            duration_us,
            share_us = took(Part::Share),
            place_us = took(Part::Place),
            lane_us = took(Part::Lane),
            connection_us = took(Part::Connection),
            sql_us = took(Part::Sql),
            statements = times(Part::Sql),
            redis_us = took(Part::Redis),
            redis_calls = times(Part::Redis),
            gateway_us = took(Part::Gateway),
            request_id = &*self.request_id.0,
            person_id = self.person.0.map(|actor| tracing::field::display(actor.person_id)),
            "slow operation"
        );
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let kind = self.kind.map_or("unknown", Kind::as_str);
        let refusal = self.course.as_ref().and_then(|course| course.refusal());
        let refusal = refusal.filter(|_| self.outcome == Outcome::Ok);
        let outcome = if refusal.is_some() { Outcome::Refused } else { self.outcome };
        let elapsed = self.started.elapsed();
        self.count(kind, outcome, refusal);
        self.tell_span(outcome, refusal);
        // So that the lines name their trace.
        self.span().within(|| self.log(kind, outcome, refusal, elapsed));
    }
}

impl Observation {
    fn log(
        &self,
        kind: &'static str,
        outcome: Outcome,
        refusal: Option<&'static str>,
        elapsed: Duration,
    ) {
        let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        if self.kind != Some(Kind::Subscription) {
            self.transport.metrics.request_seconds.observe(elapsed.as_secs_f64());
            if self.transport.limits.slow.is_some_and(|slow| elapsed >= slow) {
                self.log_slow(kind, duration_us);
            }
        }
        tracing::info!(
            kind,
            operation = self.operation.as_deref(),
            field = self.field.as_deref(),
            outcome = outcome.as_str(),
            code = self.code,
            refusal,
            duration_us,
            request_id = &*self.request_id.0,
            person_id = self.person.0.map(|actor| tracing::field::display(actor.person_id)),
            "request"
        );
    }
}
