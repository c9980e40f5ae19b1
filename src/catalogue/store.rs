//! Tables `concert`, `schedule`, `waiting_room` (its settings), and the making and counting of `seat`.

use std::collections::HashMap;

use sea_orm::{FromQueryResult, Value, sea_query::ArrayType};

use super::{
    Availability, Concert, Grade, NewConcert, NewSchedule, NewSection, Schedule, ScheduleFilter,
    ScheduleStatus, Search, WaitingRoomSettings,
    rules::{self, PlannedSeat},
};
use crate::{
    db::{Session, Tx, array, entity, text_column, uuids},
    kernel::{
        ConcertId, Fault, Page, PageRequest, PersonId, Points, ScheduleId, SeatId, Timestamp,
    },
};

text_column!(ScheduleStatus);

impl From<entity::concert::Model> for Concert {
    fn from(row: entity::concert::Model) -> Self {
        let entity::concert::Model {
            id,
            organizer_id,
            title,
            artist,
            venue,
            description,
            time_zone,
            created_at,
        } = row;
        Self { id, organizer_id, title, artist, venue, description, time_zone, created_at }
    }
}

#[derive(Debug, FromQueryResult)]
struct RoomRow {
    max_active: i32,
    admit_per_round: i32,
    round_ms: i32,
    idle_seconds: i32,
    active_seconds: i32,
    paused: bool,
}

impl From<RoomRow> for WaitingRoomSettings {
    fn from(row: RoomRow) -> Self {
        let RoomRow { max_active, admit_per_round, round_ms, idle_seconds, active_seconds, paused } =
            row;
        Self { max_active, admit_per_round, round_ms, idle_seconds, active_seconds, paused }
    }
}

#[derive(Debug, FromQueryResult)]
struct ScheduleRow {
    id: ScheduleId,
    concert_id: ConcertId,
    organizer_id: PersonId,
    starts_at: Timestamp,
    status: ScheduleStatus,
    sales_open_at: Timestamp,
    sales_close_at: Timestamp,
    seat_count: i32,
    max_seats_per_person: i32,
    #[sea_orm(nested)]
    room: RoomRow,
}

impl From<ScheduleRow> for Schedule {
    fn from(row: ScheduleRow) -> Self {
        Self {
            id: row.id,
            concert_id: row.concert_id,
            organizer_id: row.organizer_id,
            starts_at: row.starts_at,
            status: row.status,
            sales_open_at: row.sales_open_at,
            sales_close_at: row.sales_close_at,
            seat_count: row.seat_count,
            max_seats_per_person: row.max_seats_per_person,
            waiting_room: row.room.into(),
        }
    }
}

/// Schedules with their effective status: the end of the sale window closes, by the database's clock.
macro_rules! schedules_where {
    ($rest:literal) => {
        concat!(
            "WITH schedules AS (
                SELECT s.id, s.concert_id, c.organizer_id, s.starts_at, s.sales_open_at, s.sales_close_at,
                       s.seat_count, s.max_seats_per_person,
                       CASE WHEN s.status = 'ON_SALE' AND s.sales_close_at <= statement_timestamp()
                            THEN 'CLOSED' ELSE s.status END AS status,
                       w.max_active, w.admit_per_round, w.round_ms, w.idle_seconds, w.active_seconds, w.paused
                FROM schedule s
                JOIN concert c ON c.id = s.concert_id
                JOIN waiting_room w ON w.schedule_id = s.id
            ) ",
            $rest
        )
    };
}

