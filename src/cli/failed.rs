//! Telling an operator what is wrong, in one sentence that says what to do.

use std::{fmt, process::ExitCode};

use clap::{
    CommandFactory,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::kernel::Fault;

/// Why a command did not do its work.
#[derive(Debug)]
pub(super) struct Failed(String);

impl Failed {
    /// A failure in a sentence.
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self(format!("{}.", fault.report()))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says what is wrong with the command line. A missing setting is named by its environment variable, which is how it
/// is usually given; clap would name the flag only.
pub(super) fn explain<C: CommandFactory>(error: &clap::Error) -> ExitCode {
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(flags))
            if error.kind() == ErrorKind::MissingRequiredArgument =>
        {
            flags.iter().map(|flag| setting(&C::command(), flag)).collect::<Vec<_>>()
        }
        _ => Vec::new(),
    };
    if missing.is_empty() {
        // Help and version are errors to clap too: it knows where they go and how they end.
        drop(error.print());
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let hint = if missing.iter().any(|name| name.ends_with("_URL")) {
        " `eval \"$(./dev services)\"` starts a private Postgres and Redis and sets both URLs."
    } else {
        ""
    };
    let is = if missing.len() == 1 { "is" } else { "are" };
    eprintln!("frontrow: {} {is} not set.{hint}", missing.join(" and "));
    ExitCode::from(2)
}

/// The environment variable behind a flag such as `--database-url <DATABASE_URL>`, or else the flag.
fn setting(program: &clap::Command, flag: &str) -> String {
    let long = flag.trim_start_matches('-').split([' ', '=']).next().unwrap_or(flag);
    let mut arguments = program.get_subcommands().flat_map(clap::Command::get_arguments);
    let variable = arguments.find(|arg| arg.get_long() == Some(long)).and_then(clap::Arg::get_env);
    variable.map_or_else(|| flag.to_owned(), |name| name.to_string_lossy().into_owned())
}
