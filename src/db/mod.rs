//! The only door to Postgres: the pool, transactions, raw statements, and how the database's answers become ours.
//!
//! Stores call this; nothing else does. It never decides anything: constraints do, and `constraint` reads their names.

mod address;
mod column;
mod describe;
pub mod entity;
mod fresh;
pub mod migrations;

use std::{future::Future, time::Duration};

pub use address::address;
pub(crate) use column::text_column;
pub use column::{array, bigints, uuids};
pub use fresh::Fresh;
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction,
    DbBackend, DbErr, FromQueryResult, IsolationLevel, RuntimeErr, Statement, TransactionTrait,
    Value,
};

use crate::kernel::{Fault, FaultKind, Timestamp};

/// How the pool behaves.
#[derive(Clone)]
pub struct DbSettings {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// Connections at most.
    pub pool_size: u32,
}

/// How long a request waits for a free connection before it is told that the server is overloaded.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// No statement of a request runs longer than this.
const STATEMENT_TIMEOUT: &str = "10s";
/// How long a statement waits for somebody else's lock.
const LOCK_TIMEOUT: &str = "5s";
/// A process that stops in the middle of a transaction loses it after this time, so that its locks are free again.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "5s";

/// A pool of connections to Postgres.
#[derive(Debug, Clone)]
pub struct Db {
    pool: DatabaseConnection,
}

/// An open transaction.
#[derive(Debug)]
pub struct Tx(DatabaseTransaction);

impl Db {
    /// Connects.
    ///
    /// # Errors
    /// When Postgres cannot be reached, or the address is none.
    pub async fn connect(settings: &DbSettings) -> Result<Self, Fault> {
        // No library reads what cannot be read: it would repeat it.
        address(&settings.url)
            .map_err(|fault| Fault::new(FaultKind::Internal, "DATABASE_URL", fault.words()))?;
        let mut options = ConnectOptions::new(&settings.url);
        options
            .max_connections(settings.pool_size)
            .min_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_timeout(ACQUIRE_TIMEOUT)
            .sqlx_logging(false)
            // A ping on every acquire costs 15 % of the throughput; a connection that was busy a moment ago is well.
            .test_before_acquire_if_idle_for(Duration::from_secs(30))
            .map_sqlx_postgres_opts(|options| {
                options.application_name("frontrow").options([
                    ("statement_timeout", STATEMENT_TIMEOUT),
                    ("lock_timeout", LOCK_TIMEOUT),
                    ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
                    // An on-sale fills empty tables within seconds. A plan made while they were empty reads whole tables,
                    // and is kept until somebody analyses them. Every statement of a request has its index.
                    ("enable_seqscan", "off"),
                ])
            })
            // sqlx leaks the permit of a connection that is dropped while its peer is silent (sqlx #4349).
            .map_sqlx_postgres_pool_opts(|options| {
                options.after_release(|connection, _| {
                    Box::pin(async move {
                        use sea_orm::sqlx::Connection;
                        Ok(matches!(
                            tokio::time::timeout(Duration::from_secs(1), connection.ping()).await,
                            Ok(Ok(()))
                        ))
                    })
                })
            });
        let pool = Database::connect(options).await?;
        Ok(Self { pool })
    }

    /// Runs `work` in one transaction: committed when it returns `Ok`, rolled back otherwise.
    ///
    /// # Errors
    /// What `work` returns, or a fault when the transaction cannot be opened or committed.
    #[expect(clippy::disallowed_methods, reason = "the one place where transactions begin")]
    pub async fn tx<T, E: From<Fault>>(
        &self,
        work: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let tx = Tx(self.pool.begin().await.map_err(Fault::from)?);
        let result = work(&tx).await?;
        tx.0.commit().await.map_err(Fault::from)?;
        Ok(result)
    }

    /// Reads in one transaction that sees one state of everything, however much is written meanwhile.
    ///
    /// # Errors
    /// As [`Db::tx`].
    pub async fn snapshot<T, E: From<Fault>>(
        &self,
        read: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let (level, mode) = (IsolationLevel::RepeatableRead, AccessMode::ReadOnly);
        let tx = self.pool.begin_with_config(Some(level), Some(mode)).await.map_err(Fault::from)?;
        let tx = Tx(tx);
        // What reads everything may scan.
        tx.0.execute_unprepared("SET LOCAL enable_seqscan = on").await.map_err(Fault::from)?;
        let result = read(&tx).await?;
        tx.0.commit().await.map_err(Fault::from)?;
        Ok(result)
    }

