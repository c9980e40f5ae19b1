//! A rush on one hall: more people than it can serve at once, who hold what still looks free until nothing is.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use clap::Args;
use stampede::net::http::exchange;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    Result,
    load::{self, percentile_ms, slowest_ms},
    scenery::{Buyer, Scenery},
    server,
};

/// How large the hall is, and the crowd.
#[derive(Debug, Clone, Args)]
pub(crate) struct RushOptions {
    /// People at once, each with a connection of their own; each wants as many seats as there are for everybody.
    #[arg(long, default_value_t = 500)]
    people: usize,
    /// Seats of the hall, 1,000 at most.
    #[arg(long, default_value_t = 1_000)]
    seats: usize,
    /// Halls that are sold out one after the other.
    #[arg(long, default_value_t = 3)]
    halls: usize,
}

/// What happened to one person's requests.
#[derive(Debug, Default)]
struct Told {
    won: Vec<Duration>,
    refused: Vec<Duration>,
}

/// The hall as a page shows it: what somebody is known to have. It lags behind by the answers that are under way.
type Taken = Arc<Mutex<HashSet<usize>>>;

struct Hall {
    seats: usize,
    /// Seats that each person wants.
    wanted: usize,
    taken: Taken,
}

/// Measures and prints a table.
pub(crate) async fn measure(
    options: &RushOptions,
    scenery: &Scenery,
    redis_url: &str,
) -> Result<()> {
    let server = server::start(&scenery.url, redis_url).await?;
    println!(
        "| {} people, {} seats | seats held | in s | held: p50, p99, slowest ms | refused | refused: p50, p99, slowest ms |",
        options.people, options.seats
    );
    println!("|---|---|---|---|---|---|");
    let wanted = options.seats.div_ceil(options.people.max(1)).max(1);
    for hall in 1..=options.halls {
        let set = scenery.hot_hall(options.seats, options.people, wanted).await?;
        let (taken, mut crowd, mut told) = (Taken::default(), JoinSet::new(), Told::default());
        let mut streams = Vec::new();
        for _ in 0..options.people {
            let stream = TcpStream::connect(server.address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let start = Instant::now();
        for (n, stream) in streams.into_iter().enumerate() {
            let hall = Hall { seats: options.seats, wanted, taken: taken.clone() };
            crowd.spawn(buy(set.buyer(&server, n)?, n, stream, hall));
        }
        while let Some(one) = crowd.join_next().await {
            let one = one??;
            told.won.extend(one.won);
            told.refused.extend(one.refused);
        }
        let took = start.elapsed();
        told.won.sort_unstable();
        told.refused.sort_unstable();
        let figures = |latencies: &[Duration]| {
            let (p50, p99) = (percentile_ms(latencies, 50), percentile_ms(latencies, 99));
            format!("{p50:.0}, {p99:.0}, {:.0}", slowest_ms(latencies))
        };
        println!(
            "| hall {hall} | {} | {:.2} | {} | {} | {} |",
            told.won.len(),
            took.as_secs_f64(),
            figures(&told.won),
            told.refused.len(),
            figures(&told.refused)
        );
    }
    Ok(())
}

/// Asks for one seat after the other that looks free, until there are enough or none is left.
async fn buy(buyer: Buyer, n: usize, mut stream: TcpStream, hall: Hall) -> Result<Told> {
    let (mut told, mut answer, mut at) = (Told::default(), Vec::new(), n * 7_919);
    while told.won.len() < hall.wanted
        && let Some(seat) = next_free(&hall, &mut at)
    {
        let request = buyer.hold(seat);
        let begun = Instant::now();
        exchange(&mut stream, &request, &mut answer).await?;
        let took = begun.elapsed();
        match load::check(&answer) {
            Ok(()) => told.won.push(took),
            Err(_) if has(&answer, b"SEAT_HELD") => told.refused.push(took),
            Err(error) => return Err(error),
        }
        hall.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(seat);
    }
    Ok(told)
}

/// Some seat that nobody is known to have; everybody begins elsewhere and goes on in steps of their own.
fn next_free(hall: &Hall, at: &mut usize) -> Option<usize> {
    let taken = hall.taken.lock().unwrap_or_else(PoisonError::into_inner);
    *at += 389;
    (0..hall.seats).map(|step| (*at + step) % hall.seats).find(|seat| !taken.contains(seat))
}

fn has(answer: &[u8], needle: &[u8]) -> bool {
    answer.windows(needle.len()).any(|window| window == needle)
}
