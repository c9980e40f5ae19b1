//! Subscriptions that go on without async-graphql.
//!
//! It checks, authorises and answers the first result of every subscription. What follows is, for most, a few fields of one
//! object, written again and again. For that alone several kilobytes would be kept: the document, its environment and the
//! streams of an execution. So a resolver may hand over what follows its first result. The transport then drops the
//! execution when it has ended, and goes on with the [`Updates`] that it left in the [`Handover`].
//!
//! A [`Plan`] says how a document wants the results written. It belongs to the document and is shared by all who send it.
//! Documents that ask for more than a plan can say have none, and run in async-graphql to their end. How a place is written
//! stands in `queue_updates`.

mod queue_updates;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use async_graphql::{
    Positioned,
    parser::types::{ExecutableDocument, OperationDefinition, Selection},
};

use super::plan::ObjectPlan;

pub(super) use queue_updates::{Leaf, QueueUpdates};

/// What follows the first result of a subscription.
pub trait Updates: Send {
    /// Ready with `true` when there is another result, with `false` when none follows any more.
    fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<bool>;

    /// Writes the newest result, the value of `data`, as JSON.
    fn write(&mut self, out: &mut String);
}

/// Put into the request of a subscription, so that its resolver can leave [`Updates`] there.
pub struct Handover {
    plan: Option<Arc<Plan>>,
    updates: Mutex<Option<Box<dyn Updates>>>,
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Handover {
    /// For an operation with this plan.
    pub fn new(plan: Option<Arc<Plan>>) -> Arc<Self> {
        Arc::new(Self { plan, updates: Mutex::new(None) })
    }

    /// How the results are to be written, if that can be said in a plan.
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.plan.as_ref()
    }

    /// Leaves what follows the first result. The resolver's own stream has to end after that one.
    pub fn leave(&self, updates: Box<dyn Updates>) {
        *self.updates.lock().unwrap_or_else(PoisonError::into_inner) = Some(updates);
    }

    /// What was left, for whoever runs the subscription: to be asked for when the execution has ended.
    pub fn take(&self) -> Option<Box<dyn Updates>> {
        self.updates.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How results of `queueStatus` are written: the root's key, and the queue token behind it.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    root: Box<str>,
    token: ObjectPlan<Leaf>,
}

impl Plan {
    /// The plan of an operation that the schema finds valid. `None` when it is another subscription, or has directives.
    pub fn of(document: &ExecutableDocument, operation: &OperationDefinition) -> Option<Self> {
        let [Positioned { node: Selection::Field(root), .. }] =
            operation.selection_set.node.items.as_slice()
        else {
            return None;
        };
        let root = &root.node;
        if root.name.node != "queueStatus"
            || !root.directives.is_empty()
            || !operation.directives.is_empty()
        {
            return None;
        }
        let token = ObjectPlan::of(&root.selection_set.node, &document.fragments)?;
        // Names need no escapes.
        let root = format!(r#"{{"{}":"#, root.response_key().node).into();
        Some(Self { root, token })
    }

    /// Whether some leaf is in it.
    pub(super) fn has(&self, leaf: Leaf) -> bool {
        self.token.has(leaf)
    }

    /// Writes one result; `value` writes a leaf's.
    pub(super) fn render(&self, out: &mut String, value: impl FnMut(Leaf, &mut String)) {
        out.push_str(&self.root);
        self.token.render(out, value);
        out.push('}');
    }
}
