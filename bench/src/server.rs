//! The server under measurement, in a process of its own.

use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use crate::Result;

/// Signs the sessions of the benchmark.
pub(crate) const SECRET: &str = "a-secret-for-benchmarks-on-loopback-only";

/// A process that serves HTTP; killed with the benchmark.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Server {
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// A request for a page as bytes.
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address).into_bytes()
    }

    /// A GraphQL request as bytes, in somebody's session or in none.
    pub(crate) fn post(&self, body: &str, session: Option<&str>) -> Vec<u8> {
        post(self.address, body, session)
    }
}

/// A GraphQL request for a server, as [`Server::post`].
pub(crate) fn post(address: SocketAddr, body: &str, session: Option<&str>) -> Vec<u8> {
    let session = session.map(|token| format!("authorization: Bearer {token}\r\n"));
    format!(
        "POST /graphql HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n{}content-length: {}\r\n\r\n{body}",
        session.unwrap_or_default(),
        body.len()
    )
    .into_bytes()
}

/// Starts `frontrow serve`, which stands beside this program.
pub(crate) async fn start(database_url: &str, redis_url: &str) -> Result<Server> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name("frontrow"));
    command
        .arg("serve")
        .env("DATABASE_URL", database_url)
        .env("REDIS_URL", redis_url)
        .env("FRONTROW_JWT_SECRET", SECRET)
        .env("FRONTROW_REDIS_PREFIX", format!("bench-{}", std::process::id()))
        .env("FRONTROW_HOLD_SECONDS", "3600")
        // A few people do here what thousands do elsewhere.
        .env("FRONTROW_REQUESTS_PER_PERSON", "0")
        .env("FRONTROW_ORDERS_PER_PERSON", "0")
        .env("FRONTROW_SOCKETS_PER_PERSON", "0")
        .env("FRONTROW_LOG", "warn");
    spawn(command, "FRONTROW_LISTEN").await
}

/// Starts a program on a free port of its own, and waits until it accepts connections.
pub(crate) async fn spawn(mut command: Command, variable: &str) -> Result<Server> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    drop(listener);
    let child = command
        .env(variable, address.to_string())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let start = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        if start.elapsed() > Duration::from_secs(20) {
            return Err("the server did not start".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Server { address, child })
}
