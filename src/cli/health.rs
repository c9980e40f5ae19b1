//! `frontrow health`.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::Args;
use serde::Deserialize;

use super::{Failed, sandbox_gateway::reachable};

/// Health checks of containers wait for three seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(2_500);
/// What is read of an answer; ours are shorter.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Where the server listens; 0.0.0.0 and :: are asked here.
    #[arg(long, env = "FRONTROW_LISTEN", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Ask whether the process answers at all, rather than whether it can serve.
    #[arg(long)]
    live: bool,
}

/// What `/health/ready` says.
#[derive(Debug, Deserialize)]
struct Said {
    reason: Option<String>,
}

pub(super) async fn run(args: &HealthArgs) -> Result<ExitCode, Failed> {
    let address = reachable(args.listen);
    let path = if args.live { "live" } else { "ready" };
    let silent = |error: reqwest::Error| {
        let why = if error.is_timeout() { "did not answer in time" } else { "does not answer" };
        Failed::new(format!("The server at {address} {why}."))
    };
    // Never through a proxy that the environment names.
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build();
    let request = client.map_err(silent)?.get(format!("http://{address}/health/{path}"));
    let answer = request.send().await.map_err(silent)?;
    let status = answer.status();
    if status.is_success() {
        println!("{path}");
        return Ok(ExitCode::SUCCESS);
    }
    let short = answer.content_length().is_some_and(|length| length <= ANSWER_BYTES_MAX);
    let said = if short { answer.json::<Said>().await.ok() } else { None };
    let reason = said.and_then(|said| said.reason);
    let reason = reason.unwrap_or_else(|| format!("it answers {status}"));
    Err(Failed::new(format!("The server at {address} cannot serve: {reason}.")))
}
