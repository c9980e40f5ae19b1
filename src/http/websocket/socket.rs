//! One socket, from the handshake to its end.

use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};

use async_graphql::Response;
use bytes::Bytes;
use chrono::SecondsFormat;
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, error::ProtocolError},
};

use super::{
    super::{
        document::Kind,
        error::Refusal,
        graphql::panicked,
        linger,
        observe::Observation,
        parameters::Parameters,
        places::Place,
        session,
        stay::{Over, Stay},
        subscription::{self, Counted, Event, Subscription},
        transport::SharedTransport,
    },
    frames::Frames,
    message::{Close, Incoming, Outgoing, SessionState},
    running::Running,
};
use crate::{
    api::{Budget, Caller, Origin, Plan, RequestId},
    kernel::{PersonId, RequestCode},
    telemetry::Span,
};

/// How long the peer may take to read a close frame, with what was to be sent before it.
const FAREWELL: Duration = Duration::from_secs(1);

/// A session's last third is announced, if that is not longer than the limit.
const WARNING_PART: u32 = 3;

/// Why a socket ends.
enum End {
    /// We close it.
    Close(Close),
    /// Nobody is there any more.
    Gone,
}

/// What to send, if anything, or that it is over.
type Step = Result<Option<Message>, End>;

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Close(close)
    }
}

/// A socket and what runs on it.
pub(super) struct Socket {
    transport: SharedTransport,
    wire: WebSocketStream<Frames>,
    request_id: RequestId,
    origin: Origin,
    /// Of its address; and of its person, once that is known.
    _place: Option<Place<IpAddr>>,
    person_place: Option<Place<PersonId>>,
    stay: Stay,
    /// Those of the handshake, until `connection_init` has come.
    credentials: Option<Box<str>>,
    /// Set by `connection_init`.
    caller: Option<Caller>,
    running: Running,
    /// `connection_init` has to have come by then.
    init_until: Instant,
    ping_at: Instant,
    /// When the client is told that its session is about to end.
    warn_at: Option<Instant>,
    heard_at: Instant,
    _counted: Counted,
}

