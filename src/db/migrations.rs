//! Bringing the tables up to date, and telling whether they are.

use migration::{Migrator, MigratorTrait};
use sea_orm::DbErr;

use super::{Db, Session};
use crate::kernel::Fault;

/// Runs what is missing, all or nothing, one process at a time; returns the names of what was run.
///
/// # Errors
/// A fault; nothing was changed then.
pub async fn migrate(db: &Db) -> Result<Vec<String>, Fault> {
    db.tx(async |tx| {
        // A change of a large table may take longer than any request.
        tx.run("SET LOCAL statement_timeout = 0", vec![]).await?;
        tx.run("SET LOCAL lock_timeout = '60s'", vec![]).await?;
        tx.lock("frontrow:migrations").await?;
        let missing = names_of_missing(tx).await?;
        Migrator::up(&tx.0, None).await?;
        Ok(missing)
    })
    .await
}

/// The names of the migrations that have not been run yet, oldest first.
///
/// # Errors
/// A fault when Postgres does not answer, or when it has migrations that this program does not know.
pub async fn missing(db: &Db) -> Result<Vec<String>, Fault> {
    Ok(names_of_missing(db).await?)
}

/// Tells one state of the migrations from another.
pub fn fingerprint() -> u64 {
    migration::fingerprint()
}

async fn names_of_missing(db: &impl Session) -> Result<Vec<String>, DbErr> {
    let pending = Migrator::get_pending_migrations_read_only(db.connection()).await?;
    Ok(pending.iter().map(|migration| migration.name().to_owned()).collect())
}
