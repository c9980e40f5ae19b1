//! A test's own world: a database, a key prefix, a secret, and any number of instances.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use frontrow::{
    api,
    app::{App, Settings},
    db::{Db, DbSettings},
    http::{self, Lifetime, Limits, Listener},
    tasks::Tasks,
    workers,
};
use sea_orm::{Database, DatabaseConnection};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{client::Client, database::TestDatabase};

/// For all lines that a request may wait in.
const PATIENCE: Duration = Duration::from_secs(25);

/// Everything that one test has to itself.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) db: Db,
    /// For what no client could do; not the server's own way in.
    pub(crate) pool: DatabaseConnection,
    pub(crate) redis_prefix: String,
    pub(crate) secret: String,
}

/// A server in this process, with its own pool, Redis connection and workers.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    pub(crate) app: App,
    stopping: CancellationToken,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Instance {
    /// A client without a session.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }
}

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(TestDatabase::create().await).await
    }

    /// A world in a migrated database elsewhere.
    pub(crate) async fn elsewhere(url: String) -> Self {
        Self::of(TestDatabase::elsewhere(url)).await
    }

    async fn of(database: TestDatabase) -> Self {
        let settings = DbSettings { url: database.url.clone(), pool_size: 2, patience: PATIENCE };
        let db = Db::connect(&settings, &Tasks::default()).await.expect("the database opens");
        let pool = Database::connect(database.url.as_str()).await.expect("the database opens");
        let id = Uuid::now_v7().simple().to_string();
        Self {
            database,
            db,
            pool,
            redis_prefix: format!("test-{id}"),
            secret: format!("secret-of-{id}"),
        }
    }

    /// The environment that every instance of this world shares.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            // The server is not who owns the tables: `frontrow migrate --app-role`.
            ("DATABASE_URL", self.database.app_url.clone()),
            (
                "REDIS_URL",
                std::env::var("REDIS_URL")
                    .expect("REDIS_URL is not set; run the tests with `./dev test`"),
            ),
            ("FRONTROW_REDIS_PREFIX", self.redis_prefix.clone()),
            ("FRONTROW_JWT_SECRET", self.secret.clone()),
            ("FRONTROW_DATABASE_POOL", "6".to_owned()),
            // Tests share the machine's cores; what is slow here is not away, nor stuck.
            ("FRONTROW_PATIENCE_MS", PATIENCE.as_millis().to_string()),
            ("FRONTROW_REQUEST_MS", PATIENCE.as_millis().to_string()),
            ("FRONTROW_REDIS_TIMEOUT_MS", "2000".to_owned()),
            ("FRONTROW_AUDIT_EVERY", "0".to_owned()),
            // One person of a test does in a second what people do in an hour.
            ("FRONTROW_REQUESTS_PER_PERSON", "0".to_owned()),
            ("FRONTROW_ORDERS_PER_PERSON", "0".to_owned()),
            ("FRONTROW_LAPSED_HOLDS", "1000".to_owned()),
            ("FRONTROW_SOCKETS_PER_PERSON", "0".to_owned()),
        ]
    }

    /// The settings of an instance, with some flags of `frontrow serve` on top, such as `--hold-seconds=1`.
    pub(crate) fn settings(&self, flags: &[&str]) -> Settings {
        let flag = |(name, value): (&str, String)| {
            let name =
                name.strip_prefix("FRONTROW_").unwrap_or(name).to_lowercase().replace('_', "-");
            format!("--{name}={value}")
        };
        let given: Vec<&str> = flags.iter().filter_map(|flag| flag.split('=').next()).collect();
        let shared = self.environment().into_iter().map(flag);
        let shared =
            shared.filter(|line| !given.contains(&line.split('=').next().unwrap_or_default()));
        let line = std::iter::once("frontrow".to_owned())
            .chain(shared)
            .chain(std::iter::once("--listen=127.0.0.1:0".to_owned()))
            .chain(flags.iter().map(|&flag| flag.to_owned()));
        Line::parse_from(line).settings
    }

    /// Starts an instance.
    pub(crate) async fn instance(&self) -> Instance {
        self.instance_with(&[]).await
    }

    /// Starts an instance with some flags of `frontrow serve`.
    pub(crate) async fn instance_with(&self, flags: &[&str]) -> Instance {
        let (app, kicked) = App::start(self.settings(flags)).await.expect("the instance starts");
        let stopping = CancellationToken::new();
        workers::start(&app, kicked, &stopping, &TaskTracker::new());
        serve(app, stopping).await
    }

    /// Starts an instance on which nothing runs by itself, and whose edge has limits of the test's own.
    pub(crate) async fn instance_within(
        &self,
        flags: &[&str],
        limit: impl FnOnce(&mut Limits),
    ) -> Instance {
        let (app, _) = App::start(self.settings(flags)).await.expect("the instance starts");
        let mut limits = Limits::of(&app.settings);
        limit(&mut limits);
        serve_with(app, CancellationToken::new(), limits).await
    }

    /// Starts an instance on which nothing runs by itself: no rounds, no sweeps.
    pub(crate) async fn quiet_instance(&self, flags: &[&str]) -> Instance {
        let (app, _) = App::start(self.settings(flags)).await.expect("the instance starts");
        serve(app, CancellationToken::new()).await
    }
}

async fn serve(app: App, stopping: CancellationToken) -> Instance {
    let limits = Limits::of(&app.settings);
    serve_with(app, stopping, limits).await
}

async fn serve_with(app: App, stopping: CancellationToken, limits: Limits) -> Instance {
    let lifetime = Lifetime::new(stopping.clone());
    let router = http::router(&app, api::schema(app.clone()), &lifetime, limits.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let listener = Listener::with(listener, limits, app.metrics.clone());
    tokio::spawn(http::serve(listener, router, lifetime, Duration::from_secs(5)));
    Instance { address, app, stopping }
}

impl World {
    /// Runs statements that no client could: moving clocks, planting faults.
    pub(crate) async fn sql(&self, sql: &str) {
        use sea_orm::ConnectionTrait;
        self.pool.execute_unprepared(sql).await.expect("the statement runs");
    }

    /// The single number that a query returns.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        use sea_orm::{ConnectionTrait, DbBackend, Statement};
        let row = self.pool.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
        row.expect("the query runs").expect("one row").try_get_by_index(0).expect("one number")
    }
}

impl World {
    /// The texts that a query returns, one a row.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        use sea_orm::{ConnectionTrait, DbBackend, Statement};
        let rows = self.pool.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
        rows.expect("the query runs")
            .iter()
            .map(|row| row.try_get_by_index(0).expect("a text"))
            .collect()
    }
}
