//! People: signing up, logging in, and the sessions that prove it.
//!
//! Wallets open themselves on their first posting, so nothing here knows of money.

mod ensure;
mod keyring;
mod log_in;
mod password;
mod people;
mod rules;
mod session;
mod sign_up;
mod store;

pub use keyring::{Keyring, SECRET_BYTES_MIN, TokenRefusal};
use password::Hasher;
pub use session::{SessionToken, Sessions};
pub use sign_up::NewPerson;

use crate::{
    db::Db,
    kernel::{PersonId, Role, Timestamp},
};

/// Signs people up, logs them in and finds them; cheap to clone.
#[derive(Debug, Clone)]
pub struct Accounts {
    db: Db,
    sessions: Sessions,
    hasher: Hasher,
}

impl Accounts {
    /// The accounts in `db`, with sessions signed by `sessions`.
    pub fn new(db: Db, sessions: Sessions) -> Self {
        Self { db, sessions, hasher: Hasher::new() }
    }
}

/// Somebody with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Names them.
    pub id: PersonId,
    /// As they wrote it; unique whatever its case.
    pub email: String,
    /// What to call them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When they signed up.
    pub created_at: Timestamp,
}

/// A session just opened, and whose it is.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// The session.
    pub session: SessionToken,
    /// The person it belongs to.
    pub person: Person,
}

/// Why an account was not made or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountRefusal {
    /// Not the shape of an e-mail address, or too long.
    EmailInvalid,
    /// Somebody has an account under this address.
    EmailTaken,
    /// Too short, too long, or too easily guessed.
    PasswordWeak,
    /// Empty, too long, or with control characters.
    NameInvalid,
    /// No account has this address and this password; which of the two is wrong is not said.
    WrongCredentials,
}

impl AccountRefusal {
    /// The input field at fault, where it is one.
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::EmailInvalid | Self::EmailTaken => Some("email"),
            Self::PasswordWeak => Some("password"),
            Self::NameInvalid => Some("name"),
            Self::WrongCredentials => None,
        }
    }
}
