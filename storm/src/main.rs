//! Breaks what frontrow stands on, under load, and compares what was acknowledged with what is in the database.
//!
//! In reading order: `fault` says what is broken and when, `site` is what stands there to be broken, `crowd` buys meanwhile
//! and repeats what was not answered, `history` keeps every answer, `check` compares, `run` puts it all together. Like
//! stampede, whose client it uses, nothing here knows the server's code; unlike it, it knows the tables.

#![expect(clippy::print_stdout, reason = "the report is the answer")]

mod check;
mod crowd;
mod fault;
mod history;
mod options;
mod report;
mod run;
mod site;

use std::{error::Error, process::ExitCode, time::Duration};

use clap::Parser;
use fault::kind::Kind;
use options::Options;

/// A storm that cannot go on says why and ends.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What starting, settling and checking may take besides the storm itself, and a fault that is under way when its time is
/// over. Beyond that something hangs that must not.
const BESIDES: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        list();
        return ExitCode::SUCCESS;
    }
    let limit = Duration::from_secs(options.seconds) + BESIDES;
    let outcome = tokio::time::timeout(limit, Box::pin(run::run(&options))).await;
    match outcome.unwrap_or_else(|_| Err("it has not come to an end, and was cut off".into())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("storm: {error}");
            ExitCode::from(2)
        }
    }
}

fn list() {
    for kind in Kind::all() {
        let sheet = kind.sheet();
        let text = format!(
            "{:18} {:2} s, well again within {:2} s  {}",
            kind.name(),
            sheet.lasts.as_secs(),
            sheet.recovers.as_secs(),
            kind.tells()
        );
        println!("{text}");
    }
}

/// The report goes to standard output, everything else to standard error.
fn print(text: &str) {
    println!("{text}");
}
