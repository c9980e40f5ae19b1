//! What the operations need: people, tokens, seats and holds, by the ten thousand, written straight into Postgres.
//!
//! Ids are made of a set's number and a running number, so that pgbench can count them out.

use std::net::SocketAddr;

use clap::Parser;
use frontrow::{
    app::{App, Settings},
    db::{Db, DbSettings, migrations},
    kernel::{PersonId, QueueTokenId, Role, ScheduleId, Timestamp},
    tasks::Tasks,
    waiting_room::{QueueStatus, QueueToken},
};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Result,
    floor::Script,
    server::{self, SECRET, Server},
};

/// Operations prepared for each connection: enough for the warm-up too.
const PER_CONNECTION: usize = 4_000;
/// Operations prepared in all at least: few connections are answered faster.
const PREPARED: usize = 32_000;
/// People who may enter, over all connections.
const NEWCOMERS: usize = 400_000;

/// A database for one run.
#[derive(Debug)]
pub(crate) struct Scenery {
    pub(crate) url: String,
    name: String,
    server: DatabaseConnection,
    /// Without the time-outs of the server's own connections.
    pub(crate) database: DatabaseConnection,
    app: App,
    sets: std::sync::atomic::AtomicU32,
}

/// A performance with as many seats, people and ACTIVE tokens as operations are prepared.
#[derive(Debug)]
pub(crate) struct Set<'a> {
    app: &'a App,
    pub(crate) number: u32,
    connections: usize,
    pub(crate) per_connection: usize,
}

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

/// The id of the n-th thing of a kind in a set, as its SQL in `sql/set.sql`.
pub(crate) fn id(set: u32, kind: u32, n: usize) -> Uuid {
    Uuid::from_u128(
        (u128::from(set) << 96)
            | (u128::from(kind) << 80)
            | (0x7000 << 64)
            | (0x8000 << 48)
            | n as u128,
    )
}

pub(crate) const PERSON: u32 = 1;
pub(crate) const TOKEN: u32 = 2;
pub(crate) const SEAT: u32 = 3;
pub(crate) const RESERVATION: u32 = 4;
pub(crate) const SCHEDULE: u32 = 9;

/// The services in this process, without workers.
pub(crate) async fn app(database_url: &str, redis_url: &str) -> Result<App> {
    let prefix = format!("bench-{}", std::process::id());
    let line = [
        "bench",
        "--database-url",
        database_url,
        "--redis-url",
        redis_url,
        "--redis-prefix",
        &prefix,
        "--jwt-secret",
        SECRET,
    ];
    let (app, _) = App::start(Line::parse_from(line).settings)
        .await
        .map_err(|fault| fault.report().to_string())?;
    Ok(app)
}

impl Scenery {
    pub(crate) async fn prepare(server_url: &str) -> Result<Self> {
        let server = Database::connect(server_url).await?;
        let name = format!("frontrow_bench_{}", std::process::id());
        server.execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
        let (base, _) = server_url.split_once('?').unwrap_or((server_url, ""));
        let url =
            format!("{}/{name}", base.rsplit_once('/').ok_or("DATABASE_URL names no database")?.0);
        let patience = std::time::Duration::from_secs(5);
        let db = Db::connect(
            &DbSettings { url: url.clone(), pool_size: 4, patience },
            &Tasks::default(),
        )
        .await
        .map_err(|f| f.report().to_string())?;
        migrations::migrate(&db).await.map_err(|fault| fault.report().to_string())?;
        let database = Database::connect(&url).await?;
        database.execute_unprepared(include_str!("sql/once.sql")).await?;
        // Only signs here; the server under measurement is another process.
        let app = app(&url, "redis://127.0.0.1:1").await?;
        Ok(Self { url, name, server, database, app, sets: std::sync::atomic::AtomicU32::new(0) })
    }

    pub(crate) async fn clear(self) {
        drop(
            self.server
                .execute_unprepared(&format!("DROP DATABASE {} WITH (FORCE)", self.name))
                .await,
        );
    }

