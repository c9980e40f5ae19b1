//! All the servers behind REDIS_URL: one, or the nodes of a cluster and which of them owns which slots.
//!
//! Each node has its own connection and breaker, so that a dead one costs those nothing whose rooms live elsewhere.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, Value,
    io::tcp::TcpSettings,
};

use super::{
    describe::check,
    node::{Node, away},
    slots::{self, Range},
};
use crate::{
    kernel::AddressFault,
    tasks::Tasks,
    telemetry::{Asked, Metrics},
};

/// How often the cluster is asked for its layout at most.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What a REDIS_URL of a cluster may start with.
const CLUSTER_SCHEME: &str = "redis+cluster://";
const SCHEME: &str = "redis://";

pub(super) struct Nodes {
    /// Those that REDIS_URL names; at least one.
    seeds: Vec<Arc<Node>>,
    /// How a node that the cluster names is reached; `None` for a single server.
    cluster: Option<ConnectionInfo>,
    timeout: Duration,
    metrics: Metrics,
    tasks: Tasks,
    layout: RwLock<Layout>,
    looked: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Layout {
    nodes: BTreeMap<String, Arc<Node>>,
    /// In no particular order; a cluster has few.
    ranges: Vec<(u16, u16, Arc<Node>)>,
}

impl Nodes {
    /// Reads REDIS_URL. Nothing is reached yet.
    ///
    /// # Errors
    /// What is wrong with it, in words that repeat nothing of it.
    pub(super) fn open(
        url: &str,
        timeout: Duration,
        metrics: &Metrics,
        tasks: &Tasks,
    ) -> Result<Self, &'static str> {
        let (clustered, urls) = servers(url);
        if urls.is_empty() {
            return Err("it names no server");
        }
        let unusable = |_: RedisError| "it has a part that cannot be used";
        let info = |url: &String| -> Result<ConnectionInfo, &'static str> {
            check(url).map_err(AddressFault::words)?;
            Ok(with_nodelay(url.as_str().into_connection_info().map_err(unusable)?))
        };
        let infos = urls.iter().map(info).collect::<Result<Vec<_>, _>>()?;
        let seed = |info: &ConnectionInfo| -> Result<Arc<Node>, &'static str> {
            Ok(Arc::new(node(info.clone(), timeout, metrics, tasks).map_err(unusable)?))
        };
        let seeds = infos.iter().map(seed).collect::<Result<Vec<_>, _>>()?;
        let nodes = seeds.iter().map(|node| (node.address.clone(), node.clone())).collect();
        Ok(Self {
            cluster: infos.into_iter().next().filter(|_| clustered),
            seeds,
            timeout,
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            layout: RwLock::new(Layout { nodes, ranges: Vec::new() }),
            looked: tokio::sync::Mutex::new(None),
        })
    }

    /// The node that has a key.
    pub(super) async fn owner(self: &Arc<Self>, key: &str) -> Result<Arc<Node>, RedisError> {
        if self.cluster.is_none() {
            return Ok(self.seeds[0].clone());
        }
        let slot = slots::slot(key);
        if let Some(node) = self.owner_of(slot) {
            return Ok(node);
        }
        let nodes = self.clone();
        let look = self.tasks.spawn("looking at the cluster", async move { nodes.look().await });
        drop(tokio::time::timeout(self.timeout, look).await);
        self.owner_of(slot).ok_or_else(away)
    }

    /// All nodes that are known: those that answer first, and of these the owner of `key`.
    pub(super) async fn by_preference(self: &Arc<Self>, key: &str) -> Vec<Arc<Node>> {
        let owner = self.owner(key).await.ok();
        let mut nodes = self.all();
        nodes.sort_by_key(|node| {
            (!node.answers(), owner.as_ref().is_none_or(|owner| !Arc::ptr_eq(owner, node)))
        });
        nodes
    }

    /// Whether there may be several.
    pub(super) const fn is_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// All nodes that are known, in the order of their addresses.
    pub(super) fn all(&self) -> Vec<Arc<Node>> {
        self.layout.read().unwrap_or_else(PoisonError::into_inner).nodes.values().cloned().collect()
    }

    /// Where to ask again, when a node says that a key lives elsewhere.
    pub(super) fn redirected(
        self: &Arc<Self>,
        error: &RedisError,
        asked: &Node,
    ) -> Option<Arc<Node>> {
        let (to, _) = error.redirect_node()?;
        let address = slots::redirected(to, &asked.address)?;
        self.look_soon();
        let mut layout = self.layout.write().unwrap_or_else(PoisonError::into_inner);
        self.named(&mut layout.nodes, &address)
    }

    /// Asks for the cluster's layout in the background, when a call has failed: slots may have another owner.
    pub(super) fn look_soon(self: &Arc<Self>) {
        let fresh = |looked: &Option<Instant>| looked.is_some_and(|at| at.elapsed() < LOOK_EVERY);
        // Where the lock is taken, somebody is looking.
        if self.cluster.is_none() || self.looked.try_lock().map_or(true, |looked| fresh(&looked)) {
            return;
        }
        let nodes = self.clone();
        self.tasks.spawn("looking at the cluster", async move { nodes.look().await });
    }

    async fn look(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        let mut nodes = self.all();
        nodes.sort_by_key(|node| !node.answers());
        for node in nodes {
            let answer = node.call(Asked::Command("CLUSTER"), async |mut connected| {
                let mut command = redis::cmd("CLUSTER");
                command.arg("SLOTS").query_async::<Value>(&mut connected.connection).await
            });
            let Ok(answer) = answer.await else { continue };
            let ranges = slots::parse(&answer, &node.address);
            if !ranges.is_empty() {
                self.take_in(&ranges);
                break;
            }
        }
        *looked = Some(Instant::now());
    }

    fn take_in(&self, ranges: &[Range]) {
        let mut layout = self.layout.write().unwrap_or_else(PoisonError::into_inner);
        let mut known = std::mem::take(&mut layout.nodes);
        layout.ranges = ranges
            .iter()
            .filter_map(|range| {
                let node = self.named(&mut known, &range.address)?;
                Some((range.first, range.last, node))
            })
            .collect();
        // Those that own nothing any more are forgotten; the seeds are where to ask when all others are gone.
        let owners = layout.ranges.iter().map(|(_, _, node)| node.clone());
        layout.nodes = owners
            .chain(self.seeds.iter().cloned())
            .map(|node| (node.address.clone(), node))
            .collect();
    }

    /// A node by its name, with its connection if it is known already.
    fn named(&self, known: &mut BTreeMap<String, Arc<Node>>, address: &str) -> Option<Arc<Node>> {
        if let Some(node) = known.get(address) {
            return Some(node.clone());
        }
        let (host, port) = address.rsplit_once(':')?;
        let info = self.cluster.clone()?;
        let info = info.set_addr(ConnectionAddr::Tcp(host.to_owned(), port.parse().ok()?));
        let node = Arc::new(node(info, self.timeout, &self.metrics, &self.tasks).ok()?);
        known.insert(address.to_owned(), node.clone());
        Some(node)
    }

    fn owner_of(&self, slot: u16) -> Option<Arc<Node>> {
        let layout = self.layout.read().unwrap_or_else(PoisonError::into_inner);
        let range =
            layout.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot))?;
        Some(range.2.clone())
    }
}

