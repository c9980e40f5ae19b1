//! Instances in processes of their own, for tests that kill them.

use std::{
    fs::File,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::net::TcpListener;

use super::{client::Client, world::World};

/// A server in a process of its own; killed with the test.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address")
}

impl Process {
    /// Starts an instance and waits until it is ready. `flags` are those of `frontrow serve`.
    pub(crate) async fn start(world: &World, flags: &[&str]) -> Self {
        Self::start_at(world, free_address().await, flags).await
    }

    /// Starts an instance that may open so many files, and no more.
    pub(crate) async fn start_with_files(world: &World, files: usize, flags: &[&str]) -> Self {
        let address = free_address().await;
        Self::start_as(world, address, &format!("ulimit -n {files}"), flags, |_| {}).await
    }

    /// Starts an instance that writes everything it says into one file, as a container's runtime would collect it.
    pub(crate) async fn start_telling(world: &World, into: &File, flags: &[&str]) -> Self {
        let address = free_address().await;
        Self::start_as(world, address, "ulimit -S -n 1024", flags, |command| {
            let also = || into.try_clone().expect("a file");
            command.env("FRONTROW_LOG", "info").stdout(also()).stderr(also());
        })
        .await
    }

    /// Starts an instance at a given address, as a restart would.
    pub(crate) async fn start_at(world: &World, address: SocketAddr, flags: &[&str]) -> Self {
        // With as few open files as most systems begin with.
        Self::start_as(world, address, "ulimit -S -n 1024", flags, |_| {}).await
    }

    async fn start_as(
        world: &World,
        address: SocketAddr,
        ulimit: &str,
        flags: &[&str],
        set: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = clean(Command::new("sh"));
        command
            .args(["-c", &format!(r#"{ulimit} && exec "$0" serve "$@""#)])
            .arg(env!("CARGO_BIN_EXE_frontrow"))
            .args(flags)
            .envs(world.environment())
            .env("FRONTROW_LISTEN", address.to_string())
            .env("FRONTROW_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        set(&mut command);
        let child = command.spawn().expect("the server starts");
        let process = Self { address, child };
        let ready = format!("http://{address}/health/ready");
        for _ in 0..500 {
            if reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
                return process;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the instance at {address} is not ready");
    }

    /// Its number at the system.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A client without a session.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Kills the process at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks the process to stop, as a process manager would.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// The exit code, once the process has ended by itself.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        super::eventually("the process to end", async || self.child.try_wait().expect("a child"))
            .await
            .code()
    }
}

/// A command that has none of our settings from the shell that the tests were started in: those that it gets are all.
pub(crate) fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FRONTROW_") {
            command.env_remove(name);
        }
    }
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