    /// The one figure that a query returns.
    pub(crate) async fn figure(&self, sql: &str) -> Result<f64> {
        let row = self.database.query_one_raw(Statement::from_string(DbBackend::Postgres, sql));
        Ok(row.await?.ok_or("no answer")?.try_get_by_index(0)?)
    }

    /// Postgres's first process.
    pub(crate) async fn postmaster(&self) -> Result<u32> {
        let sql = Statement::from_string(DbBackend::Postgres, "SELECT pg_backend_pid()");
        let row = self.server.query_one_raw(sql).await?.ok_or("no answer")?;
        let backend: i32 = row.try_get_by_index(0)?;
        let stat = std::fs::read_to_string(format!("/proc/{backend}/stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        Ok(parent.unwrap_or(0))
    }

    /// A performance in which everybody is ACTIVE; with `held`, everybody holds a seat and has the points to pay for it.
    pub(crate) async fn set(&self, connections: usize, held: bool) -> Result<Set<'_>> {
        let number = self.sets.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let per_connection = PER_CONNECTION.max(PREPARED / connections);
        let count = connections * per_connection;
        let sql = format!("SELECT bench_set({number}, {count}, {held})");
        self.database.execute_unprepared(&sql).await?;
        self.settle().await?;
        Ok(Set { app: &self.app, number, connections, per_connection })
    }

    /// One performance of a thousand people and seats at most.
    pub(crate) async fn hot_hall(
        &self,
        seats: usize,
        people: usize,
        each: usize,
    ) -> Result<Set<'_>> {
        let count = seats.max(people);
        if count > 1_000 {
            return Err("a hall of the benchmark has 1,000 seats and people at most".into());
        }
        let number = self.sets.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let sql = format!(
            "SELECT bench_set({number}, {count}, false);
             UPDATE schedule SET max_seats_per_person = {each} WHERE id = bench_id({number}, 9, 0);
             DELETE FROM seat WHERE schedule_id = bench_id({number}, 9, 0) AND preference >= {seats}"
        );
        self.database.execute_unprepared(&sql).await?;
        self.settle().await?;
        Ok(Set { app: &self.app, number, connections: people, per_connection: 1 })
    }

    /// What was written before is not to be tidied up while something is measured.
    pub(crate) async fn settle(&self) -> Result<()> {
        self.database.execute_unprepared("VACUUM ANALYZE").await?;
        // Only a superuser may; without it the figures are less steady.
        self.database.execute_unprepared("CHECKPOINT").await.ok();
        // Nor is the kernel to write it out meanwhile: each commit waits for the same disk.
        tokio::process::Command::new("sync").status().await.ok();
        Ok(())
    }

