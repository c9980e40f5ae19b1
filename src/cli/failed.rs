//! Telling an operator what is wrong, in one sentence that says what to do.

use std::{error::Error, fmt, process::ExitCode};

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

/// Says what is wrong with the command line. A setting is named by its environment variable, which is how it is usually
/// given; clap would name the flag only, and repeat the value, secrets too.
pub(super) fn explain<C: CommandFactory>(error: &clap::Error) -> ExitCode {
    let program = C::command();
    let sentence = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(flags))) => {
            missing(&program, flags)
        }
        (
            ErrorKind::ValueValidation | ErrorKind::InvalidValue,
            Some(ContextValue::String(flag)),
        ) => malformed(&program, flag, error),
        _ => {
            // Help and version are errors to clap too: it knows where they go and how they end.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    eprintln!("frontrow: {sentence}");
    ExitCode::from(2)
}

fn missing(program: &clap::Command, flags: &[String]) -> String {
    let names: Vec<String> = flags.iter().map(|flag| setting(program, flag).0).collect();
    let hint = if names.iter().any(|name| name.ends_with("_URL")) {
        " `eval \"$(./dev services)\"` starts a private Postgres and Redis and sets both URLs."
    } else {
        ""
    };
    let is = if names.len() == 1 { "is" } else { "are" };
    format!("{} {is} not set.{hint}", names.join(" and "))
}

fn malformed(program: &clap::Command, flag: &str, error: &clap::Error) -> String {
    let (name, secret) = setting(program, flag);
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if !secret && !value.is_empty() => {
            format!(" cannot be '{value}'")
        }
        _ => " cannot be used".to_owned(),
    };
    let why = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => format!(": {source}"),
        (None, Some(ContextValue::Strings(values))) => format!(": it is {}", values.join(" or ")),
        (None, _) => String::new(),
    };
    format!("{name}{value}{why}.")
}

/// The environment variable behind a flag such as `--database-url <DATABASE_URL>`, or else the flag; and whether its
/// value is nobody's business.
fn setting(program: &clap::Command, flag: &str) -> (String, bool) {
    let long = flag.trim_start_matches('-').split([' ', '=']).next().unwrap_or(flag);
    let mut arguments = program.get_subcommands().flat_map(clap::Command::get_arguments);
    let argument = arguments.find(|argument| argument.get_long() == Some(long));
    let variable = argument.and_then(clap::Arg::get_env);
    let name = variable.map_or_else(|| flag.to_owned(), |name| name.to_string_lossy().into_owned());
    (name, argument.is_some_and(clap::Arg::is_hide_env_values_set))
}
