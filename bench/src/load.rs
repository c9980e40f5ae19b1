//! Load over loopback: a few keep-alive connections, each sending its prepared requests one after the other.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use stampede::net::http::exchange;
use tokio::net::TcpStream;

use crate::{Result, cpu::Processes, standing};

/// Not counted: connections are new and plans are cold.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// Where the load goes: a list of requests per connection.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    requests: Arc<Vec<Vec<Vec<u8>>>>,
    repeat: bool,
    /// Refusals are answers too.
    tolerant: bool,
    pace: Option<Duration>,
    /// Each connection comes from an address of its own.
    scattered: bool,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) connections: usize,
    pub(crate) per_second: f64,
    /// Answers with an error or a refusal, where those do not end the benchmark.
    pub(crate) refused: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) slowest_ms: f64,
    /// CPU of the server per operation, in microseconds.
    pub(crate) server_us: f64,
    /// CPU of Postgres per operation, in microseconds.
    pub(crate) postgres_us: f64,
}

impl Target {
    /// Each request is sent once at most.
    pub(crate) fn new(address: SocketAddr, requests: Vec<Vec<Vec<u8>>>) -> Self {
        Self {
            address,
            requests: Arc::new(requests),
            repeat: false,
            tolerant: false,
            pace: None,
            scattered: false,
        }
    }

    /// The requests are sent again and again.
    pub(crate) fn repeating(address: SocketAddr, requests: Vec<Vec<Vec<u8>>>) -> Self {
        Self { repeat: true, ..Self::new(address, requests) }
    }

    /// Refusals do not end the benchmark, nor connections that the server closes.
    pub(crate) fn whatever_is_answered(self) -> Self {
        Self { tolerant: true, ..self }
    }

    /// Each connection comes from an address of its own, so that no limit per address stops them.
    pub(crate) fn scattered(self) -> Self {
        Self { scattered: true, ..self }
    }

