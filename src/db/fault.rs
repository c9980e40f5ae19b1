//! Which of our faults a failure of Postgres is, and which constraint said no.

use std::sync::Arc;

use sea_orm::{DbErr, RuntimeErr, sqlx::Error as SqlxError};

use super::{describe, pool::Lost};
use crate::kernel::{Fault, FaultKind};

/// The name of the constraint that refused a statement, if one did.
pub fn constraint(error: &DbErr) -> Option<&str> {
    database_error(error)?.constraint()
}

fn database_error(error: &DbErr) -> Option<&(dyn sea_orm::sqlx::error::DatabaseError + 'static)> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            error.as_database_error()
        }
        _ => None,
    }
}

/// A person who writes something of their own, and is refused by one of these, has no account any more. These are all that refer
/// to a person.
const OWNERS: &[&str] = &[
    "concert_organizer_fkey",
    "external_identity_person_fkey",
    "queue_token_person_fkey",
    "session_person_fkey",
    "wallet_person_fkey",
];

impl From<Lost> for DbErr {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NoConnection(_, Some(error)) => {
                Self::Conn(RuntimeErr::SqlxError(Arc::new(error)))
            }
            Lost::NoConnection(why, None) => Self::Conn(RuntimeErr::Internal(why.to_owned())),
            Lost::Asked(error) => Self::Query(RuntimeErr::SqlxError(Arc::new(error))),
        }
    }
}

impl From<DbErr> for Fault {
    fn from(error: DbErr) -> Self {
        Self::new(fault_kind(&error), "Postgres", describe::describe(&error))
    }
}

fn fault_kind(error: &DbErr) -> FaultKind {
    if matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) {
        return FaultKind::Unavailable;
    }
    if constraint(error).is_some_and(|name| OWNERS.contains(&name)) {
        return FaultKind::CallerGone;
    }
    let Some(code) = database_error(error).and_then(|error| error.code()) else {
        return if broke_off(error) { FaultKind::Unanswered } else { FaultKind::Internal };
    };
    // 57014: the statement took too long, and was undone. Class 57 else: the server is told to stop, maybe after the commit
    // and before its answer; 08: connection; 40003: it is not known.
    if code != "57014" && ["08", "57P", "40003"].iter().any(|class| code.starts_with(class)) {
        return FaultKind::Unanswered;
    }
    // 25006: a standby, or a primary that was told to take no writes; 25P03: idle in a transaction for too long;
    // 40: serialisation and deadlock; 53: out of resources; 55P03: lock not available.
    let unavailable = ["25006", "25P03", "40", "53", "55", "57"];
    if unavailable.iter().any(|class| code.starts_with(class)) {
        FaultKind::Unavailable
    } else {
        FaultKind::Internal
    }
}

/// A statement was sent, and no answer came.
fn broke_off(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    matches!(**error, SqlxError::Io(_) | SqlxError::Protocol(_) | SqlxError::WorkerCrashed)
}
