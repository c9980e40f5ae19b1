//! The only door to Postgres: the pool, transactions, raw statements, and how the database's answers become ours.
//!
//! Stores call this; nothing else does. It never decides anything: constraints do, and `constraint` reads their names.

mod address;
pub mod app_role;
mod column;
mod describe;
pub mod entity;
mod fault;
mod fresh;
pub mod migrations;
mod pace;
mod pool;
mod pooler;
mod servers;
pub mod standing;

use std::{future::Future, sync::Arc, time::Duration};

pub use address::DatabaseAddress;
pub(crate) use column::text_column;
pub use column::{array, bigints, uuids};
pub use fault::constraint;
pub use fresh::Fresh;
use futures_util::future::try_join;
use pace::{BACKGROUND, COMMANDS, Pace, REQUESTS};
pub use pool::READ_ONLY as TAKES_NO_WRITES;
use pool::{Lease, Lost, Pool, PoolLimits};
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, FromQueryResult, QueryResult, Statement, Value,
    prelude::async_trait::async_trait,
};
use servers::Servers;
use tokio::sync::Mutex;

use crate::{
    kernel::{Fault, FaultKind, Timestamp},
    tasks::Tasks,
    telemetry::{Part, Step},
    turns::Turns,
};

/// How the pools behave.
#[derive(Clone)]
pub struct DbSettings {
    /// `postgres://user:password@host:port/database`; several servers are written `host:port,host:port`.
    pub url: String,
    /// Connections for requests at most. Half as many again are kept for payments, and some for what runs by itself.
    pub pool_size: u32,
    /// How long a request waits for a connection while none comes back.
    pub patience: Duration,
}

/// Connections for what runs by itself: rounds, lapses, comparisons. Two of these may read a long line for a while.
const BACKGROUND_CONNECTIONS: u32 = 4;
/// What runs by itself waits for its turn this many times as long as a request: nobody has to be told anything.
const BACKGROUND_PATIENCES: u32 = 10;
/// Connections for lanes: two lanes each for holds, payments and charges. Each serves one group at a time.
const LANE_CONNECTIONS: u32 = 6;
/// Connections for payments at least: one person may have two payments under way, which wait for each other.
const MONEY_CONNECTIONS_MIN: u32 = 4;

/// Connections of a command, which does one thing after the other.
const COMMAND_CONNECTIONS: u32 = 2;
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);

/// Of an organizer's work that is known to be long: large halls.
const PATIENT_STATEMENT: &str = "SET LOCAL statement_timeout = '30s'";
const PATIENT_ANSWER: Duration = Duration::from_secs(32);
/// How a transaction begins that sees one state of everything.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Of reading everything, as an audit does.
const SNAPSHOT_ANSWER: Duration = Duration::from_secs(15 * 60);

/// A door to Postgres: some of the connections, for one kind of work. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pools: Arc<Pools>,
    pool: Arc<Pool>,
    /// How many of the pool's connections this kind of work may have, where that is less than all.
    share: Option<Turns>,
}

/// Connections by kind of work, so that none of them can take all.
#[derive(Debug)]
struct Pools {
    requests: Arc<Pool>,
    money: Arc<Pool>,
    lanes: Arc<Pool>,
    background: Arc<Pool>,
    commands: Arc<Pool>,
    /// One connection that tells whether Postgres is well, whatever the others wait for.
    probe: Arc<Pool>,
    browsing: Turns,
    servers: Servers,
}

/// An open transaction.
#[derive(Debug)]
pub struct Tx(Mutex<Lease>);

impl Db {
    /// Connects. Idle connections are looked after by a task.
    ///
    /// # Errors
    /// When Postgres cannot be reached, or the address is none.
    pub async fn connect(settings: &DbSettings, tasks: &Tasks) -> Result<Self, Fault> {
        // An address that cannot be read is not given to a library: its error would repeat the address.
        let malformed = |words: &str| Fault::new(FaultKind::Internal, "DATABASE_URL", words);
        let address = DatabaseAddress::parse(&settings.url);
        let address = address.map_err(|fault| malformed(fault.words()))?;
        let servers = address.options().and_then(Servers::new);
        let servers = servers.ok_or_else(|| malformed("one of its parameters cannot be used"))?;
        let pool = |size: u32, patience: Duration, pace: &Pace| {
            let limits = PoolLimits { size, patience, answer: pace.answer };
            Pool::new(servers.with(pace.settings()), limits, tasks.clone())
        };
        let patience = settings.patience;
        let size = settings.pool_size;
        let pools = Pools {
            requests: pool(size, patience, &REQUESTS),
            money: pool(money_connections(size), patience, &REQUESTS),
            lanes: pool(LANE_CONNECTIONS, patience, &REQUESTS),
            background: pool(BACKGROUND_CONNECTIONS, patience * BACKGROUND_PATIENCES, &BACKGROUND),
            commands: pool(COMMAND_CONNECTIONS, COMMAND_PATIENCE, &COMMANDS),
            probe: pool(1, patience, &REQUESTS),
            browsing: Turns::new(usize::try_from(size / 2).unwrap_or(1), patience),
            servers,
        };
        let pool = Arc::clone(&pools.requests);
        let db = Self { pools: Arc::new(pools), pool, share: None };
        db.pool.look_whose_they_are().await.map_err(DbErr::from)?;
        Ok(db)
    }

