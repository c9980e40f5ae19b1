//! Faults: how each begins, what happens while it lasts, and how it ends.

pub(crate) mod deck;
pub(crate) mod disk;
pub(crate) mod kind;
pub(crate) mod weather;

use std::{path::PathBuf, sync::Arc, time::Duration};

use deck::Turn;
use kind::Kind;
use sqlx::{Connection, PgConnection};
use stampede::measure::Spread;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Result,
    crowd::{probe::Probes, scene::Person},
    site::{Site, wire::Mode},
};

/// How often what has to be repeated is.
const REPEAT: Duration = Duration::from_millis(300);
/// How often all connections are cut, while they are.
const CUT_EVERY: Duration = Duration::from_secs(2);
/// How soon a connection that got free is taken away again.
const HOG_AGAIN: Duration = Duration::from_millis(20);
/// More connections than Postgres gives away.
const HOGGED_MAX: usize = 200;
/// How long a slow wire keeps every part back.
const SLOW: Duration = Duration::from_millis(30);
/// How long strangers are measured before the wallet is locked, to know their usual latency.
const USUAL: Duration = Duration::from_secs(2);

/// What a fault has to give back when it ends.
#[derive(Debug)]
pub(crate) enum Begun {
    Plain,
    Hogged(Vec<PgConnection>),
    /// The locked row's session, those who ask for it, and how long strangers waited before.
    Locked {
        session: Box<PgConnection>,
        asking: JoinSet<()>,
        usual: Spread,
    },
    Ballast(PathBuf),
    /// What was wrong with how the instances ended.
    Rolled(Vec<String>),
}

/// What a fault needs of its surroundings.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) probes: Arc<Probes>,
    /// The fan whose wallet is locked.
    pub(crate) hot: Person,
    /// Ctrl-C.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Tools {
    /// Sleeps, unless somebody wants all of this to end.
    pub(crate) async fn sleep(&self, time: Duration) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = sleep(time) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    pub(crate) fn stopped(&self) -> bool {
        *self.stop.borrow()
    }
}

/// Why a kind cannot be had here, if it cannot.
pub(crate) fn missing(site: &Site, kind: Kind) -> Option<String> {
    match kind {
        Kind::DiskFull => site.postgres.disk.clone().err(),
        _ => None,
    }
}

/// Begins a fault.
///
/// # Errors
/// When it could not be brought about; then the storm cannot go on.
pub(crate) async fn begin(site: &mut Site, tools: &Tools, turn: Turn) -> Result<Begun> {
    let victim = turn.victim % 2;
    let silent = Mode::Silent { spares: turn.spares };
    match turn.kind {
        Kind::KillOne => site.instance(victim)?.kill().await?,
        Kind::KillBoth => {
            let [first, second] = &mut site.instances;
            let (one, other) = tokio::join!(first.kill(), second.kill());
            one.and(other)?;
        }
        Kind::StopOne => site.instance(victim)?.freeze(true)?,
        Kind::Rolling => {
            let mut wrong = Vec::new();
            for at in [victim, 1 - victim] {
                wrong.extend(site.instance(at)?.terminate().await?);
                site.start_instance(at).await?;
            }
            return Ok(Begun::Rolled(wrong));
        }
        Kind::BackendsKilled => site.postgres.terminate("frontrow").await?,
        Kind::PostgresImmediate => site.postgres.restart_at_once(&site.place).await?,
        Kind::RepliesSwallowed => site.instance(victim)?.to_postgres.set(Mode::Swallow),
        Kind::SilenceOne => site.instance(victim)?.to_postgres.set(silent),
        Kind::SilenceBoth => site.wires(silent),
        Kind::PostgresAway => site.instance(victim)?.to_postgres.set(Mode::Away),
        Kind::PostgresSlow => site.wires(Mode::Slow(SLOW)),
        Kind::DiskFull => {
            let disk = site.postgres.disk.clone()?;
            return Ok(Begun::Ballast(disk::fill(disk).await?));
        }
        Kind::ConnectionsHogged => {
            let mut hogged = Vec::new();
            hog(site, &mut hogged).await;
            site.postgres.terminate("frontrow").await?;
            return Ok(Begun::Hogged(hogged));
        }
        Kind::WalletLocked => return lock(site, tools).await,
        Kind::RedisKilled => site.redis.kill().await?,
        Kind::RedisWiped => site.redis.command(&["FLUSHALL"]).await?,
        Kind::RedisStopped => site.redis.freeze()?,
        Kind::RedisAway => site.redis_wires(Mode::Away),
        Kind::RedisFull => {
            site.redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await?;
            site.redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await?;
        }
        Kind::ConnectionsCut | Kind::PubsubKilled | Kind::ScriptsFlushed => {}
    }
    Ok(Begun::Plain)
}

