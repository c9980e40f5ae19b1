//! Telling an operator what is wrong, in one sentence that says what to do.

use std::{error::Error, fmt, path::Path, process::ExitCode};

use clap::{
    CommandFactory,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::database;
use crate::{app::DatabaseArgs, kernel::Fault};

/// The exit status of a command that found what it looked for to be wrong, or could not do its work.
pub(super) const WRONG: u8 = 1;
/// The exit status of a command whose settings cannot be used, or that could not look.
pub(super) const NOT_KNOWN: u8 = 2;

/// Why a command did not do its work.
#[derive(Debug)]
pub(super) struct Failed {
    sentence: String,
    status: u8,
}

impl Failed {
    /// A failure in a sentence.
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), status: WRONG }
    }

    /// What a command was given cannot be used.
    pub(super) fn unusable(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), status: NOT_KNOWN }
    }

    /// Of a command that looks whether something is right: it does not know.
    pub(super) fn could_not_look(self) -> Self {
        Self { status: NOT_KNOWN, ..self }
    }

    /// With the address of the database, where the failure is Postgres's.
    pub(super) fn at(self, database: &DatabaseArgs) -> Self {
        let place = database::place(database);
        match (self.sentence.strip_prefix("Postgres: "), place) {
            (Some(words), Some(place)) => {
                Self { sentence: format!("Postgres at {place}: {words}"), ..self }
            }
            _ => self,
        }
    }

    /// What to exit with.
    pub(super) const fn status(&self) -> u8 {
        self.status
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::new(format!("{}.", fault.report()))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// A value is repeated when it is no longer than this, in bytes, and written with letters, digits and `.:_-`: no address
/// with a password is, and no secret that signs anything.
const REPEATED_BYTES_MAX: usize = 24;

/// Says what is wrong with the command line. A setting is named by its environment variable, which is how it is usually
/// given; clap would name the flag only, and repeat what was typed, secrets too.
pub(super) fn explain<C: CommandFactory>(error: &clap::Error) -> ExitCode {
    // What a flag is called in the environment is this command's matter: another one may have the same flag without a variable.
    let program = C::command();
    let named = std::env::args_os().nth(1).and_then(|name| name.into_string().ok());
    let program = named.and_then(|name| program.find_subcommand(name).cloned()).unwrap_or(program);
    let sentence = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(flags))) => {
            missing(&program, flags)
        }
        (
            ErrorKind::ValueValidation | ErrorKind::InvalidValue,
            Some(ContextValue::String(flag)),
        ) => malformed(&program, flag, error),
        (
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
            _,
        ) => {
            // Help and version are errors to clap too: it knows where they go and how they end.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        (ErrorKind::ArgumentConflict, Some(ContextValue::String(flag))) => {
            format!("{} is given twice.", setting(&program, flag).0)
        }
        _ => unknown(error),
    };
    eprintln!("frontrow: {sentence}");
    ExitCode::from(NOT_KNOWN)
}

/// Something on the command line that is not known. It may be an address in the wrong place, so it is not repeated; what
/// was meant is a word of ours.
fn unknown(error: &clap::Error) -> String {
    let meant = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand];
    let meant = meant.iter().find_map(|kind| match error.get(*kind)? {
        ContextValue::String(word) => Some(word.clone()),
        ContextValue::Strings(words) => words.first().cloned(),
        _ => None,
    });
    let meant = meant.map_or(String::new(), |word| format!(" Is `{word}` meant?"));
    format!(
        "Something on the command line is not known, or has no value.{meant} `frontrow --help` tells the commands, and \
         `frontrow COMMAND --help` what each takes."
    )
}

/// A text that somebody typed, if it may be shown again.
fn harmless(text: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:_-".contains(&byte);
    let short = (1..=REPEATED_BYTES_MAX).contains(&text.len());
    (short && text.bytes().all(plain)).then_some(text)
}

/// The path of a file, unless it is an address.
pub(super) fn shown(path: &Path) -> String {
    let path = path.display().to_string();
    if path.contains("://") { "that file, which is an address".to_owned() } else { path }
}

fn missing(program: &clap::Command, flags: &[String]) -> String {
    let names: Vec<String> = flags.iter().map(|flag| setting(program, flag).0).collect();
    let hint = if names.iter().any(|name| name.ends_with("_URL")) {
        " `eval \"$(./dev services)\"` starts a private Postgres and Redis and sets both URLs."
    } else if names.iter().any(|name| name == "FRONTROW_JWT_SECRET") {
        " `openssl rand -hex 32` makes a good one; every instance needs the same."
    } else {
        ""
    };
    let is = if names.len() == 1 { "is" } else { "are" };
    format!("{} {is} not set.{hint}", names.join(" and "))
}

fn malformed(program: &clap::Command, flag: &str, error: &clap::Error) -> String {
    let (name, secret) = setting(program, flag);
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if !secret => harmless(value),
        _ => None,
    };
    let value =
        value.map_or_else(|| " cannot be used".to_owned(), |value| format!(" cannot be '{value}'"));
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
    let argument = program.get_arguments().find(|argument| argument.get_long() == Some(long));
    let variable = argument.and_then(clap::Arg::get_env);
    let name = variable.map_or_else(|| flag.to_owned(), |name| name.to_string_lossy().into_owned());
    (name, argument.is_some_and(clap::Arg::is_hide_env_values_set))
}
