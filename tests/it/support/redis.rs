//! Hurting Redis: keys that vanish, and a server of one's own to kill.

use std::{
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
}

impl PrivateRedis {
    /// Takes a port. Nothing runs there yet.
    pub(crate) async fn stopped() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let directory =
            std::env::temp_dir().join(format!("frontrow-redis-{}", Uuid::now_v7().simple()));
        std::fs::create_dir_all(&directory).expect("a directory");
        Self { port, directory, child: None }
    }

    /// The flag of `frontrow serve` that leads there.
    pub(crate) fn flag(&self) -> String {
        format!("--redis-url=redis://127.0.0.1:{}", self.port)
    }

    /// Starts the server, empty, and waits until it answers.
    pub(crate) async fn start(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(&self.directory)
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

    /// Kills the server; everything in it is lost.
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

/// Deletes keys of a waiting room, such as `seen`; all of them when none are named.
pub(crate) async fn forget_room(kv: &Kv, schedule_id: &str, names: &[&str]) {
    let all = ["generation", "waiting", "seen", "seq"];
    let names = if names.is_empty() { all.as_slice() } else { names };
    let mut command = redis::cmd("DEL");
    for name in names {
        command.arg(kv.name(&format!("room:{{{schedule_id}}}:{name}")));
    }
    let deleted: i64 = kv
        .call(async move |mut connection| command.query_async(&mut connection).await)
        .await
        .unwrap_or_else(|fault| panic!("{}", fault.report()));
    assert!(deleted > 0, "there was something to forget");
}

/// Everybody in the index of a room, as numbers in order.
pub(crate) async fn indexed(kv: &Kv, schedule_id: &str) -> Vec<i64> {
    let key = kv.name(&format!("room:{{{schedule_id}}}:waiting"));
    let people: Vec<(Vec<u8>, i64)> = kv
        .call(async move |mut connection| {
            redis::cmd("ZRANGE")
                .arg(key)
                .arg(0)
                .arg(-1)
                .arg("WITHSCORES")
                .query_async(&mut connection)
                .await
        })
        .await
        .unwrap_or_else(|fault| panic!("{}", fault.report()));
    people.into_iter().map(|(_, number)| number).collect()
}
