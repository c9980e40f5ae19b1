//! The floors: pgbench running the server's own statements, and plain axum serving fifty seats.

use std::{io::Write, time::Duration};

use axum::{Json, Router, body::Bytes, routing::post, serve::ListenerExt};
use serde::Serialize;
use tokio::{net::TcpListener, process::Command, time::sleep};
use uuid::Uuid;

use crate::{
    Result,
    cpu::Processes,
    load::{self, Measured},
    scenery::{PERSON, RESERVATION, SCHEDULE, SEAT, Set, TOKEN},
    server::{self, Server},
};

const HOLD: &str = include_str!("../../src/reservation/store/hold.sql");
const PAY: &str = include_str!("../../src/payment/store/pay_with_points.sql");

/// A statement with its parameters counted out by pgbench: each client takes its own operations in order.
fn script(set: &Set<'_>, statement: &str, parameters: &[String]) -> Script {
    let mut sql = statement.trim_end().to_owned();
    for (index, parameter) in parameters.iter().enumerate().rev() {
        sql = sql.replace(&format!("${}", index + 1), parameter);
    }
    let prepared = set.per_connection;
    let text = format!("\\set n :client_id * {prepared} + :i\n\\set i :i + 1\n{sql};\n");
    Script { text, prepared: Some(prepared) }
}

fn id(set: &Set<'_>, kind: u32) -> String {
    format!("bench_id({}, {kind}, :n)", set.number)
}

/// The server's hold statement.
pub(crate) fn hold(set: &Set<'_>) -> Script {
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
pub(crate) fn pay(set: &Set<'_>) -> Script {
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

/// A script for pgbench.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) text: String,
    /// Operations prepared for each client, where they can run out.
    pub(crate) prepared: Option<usize>,
}

/// Runs a script with pgbench, after a warm-up that is not counted either.
pub(crate) async fn pgbench(
    url: &str,
    script: &Script,
    clients: usize,
    time: Duration,
    processes: &Processes,
) -> Result<Measured> {
    let file = std::env::temp_dir().join(format!("frontrow-bench-{}.sql", std::process::id()));
    std::fs::File::create(&file)?.write_all(script.text.as_bytes())?;
    let mut command = Command::new("pgbench");
    command
        .args(["-n", "-M", "prepared", "-D", "i=0", "-j", "2", "-P", "1"])
        .args(["-c", &clients.to_string(), "-T", &(load::WARM_UP + time).as_secs().to_string()])
        .arg("-f")
        .arg(&file)
        .arg(url);
    let warm = async {
        sleep(load::WARM_UP).await;
        processes.used()
    };
    let (output, before) = tokio::join!(command.output(), warm);
    let output = output
        .map_err(|error| format!("pgbench cannot be run ({error}); it comes with Postgres"))?;
    let after = processes.used();
    std::fs::remove_file(&file)?;
    let progress = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("pgbench failed: {progress}").into());
    }
    let processed = figure(&String::from_utf8_lossy(&output.stdout), "actually processed: ")
        .ok_or("pgbench does not say how much it did")?;
    enough(script, processed, clients)?;
    let (per_second, average) = after_warm_up(&progress).ok_or("pgbench printed no progress")?;
    Ok(Measured {
        connections: clients,
        per_second,
        // pgbench prints the average only.
        p50_ms: average,
        p99_ms: 0.0,
        server_us: 0.0,
        postgres_us: (after.postgres - before.postgres) * 1e6 / (per_second * time.as_secs_f64()),
    })
}

/// Beyond its own operations a client would find those of the next one, done already: fast, and no floor. Clients are not
/// equally fast, so a tenth has to be left over.
fn enough(script: &Script, processed: f64, clients: usize) -> Result<()> {
    let count = |count: usize| u32::try_from(count).map(f64::from);
    if let Some(prepared) = script.prepared
        && processed / count(clients)? > count(prepared)? * 0.9
    {
        return Err("pgbench's prepared operations ran out; measure for a shorter time".into());
    }
    Ok(())
}

/// Operations per second and their average latency in milliseconds, of the seconds that count.
fn after_warm_up(progress: &str) -> Option<(f64, f64)> {
    let warm_up = load::WARM_UP.as_secs_f64();
    let (mut seconds, mut operations, mut waited) = (0.0, 0.0, 0.0);
    for line in progress.lines().filter(|line| line.starts_with("progress: ")) {
        let (tps, latency) = (figure(line, " s, ")?, figure(line, "lat ")?);
        // A line tells of the second before it, give or take some milliseconds.
        if figure(line, "progress: ")? > warm_up + 0.5 {
            seconds += 1.0;
            operations += tps;
            waited += tps * latency;
        }
    }
    (operations > 0.0).then(|| (operations / seconds, waited / operations))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_is_left_out_of_pgbenchs_figures() {
        let progress = "progress: 1.0 s, 10.0 tps, lat 90.000 ms stddev 1.000, 0 failed\n\
                        progress: 2.0 s, 20.0 tps, lat 80.000 ms stddev 1.000, 0 failed\n\
                        progress: 3.0 s, 100.0 tps, lat 4.000 ms stddev 1.000, 0 failed\n\
                        progress: 4.0 s, 300.0 tps, lat 8.000 ms stddev 1.000, 0 failed\n";
        assert_eq!(after_warm_up(progress), Some((200.0, 7.0)));
        assert_eq!(after_warm_up("nothing"), None);
    }

    #[test]
    fn a_client_that_ran_past_its_operations_is_an_error() {
        let script = Script { text: String::new(), prepared: Some(100) };
        assert!(enough(&script, 700.0, 8).is_ok());
        assert!(enough(&script, 790.0, 8).is_err());
        assert!(enough(&Script { prepared: None, ..script }, 9_999.0, 8).is_ok());
    }
}
