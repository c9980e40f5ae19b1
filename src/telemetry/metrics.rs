//! Every metric of the server, served at `/metrics` in the OpenMetrics text format.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{operations::OperationMetrics, rooms::RoomsMetrics};

/// What kind of GraphQL operation, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `query`, `mutation`, `subscription` or `unknown`.
    pub kind: &'static str,
    /// `ok`, or the first error's code.
    pub code: &'static str,
}

/// How a use case ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// `ok`, `refused` or `fault`; of refunds `done`, `again` or `failed`; of spans `exported`, `failed` or `dropped`.
    pub outcome: &'static str,
}

/// Why a connection was refused, or ended by the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// `full` or `address`; `first_byte`, `head`, `idle` or `write`.
    pub reason: &'static str,
}

/// Which limit somebody met.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LimitLabels {
    /// One of [`LIMITS`].
    pub limit: &'static str,
}

/// Every limit of how often somebody may do something, how many they may have, and of what the server takes on.
pub const LIMITS: [&str; 13] = [
    "address",
    "person",
    "share",
    "enter",
    "hold",
    "pay",
    "log_in",
    "sign_up",
    "wrong_passwords_address",
    "wrong_passwords_account",
    "lapsed_holds",
    "sockets_address",
    "sockets_person",
];

/// How a queue token ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndedLabels {
    /// `USED` or `EXPIRED`.
    pub status: &'static str,
}

/// Which kind of request shares statements.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabels {
    /// `holds`, `payments` or `charges`.
    pub lane: &'static str,
}

/// What became of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SessionLabels {
    /// `opened`, `refreshed`, `repeated`, `reused` or `ended`.
    pub event: &'static str,
}

/// Which task died.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TaskLabels {
    /// The name that it was started by.
    pub task: &'static str,
}

/// What is checked by an audit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CheckLabels {
    /// The name of the check.
    pub check: String,
}

/// Everything that a card gateway is asked.
const GATEWAY_VERBS: [&str; 7] =
    ["begin", "advance", "look", "call_off", "refund", "look_at_refund", "list"];

/// What the card gateway was asked, and whether it answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GatewayLabels {
    /// `begin`, `look`, `refund`, ...
    pub verb: &'static str,
    /// `ok`, `unavailable`, `unanswered` or `fault`.
    pub outcome: &'static str,
}

/// What the card gateway was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GatewayVerbLabels {
    /// `begin`, `look`, `refund`, ...
    pub verb: &'static str,
}

