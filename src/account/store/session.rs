//! Tables `session` and `ended_session`.

use std::time::Duration;

use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::PersonRow;
use crate::{
    account::{EndedSession, Person, refresh_token::Hashes, rules::RefreshFacts},
    db::{Db, Session, Tx},
    kernel::{Fault, PersonId, SessionId, Timestamp},
};

/// How long tokens live.
#[derive(Debug, Clone, Copy)]
pub(in crate::account) struct Times {
    pub access: Duration,
    pub refresh: Duration,
    /// A session in all.
    pub session: Duration,
}

/// How long a session that is over by itself is kept, so that whoever comes late is told why.
const KEPT: Duration = Duration::from_secs(86_400);

/// A session that was just given out.
#[derive(Debug)]
pub(in crate::account) struct Open {
    pub session_id: SessionId,
    pub refreshed_at: Timestamp,
    pub expires_at: Timestamp,
    /// When the session ends, however often it is refreshed.
    pub ends_at: Timestamp,
    pub person: Person,
}

#[derive(Debug, FromQueryResult)]
struct OpenRow {
    session_id: SessionId,
    refreshed_at: Timestamp,
    expires_at: Timestamp,
    ends_at: Timestamp,
    #[sea_orm(nested)]
    person: PersonRow,
}

impl From<OpenRow> for Open {
    fn from(row: OpenRow) -> Self {
        let OpenRow { session_id, refreshed_at, expires_at, ends_at, person } = row;
        Self { session_id, refreshed_at, expires_at, ends_at, person: person.into() }
    }
}

/// Opens a session; one of this id that is there begins anew, with a new refresh token, and the ones before are none any more.
pub(in crate::account) async fn open(
    tx: &Tx,
    id: SessionId,
    person_id: PersonId,
    hashes: &Hashes,
    times: Times,
) -> Result<Open, Fault> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
        open AS (
            INSERT INTO session AS s (id, person_id, family, secret, opened_at, refreshed_at, expires_at, access_until)
            SELECT $1, $2, $3, $4, now, now, now + make_interval(secs => least($5, $7)), now + make_interval(secs => least($6, $7))
            FROM clock
            ON CONFLICT (id) DO UPDATE
            SET family = excluded.family, secret = excluded.secret, previous = NULL, salt = NULL,
                opened_at = excluded.opened_at, refreshed_at = excluded.refreshed_at, expires_at = excluded.expires_at,
                access_until = greatest(s.access_until, excluded.access_until)
            RETURNING s.id, s.person_id, s.refreshed_at, s.expires_at, s.opened_at + make_interval(secs => $7) AS ends_at
        )
        SELECT open.id AS session_id, open.refreshed_at, open.expires_at, open.ends_at,
               p.id, p.email, p.name, p.role, p.created_at, p.erased_at IS NOT NULL AS erased
        FROM open JOIN person p ON p.id = open.person_id";
    let values = vec![
        id.into(),
        person_id.into(),
        hashes.family.clone().into(),
        hashes.secret.clone().into(),
        times.refresh.as_secs_f64().into(),
        times.access.as_secs_f64().into(),
        times.session.as_secs_f64().into(),
    ];
    let row: Option<OpenRow> = tx.row(SQL, values).await?;
    row.map(Open::from).ok_or(Fault::internal("a session was opened and is not there"))
}

