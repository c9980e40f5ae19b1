//! A room's own rows: its settings, its counter, and the row that its rounds lock.

use sea_orm::{FromQueryResult, Value};

use crate::{
    db::{Session, Tx},
    kernel::{Fault, PersonId, ScheduleId},
    waiting_room::WaitingRoomSettings,
};

#[derive(Debug, FromQueryResult)]
struct SettingsRow {
    max_active: i32,
    admit_per_round: i32,
    round_ms: i32,
    idle_seconds: i32,
    active_seconds: i32,
    paused: bool,
}

impl From<SettingsRow> for WaitingRoomSettings {
    fn from(row: SettingsRow) -> Self {
        let SettingsRow {
            max_active,
            admit_per_round,
            round_ms,
            idle_seconds,
            active_seconds,
            paused,
        } = row;
        Self { max_active, admit_per_round, round_ms, idle_seconds, active_seconds, paused }
    }
}

fn values(id: ScheduleId, settings: WaitingRoomSettings) -> Vec<Value> {
    vec![
        id.into(),
        settings.max_active.into(),
        settings.admit_per_round.into(),
        settings.round_ms.into(),
        settings.idle_seconds.into(),
        settings.active_seconds.into(),
        settings.paused.into(),
    ]
}

/// Makes a room, and the rows that its line is counted in.
pub(in crate::waiting_room) async fn insert(
    tx: &Tx,
    id: ScheduleId,
    settings: WaitingRoomSettings,
) -> Result<(), Fault> {
    const SQL: &str = "
        WITH counter AS (
            INSERT INTO queue_counter (schedule_id) VALUES ($1)
        ), admissions AS (
            INSERT INTO admission (schedule_id) VALUES ($1)
        )
        INSERT INTO waiting_room (schedule_id, max_active, admit_per_round, round_ms, idle_seconds, active_seconds, paused)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    tx.run(SQL, values(id, settings)).await?;
    Ok(())
}

/// Locks the room of a schedule of this organizer until the transaction ends.
pub(in crate::waiting_room) async fn lock(
    tx: &Tx,
    id: ScheduleId,
    organizer: PersonId,
) -> Result<Option<WaitingRoomSettings>, Fault> {
    const SQL: &str = "
        SELECT w.max_active, w.admit_per_round, w.round_ms, w.idle_seconds, w.active_seconds, w.paused
        FROM waiting_room w JOIN schedule s ON s.id = w.schedule_id JOIN concert c ON c.id = s.concert_id
        WHERE w.schedule_id = $1 AND c.organizer_id = $2
        FOR NO KEY UPDATE OF w";
    let row: Option<SettingsRow> = tx.row(SQL, vec![id.into(), organizer.into()]).await?;
    Ok(row.map(WaitingRoomSettings::from))
}

/// Writes the settings of a room that is locked.
pub(in crate::waiting_room) async fn update(
    tx: &Tx,
    id: ScheduleId,
    settings: WaitingRoomSettings,
) -> Result<(), Fault> {
    const SQL: &str = "
        UPDATE waiting_room SET max_active = $2, admit_per_round = $3, round_ms = $4, idle_seconds = $5,
               active_seconds = $6, paused = $7
        WHERE schedule_id = $1";
    tx.run(SQL, values(id, settings)).await?;
    Ok(())
}

/// Ends a draw that nobody can have entered, because it is just being opened and its time has come.
pub(in crate::waiting_room) async fn skip_draw(tx: &Tx, id: ScheduleId) -> Result<(), Fault> {
    const SQL: &str = "
        UPDATE waiting_room w SET drawn_at = clock_timestamp() FROM schedule s
        WHERE w.schedule_id = $1 AND s.id = $1 AND w.drawn_at IS NULL AND s.sales_open_at <= clock_timestamp()";
    tx.run(SQL, vec![id.into()]).await?;
    Ok(())
}

/// Makes a round let go that is under way, and has counted by what was true before: it finds another version. Once this
/// transaction is committed, nobody is admitted any more by what was true before.
///
/// Waits for a round that has the lock already.
pub(in crate::waiting_room) async fn interrupt_rounds(
    tx: &Tx,
    id: ScheduleId,
) -> Result<(), Fault> {
    const SQL: &str = "UPDATE admission SET version = version + 1 WHERE schedule_id = $1";
    tx.run(SQL, vec![id.into()]).await?;
    Ok(())
}