pub(super) async fn concerts_page(
    db: &impl Session,
    page: &PageRequest<ConcertId>,
    search: Option<&Search>,
) -> Result<Page<Concert>, Fault> {
    // The collation knows the case of every script; that of the database may know English letters only.
    let sql = "SELECT id, organizer_id, title, artist, venue, description, time_zone, created_at FROM concert
               WHERE ($1::uuid IS NULL OR id < $1)
                 AND ($2::text IS NULL OR title COLLATE \"und-x-icu\" ILIKE $2
                      OR artist COLLATE \"und-x-icu\" ILIKE $2 OR venue COLLATE \"und-x-icu\" ILIKE $2)
               ORDER BY id DESC LIMIT $3";
    let values = vec![
        page.after.map(|id| id.0).into(),
        search.map(|search| search.pattern().to_owned()).into(),
        (i64::from(page.first) + 1).into(),
    ];
    let rows: Vec<entity::concert::Model> = db.rows(sql, values).await?;
    Ok(Page::from_rows(rows, page.first).map(Concert::from))
}

pub(super) async fn concerts(db: &impl Session, ids: &[ConcertId]) -> Result<Vec<Concert>, Fault> {
    let sql = "SELECT id, organizer_id, title, artist, venue, description, time_zone, created_at FROM concert
               WHERE id = ANY($1)";
    let rows: Vec<entity::concert::Model> =
        db.rows(sql, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    Ok(rows.into_iter().map(Concert::from).collect())
}

pub(super) async fn schedules(
    db: &impl Session,
    ids: &[ScheduleId],
) -> Result<Vec<Schedule>, Fault> {
    let sql = schedules_where!("SELECT * FROM schedules WHERE id = ANY($1)");
    let rows: Vec<ScheduleRow> = db.rows(sql, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    Ok(rows.into_iter().map(Schedule::from).collect())
}

/// Earliest first within each concert.
pub(super) async fn schedules_of(
    db: &impl Session,
    concerts: &[ConcertId],
    filter: &ScheduleFilter,
) -> Result<Vec<Schedule>, Fault> {
    let sql = schedules_where!(
        "SELECT found.* FROM unnest($1) AS asked (concert_id), LATERAL (
             SELECT * FROM schedules
             WHERE concert_id = asked.concert_id
               AND ($2::timestamptz IS NULL OR starts_at >= $2)
               AND ($3::timestamptz IS NULL OR starts_at < $3)
               AND status = ANY($4)
               AND (status <> 'DRAFT' OR organizer_id = $5)
             ORDER BY starts_at, id LIMIT 500
         ) AS found ORDER BY found.starts_at, found.id"
    );
    let values = vec![
        uuids(concerts.iter().map(|id| id.0)),
        filter.from.into(),
        filter.to.into(),
        array(ArrayType::String, filter.status.iter().map(|&status| status.into())),
        filter.viewer.map(|id| id.0).into(),
    ];
    let rows: Vec<ScheduleRow> = db.rows(sql, values).await?;
    Ok(rows.into_iter().map(Schedule::from).collect())
}

/// Counts the seats of all these schedules in one statement. A hold that has lapsed counts as free.
pub(super) async fn availability(
    db: &impl Session,
    ids: &[ScheduleId],
) -> Result<HashMap<ScheduleId, Availability>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        schedule_id: ScheduleId,
        grade: String,
        price: Points,
        total: i32,
        remaining: i32,
    }
    let sql = "SELECT schedule_id, grade, price, count(*)::int AS total,
                      (count(*) FILTER (WHERE status = 'AVAILABLE'
                           OR (status = 'HOLD' AND hold_expires_at <= statement_timestamp())))::int AS remaining
               FROM seat WHERE schedule_id = ANY($1)
               GROUP BY schedule_id, grade, price ORDER BY price DESC, grade";
    let rows: Vec<Row> = db.rows(sql, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    let mut found: HashMap<ScheduleId, Availability> = HashMap::new();
    for Row { schedule_id, grade, price, total, remaining } in rows {
        let grades = &mut found.entry(schedule_id).or_default().grades;
        grades.push(Grade { grade, price, total, remaining });
    }
    Ok(found)
}

/// `None` when Postgres does not know the time zone.
pub(super) async fn insert_concert(
    tx: &Tx,
    id: ConcertId,
    organizer: PersonId,
    new: &NewConcert,
) -> Result<Option<Concert>, Fault> {
    // Besides the zones, the view lists files of the zone database that are none.
    let sql = "INSERT INTO concert (id, organizer_id, title, artist, venue, description, time_zone)
               SELECT $1, $2, $3, $4, $5, $6, $7
               WHERE EXISTS (SELECT FROM pg_timezone_names WHERE name = $7
                             AND name !~ '^(posix|right)/' AND name NOT IN ('posixrules', 'localtime', 'Factory'))
               RETURNING id, organizer_id, title, artist, venue, description, time_zone, created_at";
    let values = vec![
        id.into(),
        organizer.into(),
        new.title.as_str().into(),
        new.artist.as_str().into(),
        new.venue.as_str().into(),
        new.description.as_str().into(),
        new.time_zone.as_str().into(),
    ];
    let row: Option<entity::concert::Model> = tx.row(sql, values).await?;
    Ok(row.map(Concert::from))
}

/// Makes the schedule, its waiting room, and the rows that its line is counted in. `false` when the organizer has no
/// such concert.
pub(super) async fn insert_schedule(
    tx: &Tx,
    id: ScheduleId,
    organizer: PersonId,
    new: &NewSchedule,
    seat_count: i32,
    room: WaitingRoomSettings,
) -> Result<bool, Fault> {
    let sql = "WITH made AS (
                   INSERT INTO schedule (id, concert_id, starts_at, sales_open_at, sales_close_at,
                                         max_seats_per_person, seat_count)
                   SELECT $1, c.id, $4, $5, $6, $7, $8 FROM concert c WHERE c.id = $2 AND c.organizer_id = $3
                   RETURNING id
               ), counter AS (
                   INSERT INTO queue_counter (schedule_id) SELECT id FROM made
               ), admissions AS (
                   INSERT INTO admission (schedule_id) SELECT id FROM made
               )
               INSERT INTO waiting_room (schedule_id, max_active, admit_per_round, round_ms, idle_seconds,
                                         active_seconds, paused)
               SELECT id, $9, $10, $11, $12, $13, $14 FROM made";
    let mut values = vec![
        id.into(),
        new.concert_id.into(),
        organizer.into(),
        new.starts_at.into(),
        new.sales_open_at.into(),
        new.sales_close_at.into(),
        new.max_seats_per_person.into(),
        seat_count.into(),
    ];
    values.extend(room_values(room));
    Ok(tx.run(sql, values).await? > 0)
}

