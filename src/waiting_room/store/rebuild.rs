//! Reading the journal to build the index of a line from it, and to compare the two.

use std::time::Duration;

use sea_orm::FromQueryResult;

use super::journal::PlaceRow;
use crate::{
    db::{Db, Session},
    kernel::{Fault, PersonId, ScheduleId, Timestamp},
};

#[derive(Debug, FromQueryResult)]
pub(in crate::waiting_room) struct Generation {
    /// The number of the generation.
    pub generation: i64,
    /// The database's clock before anything of the line is read.
    pub now: Timestamp,
    /// The last number that was given out by then, or a little earlier.
    pub last_number: i64,
    /// Whether the sale is over and everybody was sent home.
    pub drained: bool,
}

/// Starts a new generation of a room's index.
pub(in crate::waiting_room) async fn next_generation(
    db: &Db,
    schedule_id: ScheduleId,
) -> Result<Generation, Fault> {
    const SQL: &str = "
        UPDATE admission a SET generation = a.generation + 1
        FROM waiting_room w JOIN queue_counter c USING (schedule_id)
        WHERE a.schedule_id = $1 AND w.schedule_id = a.schedule_id
        RETURNING a.generation, clock_timestamp() AS now, c.last_number, w.drained_at IS NOT NULL AS drained";
    let row: Option<Generation> = db.row(SQL, vec![schedule_id.into()]).await?;
    row.ok_or(Fault::internal("a schedule without an admission row"))
}

#[derive(Debug, FromQueryResult)]
struct IdRow {
    schedule_id: ScheduleId,
}

/// The rooms from which the last people were sent home a while ago at most.
pub(in crate::waiting_room) async fn drained_within(
    db: &Db,
    while_ago: Duration,
) -> Result<Vec<ScheduleId>, Fault> {
    const SQL: &str = "
        SELECT schedule_id FROM waiting_room
        WHERE drained_at > clock_timestamp() - make_interval(secs => $1)
        ORDER BY drained_at DESC LIMIT 1000";
    let rows: Vec<IdRow> = db.rows(SQL, vec![while_ago.as_secs_f64().into()]).await?;
    Ok(rows.into_iter().map(|row| row.schedule_id).collect())
}

/// The people with drawn numbers behind `number` who entered after an instant, in order, at most `limit`. Their numbers do
/// not grow with time.
pub(in crate::waiting_room) async fn drawn_after(
    db: &Db,
    schedule_id: ScheduleId,
    number: i64,
    since: Timestamp,
    limit: i64,
) -> Result<Vec<(PersonId, i64)>, Fault> {
    const SQL: &str = "
        SELECT person_id, number FROM queue_token
        WHERE schedule_id = $1 AND status = 'WAITING' AND number > $2 AND number < 0 AND entered_at > $3
        ORDER BY number LIMIT $4";
    let values = vec![schedule_id.into(), number.into(), since.into(), limit.into()];
    let rows: Vec<PlaceRow> = db.rows(SQL, values).await?;
    Ok(rows.into_iter().map(PlaceRow::split).collect())
}

/// A line as the journal has it: how many people, and what their numbers add up to, each taken modulo 1,000,003 (as in
/// `index/lua/line.lua`). Where one has come and another is gone, the count alone would not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub(in crate::waiting_room) struct Tally {
    pub schedule_id: ScheduleId,
    pub waiting: i64,
    pub sum: i64,
}

/// The lines of all rooms that are not over, in one statement. Empty ones too: the index may have somebody in there.
pub(in crate::waiting_room) async fn lines(db: &Db) -> Result<Vec<Tally>, Fault> {
    const SQL: &str = "
        SELECT w.schedule_id, coalesce(line.waiting, 0) AS waiting, coalesce(line.sum, 0) AS sum
        FROM waiting_room w
        JOIN schedule s ON s.id = w.schedule_id
        LEFT JOIN (SELECT schedule_id, count(*) AS waiting, sum((abs(number) % 1000003)::integer) AS sum
                   FROM queue_token WHERE status = 'WAITING' GROUP BY schedule_id) line USING (schedule_id)
        WHERE s.status <> 'DRAFT' AND (w.drained_at IS NULL OR line.waiting > 0)";
    Ok(db.rows(SQL, vec![]).await?)
}

/// The line of one room.
pub(in crate::waiting_room) async fn line(
    db: &Db,
    schedule_id: ScheduleId,
) -> Result<Tally, Fault> {
    const SQL: &str = "
        SELECT $1 AS schedule_id, count(*) AS waiting, coalesce(sum((abs(number) % 1000003)::integer), 0) AS sum
        FROM queue_token WHERE schedule_id = $1 AND status = 'WAITING'";
    let row: Option<Tally> = db.row(SQL, vec![schedule_id.into()]).await?;
    row.ok_or(Fault::internal("a count without a row"))
}