fn node(
    info: ConnectionInfo,
    timeout: Duration,
    metrics: &Metrics,
    tasks: &Tasks,
) -> Result<Node, RedisError> {
    let address = match info.addr() {
        ConnectionAddr::Tcp(host, port) => format!("{host}:{port}"),
        other => other.to_string(),
    };
    Ok(Node::new(Client::open(info)?, address, timeout, metrics.clone(), tasks.clone()))
}

fn with_nodelay(info: ConnectionInfo) -> ConnectionInfo {
    info.set_tcp_settings(TcpSettings::default().set_nodelay(true))
}

/// Whether REDIS_URL names a cluster, and the servers in it. A name and password before the first hold for all.
fn servers(url: &str) -> (bool, Vec<String>) {
    let (clustered, list) = match url.strip_prefix(CLUSTER_SCHEME) {
        Some(rest) => (true, format!("{SCHEME}{rest}")),
        None => (url.contains(','), url.to_owned()),
    };
    if !clustered {
        return (false, vec![list]);
    }
    let mut credentials = String::new();
    let servers = list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| {
        let part = part.trim_start_matches(SCHEME).trim_end_matches('/');
        if let Some((given, _)) = part.rsplit_once('@') {
            given.clone_into(&mut credentials);
            return format!("{SCHEME}{part}/");
        }
        let at = if credentials.is_empty() { "" } else { "@" };
        format!("{SCHEME}{credentials}{at}{part}/")
    });
    let servers = servers.collect();
    (true, servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_servers_is_a_cluster() {
        let list = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        assert_eq!(servers("redis://a:1/"), (false, list(&["redis://a:1/"])));
        assert_eq!(servers("redis+cluster://a:1"), (true, list(&["redis://a:1/"])));
        for url in
            ["redis+cluster://a:1,b:2/", "redis://a:1,b:2", "redis://a:1/,redis://b:2/", "a:1, b:2"]
        {
            assert_eq!(servers(url), (true, list(&["redis://a:1/", "redis://b:2/"])), "{url}");
        }
        assert_eq!(
            servers("redis+cluster://me:secret@a:1,b:2"),
            (true, list(&["redis://me:secret@a:1/", "redis://me:secret@b:2/"]))
        );
    }

    #[test]
    fn a_list_without_a_server_is_malformed() {
        for url in ["redis+cluster://", ",", "redis+cluster://a:1,:::"] {
            let metrics = Metrics::new();
            let opened = Nodes::open(url, LOOK_EVERY, &metrics, &Tasks::new(&metrics));
            assert!(opened.is_err(), "{url}");
        }
    }
}
