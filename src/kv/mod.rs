//! The only door to Redis: a multiplexed connection and a breaker per server, a key prefix, and the fan-out of pub/sub.
//!
//! Redis is speed, never truth: every caller has a way on when a call here fails, and a call fails soon. Nothing waits
//! longer than the time-out, and while a server is known to be away nothing waits for it at all. REDIS_URL may name a
//! cluster; then a call goes to the node that owns its key, and the others do not notice when that one is away.

mod breaker;
mod describe;
mod fan_out;
mod node;
mod nodes;
mod script;
mod slots;
pub mod standing;
mod texts;

use std::{sync::Arc, time::Duration};

pub use fan_out::{Signal, Topic};
use nodes::Nodes;
use redis::{FromRedisValue, RedisError, aio::MultiplexedConnection};
pub use script::{Script, ScriptCall};

use crate::{
    kernel::{Fault, FaultKind},
    tasks::Tasks,
    telemetry::{Asked, Metrics},
};

/// How Redis is reached.
#[derive(Clone)]
pub struct KvSettings {
    /// `redis://host:port/`, or for a cluster `redis+cluster://host:port,host:port,...`.
    pub url: String,
    /// What every key and channel starts with, so that several deployments can share one Redis.
    pub prefix: String,
    /// How long one call may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for KvSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KvSettings").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Redis, as this process sees it.
#[derive(Clone)]
pub struct Kv {
    inner: Arc<Inner>,
}

struct Inner {
    prefix: String,
    nodes: Arc<Nodes>,
    fan_out: fan_out::FanOut,
}

/// What an operator reads in front of what is wrong with REDIS_URL.
const MALFORMED: &str = "REDIS_URL has to look like redis://user:password@host:port/ or \
    redis+cluster://host:port,host:port, and in user and password % is written %25, @ %40, : %3A, / %2F, ? %3F, # %23 and \
    a comma %2C";

impl Kv {
    /// Prepares the connections. Redis need not be there yet: it is reached when first needed.
    ///
    /// # Errors
    /// When the URL is malformed.
    pub fn connect(settings: &KvSettings, metrics: &Metrics, tasks: &Tasks) -> Result<Self, Fault> {
        let malformed = |why| Fault::new(FaultKind::Internal, MALFORMED, why);
        let nodes = Nodes::open(&settings.url, settings.timeout, metrics, tasks);
        let nodes = Arc::new(nodes.map_err(malformed)?);
        Ok(Self {
            inner: Arc::new(Inner {
                prefix: settings.prefix.clone(),
                fan_out: fan_out::FanOut::start(nodes.clone(), tasks),
                nodes,
            }),
        })
    }

    /// The full name of a key or channel. What stands in braces is its hash tag: names with the same one live together.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}:{suffix}", self.inner.prefix)
    }

    /// Runs a call against the server that owns a key, unless that one is known to be away.
    ///
    /// # Errors
    /// When Redis refuses, does not answer in time, or has failed several times just now.
    pub async fn call<T, F>(
        &self,
        key: &str,
        call: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let result = match self.inner.nodes.owner(key).await {
            Ok(node) => {
                node.call(Asked::Command("CALL"), |connected| call(connected.connection)).await
            }
            Err(error) => Err(error),
        };
        self.settle(result)
    }

    /// Whether the server that owns a key was away at some time of late, as this process saw it.
    pub async fn troubled_within(&self, key: &str, time: Duration) -> bool {
        self.inner.nodes.owner(key).await.map_or(true, |node| node.troubled_within(time))
    }

    /// Has the cluster's layout read again after a failure: slots may have another owner by now.
    fn settle<T>(&self, result: Result<T, RedisError>) -> Result<T, Fault> {
        result.map_err(|error| {
            self.inner.nodes.look_soon();
            Fault::new(FaultKind::Unavailable, "Redis", describe::describe(&error))
        })
    }

    /// Tells everybody who listens on a channel, on every instance. In a cluster any node will do, and another is tried
    /// when one fails; so a message may be told twice.
    ///
    /// # Errors
    /// As [`Kv::call`].
    pub async fn publish(&self, channel: &str, payload: Vec<u8>) -> Result<(), Fault> {
        let name = self.name(channel);
        let mut command = redis::cmd("PUBLISH");
        command.arg(&name).arg(payload);
        self.anywhere(&name, "PUBLISH", &command).await
    }

    /// The same for several messages, each with its channel, in one trip: they are told in their order.
    ///
    /// # Errors
    /// As [`Kv::call`]; some of them may have been told.
    pub async fn publish_all(&self, messages: &[(String, Vec<u8>)]) -> Result<(), Fault> {
        let Some((first, _)) = messages.first() else { return Ok(()) };
        let mut commands = redis::pipe();
        for (channel, payload) in messages {
            commands.cmd("PUBLISH").arg(self.name(channel)).arg(payload.as_slice()).ignore();
        }
        let mut result = Err(node::away());
        for node in self.inner.nodes.by_preference(&self.name(first)).await {
            result = node
                .call(Asked::Command("PUBLISH"), async |mut connected| {
                    commands.query_async::<()>(&mut connected.connection).await
                })
                .await;
            if result.is_ok() {
                break;
            }
        }
        self.settle(result)
    }

    async fn anywhere(
        &self,
        key: &str,
        verb: &'static str,
        command: &redis::Cmd,
    ) -> Result<(), Fault> {
        let mut result = Err(node::away());
        for node in self.inner.nodes.by_preference(key).await {
            let answer = node.call(Asked::Command(verb), async |mut connected| {
                command.query_async::<redis::Value>(&mut connected.connection).await
            });
            result = answer.await.map(|_| ());
            if result.is_ok() {
                break;
            }
        }
        self.settle(result)
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

    /// Whether Redis answers; of a cluster, any node.
    ///
    /// # Errors
    /// As [`Kv::call`].
    pub async fn ping(&self) -> Result<(), Fault> {
        self.anywhere("", "PING", &redis::cmd("PING")).await
    }

    /// Runs a script where its keys live.
    ///
    /// # Errors
    /// As [`Kv::call`].
    pub async fn script<T: FromRedisValue>(&self, call: &ScriptCall<'_>) -> Result<T, Fault> {
        let nodes = &self.inner.nodes;
        let node = match nodes.owner(call.key()).await {
            Ok(node) => node,
            Err(error) => return self.settle(Err(error)),
        };
        let mut result = node.call(call.asked(), |connected| call.run(connected)).await;
        if let Err(error) = &result
            && let Some(node) = nodes.redirected(error, &node)
        {
            result = node.call(call.asked(), |connected| call.run(connected)).await;
        }
        self.settle(result)
    }
}

impl std::fmt::Debug for Kv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kv").field("prefix", &self.inner.prefix).finish_non_exhaustive()
    }
}
