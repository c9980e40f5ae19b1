//! One Redis server: a multiplexed connection that is made again when it breaks, and a breaker of its own.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, RedisError, ServerErrorKind,
    aio::MultiplexedConnection,
};

use super::breaker::Breaker;
use crate::{
    tasks::Tasks,
    telemetry::{Asked, Metrics, Step},
};

/// A connection, and which run of a server is at its other end: a connection never outlives that run.
#[derive(Clone)]
pub(super) struct Connected {
    pub connection: MultiplexedConnection,
    /// The server's run_id: another one after each start. Empty where the server does not tell.
    pub run: Arc<str>,
    attempt: u64,
}

/// Everybody who needs a connection that is being made waits for the same one.
type Attempt = Shared<BoxFuture<'static, Result<Connected, RedisError>>>;

pub(super) struct Node {
    pub client: Client,
    /// `host:port`.
    pub address: String,
    timeout: Duration,
    breaker: Breaker,
    metrics: Metrics,
    tasks: Tasks,
    attempts: AtomicU64,
    attempt: Mutex<Option<(u64, Attempt)>>,
}

impl Node {
    pub(super) fn new(
        client: Client,
        address: String,
        timeout: Duration,
        metrics: Metrics,
        tasks: Tasks,
    ) -> Self {
        Self {
            client,
            address,
            timeout,
            metrics,
            tasks,
            breaker: Breaker::default(),
            attempts: AtomicU64::new(0),
            attempt: Mutex::new(None),
        }
    }

    /// Whether this server has answered of late, as far as is known.
    pub(super) fn answers(&self) -> bool {
        self.breaker.closed()
    }

    /// Whether several calls in a row have failed within this time.
    pub(super) fn troubled_within(&self, time: Duration) -> bool {
        self.breaker.troubled_within(time)
    }

    /// Runs a call against this server, unless it is known to be away.
    pub(super) async fn call<T, F>(
        &self,
        asked: Asked,
        call: impl FnOnce(Connected) -> F,
    ) -> Result<T, RedisError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        if !self.breaker.permits() {
            return Err(away());
        }
        let mut used = None;
        let answer = tokio::time::timeout(self.timeout, async {
            let connected = self.connected().await?;
            used = Some(connected.attempt);
            call(connected).await
        });
        let step = Step::redis(asked, &self.address);
        let result = step.run(answer).await.unwrap_or_else(|_| Err(late()));
        let error = result.as_ref().err();
        if let Some(error) = error {
            step.failed(|| error.code().unwrap_or("broken").to_owned());
        }
        if error.is_some() {
            self.metrics.redis_failures.inc();
        }
        // A refusal is an answer too: nobody had to wait for it.
        let broken =
            error.is_some_and(|error| error.is_io_error() || error.is_unrecoverable_error());
        if self.breaker.record(!broken) {
            // A connection may be dead without telling. The next call tries a new one.
            *self.attempt() = None;
        } else if error.is_some_and(|error| error.is_unrecoverable_error() || demoted(error)) {
            self.attempt().take_if(|(number, _)| Some(*number) == used);
        }
        result
    }

    fn attempt(&self) -> MutexGuard<'_, Option<(u64, Attempt)>> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connected(&self) -> Result<Connected, RedisError> {
        let attempt = {
            let mut current = self.attempt();
            match &*current {
                Some((_, attempt)) if !matches!(attempt.peek(), Some(Err(_))) => attempt.clone(),
                _ => {
                    let number = self.attempts.fetch_add(1, Ordering::Relaxed);
                    let attempt = connect(&self.tasks, self.client.clone(), self.timeout, number);
                    *current = Some((number, attempt.clone()));
                    attempt
                }
            }
        };
        attempt.await
    }
}

/// Connects in a task of its own: a caller who gives up does not end the attempt that others wait for.
fn connect(tasks: &Tasks, client: Client, timeout: Duration, attempt: u64) -> Attempt {
    let task = tasks.spawn("connecting to Redis", async move {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let info = redis::cmd("INFO").arg("server").query_async::<String>(&mut connection).await;
        let info = match info {
            // A server that may not tell, or does not know the question. Anything else fails the attempt: a run that is not
            // known for a moment must not be taken for another one.
            Err(error) if matches!(error.code(), Some("NOPERM" | "ERR")) => String::new(),
            info => info?,
        };
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default();
        Ok(Connected { connection, run: run.trim().into(), attempt })
    });
    async move { task.await.ok().flatten().unwrap_or_else(|| Err(late())) }.boxed().shared()
}

/// Whether the server has become a replica; its name may lead to another one by now.
fn demoted(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

pub(super) fn away() -> RedisError {
    RedisError::from((ErrorKind::Io, "Redis is away"))
}

fn late() -> RedisError {
    RedisError::from((ErrorKind::Io, "Redis did not answer in time"))
}
