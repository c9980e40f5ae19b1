//! The transport over real sockets, in front of a tiny schema; neither Postgres nor Redis is needed.

mod by_get;
mod connections;
mod cross_origin;
mod event_stream;
mod http;
mod shutdown;
mod websocket;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{self, Poll},
    time::Duration,
};

use async_graphql::{Context, Object, Schema, Subscription};
use axum::Router;
use futures_util::{Stream, StreamExt, stream};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    CrossOrigin, Lifetime, Limits, Listener, Persisted, routes, serve, transport::Transport,
};
use crate::{
    account::{Keyring, Sessions},
    api::{ApiError, Caller, Handover, Updates},
    kernel::{PersonId, RequestCode, Role},
    telemetry::Metrics,
};

/// How many mutations ran to their end.
#[derive(Clone, Default)]
struct Done(Arc<AtomicUsize>);

struct Query;

#[Object]
impl Query {
    async fn hello(&self, name: Option<String>) -> String {
        format!("hello {}", name.unwrap_or_default())
    }

    async fn me(&self, ctx: &Context<'_>) -> Option<String> {
        let caller = ctx.data_opt::<Caller>()?;
        caller.0.map(|actor| actor.person_id.to_string())
    }

    async fn slow(&self) -> bool {
        sleep(Duration::from_secs(30)).await;
        true
    }

    async fn panics(&self) -> bool {
        secret_panic()
    }

    async fn refused(&self) -> Result<bool, ApiError> {
        Err(ApiError::new(RequestCode::Forbidden, "Not you."))
    }

    async fn double(&self, number: i32) -> i32 {
        number * 2
    }

    async fn nested(&self) -> Self {
        Self
    }

    async fn large(&self, bytes: usize) -> String {
        "x".repeat(bytes)
    }
}

/// Behind a function of its own, so that the macros' code after it counts as reachable.
fn secret_panic() -> bool {
    panic!("secret")
}

struct Mutation;

#[Object]
impl Mutation {
    async fn work(&self, ctx: &Context<'_>) -> bool {
        sleep(Duration::from_millis(300)).await;
        if let Some(done) = ctx.data_opt::<Done>() {
            done.0.fetch_add(1, Ordering::SeqCst);
        }
        true
    }

    async fn panics(&self) -> bool {
        secret_panic()
    }
}

struct Subscription;

#[Subscription]
impl Subscription {
    async fn numbers(&self, up_to: i32) -> impl Stream<Item = i32> {
        stream::iter(1..=up_to)
    }

    async fn never(&self) -> impl Stream<Item = i32> {
        stream::pending()
    }

    async fn refused(&self) -> Result<stream::Pending<i32>, ApiError> {
        Err(ApiError::new(RequestCode::QueueNotActive, "Wait for your turn."))
    }

    async fn panics(&self) -> impl Stream<Item = i32> {
        stream::iter([1, 0]).map(|number| 1 / number)
    }

    async fn flood(&self) -> impl Stream<Item = String> {
        stream::repeat("x".repeat(64 * 1024))
    }

    /// Counts to `up_to`, the first number by the schema and the rest by what it hands over; 0 makes the rest panic.
    async fn relayed(&self, ctx: &Context<'_>, up_to: i32) -> impl Stream<Item = i32> + use<> {
        let rest = if up_to == 0 { stream::iter(0..=0) } else { stream::iter(2..=up_to) };
        hand_over(ctx, rest.boxed(), String::new())
    }

    /// The newest of the test's numbers, in messages that no socket's buffers hold many of.
    async fn newest(&self, ctx: &Context<'_>) -> impl Stream<Item = i32> + use<> {
        let numbers = ctx.data_opt::<watch::Receiver<i32>>().cloned();
        let rest = stream::unfold(numbers, async |numbers| {
            let mut numbers = numbers?;
            numbers.changed().await.ok()?;
            let newest = *numbers.borrow_and_update();
            Some((newest, Some(numbers)))
        });
        hand_over(ctx, rest.boxed(), "x".repeat(256 * 1024))
    }

    async fn me(&self, ctx: &Context<'_>) -> impl Stream<Item = Option<String>> + use<> {
        let caller = ctx.data_opt::<Caller>().and_then(|caller| caller.0);
        stream::iter([caller.map(|actor| actor.person_id.to_string())])
    }
}