/// Goes on with a session whose present refresh token is `now`: `next` is the present one then, and `now` the one before.
pub(in crate::account) async fn rotate(
    db: &Db,
    now: &Hashes,
    next: &Hashes,
    salt: Uuid,
    times: Times,
) -> Result<Option<Open>, Fault> {
    const SQL: &str = "
        UPDATE session s
        SET previous = s.secret, secret = $3, salt = $4, refreshed_at = clock.now,
            expires_at = least(clock.now + make_interval(secs => $5), s.opened_at + make_interval(secs => $7)),
            access_until = greatest(s.access_until,
                                    least(clock.now + make_interval(secs => $6), s.opened_at + make_interval(secs => $7)))
        FROM (SELECT clock_timestamp() AS now) clock, person p
        WHERE s.family = $1 AND s.secret = $2 AND s.expires_at > clock.now
          AND s.opened_at + make_interval(secs => $7) > clock.now AND p.id = s.person_id AND p.erased_at IS NULL
        RETURNING s.id AS session_id, s.refreshed_at, s.expires_at, s.opened_at + make_interval(secs => $7) AS ends_at, p.id, p.email, p.name, p.role, p.created_at, false AS erased";
    let values = vec![
        now.family.clone().into(),
        now.secret.clone().into(),
        next.secret.clone().into(),
        salt.into(),
        times.refresh.as_secs_f64().into(),
        times.access.as_secs_f64().into(),
        times.session.as_secs_f64().into(),
    ];
    let row: Option<OpenRow> = db.row(SQL, values).await?;
    Ok(row.map(Open::from))
}

/// The session of a refresh token, and what the token is to it.
#[derive(Debug)]
pub(in crate::account) struct Found {
    pub facts: RefreshFacts,
    pub salt: Option<Uuid>,
    pub open: Open,
}

/// Looks for the session that a refresh token belongs, or belonged, to.
pub(in crate::account) async fn find(
    db: &Db,
    token: &Hashes,
    times: Times,
) -> Result<Option<Found>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        present: bool,
        previous: bool,
        gone: bool,
        aged: bool,
        unused: bool,
        since_seconds: f64,
        salt: Option<Uuid>,
        #[sea_orm(nested)]
        open: OpenRow,
    }
    const SQL: &str = "
        SELECT s.secret = $2 AS present, coalesce(s.previous = $2, false) AS previous,
               p.erased_at IS NOT NULL AS gone, s.opened_at + make_interval(secs => $3) <= clock.now AS aged,
               s.expires_at <= clock.now AS unused,
               extract(epoch FROM clock.now - s.refreshed_at)::float8 AS since_seconds, s.salt,
               s.id AS session_id, s.refreshed_at, s.expires_at, s.opened_at + make_interval(secs => $3) AS ends_at,
               p.id, p.email, p.name, p.role, p.created_at, p.erased_at IS NOT NULL AS erased
        FROM (SELECT clock_timestamp() AS now) clock, session s JOIN person p ON p.id = s.person_id
        WHERE s.family = $1";
    let values = vec![
        token.family.clone().into(),
        token.secret.clone().into(),
        times.session.as_secs_f64().into(),
    ];
    let row: Option<Row> = db.row(SQL, values).await?;
    Ok(row.map(|row| Found {
        facts: RefreshFacts {
            present: row.present,
            previous: row.previous,
            gone: row.gone,
            aged: row.aged,
            unused: row.unused,
            since: Duration::try_from_secs_f64(row.since_seconds).unwrap_or_default(),
        },
        salt: row.salt,
        open: row.open.into(),
    }))
}

#[derive(Debug, FromQueryResult)]
struct EndedRow {
    session_id: SessionId,
    until: Timestamp,
}

impl From<EndedRow> for EndedSession {
    fn from(EndedRow { session_id, until }: EndedRow) -> Self {
        Self { id: session_id, until }
    }
}

/// Ends a person's sessions but one, and but the `spared` ones that were refreshed last.
pub(in crate::account) async fn end_others(
    tx: &Tx,
    person_id: PersonId,
    but: SessionId,
    spared: i64,
    times: Times,
) -> Result<Vec<EndedSession>, Fault> {
    const SQL: &str = "
        WITH over AS MATERIALIZED (
            SELECT s.id, s.access_until FROM session s
            WHERE s.person_id = $1 AND s.id <> $2
            ORDER BY s.refreshed_at DESC, s.id DESC OFFSET $3
            FOR NO KEY UPDATE
        ),
        deleted AS (DELETE FROM session s USING over WHERE s.id = over.id)
        INSERT INTO ended_session (session_id, until)
        SELECT over.id, greatest(over.access_until, clock_timestamp() + make_interval(secs => $4)) FROM over
        ON CONFLICT (session_id) DO NOTHING
        RETURNING session_id, until";
    let values =
        vec![person_id.into(), but.into(), spared.into(), times.access.as_secs_f64().into()];
    let rows: Vec<EndedRow> = tx.rows(SQL, values).await?;
    Ok(rows.into_iter().map(EndedSession::from).collect())
}

