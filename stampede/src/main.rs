//! Rehearses an on-sale over the public API, measures it, and checks that the line was fair.
//!
//! In reading order: `options` and `plan` say who comes and what they do, `stage` and `fan` play it over `api` and `net`,
//! `history` and `measure` keep what happened, `check` and `report` judge and tell. Nothing here knows the server's code.

mod api;
mod check;
mod fan;
mod history;
mod interrupt;
mod measure;
mod net;
mod options;
mod plan;
mod process;
mod progress;
mod report;
mod run;
mod sessions;
mod stage;
mod watchers;

use std::{error::Error, process::ExitCode};

use clap::Parser;
use options::{Command, Options};

/// A rehearsal that cannot go on says why and ends.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Stage(options) => sessions::stage(&options).await,
        Command::Run(options) => run::run(&options).await,
        Command::Watchers(options) => watchers::run(&options).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("stampede: {error}");
            ExitCode::from(2)
        }
    }
}
