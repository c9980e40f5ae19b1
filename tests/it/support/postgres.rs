//! Postgres servers of one test, with standbys, to be killed and promoted.

use std::{
    fs,
    net::SocketAddr,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use frontrow::{
    db::{Db, DbSettings, migrations},
    tasks::Tasks,
};
use rustix::process::getuid;
use sea_orm::{ConnectionTrait, Database};
use tokio::net::TcpListener;
use uuid::Uuid;

/// A server on a port of its own; killed with the test.
#[derive(Debug)]
pub(crate) struct PrivatePostgres {
    port: u16,
    directory: PathBuf,
    child: Child,
}

impl PrivatePostgres {
    /// A new server with an empty database `frontrow`, migrated.
    pub(crate) async fn start() -> Self {
        let directory = directory();
        let data = directory.join("data");
        let made = program("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb runs").success());
        let server = Self::run(directory).await;
        let postgres = Database::connect(server.url("postgres")).await.expect("it is reachable");
        postgres.execute_unprepared("CREATE DATABASE frontrow").await.expect("a database");
        drop(postgres.close().await);
        let url = server.url("frontrow");
        let patience = Duration::from_secs(5);
        let db = Db::connect(&DbSettings { url, pool_size: 2, patience }, &Tasks::default()).await;
        let db = db.unwrap_or_else(|fault| panic!("{}", fault.report()));
        migrations::migrate(&db).await.expect("the migrations run");
        db.close().await;
        server
    }

    /// A hot standby of this server, which is stopped for a moment to be copied. From then on nothing is acknowledged that
    /// the standby has not.
    pub(crate) async fn standby(&mut self) -> Self {
        self.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'").await;
        let stop = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(stop.expect("kill runs").success());
        self.child.wait().expect("the server stops");
        let directory = directory();
        let copied =
            Command::new("cp").arg("-a").arg(self.directory.join("data")).arg(&directory).status();
        assert!(copied.expect("cp runs").success());
        self.child = spawn(&self.directory, self.port);
        self.ready().await;
        let data = directory.join("data");
        fs::write(data.join("standby.signal"), "").expect("a file");
        let primary = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user=postgres application_name=standby'\n",
            self.port
        );
        fs::write(data.join("postgresql.auto.conf"), primary).expect("a file");
        let standby = Self::run(directory).await;
        let pool = Database::connect(self.url("postgres")).await.expect("it is reachable");
        super::eventually("the standby to follow", async || {
            let sql = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
            let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql);
            pool.query_one_raw(statement).await.expect("a look").map(drop)
        })
        .await;
        drop(pool.close().await);
        standby
    }

    async fn run(directory: PathBuf) -> Self {
        let port = free_port().await;
        let server = Self { port, child: spawn(&directory, port), directory };
        server.ready().await;
        server
    }

    async fn ready(&self) {
        let start = Instant::now();
        while Database::connect(self.url("postgres")).await.is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "the private Postgres is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The address of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs a statement in `postgres`.
    pub(crate) async fn sql(&self, sql: &str) {
        let pool = Database::connect(self.url("postgres")).await.expect("it is reachable");
        pool.execute_unprepared(sql).await.expect("the statement runs");
        drop(pool.close().await);
    }

    /// Makes a standby the primary; returns when it takes writes.
    pub(crate) async fn promote(&self) {
        self.sql("SELECT pg_promote()").await;
    }

    /// Kills the server at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.kill();
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn spawn(directory: &Path, port: u16) -> Child {
    let child = program("postgres")
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
        .args(["-c", "unix_socket_directories=", "-c", "max_connections=200"])
        // What is killed here is the process, not the machine.
        .args(["-c", "fsync=off"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.expect("postgres starts")
}

/// One of Postgres's programs, as somebody whom Postgres serves: it refuses to run as root.
fn program(name: &str) -> Command {
    let mut command = Command::new(path_of(name));
    command.current_dir("/");
    if let Some((user, group)) = owner() {
        command.uid(user).gid(group);
    }
    command
}

/// Where a program of Postgres is: in the PATH, or else with the newest Postgres on this machine.
pub(crate) fn path_of(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|it| it.is_file());
    let homes = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];
    let versions = homes.iter().filter_map(|home| fs::read_dir(home).ok()).flatten();
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
        .filter(|program| program.is_file())
        .max();
    on_path.or(newest).expect("Postgres's programs are installed; run the tests with `./dev test`")
}

/// Whom root lends the server to: the user and group of `postgres`, or else `nobody`.
pub(super) fn owner() -> Option<(u32, u32)> {
    if !getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let numbers = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(numbers("postgres").or_else(|| numbers("nobody")).expect("a user without rights"))
}

pub(super) fn directory() -> PathBuf {
    let name = format!("frontrow-postgres-{}", Uuid::now_v7().simple());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir_all(&directory).expect("a directory");
    give(&directory);
    directory
}

fn give(directory: &Path) {
    if let Some((user, group)) = owner() {
        chown(directory, Some(user), Some(group)).expect("the directory changes hands");
    }
}

pub(super) async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").port()
}
