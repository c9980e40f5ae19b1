//! Bringing the tables up to date, and telling whether they are.

use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DbErr, FromQueryResult, SqlxPostgresConnector, TransactionTrait,
    sqlx::postgres::PgPoolOptions,
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
    let pool =
        PgPoolOptions::new().max_connections(1).connect_lazy_with(db.pools.servers.last().clone());
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

/// How the tables and this program fit together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The names of the migrations that have not been run yet, oldest first.
    pub missing: Vec<String>,
    /// The names of those that were run and that this program does not know: it is older than the tables.
    pub unknown: Vec<String>,
}

/// Compares what was run with what this program knows.
///
/// # Errors
/// When Postgres does not answer, or does not let this role look.
pub async fn standing(db: &Db) -> Result<Standing, Fault> {
    #[derive(FromQueryResult)]
    struct Exists {
        found: bool,
    }
    #[derive(FromQueryResult)]
    struct Ran {
        version: String,
    }
    const EXISTS: &str = "SELECT to_regclass('seaql_migrations') IS NOT NULL AS found";
    let exists: Option<Exists> = db.row(EXISTS, vec![]).await?;
    let ran: Vec<Ran> = if exists.is_some_and(|it| it.found) {
        db.rows("SELECT version FROM seaql_migrations ORDER BY version", vec![]).await?
    } else {
        Vec::new()
    };
    let ran: Vec<String> = ran.into_iter().map(|row| row.version).collect();
    let known: Vec<String> = Migrator::migrations().iter().map(|it| it.name().to_owned()).collect();
    let without = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|name| !those.contains(name)).cloned().collect()
    };
    Ok(Standing { missing: without(&known, &ran), unknown: without(&ran, &known) })
}

/// Tells one state of the migrations from another.
pub fn fingerprint() -> u64 {
    migration::fingerprint()
}

async fn names_of_missing(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let pending = Migrator::get_pending_migrations_read_only(db).await?;
    Ok(pending.iter().map(|migration| migration.name().to_owned()).collect())
}
