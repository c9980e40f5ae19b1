//! `frontrow check`: what would go wrong, before it does.
//!
//! Each file looks at one thing that the server stands on, and says what it found. Nothing is changed, and nothing that is
//! a secret is told.

mod clock;
mod finding;
mod gateway;
mod machine;
mod postgres;
mod redis_server;
mod settings;

use std::process::ExitCode;

use clap::Args;
use finding::{Level, Verdict};

use super::{
    Failed,
    failed::{NOT_KNOWN, WRONG},
    serve::allow_open_files,
};
use crate::app::Settings;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    settings: Settings,
    /// How many instances there will be with these settings, which share Postgres's connections.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    instances: u32,
    /// Print JSON: the verdict (OK, WRONG or UNKNOWN), and a list of findings.
    #[arg(long)]
    json: bool,
}

/// Exit status 0 when nothing would go wrong, 1 when something would, and 2 when something could not be looked at.
pub(super) async fn run(args: &CheckArgs) -> Result<ExitCode, Failed> {
    let verdict = look(args).await;
    if args.json {
        let text = serde_json::to_string_pretty(&verdict);
        println!("{}", text.map_err(|_| Failed::new("The findings are no JSON."))?);
    } else {
        println!("{verdict}");
    }
    Ok(match verdict.level() {
        Level::Ok | Level::Note => ExitCode::SUCCESS,
        Level::Wrong => ExitCode::from(WRONG),
        Level::Unknown => ExitCode::from(NOT_KNOWN),
    })
}

async fn look(args: &CheckArgs) -> Verdict {
    let settings = &args.settings;
    // As the server does when it starts, so that what is counted is what it would have.
    allow_open_files();
    let (machine, postgres, redis, gateway, provider) = tokio::join!(
        machine::look(settings),
        postgres::look(&settings.database, args.instances),
        redis_server::look(settings),
        gateway::look(&settings.gateway),
        gateway::look_at_provider(&settings.provider),
    );
    Verdict::of([settings::look(settings), machine, postgres, redis, gateway, provider].concat())
}
