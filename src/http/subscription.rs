//! One running subscription, whoever carries its results: a WebSocket, or an event stream.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_graphql::{Request, Response, Value};
use futures_util::{
    Stream, StreamExt,
    stream::{BoxStream, CatchUnwind, poll_fn},
};
use prometheus_client::metrics::gauge::Gauge;

use super::{
    error::{self, Refusal},
    observe::Observation,
    transport::Transport,
};
use crate::{
    api::{Handover, Plan, RequestId, Updates},
    telemetry::Span,
};

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
pub(super) struct Subscription {
    /// The client was told something.
    answered: bool,
    /// Logs it when it is over.
    observation: Observation,
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

/// What a subscription did; `T` is what its carrier tells.
pub(super) enum Event<T> {
    /// It has a result.
    Result(Box<Response>),
    /// It has a result, and this is what tells it.
    Told(T),
    /// It is over.
    End,
    /// It panicked, and is over.
    Panic,
}

impl Subscription {
    /// Starts what a request asks for, which has been guarded before.
    pub(super) fn start(
        transport: &Transport,
        request: Request,
        plan: Option<Arc<Plan>>,
        mut observation: Observation,
    ) -> Self {
        let handover = Handover::new(plan);
        observation.answered(None);
        let stream = transport.engine.stream(request.data(handover.clone()));
        let stream = traced(stream, observation.span());
        Self {
            answered: false,
            observation,
            source: Source::Schema(AssertUnwindSafe(stream).catch_unwind(), handover),
            _counted: Counted::new(&transport.metrics.subscriptions),
        }
    }

    /// The next thing that it does; `told` writes a result that comes without the schema.
    pub(super) fn poll_event<T>(
        &mut self,
        context: &mut Context<'_>,
        told: impl FnOnce(&mut dyn Updates) -> T,
    ) -> Poll<Event<T>> {
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
        let update = AssertUnwindSafe(|| {
            updates
                .poll_change(context)
                .map(|more| if more { Event::Told(told(&mut **updates)) } else { Event::End })
        });
        catch_unwind(update).unwrap_or(Poll::Ready(Event::Panic))
    }

    /// Brings a result into the contract's model. Whether the subscription has failed with it, before it told anything: then it
    /// is over.
    pub(super) fn fails_with(&mut self, response: &mut Response, request_id: &RequestId) -> bool {
        let first = !mem::replace(&mut self.answered, true);
        if first && response.data == Value::Null && response.is_err() {
            self.fail(response, request_id);
            return true;
        }
        if first {
            self.observation.begun();
        }
        error::complete(response, request_id);
        false
    }

    /// It is over with these errors.
    pub(super) fn fail(&mut self, response: &mut Response, request_id: &RequestId) {
        let outcome = error::complete(response, request_id);
        self.observation.answered(outcome.code);
    }
}

/// A subscription was refused before it ran.
pub(super) fn refused(
    refusal: Refusal,
    request_id: &RequestId,
    observation: &mut Observation,
) -> Response {
    let mut response = Response::from(refusal);
    let outcome = error::complete(&mut response, request_id);
    observation.answered(outcome.code);
    response
}

/// The same stream, in a span where there is one.
fn traced(stream: BoxStream<'static, Response>, span: Span) -> BoxStream<'static, Response> {
    if !span.is_on() {
        return stream;
    }
    let mut stream = stream;
    poll_fn(move |context| span.within(|| stream.poll_next_unpin(context))).boxed()
}
