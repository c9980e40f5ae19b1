//! Rehearses an on-sale over the public API, measures it, and checks that the line was fair.
//!
//! In reading order: `options` and `plan` say who comes and what they do, `stage` and `fan` play it over `api` and `net`,
//! `history` and `measure` keep what happened, `check` and `report` judge and tell. Nothing here knows the server's code.
//!
//! What is public is the client, for tools that speak to the server as stampede does: `storm` and `bench`.

pub mod api;
mod check;
mod fan;
pub mod history;
pub mod interrupt;
pub mod measure;
pub mod net;
mod options;
mod plan;
mod process;
mod progress;
mod report;
mod run;
pub mod sessions;
mod stage;
mod watchers;

use std::{error::Error, process::ExitCode};

use clap::Parser;
use options::{Command, Options};

/// A rehearsal that cannot go on says why and ends.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Does what the command line says; the exit status is the verdict.
pub async fn rehearse() -> ExitCode {
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