/// Handles to all metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// GraphQL operations answered.
    pub requests: Family<RequestLabels, Counter>,
    /// The same by field and outcome.
    pub operations: OperationMetrics,
    /// Seconds from the request's last byte to the answer's first.
    pub request_seconds: Histogram,
    /// Open connections, WebSockets among them.
    pub connections: Gauge,
    /// Connections that there was no room for.
    pub connections_refused: Family<ReasonLabels, Counter>,
    /// Connections that the server ended because their time was over.
    pub connections_ended: Family<ReasonLabels, Counter>,
    /// Answers replaced by OVERLOADED because too many bytes waited to be sent.
    pub answers_refused: Counter,
    /// Requests and sockets refused because somebody did something too often.
    pub rate_limited: Family<LimitLabels, Counter>,
    /// Requests refused because the server had too many under way.
    pub shed: Counter,
    /// Requests under way.
    pub in_flight: Gauge,
    /// Open WebSockets and event streams.
    pub sockets: Gauge,
    /// Running subscriptions.
    pub subscriptions: Gauge,
    /// What became of sessions.
    pub sessions: Family<SessionLabels, Counter>,
    /// Places taken in lines, by this instance.
    pub queue_entered: Counter,
    /// People per journal commit.
    pub journal_batch: Histogram,
    /// Requests per group of a lane.
    pub lane_groups: Family<LaneLabels, Histogram, fn() -> Histogram>,
    /// People admitted, by rounds of this instance.
    pub queue_admitted: Counter,
    /// People passed over because they were away at their turn.
    pub queue_passed_over: Counter,
    /// Queue tokens ended, by this instance.
    pub queue_ended: Family<EndedLabels, Counter>,
    /// Holds asked for.
    pub holds: Family<OutcomeLabels, Counter>,
    /// Holds that lapsed and were tidied by this instance.
    pub holds_lapsed: Counter,
    /// Payments asked for.
    pub payments: Family<OutcomeLabels, Counter>,
    /// Refunds.
    refunds: Family<OutcomeLabels, Counter>,
    /// What the card gateway was asked.
    pub gateway_calls: Family<GatewayLabels, Counter>,
    /// How long the card gateway took.
    pub gateway_seconds: Family<GatewayVerbLabels, Histogram>,
    /// Rows at fault in the books, as the last audit found them.
    pub audit_faults: Family<CheckLabels, Gauge>,
    /// When that audit ended, in seconds since 1970.
    pub audit_finished: Gauge,
    /// How long it took.
    pub audit_seconds: Gauge<f64, AtomicU64>,
    /// Calls to Redis that failed or took too long.
    pub redis_failures: Counter,
    /// Failures of ours that a client was told of as INTERNAL or OVERLOADED.
    pub faults: Counter,
    /// Tasks that panicked, or ended though they should not have.
    pub task_panics: Family<TaskLabels, Counter>,
    /// Spans of traces, by what became of them.
    pub spans: Family<OutcomeLabels, Counter>,
    /// What is told about each waiting room.
    pub rooms: RoomsMetrics,
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("frontrow");
        let latency = || {
            Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
        };
        let mut metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            operations: OperationMetrics::default(),
            request_seconds: latency(),
            connections: Gauge::default(),
            connections_refused: Family::default(),
            connections_ended: Family::default(),
            answers_refused: Counter::default(),
            rate_limited: Family::default(),
            shed: Counter::default(),
            in_flight: Gauge::default(),
            sockets: Gauge::default(),
            subscriptions: Gauge::default(),
            sessions: Family::default(),
            queue_entered: Counter::default(),
            journal_batch: Histogram::new([1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0]),
            lane_groups: Family::new_with_constructor(group_sizes),
            queue_admitted: Counter::default(),
            queue_passed_over: Counter::default(),
            queue_ended: Family::default(),
            holds: Family::default(),
            holds_lapsed: Counter::default(),
            payments: Family::default(),
            refunds: Family::default(),
            gateway_calls: Family::default(),
            gateway_seconds: Family::new_with_constructor(latency),
            audit_faults: Family::default(),
            audit_finished: Gauge::default(),
            audit_seconds: Gauge::default(),
            redis_failures: Counter::default(),
            faults: Counter::default(),
            task_panics: Family::default(),
            spans: Family::default(),
            rooms: RoomsMetrics::default(),
        };
        let m = &metrics;
        registry.register("requests", "GraphQL operations answered", m.requests.clone());
        m.operations.register(&mut registry);
        registry.register(
            "request_seconds",
            "Time to answer a GraphQL operation",
            m.request_seconds.clone(),
        );
        m.register_connections(&mut registry);
        m.register_sessions(&mut registry);
        m.register_line(&mut registry);
        m.register_payments(&mut registry);
        m.register_gateway(&mut registry);
        m.register_audit(&mut registry);
        registry.register("redis_failures", "Calls to Redis that failed", m.redis_failures.clone());
        registry.register(
            "faults",
            "Failures of the server that a client was told of",
            m.faults.clone(),
        );
        registry.register("task_panics", "Tasks that died", m.task_panics.clone());
        m.register_spans(&mut registry);
        registry.register_collector(Box::new(m.rooms.clone()));
        metrics.registry = Arc::new(registry);
        metrics
    }

    fn register_line(&self, registry: &mut Registry) {
        registry.register("queue_entered", "Places taken in lines", self.queue_entered.clone());
        registry.register("journal_batch", "People per journal commit", self.journal_batch.clone());
        registry.register("lane_groups", "Requests per group of a lane", self.lane_groups.clone());
        registry.register("queue_admitted", "People admitted", self.queue_admitted.clone());
        registry.register(
            "queue_passed_over",
            "People away at their turn",
            self.queue_passed_over.clone(),
        );
        registry.register("queue_ended", "Queue tokens ended", self.queue_ended.clone());
    }

    fn register_spans(&self, registry: &mut Registry) {
        // On the page from the start, as below.
        for outcome in ["exported", "failed", "dropped"] {
            drop(self.spans.get_or_create(&OutcomeLabels { outcome }));
        }
        registry.register("spans", "Spans of traces", self.spans.clone());
    }

    fn register_sessions(&self, registry: &mut Registry) {
        // On the page from the start, so that an alarm can be set on what never happened.
        for event in ["opened", "refreshed", "repeated", "reused", "ended"] {
            drop(self.sessions.get_or_create(&SessionLabels { event }));
        }
        registry.register("sessions", "What became of sessions", self.sessions.clone());
    }

    fn register_payments(&self, registry: &mut Registry) {
        registry.register("holds", "Holds asked for", self.holds.clone());
        registry.register("holds_lapsed", "Holds that lapsed", self.holds_lapsed.clone());
        registry.register("payments", "Payments asked for", self.payments.clone());
        // On the page from the start, so that an alarm can be set on what never happened.
        for outcome in ["done", "again", "failed"] {
            drop(self.refunds(outcome));
        }
        registry.register("refunds", "Refunds done, put off, and given up", self.refunds.clone());
    }

    fn register_audit(&self, registry: &mut Registry) {
        registry.register("audit_faults", "Rows at fault in the books", self.audit_faults.clone());
        registry.register(
            "audit_finished_seconds",
            "When the last audit ended, since 1970",
            self.audit_finished.clone(),
        );
        registry.register(
            "audit_seconds",
            "Time that the last audit took",
            self.audit_seconds.clone(),
        );
    }

    /// Refunds that are `done`, tried `again` later, or `failed` for good.
    pub fn refunds(&self, outcome: &'static str) -> Counter {
        self.refunds.get_or_create(&OutcomeLabels { outcome }).clone()
    }

    fn register_gateway(&self, registry: &mut Registry) {
        // On the page from the start, as below.
        for verb in GATEWAY_VERBS {
            drop(self.gateway_seconds.get_or_create(&GatewayVerbLabels { verb }));
            for outcome in ["ok", "unavailable", "unanswered", "fault"] {
                drop(self.gateway_calls.get_or_create(&GatewayLabels { verb, outcome }));
            }
        }
        registry.register(
            "gateway_calls",
            "What the card gateway was asked",
            self.gateway_calls.clone(),
        );
        registry.register(
            "gateway_seconds",
            "Time that the card gateway took",
            self.gateway_seconds.clone(),
        );
    }

    fn register_connections(&self, registry: &mut Registry) {
        // On the page from the start: what counts up from nothing is seen by nobody's `increase`.
        for reason in ["full", "address"] {
            drop(self.connections_refused.get_or_create(&ReasonLabels { reason }));
        }
        for reason in ["first_byte", "head", "idle", "write"] {
            drop(self.connections_ended.get_or_create(&ReasonLabels { reason }));
        }
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register(
            "connections_refused",
            "Connections that there was no room for",
            self.connections_refused.clone(),
        );
        registry.register(
            "connections_ended",
            "Connections whose time was over",
            self.connections_ended.clone(),
        );
        registry.register("sockets", "Open WebSockets and event streams", self.sockets.clone());
        registry.register("subscriptions", "Running subscriptions", self.subscriptions.clone());
        registry.register(
            "answers_refused",
            "Answers that there was no room for",
            self.answers_refused.clone(),
        );
        for limit in LIMITS {
            drop(self.rate_limited.get_or_create(&LimitLabels { limit }));
        }
        registry.register(
            "rate_limited",
            "Requests refused because somebody did something too often",
            self.rate_limited.clone(),
        );
        registry.register(
            "shed",
            "Requests refused because too many were under way",
            self.shed.clone(),
        );
        registry.register("requests_in_flight", "Requests under way", self.in_flight.clone());
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        _ = encode(&mut text, &self.registry);
        text
    }
}

fn group_sizes() -> Histogram {
    Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
