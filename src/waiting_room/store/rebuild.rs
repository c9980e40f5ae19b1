//! Reading the journal to build the index of a line from it, and to compare the two.

use sea_orm::FromQueryResult;

use super::journal::PlaceRow;
use crate::{
    db::{Db, Session},
    kernel::{Fault, PersonId, ScheduleId, Timestamp},
};

#[derive(Debug, FromQueryResult)]
struct GenerationRow {
    generation: i64,
    now: Timestamp,
}

/// Starts a new generation of a room's index; its number, and the database's clock before anything of the line is read.
pub(in crate::waiting_room) async fn next_generation(
    db: &Db,
    schedule_id: ScheduleId,
) -> Result<(i64, Timestamp), Fault> {
    const SQL: &str = "
        UPDATE admission SET generation = generation + 1 WHERE schedule_id = $1
        RETURNING generation, clock_timestamp() AS now";
    let row: Option<GenerationRow> = db.row(SQL, vec![schedule_id.into()]).await?;
    row.map(|row| (row.generation, row.now))
        .ok_or(Fault::internal("a schedule without an admission row"))
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
/// `lua/line.lua`). Where one has come and another is gone, the count alone would not tell.
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
