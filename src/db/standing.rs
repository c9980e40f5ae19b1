//! What a Postgres server says of itself, for whoever wants to know whether it will do before it has to.

use sea_orm::FromQueryResult;

use super::{BACKGROUND_CONNECTIONS, Db, DbSettings, LANE_CONNECTIONS, Session, money_connections};
use crate::kernel::{Fault, Timestamp};

/// The oldest Postgres whose statements are ours.
pub const VERSION_MIN: i32 = 15;

/// How a server, the database and our role there are set.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Standing {
    /// The major version.
    pub version: i32,
    /// The database's encoding, such as `UTF8`.
    pub encoding: String,
    /// The server's clock.
    pub now: Timestamp,
    /// Connections that roles like ours can have in all: those that are kept for others are taken off.
    pub connections: i64,
    /// How many of them are in use, but for those of a server of ours.
    pub in_use: i64,
    /// Connections that our role, and this database, may have; `None` where nobody limits them.
    pub connections_of_us: Option<i64>,
    /// Whether a commit is on the disk before it is answered.
    pub commits_are_kept: bool,
    /// Whether what is on the disk survives a crash of the machine.
    pub disk_is_kept: bool,
    /// `read committed` as a rule, which every statement of ours reckons with.
    pub isolation: String,
}

/// How text has to be kept, so that every name can be.
pub const ENCODING: &str = "UTF8";

/// How the database keeps text.
///
/// # Errors
/// When Postgres does not answer.
pub async fn encoding(db: &Db) -> Result<String, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        encoding: String,
    }
    let row: Option<Row> =
        db.row("SELECT current_setting('server_encoding') AS encoding", vec![]).await?;
    Ok(row.ok_or(Fault::internal("a SELECT without FROM returned no row"))?.encoding)
}

/// Asks the server that a door leads to.
///
/// # Errors
/// When Postgres does not answer.
pub async fn standing(db: &Db) -> Result<Standing, Fault> {
    const SQL: &str = "
        SELECT current_setting('server_version_num')::integer / 10000 AS version,
               current_setting('server_encoding') AS encoding,
               clock_timestamp() AS now,
               current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
                   - coalesce(nullif(current_setting('reserved_connections', true), ''), '0')::bigint AS connections,
               greatest(0, (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database)
                   - (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'frontrow'))::bigint AS in_use,
               (SELECT min(most)::bigint FROM (VALUES
                   ((SELECT datconnlimit FROM pg_database WHERE datname = current_database())),
                   ((SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user))) AS limits (most)
                WHERE most >= 0) AS connections_of_us,
               current_setting('synchronous_commit') <> 'off' AS commits_are_kept,
               current_setting('fsync')::boolean AND current_setting('full_page_writes')::boolean AS disk_is_kept,
               current_setting('default_transaction_isolation') AS isolation";
    let row: Option<Standing> = db.row(SQL, vec![]).await?;
    row.ok_or(Fault::internal("a SELECT without FROM returned no row"))
}

/// Connections that one instance opens at most: for requests, for money, for lanes, for what runs by itself, and for the
/// question whether Postgres is well.
pub fn connections_of_an_instance(settings: &DbSettings) -> u32 {
    let requests = settings.pool_size;
    requests + money_connections(requests) + LANE_CONNECTIONS + BACKGROUND_CONNECTIONS + 1
}