/// Lets it last; what is worth telling of it.
///
/// # Errors
/// When it could not be kept up.
pub(crate) async fn last(
    site: &mut Site,
    tools: &Tools,
    turn: Turn,
    begun: &mut Begun,
) -> Result<Told> {
    let lasts = turn.kind.sheet().lasts;
    let start = Instant::now();
    match (turn.kind, begun) {
        (_, Begun::Hogged(hogged)) => {
            while start.elapsed() < lasts && !tools.stopped() {
                hog(site, hogged).await;
                sleep(HOG_AGAIN).await;
            }
        }
        (_, Begun::Locked { usual, .. }) => {
            let spread = tools.probes.strangers(lasts).await.spread();
            return Ok(weather::strangers(usual, &spread));
        }
        (_, Begun::Rolled(wrong)) => {
            let fault = (!wrong.is_empty()).then(|| wrong.join("; "));
            return Ok(Told { note: None, fault });
        }
        (_, Begun::Ballast(path)) => {
            while start.elapsed() < lasts && !tools.stopped() {
                // What Postgres gives back meanwhile is taken too.
                disk::top_up(path.clone()).await?;
                sleep(REPEAT).await;
            }
        }
        (Kind::ConnectionsCut, _) => {
            while start.elapsed() < lasts && !tools.stopped() {
                site.postgres.terminate("frontrow").await?;
                tools.sleep(CUT_EVERY).await;
            }
        }
        (Kind::PubsubKilled, _) => {
            while start.elapsed() < lasts && !tools.stopped() {
                site.redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await?;
                sleep(REPEAT).await;
            }
        }
        (Kind::ScriptsFlushed, _) => {
            while start.elapsed() < lasts && !tools.stopped() {
                site.redis.command(&["SCRIPT", "FLUSH", "SYNC"]).await?;
                sleep(REPEAT).await;
            }
        }
        _ => tools.sleep(lasts).await,
    }
    Ok(Told::default())
}

/// What a fault has to tell besides.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) note: Option<String>,
    pub(crate) fault: Option<String>,
}

/// Ends a fault.
///
/// # Errors
/// When things cannot be put back; then the storm cannot go on.
pub(crate) async fn end(site: &mut Site, turn: Turn, begun: Begun) -> Result<()> {
    let victim = turn.victim % 2;
    match begun {
        Begun::Plain | Begun::Rolled(_) => {}
        Begun::Hogged(hogged) => {
            for connection in hogged {
                // One that Postgres has ended is given back already.
                drop(connection.close().await);
            }
        }
        Begun::Locked { mut session, mut asking, .. } => {
            sqlx::query("ROLLBACK").execute(&mut *session).await?;
            // They go on until they are served, whether anybody waits for them or not.
            asking.detach_all();
        }
        Begun::Ballast(path) => {
            std::fs::remove_file(&path)?;
            site.postgres.revive(&site.place).await?;
        }
    }
    match turn.kind {
        Kind::KillOne => site.spawn_instance(victim)?,
        Kind::KillBoth => {
            site.spawn_instance(0)?;
            site.spawn_instance(1)?;
        }
        Kind::StopOne => site.instance(victim)?.freeze(false)?,
        Kind::RepliesSwallowed
        | Kind::SilenceOne
        | Kind::SilenceBoth
        | Kind::PostgresAway
        | Kind::PostgresSlow => site.wires(Mode::Pass),
        Kind::RedisKilled => site.redis.start(&site.place).await?,
        Kind::RedisStopped => site.redis.thaw()?,
        Kind::RedisAway => site.redis_wires(Mode::Pass),
        Kind::RedisFull => site.redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await?,
        _ => {}
    }
    Ok(())
}

/// Takes every connection that Postgres still gives away.
async fn hog(site: &Site, hogged: &mut Vec<PgConnection>) {
    let options = site.postgres.as_the_server();
    while hogged.len() < HOGGED_MAX {
        match PgConnection::connect_with(&options).await {
            Ok(connection) => hogged.push(connection),
            Err(_) => return,
        }
    }
}

/// Locks one wallet from outside, and sends everybody to it.
async fn lock(site: &Site, tools: &Tools) -> Result<Begun> {
    let usual = tools.probes.strangers(USUAL).await.spread();
    let mut session = site.postgres.session().await?;
    sqlx::query("BEGIN").execute(&mut session).await?;
    // A fan who never charged has no wallet yet.
    let locked = sqlx::query("SELECT 1 FROM wallet WHERE person_id = $1::text::uuid FOR UPDATE")
        .bind(&tools.hot.id)
        .fetch_all(&mut session)
        .await?;
    if locked.len() != 1 {
        return Err("the wallet to be locked is not there".into());
    }
    let asking = tools.probes.crowd_one_wallet(&tools.hot);
    Ok(Begun::Locked { session: Box::new(session), asking, usual })
}
