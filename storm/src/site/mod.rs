//! What the storm breaks: a Postgres, a Redis, two instances, and the wires between them, all of its own.

pub(crate) mod instance;
pub(crate) mod place;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod wire;

use std::{path::PathBuf, time::Duration};

use instance::{Instance, SECRET, SESSION_SECONDS};
use place::Place;
use postgres::Postgres;
use redis::Redis;
use tokio::process::Command;
use wire::Mode;

use crate::{Result, options::Machine};

/// How long migrating, seeding or auditing may take.
const COMMAND: Duration = Duration::from_secs(120);

/// All of it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) place: Place,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    pub(crate) instances: [Instance; 2],
    program: PathBuf,
}

impl Site {
    /// Starts everything, with this many fans whose sessions then lie in `sessions.jsonl`.
    ///
    /// # Errors
    /// When something does not start.
    pub(crate) async fn make(mut place: Place, machine: &Machine, fans: usize) -> Result<Self> {
        let program = machine.server()?;
        let postgres = Postgres::make(&mut place, &machine.postgres).await?;
        let redis = Redis::make(&mut place, &machine.redis).await?;
        let first = Instance::lay(&mut place, 1, program.clone(), &postgres, &redis).await?;
        let second = Instance::lay(&mut place, 2, program.clone(), &postgres, &redis).await?;
        let mut site = Self { place, postgres, redis, instances: [first, second], program };
        let mut migrate = site.frontrow("migrate");
        site.place.run(&mut migrate, COMMAND).await?;
        let mut seed = site.frontrow("seed");
        seed.args(["--fans", &fans.to_string()]).arg("--sessions").arg(site.sessions());
        seed.env("FRONTROW_JWT_SECRET", SECRET).env("FRONTROW_SESSION_SECONDS", SESSION_SECONDS);
        site.place.run(&mut seed, COMMAND).await?;
        for instance in &mut site.instances {
            instance.start(&site.place).await?;
        }
        Ok(site)
    }

    /// A command of the server's, straight to Postgres.
    fn frontrow(&self, command: &str) -> Command {
        let mut frontrow = self.place.tool(&self.program);
        frontrow.arg(command).env("DATABASE_URL", Postgres::url(self.postgres.port));
        frontrow
    }

    /// The file of the fans' sessions.
    pub(crate) fn sessions(&self) -> PathBuf {
        self.place.path("sessions.jsonl")
    }

    /// What the server's own books say; an error has the rows at fault.
    ///
    /// # Errors
    /// When they do not agree, or cannot be read.
    pub(crate) async fn audit(&self) -> Result<()> {
        let mut audit = self.frontrow("audit");
        self.place.run(&mut audit, COMMAND).await.map(drop)
    }

    /// One of the instances, by its place: 0 or 1.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn instance(&mut self, at: usize) -> Result<&mut Instance> {
        self.instances.get_mut(at).ok_or_else(|| "there is no such instance".into())
    }

    /// Starts an instance that has ended, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(crate) async fn start_instance(&mut self, at: usize) -> Result<()> {
        let instance = self.instances.get_mut(at).ok_or("there is no such instance")?;
        instance.start(&self.place).await
    }

    /// Starts an instance that has ended, and waits for nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn_instance(&mut self, at: usize) -> Result<()> {
        let instance = self.instances.get_mut(at).ok_or("there is no such instance")?;
        instance.spawn(&self.place)
    }

    /// From now on the wires between the instances and Postgres do this.
    pub(crate) fn wires(&self, mode: Mode) {
        self.instances.iter().for_each(|instance| instance.to_postgres.set(mode));
    }

    /// From now on the wires between the instances and Redis do this.
    pub(crate) fn redis_wires(&self, mode: Mode) {
        self.instances.iter().for_each(|instance| instance.to_redis.set(mode));
    }

    /// Kills both instances and starts them again, for when they do not come back by themselves.
    ///
    /// # Errors
    /// When they do not start.
    pub(crate) async fn restart_instances(&mut self) -> Result<()> {
        for instance in &mut self.instances {
            instance.kill().await?;
            instance.start(&self.place).await?;
        }
        Ok(())
    }

    /// Ends everything.
    ///
    /// # Errors
    /// When something does not end; the guardian ends it then.
    pub(crate) async fn end(mut self, keep: bool) -> Result<()> {
        for instance in &mut self.instances {
            instance.kill().await?;
        }
        self.redis.kill().await?;
        let stopped = self.postgres.stop(&self.place, keep).await;
        self.place.leave(keep).await;
        stopped
    }
}