fn room_values(room: WaitingRoomSettings) -> [Value; 6] {
    [
        room.max_active.into(),
        room.admit_per_round.into(),
        room.round_ms.into(),
        room.idle_seconds.into(),
        room.active_seconds.into(),
        room.paused.into(),
    ]
}

/// Makes the seats of one section, some thousands per statement.
pub(super) async fn insert_seats(
    tx: &Tx,
    schedule: ScheduleId,
    section: &NewSection,
    seats: &[PlannedSeat],
) -> Result<(), Fault> {
    let sql = "INSERT INTO seat (id, schedule_id, section, row_label, row_index, number, grade, price, preference)
               SELECT id, $1, $2, ($3::text[])[row_index], row_index, number, $4, $5, preference
               FROM unnest($6::uuid[], $7::int[], $8::int[], $9::int[]) AS new (id, row_index, number, preference)";
    let labels =
        array(ArrayType::String, (1..=section.rows).map(|row| rules::row_label(row).into()));
    let ints = |seats: &[PlannedSeat], of: fn(&PlannedSeat) -> i32| {
        array(ArrayType::Int, seats.iter().map(|seat| of(seat).into()))
    };
    for seats in seats.chunks(10_000) {
        let values = vec![
            schedule.into(),
            section.name.as_str().into(),
            labels.clone(),
            section.grade.as_str().into(),
            section.price.into(),
            uuids(seats.iter().map(|_| SeatId::new().0)),
            ints(seats, |seat| seat.row_index),
            ints(seats, |seat| seat.number),
            ints(seats, |seat| seat.preference),
        ];
        tx.run(sql, values).await?;
    }
    Ok(())
}

/// How far a sale is, as stored.
#[derive(Debug, FromQueryResult)]
pub(super) struct Sale {
    pub(super) status: ScheduleStatus,
    /// Whether the sale window has ended.
    pub(super) window_over: bool,
}

