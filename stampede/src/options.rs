//! What can be asked for.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::plan::{Crowd, Curve};

/// Rehearses an on-sale over the public API.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a performance to rehearse on, and print its id.
    Stage(StageOptions),
    /// Play an on-sale, report, and exit with 1 if a check is violated.
    Run(Box<RunOptions>),
    /// Open many idle subscriptions, and measure what they cost and how fast a push reaches all of them.
    Watchers(WatchersOptions),
}

/// Where the server is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerOptions {
    /// An instance, or what stands in front of some: http:// or https://. Give it several times to spread the fans over several.
    #[arg(long = "url", required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// For an https:// of one's own: believe the authorities and certificates in this file (PEM), and no others; those of the system
    /// when left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Targets other than this machine are allowed. Say so only for servers that you may bring down.
    #[arg(long)]
    pub(crate) allow_remote: bool,
    /// Source addresses to connect from, 127.0.0.2 and on; each has some 28,000 ports.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub(crate) source_addresses: u32,
    /// HTTP connections to each instance at most.
    #[arg(long, default_value_t = 128)]
    pub(crate) connections: usize,
    /// How long an answer may take.
    #[arg(long, default_value_t = 20)]
    pub(crate) timeout_seconds: u64,
}

/// The organizer, for what only they may do.
#[derive(Debug, Clone, Args)]
pub(crate) struct OrganizerOptions {
    /// An organizer's session.
    #[arg(long, env = "STAMPEDE_ORGANIZER_TOKEN", hide_env_values = true)]
    pub(crate) organizer_token: Option<String>,
    /// Or the organizer's e-mail address, with the password in STAMPEDE_PASSWORD.
    #[arg(long, value_name = "EMAIL")]
    pub(crate) organizer: Option<String>,
    #[arg(long, env = "STAMPEDE_PASSWORD", hide = true, hide_env_values = true)]
    pub(crate) password: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StageOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(flatten)]
    pub(crate) organizer: OrganizerOptions,
    /// Seats, exactly so many; about a tenth of them, in front, are of a dearer grade.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=50_000))]
    pub(crate) seats: u32,
    /// How many people may be ACTIVE at once.
    #[arg(long, default_value_t = 100)]
    pub(crate) max_active: u32,
    /// How many people one round admits at most.
    #[arg(long, default_value_t = 20)]
    pub(crate) admit_per_round: u32,
    /// How often a round runs.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) round_seconds: f64,
    /// ACTIVE time without an action.
    #[arg(long, default_value_t = 120)]
    pub(crate) idle_seconds: u32,
    /// Sales open in so many seconds; people may enter before.
    #[arg(long, default_value_t = 20)]
    pub(crate) opens_in: u32,
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// A line of JSON per fan, {"personId", "accessToken"}, as `frontrow seed --fans N --sessions FILE` writes it.
    #[arg(long, value_name = "FILE")]
    pub(crate) sessions: PathBuf,
    /// The performance.
    #[arg(long, value_name = "ID")]
    pub(crate) schedule: String,
    /// How many fans come; all in the file when left out.
    #[arg(long, value_name = "N")]
    pub(crate) fans: Option<usize>,
    /// It ends by itself when everybody is done, and so many minutes after the opening at the latest.
    #[arg(long, default_value_t = 5)]
    pub(crate) minutes: u64,
    /// The same in seconds.
    #[arg(long, conflicts_with = "minutes")]
    pub(crate) seconds: Option<u64>,
    /// Fans behave the same with the same seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Sockets at most; fans beyond them poll.
    #[arg(long, default_value_t = 60_000)]
    pub(crate) sockets: usize,
    #[command(flatten)]
    pub(crate) curve: Curve,
    #[command(flatten)]
    pub(crate) crowd: Crowd,
    /// Share of pushed positions that are compared with the true one right away.
    #[arg(long, default_value_t = 0.02, help_heading = "Checks")]
    pub(crate) compare: f64,
    /// Fans whose wallets are read at the end; buyers first.
    #[arg(long, default_value_t = 500, help_heading = "Checks")]
    pub(crate) audit: usize,
    /// Fail too when a check found nothing to look at.
    #[arg(long, help_heading = "Checks")]
    pub(crate) require_all: bool,
    /// Fail too when a goal is missed.
    #[arg(long, help_heading = "Checks")]
    pub(crate) require_goals: bool,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as one HTML page.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WatchersOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(flatten)]
    pub(crate) organizer: OrganizerOptions,
    /// A line of JSON per fan, as for `run`.
    #[arg(long, value_name = "FILE")]
    pub(crate) sessions: PathBuf,
    /// The performance; several times, and everybody watches all of these places over one socket.
    #[arg(long = "schedule", required = true, value_name = "ID")]
    pub(crate) schedules: Vec<String>,
    /// How many people watch; each has a socket, and a subscription for every performance.
    #[arg(long)]
    pub(crate) count: usize,
    /// The server's process on this machine, to see its memory and CPU time; several instances: several times.
    #[arg(long = "server-pid", value_name = "PID")]
    pub(crate) server_pids: Vec<u32>,
    /// Sockets being opened at once.
    #[arg(long, default_value_t = 64)]
    pub(crate) opening: usize,
    /// How long to listen for pushes after each change.
    #[arg(long, default_value_t = 8)]
    pub(crate) listen_seconds: u64,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}
