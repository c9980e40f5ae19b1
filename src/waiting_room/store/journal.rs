//! Reads the journal: the people who entered, who left, who are in line. Also lets them leave, and ends what has lapsed.

use sea_orm::FromQueryResult;

use super::TokenRow;
use crate::{
    db::{Db, Session, Tx, bigints, uuids},
    kernel::{Fault, PersonId, ScheduleId, Timestamp},
    waiting_room::{Change, Entrant, QueueEnd, QueueStatus, QueueToken},
};

/// Ends the person's live token; `None` when there is none.
pub(in crate::waiting_room) async fn leave(
    db: &Db,
    schedule_id: ScheduleId,
    person_id: PersonId,
) -> Result<Option<QueueToken>, Fault> {
    const SQL: &str = "
        UPDATE queue_token
        SET status = 'EXPIRED', ended_at = clock_timestamp(),
            ended_because = why_ended(status, activated_at, expires_at, clock_timestamp(),
                                      (SELECT w.active_seconds FROM waiting_room w WHERE w.schedule_id = $1), 'LEFT')
        WHERE schedule_id = $1 AND person_id = $2 AND status IN ('WAITING', 'ACTIVE')
        RETURNING id, schedule_id, person_id, number, status, version, entered_at, passed_over_at, activated_at, expires_at,
                  ended_because, clock_timestamp() AS now";
    let row: Option<TokenRow> = db.row(SQL, vec![schedule_id.into(), person_id.into()]).await?;
    Ok(row.map(QueueToken::from))
}

#[derive(Debug, FromQueryResult)]
struct LeftRow {
    schedule_id: ScheduleId,
    #[sea_orm(nested)]
    change: ChangeRow,
}

/// Ends all live tokens of a person.
pub(in crate::waiting_room) async fn leave_all(
    tx: &Tx,
    person_id: PersonId,
) -> Result<Vec<(ScheduleId, Change)>, Fault> {
    const SQL: &str = "
        WITH live AS MATERIALIZED (
            SELECT id FROM queue_token
            WHERE person_id = $1 AND status IN ('WAITING', 'ACTIVE')
            ORDER BY number
            FOR NO KEY UPDATE
        )
        UPDATE queue_token t SET status = 'EXPIRED', ended_at = clock_timestamp(), ended_because = 'LEFT'
        FROM live WHERE t.id = live.id
        RETURNING t.schedule_id, t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at, t.ended_because";
    let rows: Vec<LeftRow> = tx.rows(SQL, vec![person_id.into()]).await?;
    Ok(rows.into_iter().map(|row| (row.schedule_id, row.change.into())).collect())
}

/// Ends live tokens of people whose account was deleted within the hour.
pub(in crate::waiting_room) async fn leave_erased(
    db: &Db,
) -> Result<Vec<(ScheduleId, Change)>, Fault> {
    const SQL: &str = "
        WITH live AS MATERIALIZED (
            SELECT t.id FROM person p JOIN queue_token t ON t.person_id = p.id
            WHERE p.erased_at > clock_timestamp() - interval '1 hour' AND t.status IN ('WAITING', 'ACTIVE')
            ORDER BY t.number
            FOR NO KEY UPDATE OF t SKIP LOCKED
        )
        UPDATE queue_token t SET status = 'EXPIRED', ended_at = clock_timestamp(), ended_because = 'LEFT'
        FROM live WHERE t.id = live.id
        RETURNING t.schedule_id, t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at, t.ended_because";
    let rows: Vec<LeftRow> = db.rows(SQL, vec![]).await?;
    Ok(rows.into_iter().map(|row| (row.schedule_id, row.change.into())).collect())
}

/// Ends the tokens of these people whose ACTIVE time has lapsed.
pub(in crate::waiting_room) async fn end_lapsed(
    db: &Db,
    schedule_id: ScheduleId,
    people: &[PersonId],
) -> Result<Vec<Change>, Fault> {
    const SQL: &str = "
        WITH lapsed AS MATERIALIZED (
            SELECT id FROM queue_token
            WHERE schedule_id = $1 AND person_id = ANY($2) AND status = 'ACTIVE' AND expires_at <= clock_timestamp()
            ORDER BY number
            FOR NO KEY UPDATE
        )
        UPDATE queue_token t
        SET status = 'EXPIRED', ended_at = clock_timestamp(),
            ended_because = why_ended(t.status, t.activated_at, t.expires_at, clock_timestamp(),
                                      (SELECT w.active_seconds FROM waiting_room w WHERE w.schedule_id = $1), 'IDLE')
        FROM lapsed WHERE t.id = lapsed.id
        RETURNING t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at, t.ended_because";
    let rows: Vec<ChangeRow> =
        db.rows(SQL, vec![schedule_id.into(), uuids(people.iter().map(|person| person.0))]).await?;
    Ok(rows.into_iter().map(Change::from).collect())
}

