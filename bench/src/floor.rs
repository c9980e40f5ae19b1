//! The floors: pgbench running the server's own statements, and plain axum serving fifty seats.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use axum::{Json, Router, body::Bytes, routing::post, serve::ListenerExt};
use serde::Serialize;
use tokio::{net::TcpListener, process::Command};
use uuid::Uuid;

use crate::{
    Result,
    cpu::Processes,
    load::Measured,
    scenery::{PERSON, RESERVATION, SCHEDULE, SEAT, Set, TOKEN},
    server::{self, Server},
};

const HOLD: &str = include_str!("../../src/reservation/store/hold.sql");
const PAY: &str = include_str!("../../src/payment/store/pay_with_points.sql");

/// A statement with its parameters counted out by pgbench: each client takes its own operations in order.
fn script(set: &Set<'_>, statement: &str, parameters: &[String]) -> String {
    let mut sql = statement.trim_end().to_owned();
    for (index, parameter) in parameters.iter().enumerate().rev() {
        sql = sql.replace(&format!("${}", index + 1), parameter);
    }
    format!("\\set n :client_id * {} + :i\n\\set i :i + 1\n{sql};\n", set.per_connection)
}

fn id(set: &Set<'_>, kind: u32) -> String {
    format!("bench_id({}, {kind}, :n)", set.number)
}

/// The server's hold statement.
pub(crate) fn hold(set: &Set<'_>) -> String {
    let schedule = format!("bench_id({}, {SCHEDULE}, :n / 1000)", set.number);
    let seats = format!("ARRAY[{}]", id(set, SEAT));
    let parameters = [
        id(set, TOKEN),
        schedule,
        id(set, PERSON),
        seats,
        id(set, RESERVATION),
        "3600.0".to_owned(),
    ];
    script(set, HOLD, &parameters)
}

/// The server's statement for paying with points.
pub(crate) fn pay(set: &Set<'_>) -> String {
    let parameters = [
        id(set, RESERVATION),
        id(set, PERSON),
        "1000".to_owned(),
        id(set, 6),
        "('bench-' || :n)".to_owned(),
        "'\\x00'::bytea".to_owned(),
        id(set, 10),
    ];
    script(set, PAY, &parameters)
}

/// Runs a script with pgbench.
pub(crate) async fn pgbench(
    url: &str,
    script: &str,
    clients: usize,
    time: Duration,
    processes: &Processes,
) -> Result<Measured> {
    let file = std::env::temp_dir().join(format!("frontrow-bench-{}.sql", std::process::id()));
    std::fs::File::create(&file)?.write_all(script.as_bytes())?;
    let (before, start) = (processes.used(), Instant::now());
    let output = Command::new("pgbench")
        .args(["-n", "-M", "prepared", "-D", "i=0", "-j", "2", "-c", &clients.to_string()])
        .args(["-T", &time.as_secs().to_string(), "-f"])
        .arg(&file)
        .arg(url)
        .output()
        .await
        .map_err(|error| format!("pgbench cannot be run ({error}); it comes with Postgres"))?;
    let (after, elapsed) = (processes.used(), start.elapsed());
    std::fs::remove_file(&file)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let per_second = figure(&text, "tps = ").ok_or("pgbench printed no tps")?;
    let count = figure(&text, "actually processed: ").unwrap_or(per_second * elapsed.as_secs_f64());
    let average = figure(&text, "latency average = ").unwrap_or(0.0);
    Ok(Measured {
        connections: clients,
        per_second,
        // pgbench prints the average only.
        p50_ms: average,
        p99_ms: 0.0,
        server_us: 0.0,
        postgres_us: (after.postgres - before.postgres) * 1e6 / count,
    })
}

fn figure(text: &str, label: &str) -> Option<f64> {
    let rest = text.split(label).nth(1)?;
    rest.split(|c: char| c != '.' && !c.is_ascii_digit()).next()?.parse().ok()
}

#[derive(Debug, Serialize)]
struct Answer {
    data: Data,
    parsed: bool,
}

#[derive(Debug, Serialize)]
struct Data {
    seats: std::sync::Arc<[Seat]>,
}

#[derive(Debug, Clone, Serialize)]
struct Seat {
    id: Uuid,
    section: String,
    row: String,
    number: i32,
    grade: String,
    price: i64,
    status: &'static str,
    version: i32,
}

/// Serves what `seats` answers for a hall of fifty, read from memory and written by serde for each request.
pub(crate) async fn serve_seats() -> Result<()> {
    let seat = |number| Seat {
        id: crate::scenery::id(0, SEAT, 0),
        section: "Floor".to_owned(),
        row: "A".to_owned(),
        number,
        grade: "R".to_owned(),
        price: 1000,
        status: "AVAILABLE",
        version: 1,
    };
    let seats: std::sync::Arc<[Seat]> = (1..=50).map(seat).collect();
    let answer = async move |body: Bytes| {
        let parsed = serde_json::from_slice::<serde_json::Value>(&body).is_ok();
        Json(Answer { data: Data { seats: seats.clone() }, parsed })
    };
    let router = Router::new().route("/graphql", post(answer));
    let address = std::env::var("BENCH_LISTEN")?;
    let listener =
        TcpListener::bind(address).await?.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router).await?;
    Ok(())
}

/// Starts the floor of `seats` in a process of its own.
pub(crate) async fn start_seats() -> Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("floor-seats");
    server::spawn(command, "BENCH_LISTEN").await
}

/// A request for the floor, as large as one for the server.
pub(crate) fn seats_request() -> Vec<u8> {
    let body =
        serde_json::json!({ "query": "x".repeat(200), "variables": { "token": "y".repeat(400) } })
            .to_string();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: floor\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
