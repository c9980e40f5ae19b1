//! The subscriptions of one socket. There are few of them, so a list that is polled in turn is the smallest thing that
//! works.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use tokio_tungstenite::tungstenite::Message;

use super::{
    super::subscription::{Event, Subscription},
    message::Outgoing,
};
use crate::api::Updates;

/// One running subscription.
pub(super) struct Operation {
    /// The client's name for it.
    pub(super) id: Box<str>,
    pub(super) subscription: Subscription,
}

/// The subscriptions of a socket.
#[derive(Default)]
pub(super) struct Running {
    operations: Vec<Operation>,
    /// Where the next look around begins, so that a busy subscription does not starve the others.
    next: usize,
}

impl Running {
    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is one of that id.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.operations.iter().any(|operation| *operation.id == *id)
    }

    /// One more.
    pub(super) fn insert(&mut self, id: Box<str>, subscription: Subscription) {
        // Vec doubles, and most sockets have one subscription.
        self.operations.reserve_exact(1);
        self.operations.push(Operation { id, subscription });
    }

    /// Ends the one of that id, if there still is one.
    pub(super) fn remove(&mut self, id: &str) -> Option<Operation> {
        let at = self.operations.iter().position(|operation| *operation.id == *id)?;
        Some(self.operations.swap_remove(at))
    }

    /// Ends the one at a place that [`Running::event`] named.
    pub(super) fn take(&mut self, at: usize) -> Option<Operation> {
        (at < self.operations.len()).then(|| self.operations.swap_remove(at))
    }

    /// The one at a place that [`Running::event`] named.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Operation> {
        self.operations.get_mut(at)
    }

    /// The next thing that any of them does, and at which place it stands. Never, when there are none.
    pub(super) async fn event(&mut self) -> (usize, Event<Message>) {
        poll_fn(|context| self.poll_event(context)).await
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<(usize, Event<Message>)> {
        let count = self.operations.len();
        for step in 0..count {
            let at = (self.next + step) % count;
            let Some(operation) = self.operations.get_mut(at) else { continue };
            if let Poll::Ready(event) = operation.poll_event(context) {
                self.next = at + 1;
                return Poll::Ready((at, event));
            }
        }
        Poll::Pending
    }
}

impl Operation {
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event<Message>> {
        let Self { id, subscription } = self;
        let told = |updates: &mut dyn Updates| Outgoing::next(id, |out| updates.write(out));
        subscription.poll_event(context, told)
    }
}
