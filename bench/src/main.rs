//! Measures frontrow against its floors, both in the same run on the same machine.
//!
//! `cargo build --release --workspace && eval "$(./dev services)" && target/release/bench`
//!
//! The server runs in a process of its own, its load comes over loopback, and the floor for each operation is the same SQL
//! run by pgbench or the same data served by plain axum. The first two seconds of each measurement warm up and are not counted,
//! on either side; `--seconds` is what is measured after them. What is printed is a Markdown table; no figure is asserted.

#![expect(clippy::print_stdout, reason = "the figures are the answer")]

mod cpu;
mod flood;
mod floor;
mod idle;
mod load;
mod push;
mod rebuild;
mod rush;
mod scenery;
mod server;
mod sockets;
mod standing;

use std::{error::Error, time::Duration};

use clap::{Parser, Subcommand};
use cpu::Processes;
use load::{Measured, Target};
use scenery::Scenery;

/// As the server's, so that floors do not differ by it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The result of everything here: a benchmark that cannot go on says why and ends.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What is measured, and for how long.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// A database server on which a database of its own may be made.
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, default_value = "")]
    database_url: String,
    #[arg(long, global = true, env = "REDIS_URL", hide_env_values = true, default_value = "")]
    redis_url: String,
    /// How long each measurement runs after its warm-up, in seconds.
    #[arg(long, global = true, default_value_t = 8)]
    seconds: u64,
    /// Connections of the load, and clients of pgbench.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Only operations whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Debug, Clone, Subcommand)]
enum Part {
    /// The floor of `seats`: plain axum serving fifty seats. Started by the benchmark itself.
    FloorSeats,
    /// Live subscriptions: memory of each and CPU of each push, beside bare WebSockets.
    Push {
        /// How many; each is a socket.
        #[arg(long, default_value_t = 2_000)]
        sockets: usize,
    },
    /// The floor of `push`: plain axum sending ready bytes to sockets. Started by the benchmark itself.
    FloorSockets,
    /// What floods of log-ins, of one fan's requests, of dear queries and of idle connections do to others' latency.
    Flood,
    /// How long holds and refusals take while a crowd sells out one hall.
    Rush(rush::RushOptions),
    /// What open rooms cost while nothing happens in them.
    Idle(idle::IdleOptions),
    /// How long it takes to build the index of a long line from the journal, and whom that keeps waiting.
    Rebuild {
        /// People in line.
        #[arg(long, default_value_t = 1_000_000)]
        people: u32,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    match options.part {
        Some(Part::FloorSeats) => return floor::serve_seats().await,
        Some(Part::FloorSockets) => return push::serve_sockets().await,
        _ => {}
    }
    let scenery = Scenery::prepare(&options.database_url).await?;
    let outcome = match &options.part {
        Some(Part::Push { sockets }) => {
            push::run(&scenery, &options.redis_url, *sockets, options.seconds).await
        }
        Some(Part::Flood) => flood::measure(&scenery, &options.redis_url, options.seconds).await,
        Some(Part::Rush(rush)) => rush::measure(rush, &scenery, &options.redis_url).await,
        Some(Part::Idle(idle)) => idle::measure(idle, &scenery, &options.redis_url).await,
        Some(Part::Rebuild { people }) => {
            rebuild::measure(&scenery, &options.redis_url, *people).await
        }
        _ => measure_all(&options, &scenery).await,
    };
    scenery.clear().await;
    outcome
}

async fn measure_all(options: &Options, scenery: &Scenery) -> Result<()> {
    let server = server::start(&scenery.url, &options.redis_url).await?;
    let time = Duration::from_secs(options.seconds);
    println!(
        "| operation, after {} s of warm-up | connections | per second | p50 ms | p99 ms | server CPU us | Postgres CPU us | of the floor |",
        load::WARM_UP.as_secs()
    );
    println!("|---|---|---|---|---|---|---|---|");
    let wanted = |name: &str| name.contains(&options.only);
    let tellers = Processes { server: server.id(), postgres: scenery.postmaster().await? };

    for name in ["holdSeat", "pay"] {
        if wanted(name) {
            let ours = scenery.set(options.connections, name == "pay").await?;
            let requests = if name == "pay" { ours.pays(&server)? } else { ours.holds(&server)? };
            let api = load::run(&Target::new(server.address, requests), time, &tellers).await?;
            let theirs = scenery.set(options.connections, name == "pay").await?;
            let script = if name == "pay" { floor::pay(&theirs) } else { floor::hold(&theirs) };
            let clients = options.connections;
            let pgbench =
                floor::pgbench(&scenery.url, &script, clients, time, &tellers, None).await?;
            report(name, options.connections, &api, &pgbench);
        }
    }
    if wanted("charge") {
        let people = scenery.set(options.connections, false).await?;
        let requests = people.charges(&server)?;
        let api = load::run(&Target::new(server.address, requests), time, &tellers).await?;
        println!("{}", row("charge", options.connections, &api, "-"));
    }
    if wanted("enterQueue") {
        let crowd = options.connections * 4;
        let requests = scenery.newcomers(crowd).await?.enters(&server)?;
        let api = load::run(&Target::new(server.address, requests), time, &tellers).await?;
        let clients = options.connections * 2;
        let inserts = scenery.single_inserts().await?;
        let pgbench = floor::pgbench(&scenery.url, &inserts, clients, time, &tellers, None).await?;
        report("enterQueue", crowd, &api, &pgbench);
        let requests = scenery.newcomers(crowd * 2).await?.enters(&server)?;
        let half = pgbench.per_second / 2.0;
        let paced = Target::new(server.address, requests).paced(half);
        let api = load::run(&paced, time, &tellers).await?;
        scenery.settle().await?;
        let pgbench =
            floor::pgbench(&scenery.url, &inserts, clients, time, &tellers, Some(half)).await?;
        report("enterQueue, at half that rate", crowd * 2, &api, &pgbench);
    }
    if wanted("seats") {
        let requests = scenery.hall(&server, options.connections).await?;
        let api = load::run(&Target::repeating(server.address, requests), time, &tellers).await?;
        let axum = floor::start_seats().await?;
        let floor_tellers = Processes { server: axum.id(), ..tellers };
        let requests = vec![vec![floor::seats_request()]; options.connections];
        let plain =
            load::run(&Target::repeating(axum.address, requests), time, &floor_tellers).await?;
        report("seats (50)", options.connections, &api, &plain);
    }
    Ok(())
}

fn report(name: &str, connections: usize, api: &Measured, floor: &Measured) {
    let ratio = format!("{:.2}", api.per_second / floor.per_second);
    println!("{}", row(name, connections, api, &ratio));
    println!("{}", row(&format!("{name}, floor"), floor.connections, floor, "1"));
}

/// A line of the table; `ratio` is what stands in its last column.
fn row(name: &str, connections: usize, m: &Measured, ratio: &str) -> String {
    format!(
        "| {name} | {connections} | {:.0} | {:.2} | {:.2} | {:.0} | {:.0} | {ratio} |",
        m.per_second, m.p50_ms, m.p99_ms, m.server_us, m.postgres_us
    )
}