    /// The door for payments and charges.
    pub fn for_money(&self) -> Self {
        Self { pools: Arc::clone(&self.pools), pool: Arc::clone(&self.pools.money), share: None }
    }

    /// The door for lanes: a connection for each of them, which no other kind of work can take.
    pub fn for_lanes(&self) -> Self {
        Self { pools: Arc::clone(&self.pools), pool: Arc::clone(&self.pools.lanes), share: None }
    }

    /// The door for what runs by itself.
    pub fn for_background(&self) -> Self {
        let pool = Arc::clone(&self.pools.background);
        Self { pools: Arc::clone(&self.pools), pool, share: None }
    }

    /// The door for commands that an operator runs.
    pub fn for_commands(&self) -> Self {
        Self { pools: Arc::clone(&self.pools), pool: Arc::clone(&self.pools.commands), share: None }
    }

    /// The door for looking around: half of the requests' connections.
    pub fn for_browsing(&self) -> Self {
        let share = Some(self.pools.browsing.clone());
        Self { pools: Arc::clone(&self.pools), pool: Arc::clone(&self.pools.requests), share }
    }

    /// Runs `work` in one transaction: committed when it returns `Ok`, rolled back otherwise.
    ///
    /// # Errors
    /// What `work` returns, or a fault when the transaction cannot be opened or committed.
    pub async fn tx<T, E: From<Fault>>(
        &self,
        work: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transaction("BEGIN", work).await
    }

    /// Reads in one transaction that sees one state of everything, however much is written meanwhile.
    ///
    /// # Errors
    /// As [`Db::tx`].
    pub async fn snapshot<T, E: From<Fault>>(
        &self,
        read: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transaction(SNAPSHOT, async |tx| {
            tx.may_scan().await?;
            read(tx).await
        })
        .await
    }

    /// Reads the same state in two transactions at once: what takes one core long takes two half as long.
    ///
    /// # Errors
    /// As [`Db::tx`].
    pub async fn snapshot_twice<T, E: From<Fault>>(
        &self,
        read: impl AsyncFnOnce(&Tx) -> Result<T, E>,
        read_beside: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    ) -> Result<[T; 2], E> {
        self.snapshot(async |first| {
            let id = first.snapshot_id().await?;
            let second = self.transaction(SNAPSHOT, async |tx| {
                // Not a parameter, in Postgres's grammar.
                let shared = format!("SET TRANSACTION SNAPSHOT '{id}'");
                tx.execute_unprepared(&shared).await.map_err(Fault::from)?;
                tx.may_scan().await?;
                read_beside(tx).await
            });
            let (one, other) = try_join(read(first), second).await?;
            Ok([one, other])
        })
        .await
    }