    async fn connect(&self, connection: usize) -> Result<TcpStream> {
        let stream = if self.scattered {
            standing::connect_from(standing::source(connection), self.address).await?
        } else {
            TcpStream::connect(self.address).await?
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// This many requests a second over all connections, whether or not the answers keep up. Latencies are then counted from
    /// the time at which a request was due, so that a stall counts for everybody whom it keeps waiting.
    pub(crate) fn paced(self, per_second: f64) -> Self {
        let connections = u32::try_from(self.requests.len()).unwrap_or(u32::MAX);
        let pace = Duration::from_secs_f64(f64::from(connections) / per_second.max(1.0));
        Self { pace: Some(pace), ..self }
    }
}

/// Runs the load for a time, after a warm-up. An answer with an error or a refusal ends the benchmark.
pub(crate) async fn run(
    target: &Target,
    time: Duration,
    processes: &Processes,
) -> Result<Measured> {
    let connections = target.requests.len();
    // Fans have connected before they ask.
    let mut streams = Vec::with_capacity(connections);
    for connection in 0..connections {
        streams.push(target.connect(connection).await?);
    }
    let start = Instant::now();
    let counted = start + WARM_UP..start + WARM_UP + time;
    let drive = |(connection, stream)| {
        tokio::spawn(drive(target.clone(), connection, stream, start, counted.clone()))
    };
    let tasks: Vec<_> = streams.into_iter().enumerate().map(drive).collect();
    tokio::time::sleep_until(counted.start.into()).await;
    let before = processes.used();
    let (mut latencies, mut refused) = (Vec::new(), 0);
    for task in tasks {
        let (more, no) = task.await??;
        latencies.extend(more);
        refused += no;
    }
    let (elapsed, after) = (counted.start.elapsed(), processes.used());
    latencies.sort_unstable();
    let count = f64::from(u32::try_from(latencies.len())?);
    Ok(Measured {
        connections,
        refused,
        per_second: count / elapsed.as_secs_f64(),
        p50_ms: percentile_ms(&latencies, 50),
        p99_ms: percentile_ms(&latencies, 99),
        slowest_ms: slowest_ms(&latencies),
        server_us: (after.server - before.server) * 1e6 / count,
        postgres_us: (after.postgres - before.postgres) * 1e6 / count,
    })
}

/// The time, in milliseconds, that this many of a hundred latencies are shorter than; they ascend.
pub(crate) fn percentile_ms(latencies: &[Duration], share: usize) -> f64 {
    latencies.get(latencies.len() * share / 100).map_or(0.0, |time| ms(*time))
}

/// The longest of some latencies, which ascend; in milliseconds.
pub(crate) fn slowest_ms(latencies: &[Duration]) -> f64 {
    latencies.last().map_or(0.0, |time| ms(*time))
}

fn share(part: usize, whole: usize) -> f64 {
    f64::from(u32::try_from(part).unwrap_or(0)) / f64::from(u32::try_from(whole).unwrap_or(1))
}

/// Sends each request once.
pub(crate) async fn once(address: SocketAddr, requests: Vec<Vec<Vec<u8>>>) -> Result<()> {
    let mut sending = tokio::task::JoinSet::new();
    for requests in requests {
        sending.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            let mut answer = Vec::new();
            for request in requests {
                exchange(&mut stream, &request, &mut answer).await?;
                check(&answer)?;
            }
            Result::<()>::Ok(())
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Sends requests from the start on; the latencies are those of requests that began, or were due, in the time that counts.
async fn drive(
    target: Target,
    connection: usize,
    mut stream: TcpStream,
    start: Instant,
    counted: Range<Instant>,
) -> Result<(Vec<Duration>, usize)> {
    let (mut latencies, mut refused) = (Vec::new(), 0);
    let mut answer = Vec::with_capacity(16 * 1024);
    // The connections' turns are spread evenly over one pace.
    let turn = |pace: Duration| pace.mul_f64(share(connection, target.requests.len()));
    let mut due = target.pace.map(|pace| start + turn(pace));
    loop {
        for request in &target.requests[connection] {
            let begun = due.unwrap_or_else(Instant::now);
            if let Some((turn, pace)) = due.zip(target.pace) {
                tokio::time::sleep_until(turn.into()).await;
                due = Some(turn + pace);
            }
            if Instant::now() >= counted.end {
                return Ok((latencies, refused));
            }
            let asked = exchange(&mut stream, request, &mut answer).await;
            if target.tolerant && asked.is_err() {
                stream = target.connect(connection).await?;
                continue;
            }
            asked?;
            if begun >= counted.start {
                latencies.push(begun.elapsed());
            }
            match check(&answer) {
                Err(error) if !target.tolerant => return Err(error),
                Err(_) => refused += 1,
                Ok(()) => {}
            }
        }
        if target.requests[connection].is_empty() {
            return Ok((latencies, refused));
        }
        if !target.repeat {
            return Err("the prepared requests ran out; measure for a shorter time".into());
        }
    }
}

/// A success says `"userErrors":[]`.
///
/// # Errors
/// What was answered instead.
pub(crate) fn check(answer: &[u8]) -> Result<()> {
    let says = |needle: &[u8]| answer.windows(needle.len()).any(|window| window == needle);
    if says(b"\"errors\":") || says(b"\"userErrors\":[{") {
        return Err(format!("refused: {}", String::from_utf8_lossy(answer)).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_errors_end_a_benchmark_and_success_does_not() {
        let success = br#"{"data":{"holdSeat":{"reservation":{"id":"1"},"userErrors":[]}}}"#;
        assert!(check(success).is_ok());
        let refused = br#"{"data":{"holdSeat":{"reservation":null,"userErrors":[{"code":"SEAT_HELD","message":"x"}]}}}"#;
        assert!(check(refused).unwrap_err().to_string().contains("SEAT_HELD"));
        assert!(check(br#"{"data":null,"errors":[{"message":"x"}]}"#).is_err());
    }
}
