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
    let place = at(address.place());
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
    let migrations = migrations::standing(&db).await?;
    let place = at(place(args));
    if !migrations.unknown.is_empty() {
        return Err(Failed::new(format!(
            "The database's tables{place} were made by a newer version of this program ({}); run that version.",
            migrations.unknown.join(", ")
        )));
    }
    if !migrations.missing.is_empty() {
        return Err(Failed::new(format!(
            "The database's tables are missing or old{place}; run `frontrow migrate` first."
        )));
    }
    Ok(db)
}

/// Where the database is, without user and password; `None` where that might repeat one of them.
pub(super) fn place(args: &DatabaseArgs) -> Option<String> {
    db::address(args.database_url.expose_secret()).ok()?.place()
}

fn at(place: Option<String>) -> String {
    place.map_or(String::new(), |place| format!(" at {place}"))
}
