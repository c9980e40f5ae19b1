//! A Redis of the storm's own, as a child of this process. It keeps nothing on disk, so it comes back empty.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};

use super::place::{Place, Process};
use crate::Result;

const STARTING: Duration = Duration::from_secs(20);
/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) port: u16,
    program: PathBuf,
    process: Process,
}

impl Redis {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn make(place: &mut Place, program: &Path) -> Result<Self> {
        let port = place.port()?;
        place.owned_folder("redis")?;
        let process = serve(place, program, port)?;
        let mut redis = Self { port, program: program.to_owned(), process };
        redis.answers().await?;
        Ok(redis)
    }

    /// Where the server finds it, behind a wire that ends at this port.
    pub(crate) fn url(port: u16) -> String {
        format!("redis://127.0.0.1:{port}/")
    }

    /// Sends it a command.
    ///
    /// # Errors
    /// When it does not do it, or does not answer.
    pub(crate) async fn command(&self, words: &[&str]) -> Result<()> {
        let (first, rest) = words.split_first().ok_or("no command")?;
        let asked = async {
            let client = redis::Client::open(Self::url(self.port))?;
            let mut connection = client.get_multiplexed_async_connection().await?;
            redis::cmd(first).arg(rest).query_async::<redis::Value>(&mut connection).await
        };
        timeout(PATIENCE, asked).await.map_err(|_| "Redis does not answer")??;
        Ok(())
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    /// When it does not die.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Starts it again after [`Redis::kill`].
    ///
    /// # Errors
    /// When it does not come back.
    pub(crate) async fn start(&mut self, place: &Place) -> Result<()> {
        self.process = serve(place, &self.program, self.port)?;
        self.answers().await
    }

    /// Stops it where it stands.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    async fn answers(&mut self) -> Result<()> {
        let start = Instant::now();
        while let Err(error) = self.command(&["PING"]).await {
            if start.elapsed() > STARTING || self.process.is_gone() {
                return Err(format!("Redis does not answer: {error}").into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

fn serve(place: &Place, program: &Path, port: u16) -> Result<Process> {
    let mut redis = place.service(program);
    // Debian's redis-tools has the server under another name; it looks at the name that it is called by.
    redis.arg0("redis-server").args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    redis.arg("--dir").arg(place.path("redis")).args(["--save", "", "--appendonly", "no"]);
    place.start("redis", &mut redis)
}
