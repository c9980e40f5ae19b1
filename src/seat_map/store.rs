//! Reading a hall from Postgres.

use std::sync::Arc;

use sea_orm::FromQueryResult;

use super::board::{BoardSeat, SeatPlace};
use crate::{
    db::{Db, Session},
    kernel::{Fault, Points, ScheduleId, SeatId, Timestamp},
    reservation::SeatStatus,
};

#[derive(Debug, FromQueryResult)]
struct SeatRow {
    id: SeatId,
    section: String,
    row_label: String,
    number: i32,
    grade: String,
    price: Points,
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
        SELECT id, section, row_label, number, grade, price, status, version, hold_expires_at,
               statement_timestamp() AS now
        FROM seat WHERE schedule_id = $1
        ORDER BY section, row_index, number";
    let rows: Vec<SeatRow> = db.rows(SQL, vec![schedule_id.into()]).await?;
    let now = rows.first().map(|row| row.now);
    let seat = |row: SeatRow| BoardSeat {
        place: Arc::new(SeatPlace {
            id: row.id,
            section: row.section,
            row: row.row_label,
            number: row.number,
            grade: row.grade,
            price: row.price,
        }),
        status: row.status,
        version: row.version,
        hold_expires_at: row.hold_expires_at,
    };
    Ok((now, rows.into_iter().map(seat).collect()))
}
