//! What others' floods do to strangers: the latency of people who charge points and look at their balance, while somebody
//! asks for the dearest things there are.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::{
    Result,
    cpu::Processes,
    load::{self, Target},
    scenery::{Scenery, Set},
    server::{self, Server},
};

/// People who have nothing to do with the flood, and what they ask for a second, all together.
const STRANGERS: usize = 16;
const PER_SECOND: f64 = 100.0;
/// How often somebody looks whether the server lives.
const ALIVE_PER_SECOND: f64 = 50.0;
/// Seats of the large hall.
const HALL: usize = 20_000;

/// A flood: its name, and what each of its connections sends again and again.
type Flood = (&'static str, Vec<Vec<Vec<u8>>>);

/// Measures and prints a table.
pub(crate) async fn measure(scenery: &Scenery, redis_url: &str, seconds: u64) -> Result<()> {
    let server = server::start(&scenery.url, redis_url).await?;
    let tellers = Processes { server: server.id(), postgres: scenery.postmaster().await? };
    let time = Duration::from_secs(seconds);
    println!(
        "| while | strangers' requests | refused | p50 ms | p99 ms | p99, times alone | /health/live, slowest ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut alone = 0.0;
    for (name, requests) in floods(scenery, &server).await? {
        let strangers = scenery.set(STRANGERS, false).await?;
        let target = Target::new(server.address, strangers.errands(&server)?)
            .paced(PER_SECOND)
            .whatever_is_answered();
        let flood = Target::repeating(server.address, requests).whatever_is_answered();
        let flood = tokio::spawn(async move { load::run(&flood, time, &tellers).await });
        let alive = vec![vec![server.get("/health/live")]];
        let alive = Target::repeating(server.address, alive).paced(ALIVE_PER_SECOND);
        let (measured, alive) =
            tokio::join!(load::run(&target, time, &tellers), load::run(&alive, time, &tellers));
        let (measured, alive) = (measured?, alive?);
        flood.await??;
        if alone == 0.0 {
            alone = measured.p99_ms;
        }
        println!(
            "| {name} | {:.0} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
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

async fn floods(scenery: &Scenery, server: &Server) -> Result<Vec<Flood>> {
    let crowd = scenery.set(1, false).await?;
    grow_hall(scenery, &crowd).await?;
    let posts = |query: &str, variables: serde_json::Value| {
        server.post(&json!({ "query": query, "variables": variables }).to_string(), None)
    };
    let log_in = "mutation ($input: LogInInput!) { logIn(input: $input) { userErrors { code } } }";
    let sign_up =
        "mutation ($input: SignUpInput!) { signUp(input: $input) { userErrors { code } } }";
    let log_ins = (0..64).map(|n| {
        vec![posts(log_in, json!({ "input": { "email": format!("nobody-{n}@bench.example"), "password": "not this" } }))]
    });
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
    Ok(vec![
        ("nobody else asks", Vec::new()),
        ("64 connections log in, in vain", log_ins.collect()),
        ("64 connections sign up", sign_ups.collect()),
        ("one fan charges on 60 connections", one_fan.collect::<Result<_>>()?),
        ("16 fans read a hall of 20,000", halls.collect::<Result<_>>()?),
        ("16 connections read the programme", vec![vec![posts(programme, json!({}))]; 16]),
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
