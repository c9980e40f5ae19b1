//! Connections to Postgres: who gets one, how long an answer may take, and what becomes of a connection that fell silent.
//!
//! A pool of our own (ADR 15). A ready-made one asks a connection that comes back whether it lives, twice, and waits for the
//! answer for ever: a network that loses packets without a word takes all places away, and each hold pays for two round
//! trips.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use sea_orm::{
    Statement, Values,
    sqlx::{
        self, AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row,
        postgres::{PgConnectOptions, PgQueryResult, PgRow},
    },
};
use sea_query_sqlx::SqlxValues;
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::servers::Servers;
use crate::{
    tasks::Tasks,
    telemetry::Step,
    turns::{Turn, Turns, deadline},
};

/// How long connecting may take. Short, so that the first attempt after an outage begins soon after its end.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// How long a connection may take to say that it lives.
pub(super) const PING_PATIENCE: Duration = Duration::from_secs(1);
/// How often connections that nobody uses are asked whether they live.
const KEEP_EVERY: Duration = Duration::from_secs(2);
/// No connection gets older: load balancers and a server's caches want new ones now and then.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);

const BUSY: &str = "all connections are busy";
pub(super) const SLOW: &str = "connecting took too long";
/// Of a standby, or of a server that was told to take none.
pub const READ_ONLY: &str = "this server takes no writes";
pub(super) const FAILED: &str = "no connection could be opened";
const GONE: &str = "the connection was lost before";
const LATE: &str = "the request's time is over";
pub(super) const LENT: &str = "PgBouncer lends its connections out for a transaction at a time, and this program needs connections of its own: set \
                    pool_mode = session there, or lead DATABASE_URL to Postgres itself";
/// What a pool says of a connection that it has not.
pub(super) const WORDS: [&str; 7] = [BUSY, SLOW, READ_ONLY, FAILED, GONE, LATE, LENT];

/// How a pool behaves.
#[derive(Debug, Clone)]
pub(super) struct PoolLimits {
    /// Connections at most.
    pub(super) size: u32,
    /// How long somebody waits in front of the pool while no connection comes back: what cannot be served is told so at
    /// once.
    pub(super) patience: Duration,
    /// How long the answer to one statement may take before its connection is given up. Longer than the server's own limit
    /// for a statement, so that this one only meets a server, or a network, that says nothing.
    pub(super) answer: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// Nothing was sent.
    NoConnection(&'static str, Option<sqlx::Error>),
    /// The statement was sent, and Postgres said so, or broke off, or fell silent.
    Asked(sqlx::Error),
}

/// Connections to one Postgres.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) servers: Servers,
    limits: PoolLimits,
    tasks: Tasks,
    places: Turns,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one that was used last is used next; so the others may be closed.
    open: Vec<Open>,
    /// Older connections lead to a server that cannot be written any more.
    opened_after: Option<Instant>,
}

/// A connection and what is known of it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: PgConnection,
    opened_at: Instant,
    /// Another one broke while this one was idle: it is asked before it is used.
    doubtful: bool,
}

impl Pool {
    /// A pool without connections; they are opened when somebody needs them. A task looks after them for as long as the pool
    /// lives.
    pub(super) fn new(servers: Servers, limits: PoolLimits, tasks: Tasks) -> Arc<Self> {
        let places = usize::try_from(limits.size).unwrap_or(1);
        let places = Turns::new(places, limits.patience);
        let pool = Arc::new(Self {
            servers,
            limits,
            tasks: tasks.clone(),
            places,
            idle: Mutex::default(),
        });
        let (kept, over) = (Arc::downgrade(&pool), CancellationToken::new());
        tasks.keep("looking after connections", over.clone(), move || {
            keep(kept.clone(), over.clone())
        });
        pool
    }