    /// People who have not entered yet.
    pub(crate) async fn newcomers(&self, connections: usize) -> Result<Set<'_>> {
        let number = self.sets.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let sql = format!("SELECT bench_newcomers({number}, {NEWCOMERS})");
        self.database.execute_unprepared(&sql).await?;
        self.settle().await?;
        Ok(Set { app: &self.app, number, connections, per_connection: NEWCOMERS / connections })
    }

    /// People of one line; nobody of them is admitted before [`Scenery::admit`].
    pub(crate) async fn crowd(&self, count: usize) -> Result<Set<'_>> {
        let number = self.sets.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let connections = count.clamp(1, 64);
        let per_connection = count.div_ceil(connections);
        let people = connections * per_connection;
        self.database
            .execute_unprepared(&format!("SELECT bench_newcomers({number}, {people})"))
            .await?;
        Ok(Set { app: &self.app, number, connections, per_connection })
    }

    /// Admits this many of a crowd each second from now on.
    pub(crate) async fn admit(&self, crowd: &Set<'_>, per_second: usize) -> Result<()> {
        let sql = format!(
            "UPDATE waiting_room SET admit_per_round = {per_second}, round_ms = 1000 WHERE schedule_id = '{}'",
            crowd.schedule(0)
        );
        self.database.execute_unprepared(&sql).await?;
        Ok(())
    }

    /// The floor of entering: one row of the journal per transaction, with all its indexes.
    pub(crate) async fn single_inserts(&self) -> Result<Script> {
        self.database
            .execute_unprepared("CREATE TABLE bench_journal (LIKE queue_token INCLUDING ALL)")
            .await?;
        self.database.execute_unprepared("CREATE SEQUENCE bench_number").await?;
        self.settle().await?;
        let text = include_str!("sql/single_insert.sql").to_owned();
        Ok(Script { text, prepared: None })
    }

    /// A performance in whose line everybody waits.
    pub(crate) async fn line(&self, people: u32) -> Result<ScheduleId> {
        let number = self.sets.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let sql = format!("SELECT bench_line({number}, {people})");
        self.database.execute_unprepared(&sql).await?;
        self.database.execute_unprepared("VACUUM ANALYZE").await?;
        Ok(ScheduleId(id(number, SCHEDULE, 0)))
    }

    /// Requests for a hall of fifty seats, by as many people as there are connections.
    pub(crate) async fn hall(
        &self,
        server: &Server,
        connections: usize,
    ) -> Result<Vec<Vec<Vec<u8>>>> {
        let number = self.sets.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        self.database.execute_unprepared(&format!("SELECT bench_set({number}, 50, false)")).await?;
        let set = Set { app: &self.app, number, connections: 1, per_connection: 50 };
        let query = "query Seats($schedule: ID!, $token: String!) {
            seats(scheduleId: $schedule, queueToken: $token) { id section row number grade price status version } }";
        let request = |n: usize| {
            let variables = json!({ "schedule": set.schedule(0), "token": set.token(n % 50)? });
            Ok(vec![set.request(server, n % 50, query, variables)?])
        };
        (0..connections).map(request).collect()
    }
}

/// Somebody who may hold seats.
#[derive(Debug)]
pub(crate) struct Buyer {
    address: SocketAddr,
    session: String,
    number: u32,
    schedule: Uuid,
    token: String,
}

impl Buyer {
    /// A request for one of the set's seats.
    pub(crate) fn hold(&self, seat: usize) -> Vec<u8> {
        let query = "mutation Hold($input: HoldSeatInput!) { holdSeat(input: $input) {
            reservation { id status totalPrice expiresAt remainingSeconds } userErrors { code message } } }";
        let input = json!({ "scheduleId": self.schedule, "seatId": id(self.number, SEAT, seat),
                            "queueToken": self.token });
        let body = json!({ "query": query, "variables": { "input": input } }).to_string();
        server::post(self.address, &body, Some(&self.session))
    }
}