/// Goes on with numbers, each beside a text.
struct Relay {
    numbers: stream::BoxStream<'static, i32>,
    newest: i32,
    beside: String,
}

impl Updates for Relay {
    fn poll_change(&mut self, context: &mut task::Context<'_>) -> Poll<bool> {
        self.numbers.poll_next_unpin(context).map(|number| {
            self.newest = number.unwrap_or_default();
            number.is_some()
        })
    }

    fn write(&mut self, out: &mut String) {
        if self.newest == 0 {
            secret_panic();
        }
        *out += &json!({ "number": self.newest, "beside": self.beside }).to_string();
    }
}

fn hand_over(
    ctx: &Context<'_>,
    numbers: stream::BoxStream<'static, i32>,
    beside: String,
) -> impl Stream<Item = i32> + use<> {
    let relay = Relay { numbers, newest: 0, beside };
    ctx.data_opt::<Arc<Handover>>().unwrap().leave(Box::new(relay));
    stream::iter([1])
}

/// A server on a port of its own; it ends with the test's runtime.
struct Server {
    address: SocketAddr,
    sessions: Sessions,
    metrics: Metrics,
    done: Done,
    numbers: watch::Sender<i32>,
    stopping: CancellationToken,
    ended: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start() -> Self {
        Self::with(Limits::default(), &[]).await
    }

    async fn with(limits: Limits, origins: &[&str]) -> Self {
        let secret = SecretString::from("a secret of more than 32 bytes, for tests only");
        let sessions = Sessions::new(Keyring::new(&secret, None), Duration::from_secs(2));
        let (metrics, done, stopping) = (Metrics::new(), Done::default(), CancellationToken::new());
        let numbers = watch::Sender::new(0);
        let schema = Schema::build(Query, Mutation, Subscription)
            .data(done.clone())
            .data(numbers.subscribe())
            .disable_suggestions()
            .finish();
        let lifetime = Lifetime::new(stopping.clone());
        let origins: crate::app::Origins = origins.join(",").parse().unwrap();
        let transport = Transport::new(
            schema,
            sessions.clone(),
            metrics.clone(),
            limits.clone(),
            CrossOrigin::of(origins.as_slice()),
            Persisted::Off,
            lifetime.clone(),
        );
        let health = Router::new().route("/broken", axum::routing::get(broken));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Listener::with(listener, limits, metrics.clone());
        let others = health.merge(crate::http::graphiql()).merge(crate::http::metrics(&metrics));
        let router = routes(transport, others);
        let ended = tokio::spawn(serve(listener, router, lifetime, Duration::from_secs(5)));
        Self { address, sessions, metrics, done, numbers, stopping, ended }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A session that lives for `seconds` from now on.
    fn session(&self, seconds: i64) -> (PersonId, String) {
        let person = PersonId::new();
        let opened = crate::kernel::Timestamp::from(std::time::SystemTime::now());
        let lifetime = chrono::TimeDelta::seconds(seconds - 2);
        let session = self.sessions.open(person, Role::Fan, opened + lifetime).unwrap();
        (person, session.access_token)
    }

    /// Posts as a browser's Apollo Client does.
    async fn post(&self, body: Value) -> (u16, Value) {
        self.post_as(None, "application/graphql-response+json", body).await
    }

    async fn post_as(&self, session: Option<&str>, accept: &str, body: Value) -> (u16, Value) {
        let mut request =
            reqwest::Client::new().post(self.url("/graphql")).header("accept", accept).json(&body);
        if let Some(session) = session {
            request = request.header("authorization", session);
        }
        let answer = request.send().await.unwrap();
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with(accept));
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn query(&self, query: &str) -> (u16, Value) {
        self.post(json!({ "query": query })).await
    }
}

async fn broken() -> &'static str {
    panic!("secret")
}

/// Waits for something that happens soon.
async fn until(happened: impl Fn() -> bool + Send + Sync) {
    let soon = async {
        while !happened() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), soon).await.expect("it did not happen");
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none")
}

/// `levels` fragments that each spread the next one twice: 2^levels fields.
fn bomb(levels: usize) -> String {
    let fragments = (0..levels).map(|level| {
        let next = level + 1;
        format!("fragment a{level} on Query{{...a{next} ...a{next}}}")
    });
    let fragments: String = fragments.collect();
    format!("{{...a0}}{fragments}fragment a{levels} on Query{{__typename}}")
}
