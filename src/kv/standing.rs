//! What Redis says of itself, for whoever wants to know whether it will do before it has to.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::timeout;

use super::{Kv, Signal, node::Node};
use crate::{
    kernel::{Fault, FaultKind},
    telemetry::Asked,
};

/// The oldest Redis whose commands are ours.
pub const VERSION_MIN: u32 = 7;
/// How long a message of our own may be on its way back to us.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// What one server said.
#[derive(Debug, Clone)]
pub struct Standing {
    /// By how much its clock is ahead of ours, in milliseconds, and by how much that may be wrong.
    pub ahead_ms: (i64, i64),
    facts: HashMap<String, String>,
}

impl Standing {
    /// Its version, such as `7.2.4`.
    pub fn version(&self) -> &str {
        self.fact("redis_version").unwrap_or("an unknown version")
    }

    /// The first number of its version.
    pub fn major(&self) -> Option<u32> {
        self.fact("redis_version")?.split('.').next()?.parse().ok()
    }

    /// Whether it follows another server, and takes no writes.
    pub fn is_replica(&self) -> bool {
        self.fact("role") == Some("slave")
    }

    /// Whether it is a node of a cluster.
    pub fn is_clustered(&self) -> bool {
        self.fact("cluster_enabled") == Some("1")
    }

    /// What it does when its memory is full; `None` where it does not tell.
    pub fn when_full(&self) -> Option<&str> {
        self.fact("maxmemory_policy")
    }

    /// How full its memory is, in percent; `None` where nothing limits it.
    pub fn full_percent(&self) -> Option<u64> {
        let number = |name: &str| self.fact(name)?.parse::<u64>().ok();
        let most = number("maxmemory").filter(|most| *most > 0)?;
        Some(number("used_memory")?.saturating_mul(100) / most)
    }

    /// Whether it refuses writes because it could not write its own file.
    pub fn could_not_save(&self) -> bool {
        ["rdb_last_bgsave_status", "aof_last_write_status"]
            .iter()
            .any(|name| self.fact(name) == Some("err"))
    }

    /// Whether it writes a log, for which every command may have to wait.
    pub fn writes_a_log(&self) -> bool {
        self.fact("aof_enabled") == Some("1")
    }

    fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str)
    }
}

/// What a server answered, or why it did not.
#[derive(Debug)]
pub struct Told {
    /// `host:port`; `None` where that might repeat a password that stands in its place.
    pub place: Option<String>,
    /// What it said.
    pub said: Result<Standing, Fault>,
}

impl Kv {
    /// Asks every server that is known: the one, or the nodes of a cluster.
    pub async fn standing(&self) -> Vec<Told> {
        // Of a cluster this looks up its nodes.
        drop(self.inner.nodes.owner(&self.name("check")).await);
        let mut asked = Vec::new();
        for node in self.inner.nodes.all() {
            let said = ask(&node).await;
            asked.push(Told { place: place(&node), said });
        }
        asked
    }

    /// Whether REDIS_URL names a cluster.
    pub fn is_cluster(&self) -> bool {
        self.inner.nodes.is_cluster()
    }

    /// Whether scripts may do here what ours do: write, read and delete under our prefix.
    ///
    /// # Errors
    /// When Redis refuses, or does not answer.
    pub async fn try_script(&self) -> Result<(), Fault> {
        const SCRIPT: &str = "redis.call('SET', KEYS[1], '1', 'PX', 1000) redis.call('GET', KEYS[1]) \
                              return redis.call('DEL', KEYS[1])";
        let key = self.name("check");
        let mut command = redis::cmd("EVAL");
        command.arg(SCRIPT).arg(1).arg(&key);
        self.call(&key, async |mut connection| command.query_async::<i64>(&mut connection).await)
            .await
            .map(drop)
    }

    /// Whether what is published comes back to who listens.
    ///
    /// # Errors
    /// When it does not, or Redis refuses.
    pub async fn try_message(&self) -> Result<(), Fault> {
        const CHANNEL: &str = "check";
        let mut topic = self.listen(CHANNEL).await;
        self.publish(CHANNEL, b"check".to_vec()).await?;
        let heard = timeout(MESSAGE_TIMEOUT, async {
            while let Some(signal) = topic.next().await {
                if matches!(signal, Signal::Message(_)) {
                    return true;
                }
            }
            false
        });
        match heard.await {
            Ok(true) => Ok(()),
            _ => Err(Fault::new(
                FaultKind::Unavailable,
                "Redis",
                "a message that was published did not come back to who listened",
            )),
        }
    }

    /// Where the servers are that are known, `host:port` each; those are left out that might repeat a password.
    pub fn places(&self) -> Vec<String> {
        self.inner.nodes.all().iter().filter_map(|node| place(node)).collect()
    }
}

/// As with Postgres's address: a host may be a password in the wrong place, unless there is one in its own.
fn place(node: &Node) -> Option<String> {
    let (host, _) = node.address.rsplit_once(':')?;
    let here = host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let known = node.client.get_connection_info().redis_settings().password().is_some();
    (here || known).then(|| node.address.clone())
}

async fn ask(node: &Node) -> Result<Standing, Fault> {
    let result = node.call(Asked::Command("INFO"), async |mut connected| {
        let info: String = redis::cmd("INFO").query_async(&mut connected.connection).await?;
        let before = now_ms();
        let (seconds, micros): (i64, i64) =
            redis::cmd("TIME").query_async(&mut connected.connection).await?;
        Ok((info, before, seconds * 1_000 + micros / 1_000, now_ms()))
    });
    let (info, before, theirs, after) = result.await.map_err(|error| {
        Fault::new(FaultKind::Unavailable, "Redis", super::describe::describe(&error))
    })?;
    Ok(Standing {
        ahead_ms: (theirs - i64::midpoint(before, after), (after - before) / 2 + 1),
        facts: facts(&info),
    })
}

/// This process's clock, in milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn facts(info: &str) -> HashMap<String, String> {
    let lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(info: &str) -> Standing {
        Standing { ahead_ms: (0, 1), facts: facts(info) }
    }

    #[test]
    fn what_a_server_tells_is_read() {
        let told = standing(
            "# Server\r\nredis_version:7.2.4\r\n# Memory\r\nused_memory:90\r\nmaxmemory:100\r\n\
             maxmemory_policy:allkeys-lru\r\nrole:slave\r\ncluster_enabled:1\r\naof_enabled:1\r\nrdb_last_bgsave_status:err\r\n",
        );
        assert_eq!((told.version(), told.major()), ("7.2.4", Some(7)));
        assert_eq!((told.full_percent(), told.when_full()), (Some(90), Some("allkeys-lru")));
        assert!(
            told.is_replica()
                && told.is_clustered()
                && told.could_not_save()
                && told.writes_a_log()
        );
    }

    #[test]
    fn what_it_does_not_tell_is_not_made_up() {
        let silent = standing("used_memory:90\r\nmaxmemory:0\r\nrole:master\r\n");
        assert_eq!((silent.major(), silent.full_percent(), silent.when_full()), (None, None, None));
        assert!(!silent.is_replica() && !silent.is_clustered() && !silent.could_not_save());
    }
}
