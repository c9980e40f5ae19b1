//! GraphQL over server-sent events, as graphql-sse has it in distinct connections mode: a request of its own for each
//! subscription, whose answer goes on. It runs like one on a WebSocket, under the same limits.
//!
//! A stream that is over says `complete`. One that ends without it (the session is over, the stream is old, the server stops)
//! is asked for again by its client, with the session that it has by then.

use std::{convert::Infallible, future::poll_fn, net::IpAddr};

use async_graphql::Response as GraphqlResponse;
use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::stream::unfold;
use tokio::time::{Instant, sleep_until};

use super::{
    error::Refusal,
    graphql::panicked,
    places::{Full, Place},
    stay::{Over, Stay},
    subscription::{Counted, Event, Subscription},
    transport::{SharedTransport, Transport},
};
use crate::{
    api::{Caller, Origin, RequestId, Updates},
    kernel::{PersonId, RequestCode},
};

/// What is said when there is nothing to say, so that both sides, and whoever stands between, know that the other is there.
const STILL_HERE: Bytes = Bytes::from_static(b":\n\n");
/// The last word. A browser's `EventSource` passes over an event without data.
const COMPLETE: &str = "event: complete\ndata:\n\n";
/// Has nginx pass on each event as it comes.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Room for most results.
const EVENT_BYTES: usize = 1024;

/// An answer as the events of a stream that is over with it.
pub(super) fn once(response: &GraphqlResponse) -> Response {
    respond(Body::from(result(response) + COMPLETE))
}

fn respond(body: Body) -> Response {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    answer
}

fn result(response: &GraphqlResponse) -> String {
    // Responses are made of strings, numbers, lists and maps with names as keys, which always can be written, on one line.
    format!("event: next\ndata: {}\n\n", serde_json::to_string(response).unwrap_or_default())
}

/// A result whose `data` is written by `updates`.
fn told(updates: &mut dyn Updates) -> Bytes {
    let mut text = String::with_capacity(EVENT_BYTES);
    text.push_str("event: next\ndata: {\"data\":");
    updates.write(&mut text);
    text.push_str("}\n\n");
    text.into()
}

/// Places for a stream, of its address and of its person: the same that WebSockets have.
#[derive(Debug)]
pub(super) struct Room {
    _address: Option<Place<IpAddr>>,
    _person: Option<Place<PersonId>>,
}

impl Transport {
    /// Room for one more stream.
    ///
    /// # Errors
    /// OVERLOADED while the server stops, RATE_LIMITED when there are too many.
    pub(super) fn room(
        &self,
        origin: Origin,
        caller: Caller,
    ) -> Result<Room, (StatusCode, Refusal)> {
        if self.lifetime.stopping.is_cancelled() {
            let text = "The server is shutting down; connect again.";
            let refusal = Refusal::new(RequestCode::Overloaded, text);
            return Err((StatusCode::SERVICE_UNAVAILABLE, refusal));
        }
        let too_many = |text: &str| {
            let refusal = Refusal::new(RequestCode::RateLimited, text).retry_after(1);
            (StatusCode::TOO_MANY_REQUESTS, refusal)
        };
        let address = self.place_at(origin).map_err(|Full| {
            too_many("Too many subscriptions are open from your network; close some of them first.")
        })?;
        let person = caller.0.map(|actor| self.place_of(actor.person_id)).transpose();
        let person = person.map_err(|Full| {
            too_many("You have too many subscriptions open; close one of them first.")
        })?;
        Ok(Room { _address: address, _person: person })
    }
}

/// A stream and what runs on it.
struct Events {
    transport: SharedTransport,
    request_id: RequestId,
    /// `None` when it is over.
    subscription: Option<Subscription>,
    stay: Stay,
    speak_at: Instant,
    /// It has not said anything yet.
    fresh: bool,
    _room: Room,
    _counted: Counted,
}

/// Streams what a subscription tells, to a caller.
pub(super) fn answer(
    transport: SharedTransport,
    request_id: RequestId,
    caller: Caller,
    room: Room,
    subscription: Subscription,
) -> Response {
    let mut stay = Stay::new(transport.limits.socket_age, &request_id);
    stay.admit(&transport.sessions, caller);
    let events = Events {
        speak_at: Instant::now() + transport.limits.ping,
        _counted: Counted::new(&transport.metrics.sockets),
        _room: room,
        fresh: true,
        stay,
        subscription: Some(subscription),
        request_id,
        transport,
    };
    let stream = unfold(Box::new(events), async |mut events| {
        let event = events.next().await?;
        Some((Ok::<_, Infallible>(event), events))
    });
    respond(Body::from_stream(stream))
}

impl Events {
    /// What to send next; nothing more when it is over. A reader who is slow is told the newest, when the last has gone out.
    async fn next(&mut self) -> Option<Bytes> {
        self.subscription.as_ref()?;
        // Some browsers take the head of an answer for nothing until something follows.
        if std::mem::take(&mut self.fresh) {
            return Some(STILL_HERE);
        }
        let subscription = self.subscription.as_mut()?;
        let event = tokio::select! {
            biased;
            () = self.transport.lifetime.stopping.cancelled() => {
                return self.end("The server is shutting down");
            }
            () = self.stay.ended() => return self.end("Session ended"),
            () = sleep_until(self.speak_at.min(self.stay.until())) => return self.tick(),
            event = poll_fn(|context| subscription.poll_event(context, told)) => event,
        };
        self.speak_at = Instant::now() + self.transport.limits.ping;
        Some(self.tell(event))
    }

    fn tick(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        match self.stay.over(now) {
            Some(Over::SessionExpired) => self.end("Session expired"),
            Some(Over::Aged) => self.end("The stream is old; connect again"),
            None => {
                self.speak_at = now + self.transport.limits.ping;
                Some(STILL_HERE)
            }
        }
    }

    /// It is over, and not complete; why is for people, as clients pass over what begins with a colon.
    fn end(&mut self, why: &str) -> Option<Bytes> {
        self.subscription = None;
        tracing::debug!(request_id = &*self.request_id.0, why, "event stream closed");
        Some(format!(": {why}\n\n").into())
    }

    fn tell(&mut self, event: Event<Bytes>) -> Bytes {
        let Some(subscription) = &mut self.subscription else { return STILL_HERE };
        let last = match event {
            Event::Told(bytes) => return bytes,
            Event::Result(mut response) => {
                let failed = subscription.fails_with(&mut response, &self.request_id);
                if !failed {
                    return result(&response).into();
                }
                result(&response)
            }
            Event::Panic => {
                let mut response = panicked(&self.request_id);
                subscription.fail(&mut response, &self.request_id);
                result(&response)
            }
            Event::End => String::new(),
        };
        self.subscription = None;
        (last + COMPLETE).into()
    }
}
