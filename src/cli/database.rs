//! Connecting to Postgres for a command.

use super::Failed;
use crate::{
    app::DatabaseArgs,
    db::{Db, migrations},
};

/// Connects, or says why not. The URL's password is never shown.
pub(super) async fn connect(args: &DatabaseArgs) -> Result<Db, Failed> {
    let place = place(&args.database_url).ok_or_else(|| {
        Failed::new("DATABASE_URL has to look like postgres://user:password@host:port/database.")
    })?;
    let connected = Db::connect(&args.settings()).await;
    // What a command does may take longer than a request's patience.
    connected.map(|db| db.for_background()).map_err(|fault| {
        Failed::new(format!(
            "Postgres is not reachable at {place}; start it, or correct DATABASE_URL. ({})",
            fault.report()
        ))
    })
}

/// Connects to a database that has all tables.
pub(super) async fn connect_migrated(args: &DatabaseArgs) -> Result<Db, Failed> {
    let db = connect(args).await?;
    if migrations::missing(&db).await?.is_empty() {
        Ok(db)
    } else {
        Err(Failed::new("The database's tables are missing or old; run `frontrow migrate` first."))
    }
}

/// Where a Postgres URL leads, without user and password; `None` when it is none.
fn place(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
    let rest = rest.split('?').next().unwrap_or(rest);
    Some(rest.rsplit_once('@').map_or(rest, |(_, place)| place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_shows_no_password() {
        assert_eq!(place("postgres://u:p@ss@db:5432/fr?sslmode=require"), Some("db:5432/fr"));
        assert_eq!(place("postgresql://localhost/fr"), Some("localhost/fr"));
        assert_eq!(place("mysql://u:p@localhost/fr"), None);
        assert_eq!(place(""), None);
    }
}
