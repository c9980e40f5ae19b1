//! The statements: the journal of all lines, and the rooms' settings. What is asked of Redis stands in `index::store`.

pub(super) mod enter;
pub(super) mod journal;
pub(super) mod rebuild;
pub(super) mod rounds;
pub(super) mod settings;
mod touched;

use std::{collections::HashMap, time::Duration};

use sea_orm::FromQueryResult;
pub use touched::TouchedToken;

use super::{
    Change, DRAW_SECRET_BYTES, Draw, QueueEnd, QueueRefusal, QueueStatus, QueueToken, RoomStatus,
    live::Found,
    rules::{self, Line, RoomFacts},
};
use crate::{
    db::{Db, Session, bigints, text_column, uuids},
    kernel::{Fault, PersonId, QueueTokenId, ScheduleId, Timestamp},
};

text_column!(QueueEnd, QueueRefusal, QueueStatus, RoomStatus);

#[derive(Debug, FromQueryResult)]
pub(super) struct TokenRow {
    id: QueueTokenId,
    schedule_id: ScheduleId,
    person_id: PersonId,
    number: i64,
    status: QueueStatus,
    version: i64,
    entered_at: Timestamp,
    passed_over_at: Option<Timestamp>,
    activated_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    ended_because: Option<QueueEnd>,
    now: Timestamp,
}

impl From<TokenRow> for QueueToken {
    fn from(row: TokenRow) -> Self {
        let lapsed =
            row.status == QueueStatus::Active && row.expires_at.is_some_and(|end| end <= row.now);
        Self {
            id: row.id,
            schedule_id: row.schedule_id,
            person_id: row.person_id,
            number: row.number,
            status: if lapsed { QueueStatus::Expired } else { row.status },
            version: row.version,
            entered_at: row.entered_at,
            passed_over_at: row.passed_over_at,
            activated_at: row.activated_at,
            expires_at: row.expires_at,
            ended_because: row.ended_because,
            now: row.now,
        }
    }
}

#[derive(Debug, FromQueryResult)]
struct UnsoldRow {
    unsold: bool,
}

/// Whether a schedule has a seat that is not sold: free, or held.
pub(super) async fn has_unsold(db: &Db, schedule_id: ScheduleId) -> Result<bool, Fault> {
    const SQL: &str = "
        SELECT (SELECT seat.id FROM seat WHERE seat.schedule_id = $1 AND NOT seat.sold LIMIT 1) IS NOT NULL AS unsold";
    let row: Option<UnsoldRow> = db.row(SQL, vec![schedule_id.into()]).await?;
    Ok(row.is_some_and(|row| row.unsold))
}

/// Tokens as [`TokenRow`] has them. Why one has ended stands in its row, or follows from its time when nobody has written it down
/// yet; only then the room is looked up.
macro_rules! tokens_where {
    ($rest:literal) => {
        concat!(
            "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
             SELECT t.id, t.schedule_id, t.person_id, t.number, t.status, t.version, t.entered_at, t.passed_over_at,
                    t.activated_at, t.expires_at, clock.now,
                    CASE WHEN t.status = 'ACTIVE' AND t.expires_at <= clock.now
                         THEN why_ended(t.status, t.activated_at, t.expires_at, clock.now,
                                        (SELECT w.active_seconds FROM waiting_room w WHERE w.schedule_id = t.schedule_id), NULL)
                         ELSE t.ended_because END AS ended_because
             FROM queue_token t CROSS JOIN clock ",
            $rest
        )
    };
}

/// The person's live token for a schedule, else their latest.
pub(super) async fn latest(
    db: &Db,
    schedule_id: ScheduleId,
    person_id: PersonId,
) -> Result<Option<QueueToken>, Fault> {
    const SQL: &str = tokens_where!(
        "WHERE t.person_id = $1 AND t.schedule_id = $2
         ORDER BY t.status IN ('WAITING', 'ACTIVE') DESC, t.entered_at DESC
         LIMIT 1"
    );
    let row: Option<TokenRow> = db.row(SQL, vec![person_id.into(), schedule_id.into()]).await?;
    Ok(row.map(QueueToken::from))
}

/// A token by its id.
pub(super) async fn by_id(db: &Db, id: QueueTokenId) -> Result<Option<QueueToken>, Fault> {
    const SQL: &str = tokens_where!("WHERE t.id = $1");
    let row: Option<TokenRow> = db.row(SQL, vec![id.into()]).await?;
    Ok(row.map(QueueToken::from))
}

#[derive(Debug, FromQueryResult)]
struct TouchRow {
    status: QueueStatus,
    touched: bool,
    quiet_seconds: Option<f64>,
    #[sea_orm(nested)]
    change: journal::ChangeRow,
}