/// Locks the row until the transaction ends, and then looks at the clock.
///
/// What refers to the schedule by a foreign key neither waits for this lock nor keeps it waiting: every hold does, and every
/// entry.
pub(super) async fn lock_sale(
    tx: &Tx,
    id: ScheduleId,
    organizer: PersonId,
) -> Result<Option<Sale>, Fault> {
    let sql = "WITH held AS MATERIALIZED (
                   SELECT s.status, s.sales_close_at FROM schedule s JOIN concert c ON c.id = s.concert_id
                   WHERE s.id = $1 AND c.organizer_id = $2
                   FOR NO KEY UPDATE OF s
               )
               SELECT status, sales_close_at <= clock_timestamp() AS window_over FROM held";
    Ok(tx.row(sql, vec![id.into(), organizer.into()]).await?)
}

pub(super) async fn set_status(
    tx: &Tx,
    id: ScheduleId,
    status: ScheduleStatus,
) -> Result<(), Fault> {
    // Where the sale opens at once nobody can have entered before it: there is nothing to draw.
    let sql = "WITH changed AS (
                   UPDATE schedule SET status = $2 WHERE id = $1 AND status <> $2 RETURNING id, status, sales_open_at
               )
               UPDATE waiting_room w SET drawn_at = clock_timestamp() FROM changed
               WHERE w.schedule_id = changed.id AND w.drawn_at IS NULL AND changed.status = 'ON_SALE'
                 AND changed.sales_open_at <= clock_timestamp()";
    tx.run(sql, vec![id.into(), status.into()]).await?;
    Ok(())
}

/// Locks the row until the transaction ends.
pub(super) async fn lock_waiting_room(
    tx: &Tx,
    id: ScheduleId,
    organizer: PersonId,
) -> Result<Option<WaitingRoomSettings>, Fault> {
    let sql = "SELECT w.max_active, w.admit_per_round, w.round_ms, w.idle_seconds, w.active_seconds, w.paused
               FROM waiting_room w JOIN schedule s ON s.id = w.schedule_id JOIN concert c ON c.id = s.concert_id
               WHERE w.schedule_id = $1 AND c.organizer_id = $2 FOR NO KEY UPDATE OF w";
    let row: Option<RoomRow> = tx.row(sql, vec![id.into(), organizer.into()]).await?;
    Ok(row.map(WaitingRoomSettings::from))
}

pub(super) async fn update_waiting_room(
    tx: &Tx,
    id: ScheduleId,
    room: WaitingRoomSettings,
) -> Result<(), Fault> {
    let sql = "UPDATE waiting_room SET max_active = $2, admit_per_round = $3, round_ms = $4, idle_seconds = $5,
                      active_seconds = $6, paused = $7 WHERE schedule_id = $1";
    let values = std::iter::once(id.into()).chain(room_values(room)).collect();
    tx.run(sql, values).await?;
    Ok(())
}

/// Makes a round that is under way, and has counted by what was true before, let go: it finds another version. When this
/// transaction is committed, nobody is admitted any more by the old settings.
///
/// Waits for a round that has the lock already.
pub(super) async fn interrupt_rounds(tx: &Tx, id: ScheduleId) -> Result<(), Fault> {
    let sql = "UPDATE admission SET version = version + 1 WHERE schedule_id = $1";
    tx.run(sql, vec![id.into()]).await?;
    Ok(())
}

/// A concert found by its title.
#[derive(Debug, FromQueryResult)]
pub(super) struct Titled {
    pub(super) id: ConcertId,
    /// Whether a performance of it is still to come.
    pub(super) upcoming: bool,
}

pub(super) async fn concert_of_title(
    tx: &Tx,
    organizer: PersonId,
    title: &str,
) -> Result<Option<Titled>, Fault> {
    let sql = "SELECT c.id, EXISTS (SELECT FROM schedule s WHERE s.concert_id = c.id
                                    AND s.sales_close_at > clock_timestamp()) AS upcoming
               FROM concert c WHERE c.organizer_id = $1 AND c.title = $2 ORDER BY c.id LIMIT 1";
    Ok(tx.row(sql, vec![organizer.into(), title.into()]).await?)
}
