//! The floors: pgbench running the server's own statements, and plain axum serving fifty seats.

use std::{
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

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
const PAY: &str = include_str!("../../src/payment/store/pay.sql");

/// How many parameters the statements have.
const HOLD_PARAMETERS: usize = 9;
const PAY_PARAMETERS: usize = 7;

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

/// The server's hold statement, for one person.
pub(crate) fn hold(set: &Set<'_>) -> Script {
    let schedule = format!("bench_id({}, {SCHEDULE}, :n / 1000)", set.number);
    let one = |value: String| format!("ARRAY[{value}]");
    let parameters: [String; HOLD_PARAMETERS] = [
        one(id(set, TOKEN)),
        one(schedule),
        one(id(set, PERSON)),
        one(id(set, RESERVATION)),
        "ARRAY[1]".to_owned(),
        "ARRAY[1]".to_owned(),
        one(id(set, SEAT)),
        "3600.0".to_owned(),
        "2".to_owned(),
    ];
    script(set, HOLD, &parameters)
}

/// The server's statement for paying with points, with one order.
pub(crate) fn pay(set: &Set<'_>) -> Script {
    let parameters: [String; PAY_PARAMETERS] = [
        id(set, RESERVATION),
        id(set, PERSON),
        "1000".to_owned(),
        id(set, 6),
        "('bench-' || :n)".to_owned(),
        "'\\x00'::bytea".to_owned(),
        id(set, 10),
    ]
    .map(|value| format!("ARRAY[{value}]"));
    script(set, PAY, &parameters)
}

/// A script for pgbench.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) text: String,
    /// Operations prepared for each client, where they can run out.
    pub(crate) prepared: Option<usize>,
}

/// Runs a script with pgbench, after a warm-up that is not counted either; with a rate, transactions begin so often a second
/// whether or not those before them are done, and latencies count from when they were due.
pub(crate) async fn pgbench(
    url: &str,
    script: &Script,
    clients: usize,
    time: Duration,
    processes: &Processes,
    rate: Option<f64>,
) -> Result<Measured> {
    let folder = std::env::temp_dir().join(format!("frontrow-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("script.sql");
    std::fs::File::create(&file)?.write_all(script.text.as_bytes())?;
    let mut command = Command::new("pgbench");
    command
        .args(["-n", "-M", "prepared", "-D", "i=0", "-j", "2", "--log"])
        .arg("--log-prefix")
        .arg(folder.join("log"))
        .args(["-c", &clients.to_string(), "-T", &(load::WARM_UP + time).as_secs().to_string()])
        .args(rate.map(|rate| format!("--rate={rate:.0}")))
        .arg("-f")
        .arg(&file)
        .arg(url);
    let counted = (SystemTime::now() + load::WARM_UP).duration_since(UNIX_EPOCH)?;
    let warm = async {
        sleep(load::WARM_UP).await;
        processes.used()
    };
    let (output, before) = tokio::join!(command.output(), warm);
    let output = output
        .map_err(|error| format!("pgbench cannot be run ({error}); it comes with Postgres"))?;
    let after = processes.used();
    let mut log = String::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path != file {
            log += &std::fs::read_to_string(path)?;
        }
    }
    std::fs::remove_dir_all(&folder)?;
    if !output.status.success() {
        return Err(format!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let processed = u32::try_from(log.lines().count())?;
    enough(script, f64::from(processed), clients)?;
    let latencies = latencies(&log, counted);
    let count = f64::from(u32::try_from(latencies.len())?);
    Ok(Measured {
        refused: 0,
        connections: clients,
        per_second: count / time.as_secs_f64(),
        p50_ms: load::percentile_ms(&latencies, 50),
        p99_ms: load::percentile_ms(&latencies, 99),
        slowest_ms: load::slowest_ms(&latencies),
        server_us: 0.0,
        postgres_us: (after.postgres - before.postgres) * 1e6 / count,
    })
}

/// Latencies of the transactions that ended after an instant, ascending. A line of the log has the client, the transaction's
/// number, its microseconds, the script's number, and when it ended in seconds and microseconds since 1970.
fn latencies(log: &str, after: Duration) -> Vec<Duration> {
    let line = |line: &str| {
        let mut columns = line.split(' ').skip(2).map(str::parse::<u64>);
        let mut column = || columns.next()?.ok();
        let (took, _, seconds, micros) = (column()?, column()?, column()?, column()?);
        let ended = Duration::from_secs(seconds) + Duration::from_micros(micros);
        (ended >= after).then(|| Duration::from_micros(took))
    };
    let mut latencies: Vec<Duration> = log.lines().filter_map(line).collect();
    latencies.sort_unstable();
    latencies
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
        let log = "0 1 90000 0 1000 500000\n0 2 7000 0 1002 0\n1 1 3000 0 1003 250000\n";
        let counted = latencies(log, Duration::from_secs(1_002));
        assert_eq!(counted, [Duration::from_millis(3), Duration::from_millis(7)]);
    }

    #[test]
    fn a_client_that_ran_past_its_operations_is_an_error() {
        let script = Script { text: String::new(), prepared: Some(100) };
        assert!(enough(&script, 700.0, 8).is_ok());
        assert!(enough(&script, 790.0, 8).is_err());
        assert!(enough(&Script { prepared: None, ..script }, 9_999.0, 8).is_ok());
    }

    #[test]
    fn every_parameter_of_a_statement_is_given() {
        for (statement, given) in [(HOLD, HOLD_PARAMETERS), (PAY, PAY_PARAMETERS)] {
            let named = |n: usize| statement.contains(&format!("${n}"));
            assert!(named(given) && !named(given + 1), "{given} parameters are given");
        }
    }
}
