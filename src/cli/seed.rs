//! `frontrow seed`: demonstration data, and fans with sessions for rehearsals and load tests.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use secrecy::SecretString;
use serde::Serialize;
use uuid::Uuid;

use super::{Failed, database, demo, failed::shown};
use crate::{
    account::{Accounts, Keyring, SessionToken, Sessions},
    app::{DatabaseArgs, secret},
    kernel::PersonId,
};

#[derive(Debug, Args)]
pub(super) struct SeedArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// Also add this many fans for rehearsals; those that are there are used again.
    #[arg(long, value_name = "N", requires = "sessions",
          value_parser = clap::value_parser!(u32).range(1..=999_999))]
    fans: Option<u32>,
    /// Where to write a line of JSON per fan, {"personId", "accessToken"}.
    #[arg(long, value_name = "FILE", requires = "fans")]
    sessions: Option<PathBuf>,
    /// The server's secret, for the fans' sessions.
    #[arg(long, env = "FRONTROW_JWT_SECRET", hide_env_values = true, value_parser = secret)]
    jwt_secret: Option<SecretString>,
    /// How long the fans' sessions live, in seconds.
    #[arg(long, env = "FRONTROW_SESSION_SECONDS", default_value_t = 3600,
          value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    session_seconds: u64,
}

pub(super) async fn run(args: &SeedArgs) -> Result<ExitCode, Failed> {
    let rehearsal = args.fans.zip(args.sessions.as_deref());
    let sessions = match (&args.jwt_secret, rehearsal) {
        (Some(secret), _) => {
            Sessions::new(Keyring::new(secret, None), Duration::from_secs(args.session_seconds))
        }
        (None, None) => own_sessions(),
        (None, Some(_)) => {
            return Err(Failed::new(
                "FRONTROW_JWT_SECRET is not set; the fans' sessions have to be signed with the server's secret.",
            ));
        }
    };
    let db = database::connect_migrated(&args.database).await?;
    let accounts = Accounts::new(db.clone(), sessions);
    let made = demo::ensure(&db, &accounts).await?;
    report(made);
    if let Some((count, file)) = rehearsal {
        let fans = accounts.rehearsal_fans(count, demo::PASSWORD.into()).await?;
        write_sessions(file, &fans).map_err(|error| {
            Failed::new(format!("The sessions cannot be written to {}: {error}.", shown(file)))
        })?;
        println!("{} fans for rehearsals, their sessions in {}.", fans.len(), file.display());
    }
    db.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Sessions under a secret that nobody knows, for commands that open none that anybody gets to see.
pub(super) fn own_sessions() -> Sessions {
    let secret = SecretString::from(format!("{}{}", Uuid::new_v4(), Uuid::new_v4()));
    Sessions::new(Keyring::new(&secret, None), Duration::ZERO)
}

fn report(made: usize) {
    match made {
        0 => println!("The demo data are there already."),
        made => println!("Made demo data: {made} performances on sale."),
    }
    println!("  organizer  {:26}  password {}", demo::ORGANIZER, demo::PASSWORD);
    println!("  fan        {:26}  password {}", demo::FAN, demo::PASSWORD);
}

fn write_sessions(path: &Path, fans: &[(PersonId, SessionToken)]) -> std::io::Result<()> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Line<'a> {
        person_id: PersonId,
        access_token: &'a str,
    }
    let mut file = std::io::BufWriter::new(File::create(path)?);
    for (person_id, session) in fans {
        let line = Line { person_id: *person_id, access_token: &session.access_token };
        writeln!(file, "{}", serde_json::to_string(&line)?)?;
    }
    file.flush()
}
