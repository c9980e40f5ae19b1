//! A Postgres server of one test, which wants a password; stopped with the test.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use sea_orm::{ConnectionTrait, Database};
use tokio::{net::TcpListener, task::spawn_blocking};
use uuid::Uuid;

/// The server, with the superuser `postgres` and that password.
#[derive(Debug)]
pub(crate) struct StrictPostgres {
    port: u16,
    directory: PathBuf,
}

impl StrictPostgres {
    /// Makes a server and starts it.
    pub(crate) async fn start(password: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let directory = std::env::temp_dir().join(format!("frontrow-{}", Uuid::now_v7().simple()));
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join("password"), password).expect("a file");
        if is_root() {
            let folder = directory.to_str().expect("a path");
            run(Command::new("chown").args(["-R", owner(), folder]));
        }
        let server = Self { port, directory };
        let (data, folder) = (server.directory.join("data"), server.directory.clone());
        spawn_blocking(move || {
            let password = folder.join("password");
            run(program("initdb")
                .args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "-N", "--pwfile"])
                .arg(password)
                .arg("-D")
                .arg(&data));
            let options = format!(
                "-p {port} -c listen_addresses=127.0.0.1,::1 -c fsync=off -c unix_socket_directories={}",
                folder.display()
            );
            run(program("pg_ctl").args(["-w", "-l"]).arg(folder.join("log")).arg("-D").arg(&data).args([
                "-o", &options, "start",
            ]));
        })
        .await
        .expect("the server starts");
        server
    }

    /// Where it listens, at 127.0.0.1 and, where this machine has it, at ::1.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.directory
    }

    /// Where a client finds it that writes this for a password.
    pub(crate) fn url(&self, password: &str) -> String {
        format!("postgres://postgres:{password}@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs a statement as somebody who knows the password.
    pub(crate) async fn execute(&self, password: &str, sql: &str) {
        let connection =
            Database::connect(self.url(password)).await.expect("the password is right");
        connection.execute_unprepared(sql).await.expect("the statement runs");
        drop(connection.close().await);
    }
}

impl Drop for StrictPostgres {
    fn drop(&mut self) {
        let stop = ["-m", "immediate", "stop", "-D"];
        let mut command = program("pg_ctl");
        drop(command.args(stop).arg(self.directory.join("data")).output());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let ended = command.output().expect("the program runs");
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

/// Who runs servers where the tests run as root, which Postgres refuses to.
fn owner() -> &'static str {
    let known = Command::new("id").arg("postgres").output().is_ok_and(|id| id.status.success());
    if known { "postgres" } else { "nobody" }
}

/// One of Postgres's programs, to be run by somebody who is not root.
fn program(name: &str) -> Command {
    let path = find(name).unwrap_or_else(|| panic!("{name} is not installed"));
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", owner(), "--"]).arg(path);
        command
    } else {
        Command::new(path)
    };
    command.current_dir("/");
    command
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    // Debian has wrappers and links in the PATH; the programs themselves lie here, the newest last.
    let mut installed: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    installed.sort();
    folders.splice(0..0, installed.into_iter().rev());
    folders.into_iter().map(|folder| folder.join(name)).find(|path| Path::is_file(path))
}
