//! The subscriptions of one socket. There are few of them, so a list that is polled in turn is the smallest thing that
//! works.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_graphql::Response;
use futures_util::{
    Stream, StreamExt,
    stream::{BoxStream, CatchUnwind},
};
use prometheus_client::metrics::gauge::Gauge;
use tokio_tungstenite::tungstenite::Message;

use super::{super::observe::Observation, message::Outgoing};
use crate::api::{Handover, Updates};

/// Counts something for as long as it lives.
pub(super) struct Counted(Gauge);

impl Counted {
    /// One more.
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// One running subscription.
pub(super) struct Operation {
    /// The client's name for it.
    pub(super) id: Box<str>,
    /// The client was told something.
    pub(super) answered: bool,
    /// Logs it when it is over.
    pub(super) observation: Observation,
    source: Source,
    _counted: Counted,
}

/// Where a subscription's results come from.
enum Source {
    /// From the schema, whose resolvers may leave what follows in the handover.
    Schema(CatchUnwind<AssertUnwindSafe<BoxStream<'static, Response>>>, Arc<Handover>),
    /// From what a resolver left: the execution is over, and its memory free.
    Updates(Box<dyn Updates>),
}

/// What a subscription did.
pub(super) enum Event {
    /// It has a result.
    Result(Box<Response>),
    /// It has a result, and this is the message that tells it.
    Told(Message),
    /// It is over.
    End,
    /// It panicked, and is over.
    Panic,
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

    /// Starts one more.
    pub(super) fn insert(
        &mut self,
        id: Box<str>,
        stream: BoxStream<'static, Response>,
        handover: Arc<Handover>,
        observation: Observation,
        counted: Counted,
    ) {
        let source = Source::Schema(AssertUnwindSafe(stream).catch_unwind(), handover);
        // Vec doubles, and most sockets have one subscription.
        self.operations.reserve_exact(1);
        self.operations.push(Operation {
            id,
            answered: false,
            observation,
            source,
            _counted: counted,
        });
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
    pub(super) async fn event(&mut self) -> (usize, Event) {
        poll_fn(|context| self.poll_event(context)).await
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<(usize, Event)> {
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
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Source::Schema(stream, handover) = &mut self.source {
            match Pin::new(stream).poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(response))) => {
                    return Poll::Ready(Event::Result(Box::new(response)));
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Event::Panic),
                Poll::Ready(None) => match handover.take() {
                    None => return Poll::Ready(Event::End),
                    Some(updates) => self.source = Source::Updates(updates),
                },
            }
        }
        let Source::Updates(updates) = &mut self.source else { return Poll::Pending };
        let id = &*self.id;
        let update = AssertUnwindSafe(|| {
            updates.poll_change(context).map(|more| {
                if more {
                    Event::Told(Outgoing::next(id, |out| updates.write(out)))
                } else {
                    Event::End
                }
            })
        });
        catch_unwind(update).unwrap_or(Poll::Ready(Event::Panic))
    }
}