/// How a token stands after an action of its person.
#[derive(Debug)]
pub(super) struct Touched {
    pub status: QueueStatus,
    /// What was written.
    pub change: Option<Change>,
    /// Of an ACTIVE token: what is known of it until it ends, or the next action has to be written.
    pub found: Option<Found>,
}

/// The status of a token by the database's clock; an ACTIVE one has its idle time started anew.
///
/// The row is written at most every tenth of the idle time, so that looking at seats stays a read.
pub(super) async fn touch(db: &Db, id: QueueTokenId) -> Result<Option<Touched>, Fault> {
    const SQL: &str = "
        WITH start AS MATERIALIZED (SELECT clock_timestamp() AS now),
        token AS MATERIALIZED (
            SELECT t.id, t.status, t.activated_at, t.expires_at, w.idle_seconds, w.active_seconds
            FROM start, queue_token t JOIN waiting_room w ON w.schedule_id = t.schedule_id
            WHERE t.id = $1 AND t.status = 'ACTIVE'
              AND t.last_action_at < start.now - make_interval(secs => w.idle_seconds / 10.0)
            FOR NO KEY UPDATE OF t
        ),
        -- The time under the lock. Asked for among the conditions above it would be that of before: where a lock is given up
        -- without a change, Postgres does not ask again.
        clock AS MATERIALIZED (SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM token) every),
        touched AS (
            UPDATE queue_token t
            SET last_action_at = clock.now, version = t.version + 1,
                expires_at = greatest(t.expires_at, active_until(token.activated_at, clock.now, token.idle_seconds, token.active_seconds))
            FROM token, clock
            WHERE t.id = token.id AND token.status = 'ACTIVE' AND token.expires_at > clock.now
            RETURNING t.id, t.version, t.expires_at, t.last_action_at
        )
        SELECT CASE WHEN t.status = 'ACTIVE' AND t.expires_at <= clock.now THEN 'EXPIRED' ELSE t.status END AS status,
               touched.id IS NOT NULL AS touched, t.number, t.person_id, t.activated_at, t.ended_because,
               coalesce(touched.version, t.version) AS version,
               coalesce(touched.expires_at, t.expires_at) AS expires_at,
               extract(epoch FROM least(
                   coalesce(touched.last_action_at, t.last_action_at) + make_interval(secs => w.idle_seconds / 10.0),
                   coalesce(touched.expires_at, t.expires_at)) - clock.now)::float8 AS quiet_seconds
        FROM queue_token t
        JOIN waiting_room w ON w.schedule_id = t.schedule_id
        CROSS JOIN clock
        LEFT JOIN touched ON touched.id = t.id
        WHERE t.id = $1";
    let row: Option<TouchRow> = db.row(SQL, vec![id.into()]).await?;
    Ok(row.map(|row| {
        let change = Change::from(row.change);
        let quiet = row.quiet_seconds.and_then(|left| Duration::try_from_secs_f64(left).ok());
        let found = quiet.filter(|_| row.status == QueueStatus::Active).map(|quiet| Found {
            id,
            number: change.number,
            version: change.version,
            quiet,
        });
        Touched { status: row.status, change: row.touched.then_some(change), found }
    }))
}

#[derive(Debug, FromQueryResult)]
struct TouchedRow {
    schedule_id: ScheduleId,
    #[sea_orm(nested)]
    change: journal::ChangeRow,
}

/// [`touch`] for many tokens: the changes of those that were written. Nobody's lock is waited for.
pub(super) async fn touch_all(
    db: &Db,
    ids: &[QueueTokenId],
) -> Result<Vec<(ScheduleId, Change)>, Fault> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
        due AS MATERIALIZED (
            SELECT held.id, room.idle_seconds, room.active_seconds
            FROM clock, unnest($1::uuid[]) AS ask (id),
            LATERAL (SELECT t.schedule_id, t.last_action_at FROM queue_token t WHERE t.id = ask.id OFFSET 0) seen,
            LATERAL (SELECT w.idle_seconds, w.active_seconds FROM waiting_room w
                     WHERE w.schedule_id = seen.schedule_id
                       AND seen.last_action_at < clock.now - make_interval(secs => w.idle_seconds / 10.0) OFFSET 0) room,
            LATERAL (SELECT t.id, t.status, t.expires_at FROM queue_token t WHERE t.id = ask.id
                     OFFSET 0 FOR NO KEY UPDATE SKIP LOCKED) held
            WHERE held.status = 'ACTIVE' AND held.expires_at > clock.now
        )
        UPDATE queue_token t
        SET last_action_at = clock.now, version = t.version + 1,
            expires_at = greatest(t.expires_at, active_until(t.activated_at, clock.now, due.idle_seconds, due.active_seconds))
        FROM due, clock
        WHERE t.id = due.id
        RETURNING t.schedule_id, t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at, t.ended_because";
    let rows: Vec<TouchedRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    Ok(rows.into_iter().map(|row| (row.schedule_id, row.change.into())).collect())
}

