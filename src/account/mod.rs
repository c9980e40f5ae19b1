//! People: signing up, logging in, and the sessions that prove it.
//!
//! A session is known by two tokens: an access token, which is checked in memory, and a refresh token, which Postgres knows by
//! its hash. Wallets open themselves on their first posting, so nothing here knows of money.

mod address;
mod attempts;
mod change_password;
mod ended;
mod ensure;
mod erase;
mod follow;
mod guessable;
mod keyring;
mod log_in;
mod log_out;
mod password;
mod people;
mod provider;
mod refresh;
mod refresh_token;
mod rules;
mod session;
mod sign_up;
mod store;

use std::time::Duration;

pub use address::in_other_script;
pub use attempts::{AttemptSettings, Attempts};
pub use change_password::Proof;
pub use ended::{EndedSession, WatchedSession};
pub use follow::EndedFeed;
pub use keyring::{Keyring, SECRET_BYTES_MIN, TokenRefusal};
use password::Hasher;
pub use provider::{KeysAddress, Provider, ProviderSettings, count_keys};
use refresh_token::RefreshToken;
pub use session::{SessionToken, Sessions};
pub use sign_up::NewPerson;
use store::session::{Open, Times};

use crate::{
    db::Db,
    kernel::{Fault, PersonId, Role, Timestamp},
    kv::Kv,
    telemetry::{Metrics, SessionLabels},
};

/// How many sessions of one person live at once.
const SESSIONS_MAX: i64 = 20;

/// Signs people up, logs them in and finds them; cheap to clone.
#[derive(Debug, Clone)]
pub struct Accounts {
    db: Db,
    /// For what nobody waits for.
    background: Db,
    sessions: Sessions,
    lifetimes: Lifetimes,
    hasher: Hasher,
    kv: Option<Kv>,
    metrics: Metrics,
    attempts: Option<Attempts>,
}

impl Accounts {
    /// The accounts in `db`, with sessions signed by `sessions`; for commands, whose sessions nobody refreshes.
    pub fn new(db: Db, sessions: Sessions) -> Self {
        Self {
            background: db.for_background(),
            db,
            sessions,
            lifetimes: Lifetimes { refresh: Duration::ZERO, session: Duration::ZERO },
            hasher: Hasher::new(),
            kv: None,
            metrics: Metrics::default(),
            attempts: None,
        }
    }

    /// The same, for the public: wrong passwords are counted by `attempts`.
    #[must_use]
    pub fn counting(self, attempts: Attempts) -> Self {
        Self { attempts: Some(attempts), ..self }
    }

    /// The same for a server: sessions can be refreshed, and their ends are told to all instances.
    pub fn serving(self, lifetimes: Lifetimes, kv: Kv, metrics: Metrics) -> Self {
        Self { lifetimes, kv: Some(kv), metrics, ..self }
    }

    const fn times(&self) -> Times {
        let Lifetimes { refresh, session } = self.lifetimes;
        Times { access: self.sessions.lifetime(), refresh, session }
    }

    /// What who has this session is given.
    fn logged_in(&self, open: Open, token: &RefreshToken) -> Result<LoggedIn, Fault> {
        let Open { session_id, refreshed_at, expires_at, ends_at, person } = open;
        let (id, role) = (person.id, person.role);
        let session = self.sessions.give(session_id, id, role, refreshed_at, Some(ends_at))?;
        Ok(LoggedIn {
            session,
            refresh_token: token.text(),
            refresh_expires_at: expires_at,
            person,
        })
    }

    fn count(&self, event: &'static str) {
        self.metrics.sessions.get_or_create(&SessionLabels { event }).inc();
    }
}

/// A refresh token as it is written once it has been read; for fuzzers.
#[cfg(any(test, fuzzing))]
pub(crate) fn reread_refresh_token(text: &str) -> Option<String> {
    RefreshToken::parse(text).map(|token| token.text())
}

/// How long sessions live that are refreshed.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// How long a refresh token lives that nobody uses.
    pub refresh: Duration,
    /// How long a session lives in all, from the log-in on.
    pub session: Duration,
}

/// Somebody with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Names them.
    pub id: PersonId,
    /// As they wrote it, in its one spelling; unique whatever its case.
    pub email: String,
    /// What to call them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When they signed up.
    pub created_at: Timestamp,
    /// They have deleted their account: address and name are made up, and they are nobody who could ask for anything.
    pub erased: bool,
}

/// A session just opened or gone on with, and whose it is.
#[derive(Clone)]
pub struct LoggedIn {
    /// The access token.
    pub session: SessionToken,
    /// What it is refreshed with.
    pub refresh_token: String,
    /// When the refresh token ends, unless it is used before.
    pub refresh_expires_at: Timestamp,
    /// The person it belongs to.
    pub person: Person,
}

/// Why an account was not made, not opened or not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountRefusal {
    /// Not the shape of an e-mail address, too long, or with what nobody sees in it.
    EmailInvalid,
    /// Somebody has an account under this address.
    EmailTaken,
    /// Too short, too long, or too easily guessed.
    PasswordWeak(PasswordFault),
    /// Empty or nothing that can be seen, too long, of several lines, or turning the direction of others.
    NameInvalid,
    /// No account has this address and this password; which of the two is wrong is not said.
    WrongCredentials,
    /// The refresh token is none, or no longer good.
    SessionEnded,
    /// The session was not refreshed for too long.
    SessionUnused,
    /// The session is as old as sessions become.
    SessionAged,
    /// Seats are held or owned for the future.
    StillHasSeats,
    /// Performances that are sold are still to come.
    StillSells,
}

/// Why a password was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordFault {
    /// Too short or too long.
    Length,
    /// Many people have it, or one that differs by case, digits and signs.
    Common,
    /// Characters that repeat or follow each other, or a date.
    Simple,
    /// Made of the person's name, of their address, or of this program's name.
    Personal,
}

impl PasswordFault {
    /// What is wrong and what would be good, for a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Length => "A password has 8 to 128 characters.",
            Self::Common => {
                "Many people have a password like this one, so it is tried first. Take several words that have nothing to do with each other."
            }
            Self::Simple => {
                "Dates, and characters that repeat or follow each other, are tried first. Take several words that have nothing to do with each other."
            }
            Self::Personal => {
                "Your name, your address and the name of this shop are tried first. Take several words that have nothing to do with each other."
            }
        }
    }
}

impl AccountRefusal {
    /// What is at fault of what [`Accounts::sign_up`] was given, where it is one thing.
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::EmailInvalid | Self::EmailTaken => Some("email"),
            Self::PasswordWeak(_) => Some("password"),
            Self::NameInvalid => Some("name"),
            Self::WrongCredentials
            | Self::SessionEnded
            | Self::SessionUnused
            | Self::SessionAged
            | Self::StillHasSeats
            | Self::StillSells => None,
        }
    }
}
