//! Connecting to Postgres for a command.

use secrecy::ExposeSecret;

use super::Failed;
use crate::{
    app::DatabaseArgs,
    db::{DatabaseAddress, Db, migrations, standing},
    tasks::Tasks,
};

/// Connects, or says why not. Nothing of the URL is shown that could be a password.
pub(super) async fn connect(args: &DatabaseArgs) -> Result<Db, Failed> {
    let address = DatabaseAddress::parse(args.database_url.expose_secret()).map_err(|fault| {
        Failed::new(format!(
            "DATABASE_URL cannot be used: {}. It has to look like postgres://user:password@host:port/database, and in \
             user and password % is written %25, @ %40, : %3A, / %2F, ? %3F and # %23.",
            fault.words()
        ))
    })?;
    let place = at(address.place());
    let connected = Db::connect(&args.settings(), &Tasks::default()).await;
    // What a command does may take longer than a request's patience.
    let db = connected.map(|db| db.for_commands()).map_err(|fault| {
        Failed::new(format!(
            "Postgres is not reachable{place}; start it, or correct DATABASE_URL ({}).",
            fault.report()
        ))
    })?;
    let encoding = standing::encoding(&db).await?;
    if encoding == standing::ENCODING {
        return Ok(db);
    }
    db.close().await;
    Err(Failed::new(format!(
        "The database{place} keeps text in {encoding}, which has no room for most people's names; make another one, and let \
         DATABASE_URL name it: CREATE DATABASE ... ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0."
    )))
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
    DatabaseAddress::parse(args.database_url.expose_secret()).ok()?.place()
}

fn at(place: Option<String>) -> String {
    place.map_or(String::new(), |place| format!(" at {place}"))
}