/// A room's settings and how it stands, apart from who is WAITING.
#[derive(Debug, Clone, FromQueryResult)]
pub(super) struct RoomRow {
    pub schedule_id: ScheduleId,
    pub now: Timestamp,
    pub organizer_id: PersonId,
    pub schedule_status: String,
    pub sales_open_at: Timestamp,
    pub sales_close_at: Timestamp,
    pub paused: bool,
    pub draw_commitment: Vec<u8>,
    /// Only once the draw is over.
    pub draw_secret: Option<Vec<u8>>,
    pub sold_out: bool,
    pub none_free: bool,
    pub max_active: i32,
    pub admit_per_round: i32,
    pub round_ms: i32,
    pub active: i64,
    pub admitted: i64,
    pub passed_over: i64,
    pub absent: i64,
    pub gave_up: i64,
    pub freed: i64,
    pub active_ms: i64,
}

impl RoomRow {
    pub(super) fn facts(&self) -> RoomFacts {
        RoomFacts {
            now: self.now,
            on_sale: self.schedule_status == "ON_SALE",
            sales_open_at: self.sales_open_at,
            sales_close_at: self.sales_close_at,
            paused: self.paused,
            sold_out: self.sold_out,
            none_free: self.none_free,
        }
    }

    /// How the draw stands.
    pub(super) fn draw(&self) -> Result<Draw, Fault> {
        let bytes = |bytes: &[u8]| {
            <[u8; DRAW_SECRET_BYTES]>::try_from(bytes)
                .map_err(|_| Fault::internal("a draw's secret of another length"))
        };
        Ok(Draw {
            commitment: bytes(&self.draw_commitment)?,
            secret: self.draw_secret.as_deref().map(bytes).transpose()?,
        })
    }

    pub(super) const fn line(&self) -> Line {
        Line {
            admitted: self.admitted,
            passed_over: self.passed_over,
            absent: self.absent,
            gave_up: self.gave_up,
            freed: self.freed,
            active_ms: self.active_ms,
        }
    }
}

/// How some rooms stand, and how their lines moved within [`rules::LINE_WINDOW`].
pub(super) async fn rooms(db: &Db, ids: &[ScheduleId]) -> Result<Vec<RoomRow>, Fault> {
    const SQL: &str = include_str!("rooms.sql");
    let window = rules::LINE_WINDOW.as_secs_f64();
    Ok(db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0)), window.into()]).await?)
}

/// How a room stands, as [`rooms`] tells it.
pub(super) async fn room(db: &Db, schedule_id: ScheduleId) -> Result<Option<RoomRow>, Fault> {
    Ok(rooms(db, &[schedule_id]).await?.pop())
}

#[derive(Debug, FromQueryResult)]
struct CountRow {
    schedule_id: ScheduleId,
    count: i64,
}

/// How many are WAITING in some rooms, by the journal. Rooms where nobody waits are left out.
pub(super) async fn waiting_counts(
    db: &Db,
    ids: &[ScheduleId],
) -> Result<HashMap<ScheduleId, i64>, Fault> {
    const SQL: &str = "SELECT schedule_id, count(*) AS count FROM queue_token
                       WHERE schedule_id = ANY($1) AND status = 'WAITING' GROUP BY schedule_id";
    let rows: Vec<CountRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    Ok(rows.into_iter().map(|row| (row.schedule_id, row.count)).collect())
}

/// Which numbers of a room were passed over within this time, and are so still.
pub(super) async fn passed_over(
    db: &Db,
    schedule_id: ScheduleId,
    within: Duration,
) -> Result<Vec<i64>, Fault> {
    const SQL: &str = "
        SELECT number FROM queue_token
        WHERE schedule_id = $1 AND status = 'WAITING' AND passed_over_at IS NOT NULL
          AND passed_over_at > clock_timestamp() - make_interval(secs => $2)";
    let values = vec![schedule_id.into(), within.as_secs_f64().into()];
    let rows: Vec<journal::NumberRow> = db.rows(SQL, values).await?;
    Ok(rows.into_iter().map(|row| row.number).collect())
}

/// Says that the people with these numbers are back; how many of them had been passed over.
pub(super) async fn welcome(
    db: &Db,
    schedule_id: ScheduleId,
    numbers: &[i64],
) -> Result<u64, Fault> {
    const SQL: &str = "
        WITH back AS MATERIALIZED (
            SELECT id FROM queue_token
            WHERE schedule_id = $1 AND number = ANY($2) AND status = 'WAITING' AND passed_over_at IS NOT NULL
            ORDER BY number
            FOR NO KEY UPDATE
        )
        UPDATE queue_token t SET passed_over_at = NULL FROM back WHERE t.id = back.id";
    Ok(db.run(SQL, vec![schedule_id.into(), bigints(numbers.iter().copied())]).await?)
}
