//! An instance of the server in a process of its own, with wires of its own to Postgres and Redis.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    place::{Place, Process},
    postgres::Postgres,
    redis::Redis,
    wire::Wire,
};
use crate::Result;

/// Signs the sessions of the storm.
pub(crate) const SECRET: &str = "a-secret-for-storms-on-loopback-only";
/// Holds that nobody pays lapse within the storm.
const HOLD_SECONDS: &str = "30";
/// Connections to Postgres of one instance: few, so that few people can use them up.
const POOL: &str = "8";
/// Sessions outlive the longest storm.
pub(crate) const SESSION_SECONDS: &str = "172800";
const STARTING: Duration = Duration::from_secs(40);
/// The server waits 20 s for running requests, and 5 s for its workers.
const ENDING: Duration = Duration::from_secs(30);
/// How long `/health/ready` may take; it asks Postgres for two seconds itself.
const HEALTH: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct Instance {
    /// 1 or 2.
    pub(crate) number: usize,
    pub(crate) address: SocketAddr,
    pub(crate) to_postgres: Wire,
    pub(crate) to_redis: Wire,
    program: PathBuf,
    process: Option<Process>,
}

impl Instance {
    /// Lays the wires; [`Instance::start`] starts it.
    ///
    /// # Errors
    /// When a port cannot be had.
    pub(crate) async fn lay(
        place: &mut Place,
        number: usize,
        program: PathBuf,
        postgres: &Postgres,
        redis: &Redis,
    ) -> Result<Self> {
        let to_postgres = Wire::lay(place.port()?, postgres.port).await?;
        let to_redis = Wire::lay(place.port()?, redis.port).await?;
        let address = SocketAddr::from(([127, 0, 0, 1], place.port()?));
        Ok(Self { number, address, to_postgres, to_redis, program, process: None })
    }

    /// Starts the process, and does not wait for anything.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn(&mut self, place: &Place) -> Result<()> {
        let mut serve = place.tool(&self.program);
        serve
            .arg("serve")
            .env("DATABASE_URL", Postgres::url(self.to_postgres.port))
            .env("REDIS_URL", Redis::url(self.to_redis.port))
            .env("FRONTROW_JWT_SECRET", SECRET)
            .env("FRONTROW_SESSION_SECONDS", SESSION_SECONDS)
            .env("FRONTROW_HOLD_SECONDS", HOLD_SECONDS)
            // Fans of a storm are in more of a hurry than people.
            .env("FRONTROW_REQUESTS_PER_PERSON", "0")
            .env("FRONTROW_ORDERS_PER_PERSON", "0")
            .env("FRONTROW_SOCKETS_PER_PERSON", "0")
            .env("FRONTROW_LAPSED_HOLDS", "1000")
            .env("FRONTROW_DATABASE_POOL", POOL)
            .env("FRONTROW_LISTEN", self.address.to_string())
            .env("FRONTROW_LOG", "warn")
            .env("FRONTROW_LOG_FORMAT", "text");
        self.process = Some(place.start(&format!("instance-{}", self.number), &mut serve)?);
        Ok(())
    }

    /// Starts it, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(crate) async fn start(&mut self, place: &Place) -> Result<()> {
        self.spawn(place)?;
        let start = Instant::now();
        while !ready(self.address).await {
            let gone = self.process.as_mut().is_none_or(Process::is_gone);
            if gone || start.elapsed() > STARTING {
                let log = place.path(&format!("instance-{}.log", self.number));
                let number = self.number;
                return Err(
                    format!("instance {number} does not get ready: {}", log.display()).into()
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    /// When it does not die.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        match &mut self.process {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Asks it to end, as a process manager would, and kills it when it does not; then what there is to say of that.
    ///
    /// # Errors
    /// When it does not even die.
    pub(crate) async fn terminate(&mut self) -> Result<Option<String>> {
        let Some(process) = &mut self.process else { return Ok(None) };
        process.signal(Signal::TERM)?;
        match process.ended(ENDING).await {
            Ok(()) => Ok(None),
            Err(late) => process.kill().await.map(|()| Some(format!("{late} of SIGTERM"))),
        }
    }

    /// Stops it where it stands, or lets it go on.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        self.process.as_ref().ok_or("the instance is gone")?.signal(signal)
    }

    /// Whether it has ended by itself, which it never should.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.process.as_mut().is_none_or(Process::is_gone)
    }
}

/// Whether an instance says that it can serve.
pub(crate) async fn ready(address: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let request =
            format!("GET /health/ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        Ok::<_, std::io::Error>(status == *b"HTTP/1.1 200")
    };
    matches!(timeout(HEALTH, asked).await, Ok(Ok(true)))
}