    /// A connection that is known, or held, to be well.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Lost> {
        let busy = Lost::NoConnection(BUSY, None);
        let place = self.places.turn().await.ok_or(busy)?;
        while let Some(mut open) = self.take() {
            if !open.doubtful || open.answers().await {
                open.doubtful = false;
                return Ok(Lease::new(self, open, place));
            }
            // The other doubtful ones are no better, and asking each would take a second.
            self.idle().open.retain(|open| !open.doubtful);
        }
        let patience = deadline::at_most(CONNECT_PATIENCE);
        match timeout(patience, self.servers.connect()).await {
            Ok(Ok(open)) => Ok(Lease::new(self, open, place)),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                if patience == CONNECT_PATIENCE {
                    self.doubt();
                }
                Err(Lost::NoConnection(SLOW, None))
            }
        }
    }

    fn take(&self) -> Option<Open> {
        self.idle().open.pop()
    }

    fn give_back(&self, open: Open) {
        let mut idle = self.idle();
        let stale = idle.opened_after.is_some_and(|instant| open.opened_at <= instant);
        if !stale && open.opened_at.elapsed() < AGE_MAX {
            idle.open.push(open);
        }
    }

    /// A connection broke or fell silent: the others may be no better.
    fn doubt(&self) {
        self.idle().open.iter_mut().for_each(|open| open.doubtful = true);
    }

    /// The server that these connections lead to takes no writes: it was the primary once, or never. All are given up.
    fn abandon(&self) {
        let mut idle = self.idle();
        idle.opened_after = Some(Instant::now());
        idle.open.clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks all connections that nobody uses whether they live, and forgets those that do not say so. A connection that a
    /// router in between has forgotten looks well until it is used.
    async fn look_after(&self) {
        let mut asked = Vec::new();
        // A place for each, so that there are never more connections than places.
        while let Some(place) = self.places.free_turn() {
            let Some(open) = self.take() else { break };
            asked.push(async move {
                let mut open = open;
                let lives = open.answers().await;
                open.doubtful = false;
                (lives.then_some(open), place)
            });
        }
        // The first to be taken was the last to be used: the order stays.
        for (open, place) in join_all(asked).await.into_iter().rev() {
            open.into_iter().for_each(|open| self.give_back(open));
            drop(place);
        }
    }

    /// Closes what nobody uses; what is in use is closed when it comes back.
    pub(super) async fn close(&self) {
        self.places.close();
        let open = std::mem::take(&mut self.idle().open);
        self.abandon();
        let farewells =
            open.into_iter().map(|open| timeout(PING_PATIENCE, open.connection.close()));
        // One that does not take its leave is gone as well.
        drop(join_all(farewells).await);
    }
}

/// Looks after the connections until the pool is gone, and says that it is over then.
async fn keep(pool: Weak<Pool>, over: CancellationToken) {
    loop {
        sleep(KEEP_EVERY).await;
        let Some(pool) = pool.upgrade() else { return over.cancel() };
        pool.look_after().await;
    }
}

/// A connection to a server, if that takes writes, with these settings, which are statements.
pub(super) async fn connect(options: &PgConnectOptions, settings: &str) -> Result<Open, Lost> {
    let failed = |error| Lost::NoConnection(FAILED, Some(error));
    let mut connection = options.connect().await.map_err(failed)?;
    // A standby lets us in, and refuses every write. The name leads to the primary again in a moment. All in one trip.
    let query = format!("{settings}SELECT current_setting('transaction_read_only')::boolean");
    if yes(&mut connection, &query).await.map_err(failed)? {
        return Err(Lost::NoConnection(READ_ONLY, None));
    }
    Ok(Open { connection, opened_at: Instant::now(), doubtful: false })
}

/// The single answer of statements as they stand, yes or no.
pub(super) async fn yes(connection: &mut PgConnection, sql: &str) -> Result<bool, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await?.try_get(0)
}

impl Open {
    /// Reads what is left of an answer that nobody waits for.
    async fn settle(&mut self) -> Result<(), sqlx::Error> {
        match self.connection.ping().await {
            // The statement was refused. What follows its refusal is read by the next.
            Err(sqlx::Error::Database(_)) => self.connection.ping().await,
            settled => settled,
        }
    }

    async fn answers(&mut self) -> bool {
        let patience = deadline::at_most(PING_PATIENCE);
        matches!(timeout(patience, self.connection.ping()).await, Ok(Ok(())))
    }
}

/// A connection in use. It goes back to the pool when this is dropped, if it is well.
#[derive(Debug)]
pub(super) struct Lease {
    pool: Arc<Pool>,
    open: Option<Open>,
    place: Option<Turn>,
    /// The place that its kind of work has among those who share the pool.
    pub(super) share: Option<Turn>,
    /// How long an answer may take, while the request's deadline is not nearer.
    pub(super) answer: Duration,
    /// The work is known to take longer than any request's deadline allows.
    pub(super) unhurried: bool,
    /// A statement was sent, and its answer has not been read.
    asking: bool,
    /// A transaction is open.
    in_transaction: bool,
}

impl Lease {
    fn new(pool: &Arc<Pool>, open: Open, place: Turn) -> Self {
        Self {
            pool: Arc::clone(pool),
            open: Some(open),
            place: Some(place),
            share: None,
            answer: pool.limits.answer,
            unhurried: false,
            asking: false,
            in_transaction: false,
        }
    }

    /// Every row that a statement returns.
    pub(super) async fn all(&mut self, statement: Statement) -> Result<Vec<PgRow>, Lost> {
        let step = self.step(&statement.sql);
        self.ask(step, async |connection| query(statement).fetch_all(connection).await).await
    }

    /// The first row that a statement returns.
    pub(super) async fn first(&mut self, statement: Statement) -> Result<Option<PgRow>, Lost> {
        let step = self.step(&statement.sql);
        self.ask(step, async |connection| query(statement).fetch_optional(connection).await).await
    }

