//! Connecting to Postgres for a command.

use secrecy::ExposeSecret;

use super::Failed;
use crate::{
    app::DatabaseArgs,
    db::{self, Db, migrations},
    tasks::Tasks,
};

/// Connects, or says why not. Nothing of the URL is shown that could be a password.
pub(super) async fn connect(args: &DatabaseArgs) -> Result<Db, Failed> {
    let address = db::address(args.database_url.expose_secret()).map_err(|fault| {
        Failed::new(format!(
            "DATABASE_URL cannot be used: {}. It has to look like postgres://user:password@host:port/database, and in \
             user and password % is written %25, @ %40, : %3A, / %2F, ? %3F and # %23.",
            fault.words()
        ))
    })?;
    let place = address.place().map_or(String::new(), |place| format!(" at {place}"));
    let connected = Db::connect(&args.settings(), &Tasks::default()).await;
    // What a command does may take longer than a request's patience.
    connected.map(|db| db.for_commands()).map_err(|fault| {
        Failed::new(format!(
            "Postgres is not reachable{place}; start it, or correct DATABASE_URL ({}).",
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
