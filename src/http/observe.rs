//! One log line and one count per GraphQL operation, however it ends.

use std::{sync::Arc, time::Instant};

use super::document::{Kind, Operation};
use crate::{
    api::{Caller, RequestId},
    kernel::RequestCode,
    telemetry::{Metrics, RequestLabels},
};

/// Watches one operation; when it is dropped the operation is over, and is logged and counted.
///
/// Never holds tokens, variables or anything else that a client wrote, but the operation's name.
pub(super) struct Observation {
    metrics: Arc<Metrics>,
    request_id: RequestId,
    started: Instant,
    operation: Option<Box<str>>,
    person: Caller,
    kind: Option<Kind>,
    code: &'static str,
}

impl Observation {
    /// A request has arrived.
    pub(super) fn start(metrics: &Arc<Metrics>, request_id: &RequestId) -> Self {
        Self {
            metrics: metrics.clone(),
            request_id: request_id.clone(),
            started: Instant::now(),
            operation: None,
            person: Caller(None),
            kind: None,
            // Stands when nobody waits for the answer any more.
            code: "cancelled",
        }
    }

    /// It is known who asks.
    pub(super) const fn asked_by(&mut self, caller: Caller) {
        self.person = caller;
    }

    /// It is known what is asked for.
    pub(super) fn runs(&mut self, operation: &Operation) {
        self.kind = Some(operation.kind);
        self.operation = operation.name.as_deref().map(Box::from);
    }

    /// It is known how it ended; `None` when all went well.
    pub(super) const fn answered(&mut self, code: Option<RequestCode>) {
        self.code = match code {
            Some(code) => code.as_str(),
            None => "ok",
        };
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let kind = self.kind.map_or("unknown", Kind::as_str);
        let elapsed = self.started.elapsed();
        self.metrics.requests.get_or_create(&RequestLabels { kind, code: self.code }).inc();
        if self.kind != Some(Kind::Subscription) {
            self.metrics.request_seconds.observe(elapsed.as_secs_f64());
        }
        if [RequestCode::Internal, RequestCode::Overloaded]
            .map(RequestCode::as_str)
            .contains(&self.code)
        {
            self.metrics.faults.inc();
        }
        tracing::info!(
            kind,
            operation = self.operation.as_deref(),
            code = self.code,
            duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            request_id = &*self.request_id.0,
            person_id = self.person.0.map(|actor| tracing::field::display(actor.person_id)),
            "request"
        );
    }
}
