//! What went wrong with Postgres, in words of our own.
//!
//! The texts of drivers are never passed on: those about addresses repeat the address with its password, and those about a
//! connection that was refused repeat what was sent.

use std::{fmt, io};

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, sqlx};

use super::{DbSettings, pool};

impl fmt::Debug for DbSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbSettings").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}

/// What went wrong, for the log and for operators. It holds neither an address nor a password, nor what the statement had
/// for values: of the server's answer only the SQLSTATE and the primary message are told, never the detail.
pub(super) fn describe(error: &DbErr) -> String {
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => {
            "no connection came free in time".to_owned()
        }
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => {
            "the pool is closed".to_owned()
        }
        DbErr::Conn(RuntimeErr::SqlxError(error)) => connecting(error),
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            running(error)
        }
        DbErr::Conn(RuntimeErr::Internal(text)) => own(text).to_owned(),
        DbErr::Custom(_) | DbErr::Migration(_) => {
            "its migrations are not those of this program".to_owned()
        }
        DbErr::TryIntoErr { from, into, .. } => format!("a value of {from} is none of {into}"),
        DbErr::Type(_) | DbErr::Json(_) => {
            "a value is not of the type that it should be".to_owned()
        }
        DbErr::RecordNotFound(_) | DbErr::RecordNotInserted | DbErr::RecordNotUpdated => {
            "a statement returned no row".to_owned()
        }
        _ => "the statement could not be made".to_owned(),
    }
}

/// What the pool says of a connection that it has not, and of nothing else.
fn own(text: &str) -> &'static str {
    let own = pool::WORDS.iter().find(|words| **words == text);
    own.copied().unwrap_or("the address cannot be used")
}

/// A connection could not be opened. The server's message repeats user and database, and what stands there may be a
/// password in the wrong place; so its own words are passed on only where they are about the server.
fn connecting(error: &sqlx::Error) -> String {
    let Some(answer) = error.as_database_error() else { return running(error) };
    let code = answer.code().unwrap_or_default();
    let words = match code.get(..2) {
        _ if code == "28P01" => "it refuses the password",
        Some("28") => "it does not let this user in",
        Some("3D") => "it has no such database",
        Some("08") => {
            "it, or a pooler in front of it, refuses the connection; PgBouncer does where DATABASE_URL has `options`"
        }
        Some("53" | "55" | "57") => return running(error),
        _ => "it refuses the connection",
    };
    format!("{words} (SQLSTATE {code})")
}

fn running(error: &sqlx::Error) -> String {
    use sqlx::Error;
    if let Some(answer) = error.as_database_error() {
        let code = answer.code().unwrap_or_default();
        return format!("{} (SQLSTATE {code})", answer.message());
    }
    match error {
        Error::Io(error) => network(error),
        Error::PoolTimedOut => "no connection came about in time".to_owned(),
        Error::PoolClosed => "the pool is closed".to_owned(),
        Error::Configuration(_) => "the address or one of its parameters cannot be used".to_owned(),
        Error::Tls(_) => "an encrypted connection could not be agreed on".to_owned(),
        Error::Protocol(_) => "it speaks another protocol than Postgres".to_owned(),
        Error::RowNotFound => "a statement returned no row".to_owned(),
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::TypeNotFound { .. } => {
            "a column is not of the type that it should be".to_owned()
        }
        Error::ColumnNotFound(_) | Error::ColumnIndexOutOfBounds { .. } => {
            "a column is missing".to_owned()
        }
        Error::Encode(_) => "a value cannot be sent".to_owned(),
        Error::WorkerCrashed => "the connection's worker died".to_owned(),
        _ => "the driver failed".to_owned(),
    }
}

fn network(error: &io::Error) -> String {
    match error.kind() {
        // What looking up a name that nobody has is told as, among others.
        io::ErrorKind::Other | io::ErrorKind::InvalidInput => "the host cannot be found".to_owned(),
        kind => match kind.to_string() {
            vague if vague.starts_with("uncategorized") => "the host cannot be found".to_owned(),
            told => told,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SECRET: &str = "S3cr3t-pass";

    fn sqlx_errors() -> Vec<sqlx::Error> {
        let boxed = || Box::<dyn std::error::Error + Send + Sync>::from(SECRET);
        let io = |kind| sqlx::Error::Io(io::Error::new(kind, SECRET));
        vec![
            io(io::ErrorKind::ConnectionRefused),
            io(io::ErrorKind::Other),
            io(io::ErrorKind::UnexpectedEof),
            sqlx::Error::Configuration(boxed()),
            sqlx::Error::Tls(boxed()),
            sqlx::Error::Protocol(SECRET.to_owned()),
            sqlx::Error::TypeNotFound { type_name: SECRET.to_owned() },
            sqlx::Error::ColumnNotFound(SECRET.to_owned()),
            sqlx::Error::ColumnDecode { index: SECRET.to_owned(), source: boxed() },
            sqlx::Error::Encode(boxed()),
            sqlx::Error::Decode(boxed()),
            sqlx::Error::AnyDriverError(boxed()),
            sqlx::Error::InvalidArgument(SECRET.to_owned()),
        ]
    }

    #[test]
    fn no_text_of_a_driver_is_passed_on() {
        let mut errors = Vec::new();
        for error in sqlx_errors() {
            let error = Arc::new(error);
            errors.push(DbErr::Conn(RuntimeErr::SqlxError(error.clone())));
            errors.push(DbErr::Exec(RuntimeErr::SqlxError(error.clone())));
            errors.push(DbErr::Query(RuntimeErr::SqlxError(error)));
        }
        let text = || SECRET.to_owned();
        errors.extend([
            DbErr::Conn(RuntimeErr::Internal(text())),
            DbErr::Exec(RuntimeErr::Internal(text())),
            DbErr::Query(RuntimeErr::Internal(text())),
            DbErr::RecordNotFound(text()),
            DbErr::AttrNotSet(text()),
            DbErr::Custom(text()),
            DbErr::Type(text()),
            DbErr::Json(text()),
            DbErr::Migration(text()),
            DbErr::RbacError(text()),
            DbErr::AccessDenied { permission: text(), resource: text() },
        ]);
        for error in errors {
            let told = describe(&error);
            assert!(!told.is_empty() && !told.contains(SECRET), "{told}");
            let fault = crate::kernel::Fault::from(error);
            assert!(
                !fault.report().to_string().contains(SECRET)
                    && !format!("{fault:?}").contains(SECRET)
            );
        }
        let refused = sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(running(&refused), "connection refused");
    }

    #[test]
    fn settings_are_shown_without_the_address() {
        let settings = DbSettings {
            url: format!("postgres://u:{SECRET}@h/d"),
            pool_size: 3,
            patience: std::time::Duration::ZERO,
        };
        assert_eq!(format!("{settings:?}"), "DbSettings { pool_size: 3, .. }");
    }
}
