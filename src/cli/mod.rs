//! The commands of the `frontrow` program: one file each, and one clear sentence when something is wrong.

#![expect(clippy::print_stdout, reason = "what a command prints is its answer")]

mod add_organizer;
mod audit;
mod check;
mod database;
mod demo;
mod draw;
mod environment;
mod export;
mod failed;
mod files;
mod health;
mod migrate;
mod retry_refund;
mod sandbox_gateway;
mod seed;
mod serve;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use failed::Failed;

use crate::{api, app::Settings, tasks};

/// The fair box office: a waiting room, seat holds and payments behind one GraphQL schema.
#[derive(Debug, Parser)]
#[command(name = "frontrow", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(Box<Settings>),
    /// Bring the database's tables up to date; safe to repeat.
    Migrate(migrate::MigrateArgs),
    /// Put demonstration data into the database; safe to repeat.
    Seed(seed::SeedArgs),
    /// Print the GraphQL schema.
    Schema,
    /// Check that seats, reservations, money and the line agree; exit status 1 and the rows at fault when they do not.
    Audit(Box<audit::AuditArgs>),
    /// Look at everything that the server stands on, and tell what would go wrong: exit status 0 when nothing would, 1 when something
    /// would, 2 when something could not be looked at.
    Check(Box<check::CheckArgs>),
    /// Print who holds and owns seats at a performance, what was paid and what was refunded: for the door and the accountant.
    Export(export::ExportArgs),
    /// Have a refund that was given up tried anew, of seats or of points, when the cause is gone.
    RetryRefund(retry_refund::RetryRefundArgs),
    /// Print everybody who took part in a performance's draw, with their numbers once it is over, as lines of JSON.
    Roster(draw::RosterArgs),
    /// Recompute every place of a draw from its roster; exit status 1 and the places at fault when one is not as drawn.
    VerifyDraw(draw::VerifyDrawArgs),
    /// Ask a running server whether it can serve: exit status 0 when it can, 1 and the reason when it cannot or does not answer.
    Health(health::HealthArgs),
    /// Run a card gateway to try cards with, where no money moves.
    SandboxGateway(sandbox_gateway::SandboxGatewayArgs),
    /// Make an organizer's account; the password is the first line of standard input.
    AddOrganizer(add_organizer::AddOrganizerArgs),
}

/// Runs the command that the program was started with.
pub fn main() -> ExitCode {
    tasks::log_panics();
    let line = match files::read_own(&Cli::command()) {
        Ok(line) => line,
        Err(failed) => return tell(&failed),
    };
    let parsed = parse(line);
    // Help is given whatever the environment holds; a setting may be missing because it was misspelt.
    let help = parsed.as_ref().is_err_and(|error| !error.use_stderr());
    let known = if help { Ok(()) } else { environment::refuse_unknown(&Cli::command()) };
    let command = match (known, parsed) {
        (Err(failed), _) => return tell(&failed),
        (Ok(()), Err(error)) => return failed::explain::<Cli>(&error),
        (Ok(()), Ok(cli)) => cli.command,
    };
    run(command).unwrap_or_else(|failed| tell(&failed))
}

fn tell(failed: &Failed) -> ExitCode {
    eprintln!("frontrow: {failed}");
    ExitCode::from(failed.status())
}

/// Reads the command line and the environment. Help shows no value that stands in the environment: somebody may have put an
/// address there that belongs elsewhere.
fn parse(line: Vec<OsString>) -> Result<Cli, clap::Error> {
    let hide = |command: clap::Command| {
        files::told(command).mut_args(|argument| argument.hide_env_values(true))
    };
    let matches = Cli::command().mut_subcommands(hide).try_get_matches_from(line)?;
    Cli::from_arg_matches(&matches)
}

#[tokio::main]
async fn run(command: Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Serve(settings) => serve::run(*settings).await,
        Command::Audit(args) => audit::run(&args).await,
        Command::Check(args) => check::run(&args).await,
        Command::Migrate(args) => migrate::run(&args).await.map_err(|it| it.at(&args.database)),
        Command::Seed(args) => seed::run(&args).await.map_err(|it| it.at(&args.database)),
        Command::SandboxGateway(args) => sandbox_gateway::run(args).await,
        Command::AddOrganizer(args) => {
            add_organizer::run(&args).await.map_err(|it| it.at(&args.database))
        }
        Command::RetryRefund(args) => {
            retry_refund::run(&args).await.map_err(|it| it.at(&args.database))
        }
        Command::Export(args) => export::run(&args).await.map_err(|it| it.at(&args.database)),
        Command::Roster(args) => draw::roster(&args).await.map_err(|it| it.at(&args.database)),
        Command::Health(args) => health::run(&args).await,
        Command::VerifyDraw(args) => draw::verify(&args),
        Command::Schema => {
            print!("{}", api::sdl());
            Ok(ExitCode::SUCCESS)
        }
    }
}