impl Set<'_> {
    fn schedule(&self, n: usize) -> Uuid {
        id(self.number, SCHEDULE, n / 1_000)
    }

    fn token(&self, n: usize) -> Result<String> {
        let token = QueueToken {
            id: QueueTokenId(id(self.number, TOKEN, n)),
            schedule_id: ScheduleId(self.schedule(n)),
            person_id: PersonId(id(self.number, PERSON, n)),
            number: i64::try_from(n)? + 1,
            status: QueueStatus::Active,
            version: 0,
            entered_at: Timestamp::UNIX_EPOCH,
            passed_over_at: None,
            activated_at: None,
            expires_at: None,
            ended_because: None,
            now: Timestamp::UNIX_EPOCH,
        };
        self.app.waiting_rooms.sign(&token).map_err(|fault| fault.report().to_string().into())
    }

    fn session(&self, n: usize) -> Result<String> {
        let now = std::time::SystemTime::now().into();
        let session = self.app.sessions.open(PersonId(id(self.number, PERSON, n)), Role::Fan, now);
        Ok(session.map_err(|fault| fault.report().to_string())?.access_token)
    }

    /// A request of the n-th person.
    pub(crate) fn request(
        &self,
        server: &Server,
        n: usize,
        query: &str,
        variables: serde_json::Value,
    ) -> Result<Vec<u8>> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        Ok(server.post(&body, Some(&self.session(n)?)))
    }

    /// A request of the n-th person with the variables `id` and `token`, for the seats of the set's first performance.
    pub(crate) fn request_for_seats(
        &self,
        server: &Server,
        n: usize,
        query: &str,
    ) -> Result<Vec<u8>> {
        let variables = json!({ "id": self.schedule(0), "token": self.token(n)? });
        self.request(server, n, query, variables)
    }

    /// What people do who have nothing to do with a flood: every other one adds a point, the others look at their points.
    pub(crate) fn errands(&self, server: &Server) -> Result<Vec<Vec<Vec<u8>>>> {
        let charge = "mutation ($input: ChargeInput!) { charge(input: $input) { balance userErrors { code } } }";
        self.each(|n| {
            let input = json!({ "input": { "amount": 1, "idempotencyKey": "errand" } });
            if n % 2 == 0 {
                self.request(server, n, charge, input)
            } else {
                self.request(server, n, "{ balance }", json!({}))
            }
        })
    }

    fn each(&self, make: impl Fn(usize) -> Result<Vec<u8>>) -> Result<Vec<Vec<Vec<u8>>>> {
        let connection = |c: usize| {
            (c * self.per_connection..(c + 1) * self.per_connection).map(&make).collect()
        };
        (0..self.connections).map(connection).collect()
    }

    /// The n-th person, admitted to their hall.
    pub(crate) fn buyer(&self, server: &Server, n: usize) -> Result<Buyer> {
        let (schedule, number) = (self.schedule(n), self.number);
        Ok(Buyer {
            address: server.address,
            session: self.session(n)?,
            schedule,
            number,
            token: self.token(n)?,
        })
    }

    pub(crate) fn holds(&self, server: &Server) -> Result<Vec<Vec<Vec<u8>>>> {
        self.each(|n| Ok(self.buyer(server, n)?.hold(n)))
    }

    pub(crate) fn charges(&self, server: &Server) -> Result<Vec<Vec<Vec<u8>>>> {
        let query = "mutation Charge($input: ChargeInput!) { charge(input: $input) {
            entry { id delta balanceAfter } balance userErrors { code message } } }";
        self.each(|n| {
            let input = json!({ "amount": 1000, "idempotencyKey": "bench" });
            self.request(server, n, query, json!({ "input": input }))
        })
    }

    pub(crate) fn pays(&self, server: &Server) -> Result<Vec<Vec<Vec<u8>>>> {
        let query = "mutation Pay($input: PayInput!) { pay(input: $input) {
            payment { id status amount approvedAt } userErrors { code message } } }";
        self.each(|n| {
            let input = json!({ "reservationId": id(self.number, RESERVATION, n), "method": "POINT",
                                "amount": 1000, "idempotencyKey": format!("bench-{n}") });
            self.request(server, n, query, json!({ "input": input }))
        })
    }

    pub(crate) fn enters(&self, server: &Server) -> Result<Vec<Vec<Vec<u8>>>> {
        let query = "mutation Enter($id: ID!) { enterQueue(scheduleId: $id) {
            queueToken { token status position waitingCount } userErrors { code message } } }";
        self.each(|n| self.request(server, n, query, json!({ "id": self.schedule(0) })))
    }

    /// What each says over a WebSocket to watch their place.
    pub(crate) fn watches(&self) -> Result<Vec<Vec<String>>> {
        let query = "subscription Watch($id: ID!) { queueStatus(scheduleId: $id) { token status position waitingCount
            estimatedWaitSeconds enteredAt activatedAt expiresAt remainingSeconds pollAfterSeconds } }";
        let watch = |n: usize| {
            let bearer = format!("Bearer {}", self.session(n)?);
            let payload = json!({ "query": query, "variables": { "id": self.schedule(0) } });
            Ok(vec![
                json!({ "type": "connection_init", "payload": { "authorization": bearer } })
                    .to_string(),
                json!({ "type": "subscribe", "id": "1", "payload": payload }).to_string(),
            ])
        };
        (0..self.connections * self.per_connection).map(watch).collect()
    }
}
