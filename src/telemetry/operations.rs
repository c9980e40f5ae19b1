//! What became of operations, by the field that they asked for: refusals are told apart from successes and from faults.
//!
//! Fields are those of the schema, and codes those of the contract; so the number of series is bounded, whatever clients send.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationOutcome {
    /// It did what it was asked for.
    Ok,
    /// The rules, or the schema, said no.
    Refused,
    /// Somebody did something too often.
    Limited,
    /// The server had too much under way.
    Shed,
    /// A failure of ours, or of what we stand on.
    Fault,
    /// Nobody waited for the answer.
    Cancelled,
}

impl OperationOutcome {
    /// As in the metrics and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Shed => "shed",
            Self::Fault => "fault",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What was asked for, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabels {
    /// `query`, `mutation`, `subscription` or `unknown`.
    pub kind: &'static str,
    /// The root field, as the schema has it; `several`, or `unknown`.
    pub field: Arc<str>,
    /// An [`OperationOutcome`].
    pub outcome: &'static str,
}

/// What was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// As in [`OperationLabels`].
    pub field: Arc<str>,
    /// The code of the first of `userErrors`, or of `errors`.
    pub code: &'static str,
}

/// The counters of operations; clones share them.
#[derive(Debug, Clone, Default)]
pub struct OperationMetrics {
    /// Operations answered.
    pub answered: Family<OperationLabels, Counter>,
    /// Those of them that did not do what they were asked for.
    pub refused: Family<RefusalLabels, Counter>,
    /// Operations that took longer than an operator finds usual.
    pub slow: Counter,
}

impl OperationMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "operations",
            "GraphQL operations by root field and outcome",
            self.answered.clone(),
        );
        registry.register(
            "refusals",
            "Operations that did not do what they were asked for, by code",
            self.refused.clone(),
        );
        registry.register("slow_operations", "Operations that took long", self.slow.clone());
    }
}