impl Socket {
    /// A socket on which nothing has been said yet.
    pub(super) fn new(
        transport: SharedTransport,
        wire: WebSocketStream<Frames>,
        request_id: RequestId,
        origin: Origin,
        place: Option<Place<IpAddr>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            stay: Stay::new(transport.limits.socket_age, &request_id),
            _place: place,
            person_place: None,
            init_until: now + transport.limits.init,
            ping_at: now + transport.limits.ping,
            heard_at: now,
            warn_at: None,
            credentials: None,
            caller: None,
            running: Running::default(),
            _counted: Counted::new(&transport.metrics.sockets),
            transport,
            wire,
            request_id,
            origin,
        }
    }

    /// The same, with the credentials that its handshake brought.
    pub(super) fn with(mut self: Box<Self>, credentials: Option<Box<str>>) -> Box<Self> {
        self.credentials = credentials;
        self
    }

    /// Talks until one side ends it, if the protocol was agreed on.
    pub(super) async fn run(mut self: Box<Self>, agreed: bool) {
        let end = if agreed { self.talk().await } else { Close::SubprotocolUnacceptable.into() };
        self.running = Running::default();
        if let End::Close(close) = end {
            tracing::debug!(request_id = &*self.request_id.0, ?close, "socket closed");
            // In a box, because a task keeps room for its end from the beginning.
            Box::pin(self.close(close)).await;
        }
    }

    async fn close(&mut self, close: Close) {
        let sent = timeout(FAREWELL, self.wire.send(close.frame())).await;
        // A peer that does not read is left.
        if matches!(sent, Ok(Ok(()))) {
            // Without waiting for the answer, the frame may be lost with the connection.
            let (stream, count) = self.wire.get_mut().parts();
            linger::until_the_client_hangs_up(stream, |part| count.read(part)).await;
        }
    }

    async fn talk(&mut self) -> End {
        let transport = SharedTransport::clone(&self.transport);
        let mut stopping = pin!(transport.lifetime.stopping.cancelled());
        let mut timer = pin!(sleep_until(self.wake_at()));
        loop {
            let step = tokio::select! {
                biased;
                () = &mut stopping => Err(Close::GoingAway.into()),
                () = self.stay.ended() => Err(Close::SessionEnded.into()),
                () = &mut timer => self.tick(),
                message = self.wire.next() => match message {
                    Some(Ok(message)) => self.hear(message).await,
                    Some(Err(error)) => Err(self.broken(&error)),
                    None => Err(End::Gone),
                },
                (at, event) = self.running.event() => Ok(self.tell(at, event)),
            };
            // The one place where messages are sent: a second one would be a second buffer in the memory of every socket.
            match step {
                Err(end) => return end,
                Ok(None) => {}
                Ok(Some(message)) => {
                    let sent = timeout(self.transport.limits.send, self.wire.send(message)).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        // The peer does not read, or is away.
                        return End::Gone;
                    }
                }
            }
            // What was heard moves deadlines to later, which is seen when the timer fires; a session moves them to earlier.
            if timer.is_elapsed() || self.wake_at() < timer.deadline() {
                timer.as_mut().reset(self.wake_at());
            }
        }
    }

    /// When something has to be done though nothing is heard.
    fn wake_at(&self) -> Instant {
        let silent_at = self.heard_at + self.transport.limits.silence;
        let first = if self.caller.is_none() { self.init_until } else { self.ping_at };
        let first = first.min(self.stay.until()).min(silent_at);
        self.warn_at.map_or(first, |at| at.min(first))
    }

    fn tick(&mut self) -> Step {
        let now = Instant::now();
        if self.caller.is_none() && now >= self.init_until {
            return Err(Close::InitTimeout.into());
        }
        match self.stay.over(now) {
            Some(Over::SessionExpired) => return Err(Close::SessionExpired.into()),
            Some(Over::Aged) => return Err(Close::Aged.into()),
            None => {}
        }
        if now >= self.heard_at + self.transport.limits.silence {
            return Err(End::Gone);
        }
        if self.warn_at.is_some_and(|at| now >= at) {
            self.warn_at = None;
            return Ok(self
                .session_state(None)
                .map(|state| Outgoing::new("ping", Some(state)).frame()));
        }
        if self.wire.get_ref().has_waited(now, self.transport.limits.body) {
            return Err(Close::Unfinished.into());
        }
        if now >= self.ping_at {
            self.ping_at = now + self.transport.limits.ping;
            return Ok(Some(Message::Ping(Bytes::new())));
        }
        Ok(None)
    }

    async fn hear(&mut self, message: Message) -> Step {
        self.heard_at = Instant::now();
        match message {
            Message::Text(text) => self.act(Incoming::parse(&text)?).await,
            // Some clients send what they say as bytes.
            Message::Binary(bytes) => {
                let text = std::str::from_utf8(&bytes).map_err(|_| Close::Malformed)?;
                self.act(Incoming::parse(text)?).await
            }
            // tungstenite answers them by itself, when it is asked for the next message.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => Ok(None),
        }
    }

    /// How the socket ends when what came is no message.
    fn broken(&self, error: &Error) -> End {
        match error {
            _ if self.wire.get_ref().are_too_many() => Close::TooManyMessages.into(),
            _ if self.wire.get_ref().are_overlong() => Close::BrokenFrame.into(),
            Error::Capacity(_) => Close::TooBig.into(),
            Error::Utf8(_) => Close::BrokenText.into(),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
            Error::Protocol(_) => Close::BrokenFrame.into(),
            _ => End::Gone,
        }
    }

    async fn act(&mut self, message: Incoming) -> Step {
        match (message, self.caller) {
            (Incoming::Init(_), Some(_)) => Err(Close::TooManyInits.into()),
            (Incoming::Init(credentials), None) => {
                let handshake = self.credentials.take();
                let said = credentials.as_deref().filter(|said| !session::names_nobody(said));
                let credentials = said.or(handshake.as_deref()).unwrap_or_default();
                let caller = session::caller(&self.transport.sessions, credentials).await;
                let caller = caller.map_err(|refusal| not_admitted(&refusal))?;
                if let Some(actor) = caller.0 {
                    let place = self.transport.place_of(actor.person_id);
                    self.person_place = Some(place.map_err(|_| Close::TooManySockets)?);
                }
                self.admit(caller);
                Ok(Some(Outgoing::<()>::new("connection_ack", None).frame()))
            }
            (Incoming::Ping(payload), _) => Ok(Some(Outgoing::new("pong", payload).frame())),
            (Incoming::Pong, _) => Ok(None),
            (Incoming::Renew(_), None) => Err(Close::Unauthorized.into()),
            (Incoming::Renew(credentials), Some(before)) => self.renew(&credentials, before).await,
            (Incoming::Subscribe(..), None) => Err(Close::Unauthorized.into()),
            (Incoming::Subscribe(id, parameters), Some(caller)) => {
                self.subscribe(id, parameters, caller).await
            }
            (Incoming::Complete(id), _) => {
                drop(self.running.remove(&id));
                Ok(None)
            }
        }
    }

    /// From now on the socket is this caller's, until their session ends.
    fn admit(&mut self, caller: Caller) {
        let now = Instant::now();
        self.stay.admit(&self.transport.sessions, caller);
        self.warn_at = self.stay.session_until().map(|until| {
            let left = until.saturating_duration_since(now);
            until - (left / WARNING_PART).min(self.transport.limits.warning)
        });
        self.caller = Some(caller);
    }

    /// Goes on with another session of the same person. What runs on the socket is theirs, so nobody else can take it over. One
    /// that is not good changes nothing: the one before may have some time left.
    async fn renew(&mut self, credentials: &str, before: Caller) -> Step {
        let person = |caller: Caller| caller.0.map(|actor| actor.person_id);
        let refused = match session::caller(&self.transport.sessions, credentials).await {
            Ok(caller) if person(caller) != person(before) => return Err(Close::Forbidden.into()),
            Ok(caller) => {
                self.admit(caller);
                None
            }
            Err(refusal) => Some(refusal.code.as_str()),
        };
        Ok(Some(Outgoing::new("pong", self.session_state(refused)).frame()))
    }

    /// What the client is told of its session; nothing where it has none.
    fn session_state(&self, refused: Option<&'static str>) -> Option<SessionState> {
        let (actor, until) = self.caller?.0.zip(self.stay.session_until())?;
        Some(SessionState {
            session_expires_at: actor.expires_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            session_seconds_left: until.saturating_duration_since(Instant::now()).as_secs(),
            refused,
        })
    }

    async fn subscribe(&mut self, id: Box<str>, parameters: Parameters, caller: Caller) -> Step {
        if self.running.contains(&id) {
            return Err(Close::DuplicateId.into());
        }
        let mut observation =
            Observation::start(&self.transport, &self.request_id, Span::default());
        observation.asked_by(caller);
        let prepared = if self.running.len() >= self.transport.limits.subscriptions {
            let text = "Too many subscriptions on one socket; complete one of them first.";
            Err(Refusal::new(RequestCode::RateLimited, text))
        } else {
            let asked = (&self.request_id, self.origin, caller);
            // In a box, because a task keeps room for it as long as it lives, and Redis may be asked.
            Box::pin(prepare(&self.transport, asked, parameters, &mut observation)).await
        };
        match prepared {
            Ok((request, plan)) => {
                let started = Subscription::start(&self.transport, request, plan, observation);
                self.running.insert(id, started);
                Ok(None)
            }
            Err(refusal) => {
                let response = subscription::refused(refusal, &self.request_id, &mut observation);
                Ok(Some(errors(&id, response)))
            }
        }
    }

    fn tell(&mut self, at: usize, event: Event<Message>) -> Option<Message> {
        let request_id = &self.request_id;
        let operation = self.running.get_mut(at)?;
        match event {
            Event::Result(mut response) => {
                if !operation.subscription.fails_with(&mut response, request_id) {
                    return Some(Outgoing::of(&operation.id, "next", Some(response)).frame());
                }
                let operation = self.running.take(at)?;
                Some(errors(&operation.id, *response))
            }
            Event::Told(message) => Some(message),
            Event::Panic => {
                let mut response = panicked(request_id);
                operation.subscription.fail(&mut response, request_id);
                let operation = self.running.take(at)?;
                Some(errors(&operation.id, response))
            }
            Event::End => {
                let operation = self.running.take(at)?;
                Some(Outgoing::<()>::of(&operation.id, "complete", None).frame())
            }
        }
    }
}