    async fn transaction<T, E: From<Fault>>(
        &self,
        begin: &'static str,
        work: impl AsyncFnOnce(&Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let fault = |lost: Lost| Fault::from(DbErr::from(lost));
        let mut lease = self.lease().await.map_err(fault)?;
        lease.begin(begin).await.map_err(fault)?;
        let tx = Tx(Mutex::new(lease));
        let result = work(&tx).await;
        let mut lease = tx.0.into_inner();
        match result {
            Ok(value) => {
                lease.end("COMMIT").await.map_err(fault)?;
                Ok(value)
            }
            Err(error) => {
                // Where this fails the connection is given up, and Postgres rolls back by itself.
                drop(lease.end("ROLLBACK").await);
                Err(error)
            }
        }
    }

    async fn lease(&self) -> Result<Lease, Lost> {
        let step = Step::wait(Part::Connection);
        step.run(self.waited_for()).await
    }

    async fn waited_for(&self) -> Result<Lease, Lost> {
        let share = match &self.share {
            Some(share) => {
                let busy = Lost::NoConnection("too many are looking around at once", None);
                Some(share.turn().await.ok_or(busy)?)
            }
            None => None,
        };
        let mut lease = self.pool.lease().await?;
        lease.share = share;
        Ok(lease)
    }

    /// Whether Postgres answers within two seconds, and takes writes.
    ///
    /// # Errors
    /// When it does not; the fault says what is wrong.
    pub async fn ping(&self) -> Result<(), Fault> {
        #[derive(FromQueryResult)]
        struct Row {
            read_only: bool,
        }
        let probe = Self {
            pools: Arc::clone(&self.pools),
            pool: Arc::clone(&self.pools.probe),
            share: None,
        };
        let query = "SELECT current_setting('transaction_read_only')::boolean AS read_only";
        let answer = tokio::time::timeout(Duration::from_secs(2), probe.row::<Row>(query, vec![]));
        let silent = Fault::unavailable("Postgres did not answer in two seconds");
        match answer.await.map_err(|_| silent)?? {
            Some(Row { read_only: false }) => Ok(()),
            Some(_) | None => Err(Fault::unavailable("this Postgres takes no writes")),
        }
    }

    /// Closes all connections.
    pub async fn close(self) {
        let Pools { requests, money, lanes, background, commands, probe, .. } = &*self.pools;
        for pool in [requests, money, lanes, background, commands, probe] {
            pool.close().await;
        }
    }
}

fn money_connections(requests: u32) -> u32 {
    (requests / 2).max(MONEY_CONNECTIONS_MIN)
}

impl Tx {
    /// What reads everything may scan, and takes its time. One of two may have to wait for the other.
    async fn may_scan(&self) -> Result<(), Fault> {
        let settings = "SET LOCAL enable_seqscan = on; SET LOCAL statement_timeout = 0;
                        SET LOCAL idle_in_transaction_session_timeout = '15min'";
        self.execute_unprepared(settings).await?;
        self.0.lock().await.answer = SNAPSHOT_ANSWER;
        Ok(())
    }

    /// The name under which other transactions see the state that this one sees, for as long as it lasts.
    async fn snapshot_id(&self) -> Result<String, Fault> {
        #[derive(FromQueryResult)]
        struct Row {
            id: String,
        }
        let row: Option<Row> = self.row("SELECT pg_export_snapshot() AS id", vec![]).await?;
        let id = row.ok_or(Fault::internal("a SELECT without FROM returned no row"))?.id;
        // It becomes part of a statement.
        if id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            Ok(id)
        } else {
            Err(Fault::internal("Postgres gave a snapshot a name of another form"))
        }
    }

    /// Gives this transaction's statements half a minute each: for the rare work that is known to be long.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn be_patient(&self) -> Result<(), Fault> {
        self.execute_unprepared(PATIENT_STATEMENT).await?;
        let mut lease = self.0.lock().await;
        (lease.answer, lease.unhurried) = (PATIENT_ANSWER, true);
        Ok(())
    }

    /// Waits for its turn: until this transaction ends, no other process that asks for the lock of the same name gets
    /// it. For rare work of operators only; requests rely on constraints.
    ///
    /// # Errors
    /// When Postgres cannot be asked, or the turn does not come within the time that any lock is waited for.
    pub async fn lock(&self, name: &'static str) -> Result<(), Fault> {
        let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        self.run(sql, vec![name.into()]).await?;
        Ok(())
    }

    /// The database's clock. All decisions go by it.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
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
        self
    }
}

impl Session for Tx {
    fn connection(&self) -> &impl ConnectionTrait {
        self
    }
}

#[async_trait]
impl ConnectionTrait for Db {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let mut lease = self.lease().await?;
        Ok(lease.execute(statement).await?.into())
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let mut lease = self.lease().await?;
        Ok(lease.execute_text(sql).await?.into())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let mut lease = self.lease().await?;
        Ok(lease.first(statement).await?.map(QueryResult::from))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut lease = self.lease().await?;
        Ok(lease.all(statement).await?.into_iter().map(QueryResult::from).collect())
    }
}

#[async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        Ok(self.0.lock().await.execute(statement).await?.into())
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        Ok(self.0.lock().await.execute_text(sql).await?.into())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.0.lock().await.first(statement).await?.map(QueryResult::from))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let rows = self.0.lock().await.all(statement).await?;
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }
}
