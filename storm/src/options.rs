//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::{Result, check::plant::Loss, fault::kind::Kind, site::place::Owner};

/// Breaks what frontrow stands on, under load, and compares what was acknowledged with what is in the database.
#[derive(Debug, Parser)]
#[command(name = "storm")]
pub(crate) struct Options {
    /// How long faults are injected, in seconds; starting, settling and checking come on top, some minutes at most.
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// The same seed deals the same faults in the same order; chosen and told when left out.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Only these kinds of faults, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    pub(crate) only: Vec<Kind>,
    /// Changes this behind the server's back at the end, to see that it is found; separated by commas, or `all`.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "LOSS",
        conflicts_with = "self_test"
    )]
    pub(crate) plant: Vec<Loss>,
    /// Breaks nothing; plants every loss there is, one after the other, and checks that each is found.
    #[arg(long, conflicts_with_all = ["only", "seconds"])]
    pub(crate) self_test: bool,
    /// How many fans play.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(2..=5_000))]
    pub(crate) fans: u16,
    /// Keep the folder with the history, the logs and the data, though everything holds.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Lists the kinds of faults and what must hold with each, and does nothing.
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Where the programs are; `./dev storm` knows.
#[derive(Debug, Args)]
pub(crate) struct Machine {
    /// The folder with Postgres's programs (15 or newer).
    #[arg(
        long,
        env = "STORM_POSTGRES",
        value_name = "FOLDER",
        default_value = "/usr/lib/postgresql/15/bin"
    )]
    pub(crate) postgres: PathBuf,
    /// The server program of Redis (7 or newer).
    #[arg(long, env = "STORM_REDIS", value_name = "PROGRAM", default_value = "redis-server")]
    pub(crate) redis: PathBuf,
    /// Whom Postgres and Redis run as, as USER:GROUP in numbers; needed when root runs the storm.
    #[arg(long, env = "STORM_OWNER", value_name = "UID:GID")]
    pub(crate) owner: Option<Owner>,
}

impl Machine {
    /// The server's program, which stands beside this one.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn server(&self) -> Result<PathBuf> {
        let program = std::env::current_exe()?.with_file_name("frontrow");
        if program.is_file() {
            return Ok(program);
        }
        Err(format!("{} is missing: cargo build --workspace", program.display()).into())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_agrees_with_itself() {
        Options::command().debug_assert();
        let options =
            Options::parse_from(["storm", "--only", "silence-one,kill-both", "--plant", "all"]);
        assert_eq!(options.only, [Kind::SilenceOne, Kind::KillBoth]);
        assert_eq!(options.plant, [Loss::All]);
    }
}