/// What the schema is to run, and how its results are written, when somebody may ask for it.
async fn prepare(
    transport: &SharedTransport,
    (request_id, origin, caller): (&RequestId, Origin, Caller),
    parameters: Parameters,
    observation: &mut Observation,
) -> Result<(async_graphql::Request, Option<Arc<Plan>>), Refusal> {
    let found = transport.persisted.find(&parameters).await?;
    let document = transport.documents.prepare(&found.text)?;
    let operation = document.select(parameters.operation_name())?;
    observation.runs(operation);
    if operation.kind != Kind::Subscription {
        let text = "Only subscriptions run over the WebSocket; use POST /graphql.";
        return Err(Refusal::new(RequestCode::BadRequest, text));
    }
    transport.rates.operation(origin.0, caller, operation.work)?;
    transport.persisted.keep(&found).await;
    let (plan, id) = (operation.plan.clone(), request_id.clone());
    let budget = Budget::new(operation.values());
    Ok((parameters.into_request(document.document.clone(), caller, id, budget), plan))
}

/// Tells that an operation is over with errors.
fn errors(id: &str, response: Response) -> Message {
    Outgoing::of(id, "error", Some(response.errors)).frame()
}

/// How a socket ends whose session was refused.
fn not_admitted(refusal: &Refusal) -> Close {
    match refusal.code {
        RequestCode::Overloaded => Close::TryAgainLater,
        _ => Close::Forbidden,
    }
}
