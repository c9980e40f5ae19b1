//! Bringing the tables up to date, and telling whether they are.

use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DbErr, SqlxPostgresConnector, TransactionTrait, sqlx::postgres::PgPoolOptions,
};

use super::{Db, Session};
use crate::kernel::Fault;

/// A change of a large table may take longer than any request, and waits for those that run.
const SETTINGS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'";

/// Runs what is missing, all or nothing, one process at a time; returns the names of what was run.
///
/// # Errors
/// When Postgres cannot be asked, or a migration fails; nothing was changed then.
#[expect(clippy::disallowed_methods, reason = "the migrator needs a transaction of its own kind")]
pub async fn migrate(db: &Db) -> Result<Vec<String>, Fault> {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(db.pools.options.clone());
    let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    let migrated = async {
        let tx = connection.begin().await?;
        tx.execute_unprepared(SETTINGS).await?;
        let turn = "SELECT pg_advisory_xact_lock(hashtextextended('frontrow:migrations', 0))";
        tx.execute_unprepared(turn).await?;
        let missing = names_of_missing(&tx).await?;
        Migrator::up(&tx, None).await?;
        tx.commit().await?;
        Ok::<_, DbErr>(missing)
    };
    let migrated = migrated.await;
    // What was done is decided by now, however the connection closes.
    drop(connection.close().await);
    Ok(migrated?)
}

/// The names of the migrations that have not been run yet, oldest first.
///
/// # Errors
/// When Postgres does not answer, or when it has migrations that this program does not know.
pub async fn missing(db: &Db) -> Result<Vec<String>, Fault> {
    Ok(names_of_missing(db.connection()).await?)
}

/// Tells one state of the migrations from another.
pub fn fingerprint() -> u64 {
    migration::fingerprint()
}

async fn names_of_missing(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let pending = Migrator::get_pending_migrations_read_only(db).await?;
    Ok(pending.iter().map(|migration| migration.name().to_owned()).collect())
}
