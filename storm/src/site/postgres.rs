//! A Postgres of the storm's own, as a child of this process.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep};

use super::place::{DISK, Place, Process};
use crate::Result;

/// So few that they can be hogged; the instances have pools of eight.
const CONNECTIONS: u32 = 60;
/// How long it may take to start, with recovery after a crash on a busy machine.
const STARTING: Duration = Duration::from_secs(60);
const ENDING: Duration = Duration::from_secs(20);
/// The disk that is filled up. Data and log of some hours of rehearsing fit, and memory has room for it.
const DISK_SIZE: &str = "size=600m";
/// Who may come in, and from where: the server over TCP, the storm over a socket in a folder that nobody else may enter.
const DOORS: &str = "local all postgres trust\nhost all frontrow 127.0.0.1/32 trust\n";

#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) port: u16,
    programs: PathBuf,
    data: PathBuf,
    process: Process,
    /// Whether the data lie on a disk of their own, which can be filled up; if not, why.
    pub(crate) disk: std::result::Result<PathBuf, String>,
}

impl Postgres {
    /// Makes a cluster, starts it, and makes the server's role and database.
    ///
    /// # Errors
    /// When that cannot be done.
    pub(crate) async fn make(place: &mut Place, programs: &Path) -> Result<Self> {
        let port = place.port()?;
        let disk = mount(place).await;
        let name = if disk.is_ok() { format!("{DISK}/postgres") } else { "postgres".to_owned() };
        let data = place.owned_folder(&name)?;
        let mut initdb = place.service(&programs.join("initdb"));
        initdb.arg("-D").arg(&data);
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        place.run(&mut initdb, STARTING).await?;
        fs::write(data.join("pg_hba.conf"), DOORS)?;
        let process = serve(place, programs, &data, port)?;
        let mut postgres = Self { port, programs: programs.to_owned(), data, process, disk };
        postgres.answers("postgres").await?;
        let mut session = postgres.session_in("postgres").await?;
        for statement in ["CREATE ROLE frontrow LOGIN", "CREATE DATABASE frontrow OWNER frontrow"] {
            sqlx::query(statement).execute(&mut session).await?;
        }
        Ok(postgres)
    }

    /// Where the server finds its database, behind a wire that ends at this port.
    pub(crate) fn url(port: u16) -> String {
        format!("postgres://frontrow@127.0.0.1:{port}/frontrow")
    }

    /// How a superuser gets in, by the connections that are kept for superusers.
    fn options_in(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new()
            .socket(&self.data)
            .port(self.port)
            .username("postgres")
            .database(database)
            .application_name("storm")
    }

    /// A session of a superuser's.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(crate) async fn session(&self) -> Result<PgConnection> {
        self.session_in("frontrow").await
    }

    async fn session_in(&self, database: &str) -> Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.options_in(database)).await?)
    }

    /// Connections as the server makes them, for who wants to take them away from it.
    pub(crate) fn as_the_server(&self) -> PgConnectOptions {
        PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username("frontrow")
            .database("frontrow")
            .application_name("hog")
    }

    /// Ends connections by the name of their application.
    ///
    /// # Errors
    /// When it cannot be asked for.
    pub(crate) async fn terminate(&self, application: &str) -> Result<()> {
        let mut session = self.session().await?;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
        )
        .bind(application)
        .execute(&mut session)
        .await?;
        Ok(())
    }

    /// Everybody is thrown out and nothing is tidied, as `pg_ctl -m immediate` does; then it is started again.
    ///
    /// # Errors
    /// When it does not end or does not come back.
    pub(crate) async fn restart_at_once(&mut self, place: &Place) -> Result<()> {
        self.process.signal(Signal::QUIT)?;
        self.process.ended(ENDING).await?;
        self.process = serve(place, &self.programs, &self.data, self.port)?;
        self.answers("frontrow").await
    }

    /// Starts it again where it has ended by itself, as it may when its disk is full.
    ///
    /// # Errors
    /// When it does not come back.
    pub(crate) async fn revive(&mut self, place: &Place) -> Result<()> {
        if self.process.is_gone() {
            self.process = serve(place, &self.programs, &self.data, self.port)?;
        }
        self.answers("frontrow").await
    }

    async fn answers(&mut self, database: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            match self.session_in(database).await {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() > STARTING || self.process.is_gone() => {
                    return Err(format!("Postgres does not answer: {error}").into());
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Stops it in good order, and gives its disk back.
    ///
    /// # Errors
    /// When it does not stop.
    pub(crate) async fn stop(mut self, place: &Place, keep: bool) -> Result<()> {
        self.process.signal(Signal::INT)?;
        self.process.ended(ENDING).await?;
        if let Ok(disk) = &self.disk {
            if keep {
                copy(place, &self.data).await?;
            }
            let mut umount = place.tool(Path::new("umount"));
            place.run(umount.arg(disk), ENDING).await?;
        }
        Ok(())
    }
}

/// A mount would be gone with the next start of the machine: what shall be kept moves to an ordinary folder.
async fn copy(place: &Place, data: &Path) -> Result<()> {
    let mut cp = place.tool(Path::new("cp"));
    place.run(cp.arg("-a").arg(data).arg(place.path("postgres")), STARTING).await?;
    Ok(())
}

fn serve(place: &Place, programs: &Path, data: &Path, port: u16) -> Result<Process> {
    let mut postgres = place.service(&programs.join("postgres"));
    postgres.arg("-D").arg(data).arg("-k").arg(data).args(["-p", &port.to_string()]);
    let connections = format!("max_connections={CONNECTIONS}");
    for setting in [
        "listen_addresses=127.0.0.1",
        &connections,
        "shared_buffers=64MB",
        "max_wal_size=96MB",
        "jit=off",
        "timezone=UTC",
        "log_line_prefix=%m [%p] %a ",
    ] {
        postgres.args(["-c", setting]);
    }
    place.start("postgres", &mut postgres)
}

/// A small disk in memory, where that is allowed.
async fn mount(place: &Place) -> std::result::Result<PathBuf, String> {
    let disk = place.path(DISK);
    fs::create_dir(&disk).map_err(|error| error.to_string())?;
    let mut mount = place.tool(Path::new("mount"));
    mount.args(["-t", "tmpfs", "-o", &format!("{DISK_SIZE},mode=0711"), "tmpfs"]).arg(&disk);
    match place.run(&mut mount, ENDING).await {
        Ok(_) => Ok(disk),
        Err(_) => Err("a small disk can be mounted by root only, on Linux".to_owned()),
    }
}
