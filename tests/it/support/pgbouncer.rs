//! PgBouncer in front of the tests' Postgres.

use std::{
    fs,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::postgres::{directory, free_port, owner};

/// A pooler of one test; killed with it.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    port: u16,
    directory: PathBuf,
    child: Child,
}

/// The program and its libraries, where whoever runs it may read them.
fn program(directory: &Path) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/pgbouncer.sh");
    let found = Command::new(script).output().expect("the script runs");
    let words = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "PgBouncer is missing: {words}");
    let folder = String::from_utf8(found.stdout).expect("a path");
    for entry in fs::read_dir(folder.trim()).expect("a folder").flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        if name == "pgbouncer" || name.contains(".so.") {
            fs::copy(entry.path(), directory.join(name)).expect("a copy");
        }
    }
    directory.join("pgbouncer")
}

/// What stands between `@` and `/` of an address.
fn server(url: &str) -> &str {
    let (_, rest) = url.split_once('@').expect("an address with a user");
    rest.split('/').next().expect("a server")
}

fn user(url: &str) -> &str {
    let (_, rest) = url.split_once("://").expect("an address");
    rest.split(['@', ':']).next().expect("a user")
}

impl PgBouncer {
    /// Starts one that leads to the server of an address, for its user, with a `pool_mode`.
    pub(crate) async fn before(url: &str, mode: &str) -> Self {
        let (port, directory) = (free_port().await, directory());
        let (host, server_port) = server(url).rsplit_once(':').expect("a port");
        let settings = format!(
            "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\nmax_client_conn = 500\n\
             default_pool_size = 100\nlogfile = {}\n",
            directory.join("users.txt").display(),
            directory.join("log.txt").display(),
        );
        let users = format!("\"{}\" \"\"\n", user(url));
        fs::write(directory.join("users.txt"), users).expect("a file");
        fs::write(directory.join("pgbouncer.ini"), settings).expect("a file");
        let mut command = Command::new(program(&directory));
        if let Some((user, group)) = owner() {
            command.uid(user).gid(group);
        }
        let child = command
            .arg(directory.join("pgbouncer.ini"))
            .current_dir("/")
            .env("LD_LIBRARY_PATH", &directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer starts");
        let pooler = Self { port, directory, child };
        super::eventually("PgBouncer to listen", async || {
            TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
        })
        .await;
        pooler
    }

    /// An address of the server behind it, led through it.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(&format!("@{}/", server(url)), &format!("@127.0.0.1:{}/", self.port))
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.directory));
    }
}