/// Ends one session, whose access tokens are known to last until `until`; whether it was there to be refreshed. Nothing is
/// noted when no token of it lives.
pub(in crate::account) async fn end_one(
    db: &impl Session,
    id: SessionId,
    until: Timestamp,
) -> Result<(Vec<EndedSession>, bool), Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        session_id: SessionId,
        until: Timestamp,
        found: bool,
        lives: bool,
    }
    const SQL: &str = "
        WITH deleted AS (DELETE FROM session s WHERE s.id = $1 RETURNING s.access_until),
        last AS MATERIALIZED (SELECT greatest($2, (SELECT d.access_until FROM deleted d)) AS until),
        noted AS (
            INSERT INTO ended_session (session_id, until)
            SELECT $1, last.until FROM last WHERE last.until > clock_timestamp()
            ON CONFLICT (session_id) DO NOTHING
        )
        SELECT $1::uuid AS session_id, last.until, EXISTS (SELECT FROM deleted) AS found, last.until > clock_timestamp() AS lives
        FROM last";
    let row: Option<Row> = db.row(SQL, vec![id.into(), until.into()]).await?;
    let row = row.ok_or(Fault::internal("a SELECT without FROM returned no row"))?;
    let ended = EndedSession { id: row.session_id, until: row.until };
    Ok((if row.lives { vec![ended] } else { Vec::new() }, row.found))
}

/// Sessions that ended before their time and have tokens that are not over: all, or those that ended within some time.
pub(in crate::account) async fn ended(
    db: &Db,
    within: Option<Duration>,
) -> Result<Vec<EndedSession>, Fault> {
    const ALL: &str = "SELECT session_id, until FROM ended_session WHERE until > clock_timestamp()";
    const LATELY: &str = "
        SELECT session_id, until FROM ended_session
        WHERE ended_at > clock_timestamp() - make_interval(secs => $1) AND until > clock_timestamp()";
    let rows: Vec<EndedRow> = match within {
        None => db.rows(ALL, vec![]).await?,
        Some(within) => db.rows(LATELY, vec![within.as_secs_f64().into()]).await?,
    };
    Ok(rows.into_iter().map(EndedSession::from).collect())
}

/// Deletes what is over; `true` when there may be more.
pub(in crate::account) async fn tidy(db: &Db) -> Result<bool, Fault> {
    /// Rows of a table that one statement deletes.
    const BATCH: u64 = 1_000;
    const SESSIONS: &str = "
        WITH over AS MATERIALIZED (
            SELECT s.id FROM session s WHERE s.expires_at <= clock_timestamp() - make_interval(secs => $2)
            ORDER BY s.expires_at LIMIT $1
            FOR NO KEY UPDATE SKIP LOCKED
        )
        DELETE FROM session s USING over WHERE s.id = over.id";
    const ENDED: &str = "
        WITH over AS MATERIALIZED (
            SELECT e.session_id FROM ended_session e WHERE e.until <= clock_timestamp()
            ORDER BY e.until LIMIT $1
            FOR NO KEY UPDATE SKIP LOCKED
        )
        DELETE FROM ended_session e USING over WHERE e.session_id = over.session_id";
    let batch = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let sessions = db.run(SESSIONS, vec![batch.into(), KEPT.as_secs_f64().into()]).await?;
    let ended = db.run(ENDED, vec![batch.into()]).await?;
    Ok(sessions >= BATCH || ended >= BATCH)
}
