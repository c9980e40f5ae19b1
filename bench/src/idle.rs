//! What open rooms cost while nothing happens in them: the CPU of one instance, and of Postgres, over some seconds.

use std::time::Duration;

use clap::Args;
use sea_orm::ConnectionTrait;

use crate::{
    Result,
    cpu::{Processes, Used},
    scenery::Scenery,
    server,
};

/// How many rooms, and how full the journal is.
#[derive(Debug, Clone, Args)]
pub(crate) struct IdleOptions {
    /// Rooms that are open at once.
    #[arg(long, default_value_t = 200)]
    rooms: u32,
    /// Places of former sales that the journal still has.
    #[arg(long, default_value_t = 1_000_000)]
    ended: u32,
    /// How long each state is measured, in seconds.
    #[arg(long = "for", default_value_t = 20, value_name = "SECONDS")]
    seconds: u64,
}

/// A start has its own work: connecting, and building lines in Redis.
const SETTLING: Duration = Duration::from_secs(12);

/// The states that are measured one after the other; each adds to the one before.
const STATES: [(&str, &str); 3] = [
    ("nobody in them", ""),
    ("5 waiting in each, all places taken", include_str!("sql/idle_full.sql")),
    ("5 waiting in each, sold out", include_str!("sql/idle_sold_out.sql")),
];

/// Measures and prints a table.
pub(crate) async fn measure(
    options: &IdleOptions,
    scenery: &Scenery,
    redis_url: &str,
) -> Result<()> {
    let (rooms, ended) = (options.rooms, options.ended);
    let database = &scenery.database;
    database.execute_unprepared(include_str!("sql/idle.sql")).await?;
    database.execute_unprepared(&format!("SELECT bench_idle({rooms}, {ended})")).await?;
    database.execute_unprepared("VACUUM ANALYZE").await?;
    let server = server::start(&scenery.url, redis_url).await?;
    let tellers = Processes { server: server.id(), postgres: scenery.postmaster().await? };
    println!(
        "| {rooms} open rooms, {ended} ended places | the server, % of a core | Postgres, % of a core |"
    );
    println!("|---|---|---|");
    for (state, sql) in STATES {
        database.execute_unprepared(sql).await?;
        tokio::time::sleep(SETTLING).await;
        let before = tellers.used();
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let Used { server, postgres } = tellers.used();
        let percent = |used: f64| 100.0 * used / Duration::from_secs(options.seconds).as_secs_f64();
        println!(
            "| {state} | {:.1} | {:.1} |",
            percent(server - before.server),
            percent(postgres - before.postgres)
        );
    }
    Ok(())
}
