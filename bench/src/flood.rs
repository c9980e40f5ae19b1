//! What others' floods do to strangers: the latency of people who charge points and look at their balance, while somebody
//! asks for the dearest things there are.

use std::{net::SocketAddr, time::Duration};

use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::{
    Result,
    cpu::Processes,
    load::{self, Target},
    scenery::{Scenery, Set},
    server::{self, Server},
    standing::{Crowd, Standing},
};

/// People who have nothing to do with the flood, and what they ask for a second, all together.
const STRANGERS: usize = 16;
const PER_SECOND: f64 = 100.0;
/// How often somebody looks whether the server lives.
const ALIVE_PER_SECOND: f64 = 50.0;
/// Seats of the large hall.
const HALL: usize = 20_000;

/// What somebody does to the server meanwhile.
enum Flood {
    /// Each connection sends its requests again and again.
    Asking(Vec<Vec<Vec<u8>>>),
    /// The same, so many a second over all connections, each from an address of its own.
    Paced(Vec<Vec<Vec<u8>>>, f64),
    /// So many connections stand there.
    Standing(usize, Standing),
}

impl Flood {
    /// Does it for a time; how long the most patient connection stood until the server closed it.
    async fn flow(
        self,
        address: SocketAddr,
        time: Duration,
        tellers: Processes,
    ) -> Result<Option<Duration>> {
        let target = match self {
            Self::Asking(requests) => Target::repeating(address, requests),
            Self::Paced(requests, per_second) => {
                Target::repeating(address, requests).scattered().paced(per_second)
            }
            Self::Standing(count, what) => {
                let crowd = Crowd::gather(address, count, &what);
                tokio::time::sleep(load::WARM_UP + time).await;
                return Ok(Some(crowd.end().await));
            }
        };
        load::run(&target.whatever_is_answered(), time, &tellers).await?;
        Ok(None)
    }
}

/// Measures and prints a table.
pub(crate) async fn measure(scenery: &Scenery, redis_url: &str, seconds: u64) -> Result<()> {
    let server = server::start(&scenery.url, redis_url).await?;
    let tellers = Processes { server: server.id(), postgres: scenery.postmaster().await? };
    let time = Duration::from_secs(seconds);
    println!(
        "| while | strangers' requests | refused | p50 ms | p99 ms | p99, times alone | /health/live, slowest ms | closed after s |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut alone = 0.0;
    for (name, flood) in floods(scenery, &server).await? {
        let strangers = scenery.set(STRANGERS, false).await?;
        let target = Target::new(server.address, strangers.errands(&server)?)
            .paced(PER_SECOND)
            .whatever_is_answered();
        let flood = tokio::spawn(flood.flow(server.address, time, tellers));
        let alive = vec![vec![server.get("/health/live")]];
        let alive = Target::repeating(server.address, alive).paced(ALIVE_PER_SECOND);
        let (measured, alive) =
            tokio::join!(load::run(&target, time, &tellers), load::run(&alive, time, &tellers));
        let (measured, alive) = (measured?, alive?);
        let closed =
            flood.await??.map_or_else(|| "-".to_owned(), |it| format!("{:.1}", it.as_secs_f64()));
        if alone == 0.0 {
            alone = measured.p99_ms;
        }
        println!(
            "| {name} | {:.0} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {closed} |",
            measured.per_second * time.as_secs_f64(),
            measured.refused,
            measured.p50_ms,
            measured.p99_ms,
            measured.p99_ms / alone,
            alive.slowest_ms
        );
    }
    Ok(())
}

async fn floods(scenery: &Scenery, server: &Server) -> Result<Vec<(&'static str, Flood)>> {
    let crowd = scenery.set(1, false).await?;
    grow_hall(scenery, &crowd).await?;
    let posts = |query: &str, variables: serde_json::Value| {
        server.post(&json!({ "query": query, "variables": variables }).to_string(), None)
    };
    let log_in_query =
        "mutation ($input: LogInInput!) { logIn(input: $input) { userErrors { code } } }";
    let sign_up =
        "mutation ($input: SignUpInput!) { signUp(input: $input) { userErrors { code } } }";
    let log_ins = |connections: usize| {
        let log_in = |n| json!({ "input": { "email": format!("nobody-{n}@bench.example"), "password": "not this" } });
        (0..connections).map(|n| vec![posts(log_in_query, log_in(n))]).collect::<Vec<_>>()
    };
    let sign_ups = (0..64).map(|n| {
        let email = |m: usize| format!("new-{n}-{m}@bench.example");
        let input = |m| json!({ "input": { "email": email(m), "password": "correct horse", "name": "New" } });
        (0..500).map(|m| posts(sign_up, input(m))).collect()
    });
    let charge = "mutation ($input: ChargeInput!) { charge(input: $input) { balance } }";
    let one_fan = (0..60).map(|n| {
        let input =
            |m: usize| json!({ "input": { "amount": 1, "idempotencyKey": format!("{n}-{m}") } });
        (0..500).map(|m| crowd.request(server, 0, charge, input(m))).collect::<Result<Vec<_>>>()
    });
    let seats = "query ($id: ID!, $token: String!) { seats(scheduleId: $id, queueToken: $token) {
        id section row number grade price status version } }";
    let halls = (0..16).map(|n| Ok(vec![crowd.request_for_seats(server, n, seats)?]));
    let programme = "{ concerts(first: 100) { nodes { id title artist venue description timeZone
        schedules { id startsAt status salesOpenAt salesCloseAt seatCount remainingSeats
            grades { grade price total remaining } waitingRoom { status waitingCount activeCount } } } } }";
    let hall = crowd.request_for_seats(server, 0, seats)?;
    Ok(vec![
        ("nobody else asks", Flood::Asking(Vec::new())),
        ("64 connections log in, in vain", Flood::Asking(log_ins(64))),
        ("200 log in every second, from 200 addresses", Flood::Paced(log_ins(200), 200.0)),
        ("64 connections sign up", Flood::Asking(sign_ups.collect())),
        ("one fan charges on 60 connections", Flood::Asking(one_fan.collect::<Result<_>>()?)),
        ("16 fans read a hall of 20,000", Flood::Asking(halls.collect::<Result<_>>()?)),
        (
            "16 connections read the programme",
            Flood::Asking(vec![vec![posts(programme, json!({}))]; 16]),
        ),
        (
            "2,000 WebSockets never say connection_init",
            Flood::Standing(2_000, Standing::WithoutInit),
        ),
        ("1,000 heads come a byte a second", Flood::Standing(1_000, Standing::SlowHead)),
        (
            "500 read nothing of a hall of 20,000",
            Flood::Standing(500, Standing::StoppedReader(hall)),
        ),
    ])
}

async fn grow_hall(scenery: &Scenery, crowd: &Set<'_>) -> Result<()> {
    let number = crowd.number;
    scenery
        .database
        .execute_unprepared(&format!(
            "INSERT INTO seat (id, schedule_id, section, row_label, row_index, number, grade, price, preference)
             SELECT bench_id({number}, 6, n), bench_id({number}, 9, 0), 'Ring', 'A', n / 200, n % 200 + 1, 'S', 1000, n
             FROM generate_series(0, {HALL} - 1) n"
        ))
        .await?;
    scenery.settle().await
}
