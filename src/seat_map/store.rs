//! Reading a hall from Postgres.

use std::sync::Arc;

use sea_orm::FromQueryResult;

use super::{
    SeatChange, SeatStatus,
    board::{BoardSeat, SeatPlace, Tally},
};
use crate::{
    db::{Db, Session, text_column},
    kernel::{Fault, Points, ScheduleId, SeatId, Timestamp, into_composed},
};

text_column!(SeatStatus);

#[derive(Debug, FromQueryResult)]
struct SeatRow {
    id: SeatId,
    section: String,
    row_label: String,
    row_index: i32,
    number: i32,
    grade: String,
    price: Points,
    preference: i32,
    status: SeatStatus,
    version: i32,
    hold_expires_at: Option<Timestamp>,
    now: Timestamp,
}

/// All seats of a performance in the order of the hall, and the database's clock.
pub(super) async fn seats(
    db: &Db,
    schedule_id: ScheduleId,
) -> Result<(Option<Timestamp>, Vec<BoardSeat>), Fault> {
    const SQL: &str = "
        SELECT id, section, row_label, row_index, number, grade, price, preference, status, version,
               hold_expires_at, statement_timestamp() AS now
        FROM seat WHERE schedule_id = $1
        ORDER BY section, row_index, number";
    let rows: Vec<SeatRow> = db.rows(SQL, vec![schedule_id.into()]).await?;
    let now = rows.first().map(|row| row.now);
    let seat = |row: SeatRow| BoardSeat {
        place: Arc::new(SeatPlace {
            id: row.id,
            section: into_composed(row.section),
            row: row.row_label,
            row_index: row.row_index,
            number: row.number,
            grade: into_composed(row.grade),
            price: row.price,
            preference: row.preference,
        }),
        status: row.status,
        version: row.version,
        hold_expires_at: row.hold_expires_at,
    };
    Ok((now, rows.into_iter().map(seat).collect()))
}

#[derive(Debug, FromQueryResult)]
struct TallyRow {
    seats: i64,
    versions: i64,
}

/// What a hall comes to: a scan, and one row to send.
pub(super) async fn tally(db: &Db, schedule_id: ScheduleId) -> Result<Tally, Fault> {
    const SQL: &str = "
        SELECT count(*) AS seats, coalesce(sum(version), 0) AS versions
        FROM seat WHERE schedule_id = $1";
    let row: Option<TallyRow> = db.row(SQL, vec![schedule_id.into()]).await?;
    let empty = TallyRow { seats: 0, versions: 0 };
    let TallyRow { seats, versions } = row.unwrap_or(empty);
    Ok(Tally { seats, versions })
}

#[derive(Debug, FromQueryResult)]
struct StateRow {
    id: SeatId,
    status: SeatStatus,
    version: i32,
    hold_expires_at: Option<Timestamp>,
}

/// How all seats of a performance stand; cheaper than the whole hall, and in no order.
pub(super) async fn states(db: &Db, schedule_id: ScheduleId) -> Result<Vec<SeatChange>, Fault> {
    const SQL: &str = "
        SELECT id, status, version, hold_expires_at FROM seat WHERE schedule_id = $1";
    let rows: Vec<StateRow> = db.rows(SQL, vec![schedule_id.into()]).await?;
    let state = |row: StateRow| SeatChange {
        seat_id: row.id,
        status: row.status,
        version: row.version,
        hold_expires_at: row.hold_expires_at,
    };
    Ok(rows.into_iter().map(state).collect())
}
