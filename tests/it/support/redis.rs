//! Hurting Redis: keys that vanish, a server of one's own to kill, and a cluster of three.

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use frontrow::kv::Kv;
use tokio::net::TcpListener;
use uuid::Uuid;

/// A Redis server of one test, on a port of its own; killed with the test.
#[derive(Debug)]
pub(crate) struct PrivateRedis {
    port: u16,
    directory: PathBuf,
    child: Option<Child>,
    flags: Vec<String>,
}

impl PrivateRedis {
    /// Takes a port. Nothing runs there yet.
    pub(crate) async fn stopped() -> Self {
        Self::stopped_at(free_port().await)
    }

    fn stopped_at(port: u16) -> Self {
        let directory =
            std::env::temp_dir().join(format!("frontrow-redis-{}", Uuid::now_v7().simple()));
        std::fs::create_dir_all(&directory).expect("a directory");
        Self { port, directory, child: None, flags: Vec::new() }
    }

    /// The flag of `frontrow serve` that leads there.
    pub(crate) fn flag(&self) -> String {
        format!("--redis-url=redis://127.0.0.1:{}", self.port)
    }

    /// Starts the server with what was saved there, which is nothing the first time, and waits until it answers.
    pub(crate) async fn start(&mut self) {
        let child = program()
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(&self.directory)
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server starts"));
        for _ in 0..500 {
            if self.ask(&["PING"]).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the private Redis does not answer");
    }

    /// Sends one command on a connection of its own.
    pub(crate) async fn ask(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut connection).await
    }

    /// Saves a snapshot; the next start begins with it.
    pub(crate) async fn save(&self) {
        self.ask(&["SAVE"]).await.expect("a snapshot");
    }

    /// Stops the process where it stands: connections stay open, and nothing answers.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets a frozen process go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("a running server").id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Kills the server; what was not saved is lost.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.kill();
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// Redis's server. Where only Debian's redis-tools is installed, the same program goes by the name of redis-check-rdb, and
/// looks at the name that it is called by.
fn program() -> Command {
    let found = |name: &str| {
        std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
        })
    };
    if found("redis-server") {
        return Command::new("redis-server");
    }
    let mut command = Command::new("redis-check-rdb");
    command.arg0("redis-server");
    command
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Deletes keys of a waiting room, such as `seen`; all of them when none are named.
pub(crate) async fn forget_room(kv: &Kv, schedule_id: &str, names: &[&str]) {
    let all = ["generation", "waiting", "seen", "seq"];
    let names = if names.is_empty() { all.as_slice() } else { names };
    let key = |name: &str| kv.name(&format!("room:{{{schedule_id}}}:{name}"));
    let mut command = redis::cmd("DEL");
    for name in names {
        command.arg(key(name));
    }
    let deleted: i64 = kv
        .call(&key("waiting"), async move |mut connection| {
            command.query_async(&mut connection).await
        })
        .await
        .unwrap_or_else(|fault| panic!("{}", fault.report()));
    assert!(deleted > 0, "there was something to forget");
}

/// Everybody in the index of a room, as numbers in order; as soon as Redis answers.
pub(crate) async fn indexed(kv: &Kv, schedule_id: &str) -> Vec<i64> {
    let key = kv.name(&format!("room:{{{schedule_id}}}:waiting"));
    let people: Vec<(Vec<u8>, i64)> = super::eventually("Redis to answer", async || {
        let line = kv.call(&key, async |mut connection| {
            let mut command = redis::cmd("ZRANGE");
            command.arg(&key).arg(0).arg(-1).arg("WITHSCORES").query_async(&mut connection).await
        });
        line.await.ok()
    })
    .await;
    people.into_iter().map(|(_, number)| number).collect()
}

/// Three Redis servers that form a cluster, each with a third of the slots and without a replica.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<PrivateRedis>,
}

impl Cluster {
    /// Starts three servers and makes them a cluster; returns when all of them find it whole.
    pub(crate) async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let mut node = PrivateRedis::stopped_at(free_cluster_port().await);
            node.flags = [
                "--cluster-enabled yes",
                "--cluster-node-timeout 1000",
                // Rooms on two nodes do not stop because the third is dead.
                "--cluster-require-full-coverage no",
            ]
            .iter()
            .flat_map(|flag| flag.split(' ').map(str::to_owned))
            .collect();
            node.start().await;
            nodes.push(node);
        }
        let cluster = Self { nodes };
        for (node, (first, last)) in cluster.nodes.iter().zip(SHARES) {
            let (first, last) = (first.to_string(), last.to_string());
            node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await.expect("slots");
            let port = cluster.nodes[0].port.to_string();
            node.ask(&["CLUSTER", "MEET", "127.0.0.1", &port]).await.expect("met");
        }
        for node in &cluster.nodes {
            super::eventually("the cluster to be whole", async || {
                let info = node.ask(&["CLUSTER", "INFO"]).await.ok()?;
                let info: String = redis::from_redis_value(info).ok()?;
                let whole = ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"];
                whole.iter().all(|line| info.contains(line)).then_some(())
            })
            .await;
        }
        cluster
    }

    /// The flag of `frontrow serve` that leads there.
    pub(crate) fn flag(&self) -> String {
        let nodes: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("--redis-url=redis+cluster://{}", nodes.join(","))
    }

    /// Which node has a key.
    pub(crate) async fn owner(&self, key: &str) -> usize {
        let living = self.nodes.iter().find(|node| node.child.is_some()).expect("a living node");
        let slot = living.ask(&["CLUSTER", "KEYSLOT", key]).await.expect("a slot");
        let slot: u16 = redis::from_redis_value(slot).expect("a slot");
        let share = SHARES.iter().position(|(first, last)| (*first..=*last).contains(&slot));
        share.expect("every slot has an owner")
    }
}

const SHARES: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

/// A port that is free together with the one that nodes talk to each other on, 10,000 above.
async fn free_cluster_port() -> u16 {
    for _ in 0..200 {
        let port = free_port().await;
        if let Some(port) = port.checked_sub(10_000).filter(|port| *port > 10_000)
            && TcpListener::bind(("127.0.0.1", port)).await.is_ok()
        {
            return port;
        }
    }
    panic!("no two ports are free");
}