    /// Runs a statement.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<PgQueryResult, Lost> {
        let step = self.step(&statement.sql);
        self.ask(step, async |connection| query(statement).execute(connection).await).await
    }

    /// Runs text as it stands; it may hold several statements.
    pub(super) async fn execute_text(&mut self, sql: &str) -> Result<PgQueryResult, Lost> {
        let step = self.step(sql);
        self.ask(step, async |connection| {
            connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await
        })
        .await
    }

    /// The single answer of text as it stands, yes or no.
    pub(super) async fn yes(&mut self, sql: &str) -> Result<bool, Lost> {
        let step = self.step(sql);
        self.ask(step, async |connection| yes(connection, sql).await).await
    }

    /// Opens a transaction.
    pub(super) async fn begin(&mut self, how: &'static str) -> Result<(), Lost> {
        self.in_transaction = true;
        self.execute_text(how).await.map(drop)
    }

    /// Ends it by `COMMIT` or `ROLLBACK`.
    pub(super) async fn end(&mut self, how: &'static str) -> Result<(), Lost> {
        self.execute_text(how).await?;
        self.in_transaction = false;
        Ok(())
    }

    fn step(&self, sql: &str) -> Step {
        let options = self.pool.servers.last();
        Step::sql(sql, options.get_host(), options.get_port())
    }

    async fn ask<T>(
        &mut self,
        step: Step,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Lost> {
        let Some(open) = &mut self.open else {
            return Err(Lost::NoConnection(GONE, None));
        };
        let patience = if self.unhurried { self.answer } else { deadline::at_most(self.answer) };
        if patience.is_zero() {
            // Nothing is sent, so nothing is in doubt; what a transaction did is rolled back.
            step.failed(|| "late".to_owned());
            return Err(Lost::NoConnection(LATE, None));
        }
        self.asking = true;
        let answer = step.run(timeout(patience, work(&mut open.connection))).await;
        self.asking = false;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                step.failed(|| code(&error));
                match after(&error) {
                    After::Goes => {}
                    After::Broke => {
                        self.pool.doubt();
                        self.give_up();
                    }
                    After::ReadOnly => {
                        self.give_up();
                        self.pool.abandon();
                    }
                }
                Err(Lost::Asked(error))
            }
            Err(_) => {
                step.failed(|| "timeout".to_owned());
                // Only a whole wait is a sign that the network, or the server, is silent.
                if patience == self.answer {
                    self.pool.doubt();
                }
                self.give_up();
                let silent = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(Lost::Asked(sqlx::Error::Io(silent)))
            }
        }
    }

    /// Drops the connection, which closes it, and frees the place.
    fn give_up(&mut self) {
        self.open = None;
        (self.place, self.share) = (None, None);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let (asking, in_transaction) = (self.asking, self.in_transaction);
        if !asking && !in_transaction {
            self.pool.give_back(open);
            return;
        }
        // The caller has hung up. What is under way comes to its end, or the connection does.
        let (pool, places) = (Arc::clone(&self.pool), (self.place.take(), self.share.take()));
        if Handle::try_current().is_err() {
            return;
        }
        let tasks = pool.tasks.clone();
        drop(tasks.spawn("settling a connection", async move {
            let settled = async {
                if asking {
                    open.settle().await?;
                }
                if in_transaction {
                    open.connection.execute("ROLLBACK").await?;
                }
                Ok::<(), sqlx::Error>(())
            };
            // A statement that takes longer is not a sign of anything: its connection is closed, and the server ends it.
            if let Ok(Ok(())) = timeout(PING_PATIENCE, settled).await {
                pool.give_back(open);
            }
            drop(places);
        }));
    }
}

/// Postgres's code for an error, or that there is none.
fn code(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.map_or_else(|| "broken".to_owned(), |code| code.into_owned())
}

/// What an error means for the connection that it came over.
enum After {
    /// Nothing: Postgres refused a statement.
    Goes,
    /// It is of no use any more.
    Broke,
    /// It leads to a server that cannot be written.
    ReadOnly,
}

fn after(error: &sqlx::Error) -> After {
    let sqlx::Error::Database(refused) = error else {
        return match error {
            sqlx::Error::RowNotFound
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::TypeNotFound { .. } => After::Goes,
            _ => After::Broke,
        };
    };
    match refused.code().as_deref() {
        // read_only_sql_transaction
        Some("25006") => After::ReadOnly,
        // Class 08: the connection; 57P: the server is told to stop, starts, or drops this session; 25P03: idle too long.
        Some(code) if code.starts_with("08") || code.starts_with("57P") || code == "25P03" => {
            After::Broke
        }
        _ => After::Goes,
    }
}

fn query(statement: Statement) -> sqlx::query::Query<'static, sqlx::Postgres, SqlxValues> {
    let Statement { sql, values, .. } = statement;
    let values = values.unwrap_or_else(|| Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(sql), SqlxValues(values))
}