    /// The raw connection, for migrations and for entities in stores.
    pub const fn pool(&self) -> &DatabaseConnection {
        &self.pool
    }

    /// Whether Postgres answers within two seconds.
    ///
    /// # Errors
    /// A fault that says what is wrong.
    pub async fn ping(&self) -> Result<(), Fault> {
        let answer = tokio::time::timeout(Duration::from_secs(2), self.pool.ping());
        answer
            .await
            .map_err(|_| Fault::unavailable("Postgres did not answer in two seconds"))?
            .map_err(Fault::from)
    }

    /// Closes all connections.
    pub async fn close(self) {
        // A connection that fails to close is gone as well.
        drop(self.pool.close().await);
    }
}

impl Tx {
    /// Waits for its turn: until this transaction ends, no other process that asks for the lock of the same name gets
    /// it. For rare work of operators only; requests rely on constraints.
    ///
    /// # Errors
    /// A fault, also when the turn does not come within the time that any lock is waited for.
    pub async fn lock(&self, name: &'static str) -> Result<(), Fault> {
        let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        self.run(sql, vec![name.into()]).await?;
        Ok(())
    }

    /// The database's clock, the one that all decisions go by.
    ///
    /// # Errors
    /// A fault.
    pub async fn now(&self) -> Result<Timestamp, Fault> {
        #[derive(FromQueryResult)]
        struct Row {
            now: Timestamp,
        }
        let row: Option<Row> = self.row("SELECT clock_timestamp() AS now", vec![]).await?;
        Ok(row.ok_or(Fault::internal("a SELECT without FROM returned no row"))?.now)
    }
}

/// What runs statements: the pool or a transaction.
pub trait Session: Sync {
    /// The sea-orm connection underneath.
    fn connection(&self) -> &impl ConnectionTrait;

    /// Every row that a statement returns.
    ///
    /// # Errors
    /// As sea-orm reports them; [`constraint`] tells which constraint said no.
    fn rows<T: FromQueryResult + Send>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<T>, DbErr>> + Send {
        async move { T::find_by_statement(statement(sql, values)).all(self.connection()).await }
    }

    /// The first row that a statement returns, if any.
    ///
    /// # Errors
    /// As [`Session::rows`].
    fn row<T: FromQueryResult + Send>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Option<T>, DbErr>> + Send {
        async move { T::find_by_statement(statement(sql, values)).one(self.connection()).await }
    }

    /// Runs a statement and tells how many rows it changed.
    ///
    /// # Errors
    /// As [`Session::rows`].
    fn run(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<u64, DbErr>> + Send {
        async move { Ok(self.connection().execute_raw(statement(sql, values)).await?.rows_affected()) }
    }
}

fn statement(sql: &'static str, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}

impl Session for Db {
    fn connection(&self) -> &impl ConnectionTrait {
        &self.pool
    }
}

impl Session for Tx {
    fn connection(&self) -> &impl ConnectionTrait {
        &self.0
    }
}

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

/// Who writes something of their own and is refused by one of these has no account any more.
const OWNERS: &[&str] = &[
    "concert_organizer_fkey",
    "queue_token_person_fkey",
    "reservation_person_fkey",
    "wallet_person_fkey",
    "payment_person_fkey",
];

impl From<DbErr> for Fault {
    fn from(error: DbErr) -> Self {
        // Class 08: connection; 40: serialisation and deadlock; 53: out of resources; 55P03: lock not available;
        // 57: operator intervention, the statement time-out among them.
        let unavailable = match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
            other => match database_error(other).and_then(|error| error.code()) {
                Some(code) => {
                    ["08", "40", "53", "55", "57"].iter().any(|class| code.starts_with(class))
                }
                None => is_io(other),
            },
        };
        let gone = constraint(&error).is_some_and(|name| OWNERS.contains(&name));
        let kind = match (gone, unavailable) {
            (true, _) => FaultKind::CallerGone,
            (false, true) => FaultKind::Unavailable,
            (false, false) => FaultKind::Internal,
        };
        Self::new(kind, "Postgres", describe::describe(&error))
    }
}

fn is_io(error: &DbErr) -> bool {
    use sea_orm::sqlx::Error;
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    matches!(
        **error,
        Error::Io(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::Protocol(_)
    )
}