#[derive(Debug, FromQueryResult)]
pub(super) struct ChangeRow {
    pub number: i64,
    pub person_id: PersonId,
    pub status: QueueStatus,
    pub version: i64,
    pub activated_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub ended_because: Option<QueueEnd>,
}

impl From<ChangeRow> for Change {
    fn from(row: ChangeRow) -> Self {
        Self {
            number: row.number,
            person_id: row.person_id,
            status: row.status,
            version: row.version,
            activated_at: row.activated_at,
            expires_at: row.expires_at,
            was_active: false,
            ended_because: row.ended_because,
        }
    }
}

/// The people of a room who were admitted, did something while ACTIVE, or ended within the last seconds, in the order of
/// their numbers.
pub(in crate::waiting_room) async fn recent_changes(
    db: &Db,
    schedule_id: ScheduleId,
    seconds: f64,
) -> Result<Vec<Change>, Fault> {
    const SQL: &str = "
        SELECT number, person_id, status, version, activated_at, expires_at, ended_because FROM queue_token
        WHERE schedule_id = $1 AND coalesce(ended_at, activated_at) > clock_timestamp() - make_interval(secs => $2)
        UNION
        SELECT number, person_id, status, version, activated_at, expires_at, ended_because FROM queue_token
        WHERE schedule_id = $1 AND status = 'ACTIVE' AND last_action_at > clock_timestamp() - make_interval(secs => $2)
        ORDER BY number";
    let rows: Vec<ChangeRow> = db.rows(SQL, vec![schedule_id.into(), seconds.into()]).await?;
    Ok(rows.into_iter().map(Change::from).collect())
}

/// Where the people with these numbers stand.
pub(in crate::waiting_room) async fn states_of(
    db: &Db,
    schedule_id: ScheduleId,
    numbers: &[i64],
) -> Result<Vec<Change>, Fault> {
    const SQL: &str = "
        SELECT number, person_id, status, version, activated_at, expires_at, ended_because FROM queue_token
        WHERE schedule_id = $1 AND number = ANY($2)";
    let rows: Vec<ChangeRow> =
        db.rows(SQL, vec![schedule_id.into(), bigints(numbers.iter().copied())]).await?;
    Ok(rows.into_iter().map(Change::from).collect())
}

#[derive(Debug, FromQueryResult)]
pub(super) struct PlaceRow {
    person_id: PersonId,
    number: i64,
}

impl PlaceRow {
    pub(super) fn split(self) -> (PersonId, i64) {
        (self.person_id, self.number)
    }
}

/// The line behind a number, in order: people and their numbers, at most `limit`. Everybody stands behind `i64::MIN`.
pub(in crate::waiting_room) async fn line_after(
    db: &Db,
    schedule_id: ScheduleId,
    number: i64,
    limit: i64,
) -> Result<Vec<(PersonId, i64)>, Fault> {
    const SQL: &str = "
        SELECT person_id, number FROM queue_token
        WHERE schedule_id = $1 AND status = 'WAITING' AND number > $2
        ORDER BY number LIMIT $3";
    let rows: Vec<PlaceRow> =
        db.rows(SQL, vec![schedule_id.into(), number.into(), limit.into()]).await?;
    Ok(rows.into_iter().map(PlaceRow::split).collect())
}

#[derive(Debug, FromQueryResult)]
pub(super) struct NumberRow {
    pub number: i64,
}

/// The numbers of everybody WAITING in order, at most `limit`: read from an index alone, however long the line is.
pub(in crate::waiting_room) async fn numbers(
    db: &Db,
    schedule_id: ScheduleId,
    limit: i64,
) -> Result<Vec<i64>, Fault> {
    const SQL: &str = "
        SELECT number FROM queue_token WHERE schedule_id = $1 AND status = 'WAITING' ORDER BY number LIMIT $2";
    let rows: Vec<NumberRow> = db.rows(SQL, vec![schedule_id.into(), limit.into()]).await?;
    Ok(rows.into_iter().map(|row| row.number).collect())
}

#[derive(Debug, FromQueryResult)]
struct EntrantRow {
    person_id: PersonId,
    entered_at: Timestamp,
    number: i64,
}

/// Everybody who ever took part in a draw, in the order of entering.
pub(in crate::waiting_room) async fn entrants(
    db: &Db,
    schedule_id: ScheduleId,
) -> Result<Vec<Entrant>, Fault> {
    const SQL: &str = "
        SELECT person_id, entered_at, number FROM queue_token
        WHERE schedule_id = $1 AND number < 0
        ORDER BY entered_at, id";
    let rows: Vec<EntrantRow> = db.rows(SQL, vec![schedule_id.into()]).await?;
    let entrant = |EntrantRow { person_id, entered_at, number }| Entrant {
        person_id,
        entered_at,
        number: Some(number),
    };
    Ok(rows.into_iter().map(entrant).collect())
}
