//! A database per test, copied from a template that is migrated once.

use std::{sync::LazyLock, time::Duration};

use frontrow::{
    db::{Db, DbSettings, app_role, migrations},
    tasks::Tasks,
};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use uuid::Uuid;

/// The server that the tests run on.
static SERVER: LazyLock<String> = LazyLock::new(|| {
    std::env::var("DATABASE_URL").expect("DATABASE_URL is not set; run the tests with `./dev test`")
});

/// A database of one test. It is dropped with the test, unless the test fails.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    /// As who owns the tables.
    pub(crate) url: String,
    /// As the server goes in.
    pub(crate) app_url: String,
    /// Its name on the tests' server.
    name: Option<String>,
}

/// The role that the tests' servers have. It may do less than the owner of the tables, who may become it.
pub(crate) const APP_ROLE: &str = "frontrow_app";

/// The same address, for sessions that have the server's role.
fn as_app(url: &str) -> String {
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}options=-c%20role%3D{APP_ROLE}")
}

pub(crate) fn url_of(name: &str) -> String {
    let (base, query) = SERVER.split_once('?').unwrap_or((SERVER.as_str(), ""));
    let (server, _) = base.rsplit_once('/').expect("DATABASE_URL names a database");
    if query.is_empty() { format!("{server}/{name}") } else { format!("{server}/{name}?{query}") }
}

async fn server() -> DatabaseConnection {
    Database::connect(SERVER.as_str()).await.expect("Postgres is reachable")
}

async fn execute(connection: &DatabaseConnection, sql: &str) -> Result<(), sea_orm::DbErr> {
    connection.execute_unprepared(sql).await.map(|_| ())
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        let server = server().await;
        let template = template(&server).await;
        let name = format!("frontrow_test_{}", Uuid::now_v7().simple());
        // A template cannot be copied while somebody else copies it at the same instant.
        for attempt in 0.. {
            let sql = format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy");
            match execute(&server, &sql).await {
                Ok(()) => break,
                Err(error) if attempt < 100 => {
                    drop(error);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("the test's database could not be made: {error}"),
            }
        }
        drop(server.close().await);
        let url = url_of(&name);
        Self { app_url: as_app(&url), url, name: Some(name) }
    }
}

impl TestDatabase {
    /// A database on a server of the test's own, which ends with that.
    pub(crate) fn elsewhere(url: String) -> Self {
        Self { app_url: url.clone(), url, name: None }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look: {}", self.url);
            return;
        }
        let Some(name) = self.name.clone() else { return };
        // Connections of the test's instances may still be open; FORCE ends them.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let server = server().await;
                drop(
                    execute(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await,
                );
            });
        });
        drop(dropped.join());
    }
}

/// The migrated template for this version of the migrations, made by whoever comes first.
async fn template(server: &DatabaseConnection) -> String {
    let name = format!("frontrow_template_{:016x}", migrations::fingerprint());
    let exists = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "SELECT 1 AS one FROM pg_database WHERE datname = $1",
        [name.as_str().into()],
    );
    if server.query_one_raw(exists.clone()).await.expect("a look at the databases").is_some() {
        return name;
    }
    // One test at a time, over all processes; the lock goes with the connection.
    let lock = Database::connect(
        sea_orm::ConnectOptions::new(SERVER.as_str()).max_connections(1).to_owned(),
    )
    .await
    .expect("Postgres is reachable");
    execute(&lock, "SELECT pg_advisory_lock(7236001)").await.expect("the template's lock");
    if server.query_one_raw(exists).await.expect("a look at the databases").is_none() {
        let draft = format!("{name}_draft");
        execute(server, &format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"))
            .await
            .expect("no old draft");
        execute(server, &format!("CREATE DATABASE {draft}"))
            .await
            .expect("a draft of the template");
        let db = Db::connect(
            &DbSettings { url: url_of(&draft), pool_size: 2, patience: Duration::from_secs(5) },
            &Tasks::default(),
        )
        .await
        .expect("the draft opens");
        migrations::migrate(&db).await.expect("the migrations run");
        app_role::grant(&db, APP_ROLE).await.unwrap_or_else(|failure| {
            panic!("{failure:?}: the role {APP_ROLE} is made by `./dev services`; stop them first")
        });
        db.close().await;
        execute(server, &format!("ALTER DATABASE {draft} RENAME TO {name}"))
            .await
            .expect("the template");
    }
    drop(lock.close().await);
    name
}
