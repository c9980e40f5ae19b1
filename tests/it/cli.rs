//! The program's commands, run as an operator runs them: what they do twice, and one clear sentence when something is wrong.

mod addresses;
mod audit;
mod check;
mod dev;
mod draw;
mod migrate;
mod seed;
mod serve;
mod settings;

use std::{
    io::Write,
    process::{Command, Stdio},
};

use tokio::task::spawn_blocking;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command with nothing but these variables in its environment.
pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontrow"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let ended = spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // Commands that read nothing may be gone by now.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    });
    let output = ended.await.unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    #[track_caller]
    fn went_well(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        &self.out
    }

    /// It failed with one sentence on standard error that has all these parts.
    #[track_caller]
    fn said(&self, parts: &[&str]) {
        assert!(self.code > 0, "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert_eq!(self.err.trim_end().lines().count(), 1, "{self:?}");
        assert!(
            self.err.starts_with("frontrow: ") && self.err.trim_end().ends_with('.'),
            "{self:?}"
        );
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is missing: {self:?}");
        }
    }
}

const SECRET: &str = "a-secret-of-at-least-32-bytes-length";

/// Everything that `serve` needs, for a database.
fn serving(database_url: &str) -> Vec<(&str, &str)> {
    vec![
        ("DATABASE_URL", database_url),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("FRONTROW_JWT_SECRET", SECRET),
        ("FRONTROW_LISTEN", "127.0.0.1:0"),
        ("FRONTROW_LOG", "off"),
    ]
}

/// The same with one variable set to something else, or left out.
fn with<'a>(
    of: &[(&'a str, &'a str)],
    name: &str,
    value: Option<&'a str>,
) -> Vec<(&'a str, &'a str)> {
    of.iter()
        .filter_map(
            |&(known, old)| if known == name { Some((known, value?)) } else { Some((known, old)) },
        )
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn help_names_every_setting() {
    let help = run(&["serve", "--help"], &[("FRONTROW_JWT_SECRET", SECRET)], "").await;
    for name in [
        "DATABASE_URL",
        "REDIS_URL",
        "FRONTROW_LISTEN",
        "FRONTROW_JWT_SECRET",
        "FRONTROW_JWT_SECRET_PREVIOUS",
        "FRONTROW_SESSION_SECONDS",
        "FRONTROW_HOLD_SECONDS",
        "FRONTROW_DATABASE_POOL",
        "FRONTROW_REDIS_PREFIX",
        "FRONTROW_ALLOWED_ORIGINS",
    ] {
        assert!(help.went_well().contains(name), "{name}: {help:?}");
    }
    assert!(!help.out.contains(SECRET), "{help:?}");
    for command in ["serve", "migrate", "seed", "schema", "audit", "health", "add-organizer"] {
        assert!(run(&["--help"], &[], "").await.went_well().contains(command), "{command}");
    }
    assert!(run(&["--version"], &[], "").await.went_well().starts_with("frontrow "));
    for wrong in [&["fly"][..], &["serve", "--fly"], &[]] {
        assert!(run(wrong, &[], "").await.code > 0, "{wrong:?}");
    }
}

#[test]
fn a_reader_who_has_seen_enough_is_no_fault() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Command::new(env!("CARGO_BIN_EXE_frontrow"))
        .arg("schema")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
    assert_eq!(ended.status.code(), Some(1));
}
