//! The only door to Redis: one multiplexed connection, a key prefix, a breaker, and the fan-out of pub/sub.
//!
//! Redis is speed, never truth: every caller has a way on when a call here fails, and a call fails soon. Nothing waits
//! longer than the time-out, and while Redis is known to be away nothing waits at all.

mod breaker;
mod fan_out;

use std::{sync::Arc, time::Duration};

use breaker::Breaker;
pub use fan_out::{Signal, Topic};
use redis::{
    Client, FromRedisValue, IntoConnectionInfo, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::TcpSettings,
};

use crate::{
    kernel::{Fault, FaultKind},
    telemetry::Metrics,
};

/// How Redis is reached.
#[derive(Debug, Clone)]
pub struct KvSettings {
    /// `redis://host:port/`.
    pub url: String,
    /// What every key and channel starts with, so that several deployments can share one Redis.
    pub prefix: String,
    /// How long one call may take.
    pub timeout: Duration,
}

/// Redis, as this process sees it.
#[derive(Clone)]
pub struct Kv {
    inner: Arc<Inner>,
}

struct Inner {
    prefix: String,
    timeout: Duration,
    connection: ConnectionManager,
    breaker: Breaker,
    fan_out: fan_out::FanOut,
    metrics: Metrics,
}

impl Kv {
    /// Prepares the connection. Redis need not be there yet: it is reached when first needed.
    ///
    /// # Errors
    /// When the URL is malformed.
    pub fn connect(settings: &KvSettings, metrics: &Metrics) -> Result<Self, Fault> {
        let malformed = |error: RedisError| Fault::new(FaultKind::Internal, "REDIS_URL", error);
        let info = settings.url.as_str().into_connection_info().map_err(malformed)?;
        let client = Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
            .map_err(malformed)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(settings.timeout))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(500));
        let connection = client.get_connection_manager_lazy(config).map_err(malformed)?;
        Ok(Self {
            inner: Arc::new(Inner {
                prefix: settings.prefix.clone(),
                timeout: settings.timeout,
                connection,
                breaker: Breaker::default(),
                fan_out: fan_out::FanOut::start(client),
                metrics: metrics.clone(),
            }),
        })
    }

    /// The full name of a key or channel.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}:{suffix}", self.inner.prefix)
    }

    /// Runs a call against Redis, unless Redis is known to be away.
    ///
    /// # Errors
    /// A fault when Redis refuses, does not answer in time, or has failed several times just now.
    pub async fn call<T, F>(&self, call: impl FnOnce(ConnectionManager) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        if !self.inner.breaker.permits() {
            return Err(Fault::unavailable("Redis is away"));
        }
        let answer =
            tokio::time::timeout(self.inner.timeout, call(self.inner.connection.clone())).await;
        let result = match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Fault::new(FaultKind::Unavailable, "Redis", error)),
            Err(_) => Err(Fault::unavailable("Redis did not answer in time")),
        };
        self.inner.breaker.record(result.is_ok());
        if result.is_err() {
            self.inner.metrics.redis_failures.inc();
        }
        result
    }

    /// Tells everybody who listens on a channel, on every instance.
    ///
    /// # Errors
    /// As [`Kv::call`].
    pub async fn publish(&self, channel: &str, payload: Vec<u8>) -> Result<(), Fault> {
        let mut command = redis::cmd("PUBLISH");
        command.arg(self.name(channel)).arg(payload);
        self.call(async move |mut connection| {
            let _listeners: i64 = command.query_async(&mut connection).await?;
            Ok(())
        })
        .await
    }

    /// Listens on a channel. All listeners of this process share one connection to Redis.
    ///
    /// Returns when the subscription stands, or without it when Redis is away or takes long; then a [`Signal::Gap`] follows
    /// as soon as it stands. Read the state that the messages are about after this, never before.
    pub async fn listen(&self, channel: &str) -> Topic {
        self.inner.fan_out.listen(self.name(channel)).await
    }

    /// Whether published messages reach this process at the moment.
    pub fn listening(&self) -> bool {
        self.inner.fan_out.connected()
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// As [`Kv::call`].
    pub async fn ping(&self) -> Result<(), Fault> {
        self.call(async |mut connection| redis::cmd("PING").query_async(&mut connection).await)
            .await
    }

    /// Runs a script by its hash, loading it first where Redis does not know it.
    ///
    /// # Errors
    /// As [`Kv::call`].
    pub async fn script<T: FromRedisValue + Send>(
        &self,
        script: &redis::ScriptInvocation<'_>,
    ) -> Result<T, Fault> {
        self.call(async |mut connection| script.invoke_async(&mut connection).await).await
    }
}

impl std::fmt::Debug for Kv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kv").field("prefix", &self.inner.prefix).finish_non_exhaustive()
    }
}
