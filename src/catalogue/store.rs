//! Tables `concert` and `schedule`, and counting seats.

use std::collections::HashMap;

use sea_orm::{FromQueryResult, Value, sea_query::ArrayType};

use super::{
    Availability, Concert, Grade, NewConcert, NewSchedule, Schedule, ScheduleFilter,
    ScheduleStatus, Search, TitledConcert,
};
use crate::{
    db::{Db, Session, Tx, array, entity, text_column, uuids},
    kernel::{ConcertId, Fault, Page, PageRequest, PersonId, Points, ScheduleId, Timestamp},
};

text_column!(ScheduleStatus);

#[derive(Debug, FromQueryResult)]
struct ConcertRow {
    #[sea_orm(nested)]
    concert: entity::concert::Model,
    published: bool,
}

impl From<ConcertRow> for Concert {
    fn from(row: ConcertRow) -> Self {
        let ConcertRow { concert, published } = row;
        let entity::concert::Model {
            id,
            organizer_id,
            title,
            artist,
            venue,
            description,
            time_zone,
            created_at,
        } = concert;
        Self {
            id,
            organizer_id,
            title,
            artist,
            venue,
            description,
            time_zone,
            created_at,
            published,
        }
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
    cancel_until: Timestamp,
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
            cancel_until: row.cancel_until,
        }
    }
}

/// Schedules with their effective status: the end of the sale window closes, by the database's clock.
macro_rules! schedules_where {
    ($rest:literal) => {
        concat!(
            "WITH schedules AS (
                SELECT s.id, s.concert_id, c.organizer_id, s.starts_at, s.sales_open_at, s.sales_close_at,
                       s.seat_count, s.max_seats_per_person, coalesce(s.cancel_until, s.starts_at) AS cancel_until,
                       CASE WHEN s.status = 'ON_SALE' AND s.sales_close_at <= statement_timestamp()
                            THEN 'CLOSED' ELSE s.status END AS status
                FROM schedule s
                JOIN concert c ON c.id = s.concert_id
            ) ",
            $rest
        )
    };
}

/// Concerts, and whether anything of each is published. A scalar subquery looks one performance up for each; an EXISTS may become a
/// walk through those of all concerts.
macro_rules! concerts_where {
    ($rest:expr) => {
        concat!(
            "WITH concerts AS (
                SELECT c.id, c.organizer_id, c.title, c.artist, c.venue, c.description, c.time_zone, c.created_at,
                       (SELECT s.id FROM schedule s WHERE s.concert_id = c.id AND s.status <> 'DRAFT' LIMIT 1) IS NOT NULL
                           AS published
                FROM concert c
            ) ",
            $rest
        )
    };
}

/// A condition that holds for what a search finds, and without a search; `$2` is its pattern. The collation knows the case of every
/// script; that of the database may know English letters only.
macro_rules! is_found {
    () => {
        "($2::text IS NULL OR title COLLATE \"und-x-icu\" ILIKE $2
          OR artist COLLATE \"und-x-icu\" ILIKE $2 OR venue COLLATE \"und-x-icu\" ILIKE $2)"
    };
}

/// The published ones, those made last first.
pub(super) async fn published(
    db: &Db,
    page: &PageRequest<ConcertId>,
    search: Option<&Search>,
) -> Result<Page<Concert>, Fault> {
    const SQL: &str = concerts_where!(concat!(
        "SELECT * FROM concerts
         WHERE ($1::uuid IS NULL OR id < $1) AND published AND ",
        is_found!(),
        " ORDER BY id DESC LIMIT $3"
    ));
    concerts_page(db, SQL, page, search.map(|search| search.pattern().to_owned()).into()).await
}

/// Those with a performance on sale of which not every seat is sold, those made last first. Only concerts that are on sale at all are
/// looked at, however many there have been, and those of them whose seats are gone one by one.
pub(super) async fn available(
    db: &Db,
    page: &PageRequest<ConcertId>,
    search: Option<&Search>,
) -> Result<Page<Concert>, Fault> {
    const SQL: &str = concerts_where!(concat!(
        ", selling AS MATERIALIZED (
             SELECT DISTINCT s.concert_id FROM schedule s
             WHERE s.status = 'ON_SALE' AND s.sales_close_at > statement_timestamp()
         )
         SELECT * FROM concerts
         WHERE id = ANY (ARRAY(SELECT concert_id FROM selling)) AND ($1::uuid IS NULL OR id < $1)
           AND (SELECT s.id FROM schedule s
                WHERE s.concert_id = concerts.id AND s.status = 'ON_SALE' AND s.sales_close_at > statement_timestamp()
                  AND (SELECT seat.id FROM seat WHERE seat.schedule_id = s.id AND NOT seat.sold LIMIT 1) IS NOT NULL
                LIMIT 1) IS NOT NULL AND ",
        is_found!(),
        " ORDER BY id DESC LIMIT $3"
    ));
    concerts_page(db, SQL, page, search.map(|search| search.pattern().to_owned()).into()).await
}

/// A page by a statement that takes where it begins as `$1` and how many rows as `$3`.
async fn concerts_page(
    db: &Db,
    sql: &'static str,
    page: &PageRequest<ConcertId>,
    second: Value,
) -> Result<Page<Concert>, Fault> {
    let values = vec![page.after.map(|id| id.0).into(), second, (i64::from(page.first) + 1).into()];
    let rows: Vec<ConcertRow> = db.rows(sql, values).await?;
    Ok(Page::from_rows(rows, page.first).map(Concert::from))
}

/// Those of an organizer, those made last first.
pub(super) async fn concerts_of(
    db: &Db,
    page: &PageRequest<ConcertId>,
    organizer: PersonId,
) -> Result<Page<Concert>, Fault> {
    const SQL: &str = concerts_where!(
        "SELECT * FROM concerts
         WHERE organizer_id = $2 AND ($1::uuid IS NULL OR id < $1)
         ORDER BY id DESC LIMIT $3"
    );
    concerts_page(db, SQL, page, organizer.into()).await
}

pub(super) async fn concerts(db: &Db, ids: &[ConcertId]) -> Result<Vec<Concert>, Fault> {
    const SQL: &str = concerts_where!("SELECT * FROM concerts WHERE id = ANY($1)");
    let rows: Vec<ConcertRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    Ok(rows.into_iter().map(Concert::from).collect())
}

pub(super) async fn schedules(
    db: &impl Session,
    ids: &[ScheduleId],
) -> Result<Vec<Schedule>, Fault> {
    const SQL: &str = schedules_where!("SELECT * FROM schedules WHERE id = ANY($1)");
    let rows: Vec<ScheduleRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    Ok(rows.into_iter().map(Schedule::from).collect())
}

/// Earliest first within each concert.
pub(super) async fn schedules_of(
    db: &Db,
    concerts: &[ConcertId],
    filter: &ScheduleFilter,
) -> Result<Vec<Schedule>, Fault> {
    const SQL: &str = schedules_where!(
        "SELECT found.* FROM unnest($1) AS asked (concert_id), LATERAL (
             SELECT * FROM schedules
             WHERE concert_id = asked.concert_id
               AND ($2::timestamptz IS NULL OR starts_at >= $2)
               AND ($3::timestamptz IS NULL OR starts_at < $3)
               AND status = ANY($4)
               AND (status <> 'DRAFT' OR organizer_id = $5)
               AND (NOT $6 OR (status = 'ON_SALE' AND (SELECT seat.id FROM seat
                                                      WHERE seat.schedule_id = schedules.id AND NOT seat.sold
                                                      LIMIT 1) IS NOT NULL))
             ORDER BY starts_at, id LIMIT 500
         ) AS found ORDER BY found.starts_at, found.id"
    );
    let values = vec![
        uuids(concerts.iter().map(|id| id.0)),
        filter.from.into(),
        filter.to.into(),
        array(ArrayType::String, filter.status.iter().map(|&status| status.into())),
        filter.viewer.map(|id| id.0).into(),
        filter.available_only.into(),
    ];
    let rows: Vec<ScheduleRow> = db.rows(SQL, values).await?;
    Ok(rows.into_iter().map(Schedule::from).collect())
}

/// Counts the seats of all these schedules in one statement. A hold that has lapsed counts as free.
pub(super) async fn availability(
    db: &Db,
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
    const SQL: &str = "
        SELECT schedule_id, grade, price, count(*)::int AS total,
               (count(*) FILTER (WHERE is_free(status, hold_expires_at, statement_timestamp())))::int AS remaining
        FROM seat WHERE schedule_id = ANY($1)
        GROUP BY schedule_id, grade, price ORDER BY price DESC, grade";
    let rows: Vec<Row> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    let mut found: HashMap<ScheduleId, Availability> = HashMap::new();
    for Row { schedule_id, grade, price, total, remaining } in rows {
        let grades = &mut found.entry(schedule_id).or_default().grades;
        grades.push(Grade { grade, price, total, remaining });
    }
    Ok(found)
}

/// A condition that holds when the named parameter is a time zone. Besides the zones, the view lists files of the zone
/// database that are none.
macro_rules! is_zone {
    ($name:literal) => {
        concat!(
            "EXISTS (SELECT FROM pg_timezone_names WHERE name = ",
            $name,
            " AND name !~ '^(posix|right)/' AND name NOT IN ('posixrules', 'localtime', 'Factory'))"
        )
    };
}

/// Whether Postgres knows a time zone of this name.
pub(super) async fn is_time_zone(tx: &Tx, name: &str) -> Result<bool, Fault> {
    const SQL: &str = concat!("SELECT ", is_zone!("$1"), " AS found");
    found(tx, SQL, vec![name.into()]).await
}

/// Whether an organizer has such a concert.
pub(super) async fn has_concert(
    tx: &Tx,
    organizer: PersonId,
    id: ConcertId,
) -> Result<bool, Fault> {
    const SQL: &str =
        "SELECT EXISTS (SELECT FROM concert WHERE id = $1 AND organizer_id = $2) AS found";
    found(tx, SQL, vec![id.into(), organizer.into()]).await
}

async fn found(tx: &Tx, sql: &'static str, values: Vec<Value>) -> Result<bool, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        found: bool,
    }
    let row: Option<Row> = tx.row(sql, values).await?;
    Ok(row.is_some_and(|row| row.found))
}

/// `None` when Postgres does not know the time zone.
pub(super) async fn insert_concert(
    tx: &Tx,
    id: ConcertId,
    organizer: PersonId,
    new: &NewConcert,
) -> Result<Option<Concert>, Fault> {
    const SQL: &str = concat!(
        "INSERT INTO concert (id, organizer_id, title, artist, venue, description, time_zone)
         SELECT $1, $2, $3, $4, $5, $6, $7 WHERE ",
        is_zone!("$7"),
        " RETURNING id, organizer_id, title, artist, venue, description, time_zone, created_at, false AS published"
    );
    let values = vec![
        id.into(),
        organizer.into(),
        new.title.as_str().into(),
        new.artist.as_str().into(),
        new.venue.as_str().into(),
        new.description.as_str().into(),
        new.time_zone.as_str().into(),
    ];
    let row: Option<ConcertRow> = tx.row(SQL, values).await?;
    Ok(row.map(Concert::from))
}

/// `false` when the organizer has no such concert.
pub(super) async fn insert_schedule(
    tx: &Tx,
    id: ScheduleId,
    organizer: PersonId,
    new: &NewSchedule,
    seat_count: i32,
) -> Result<bool, Fault> {
    const SQL: &str = "
        INSERT INTO schedule (id, concert_id, starts_at, sales_open_at, sales_close_at, max_seats_per_person, seat_count,
                              cancel_until)
        SELECT $1, c.id, $4, $5, $6, $7, $8, $9 FROM concert c WHERE c.id = $2 AND c.organizer_id = $3";
    let values = vec![
        id.into(),
        new.concert_id.into(),
        organizer.into(),
        new.starts_at.into(),
        new.sales_open_at.into(),
        new.sales_close_at.into(),
        new.max_seats_per_person.into(),
        seat_count.into(),
        new.cancel_until.into(),
    ];
    Ok(tx.run(SQL, values).await? > 0)
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
    const SQL: &str = "
        WITH held AS MATERIALIZED (
            SELECT s.status, s.sales_close_at FROM schedule s JOIN concert c ON c.id = s.concert_id
            WHERE s.id = $1 AND c.organizer_id = $2
            FOR NO KEY UPDATE OF s
        )
        SELECT status, sales_close_at <= clock_timestamp() AS window_over FROM held";
    Ok(tx.row(SQL, vec![id.into(), organizer.into()]).await?)
}

/// Whether the status was another.
pub(super) async fn set_status(
    tx: &Tx,
    id: ScheduleId,
    status: ScheduleStatus,
) -> Result<bool, Fault> {
    const SQL: &str = "
        UPDATE schedule SET status = $2, cancelled_at = CASE WHEN $2 = 'CANCELLED' THEN clock_timestamp() END
        WHERE id = $1 AND status <> $2";
    Ok(tx.run(SQL, vec![id.into(), status.into()]).await? > 0)
}

pub(super) async fn concert_of_title(
    tx: &Tx,
    organizer: PersonId,
    title: &str,
) -> Result<Option<TitledConcert>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        id: ConcertId,
        upcoming: bool,
    }
    const SQL: &str = "
        SELECT c.id, EXISTS (SELECT FROM schedule s WHERE s.concert_id = c.id
                             AND s.status <> 'CANCELLED' AND s.sales_close_at > clock_timestamp()) AS upcoming
        FROM concert c WHERE c.organizer_id = $1 AND c.title = $2 ORDER BY c.id LIMIT 1";
    let row: Option<Row> = tx.row(SQL, vec![organizer.into(), title.into()]).await?;
    Ok(row.map(|Row { id, upcoming }| TitledConcert { id, upcoming }))
}

/// Whether an organizer has a performance to come whose sale has been opened, and that was not called off.
pub(super) async fn has_sales_ahead(tx: &Tx, organizer: PersonId) -> Result<bool, Fault> {
    const SQL: &str = "
        SELECT EXISTS (
            SELECT FROM concert c JOIN schedule s ON s.concert_id = c.id
            WHERE c.organizer_id = $1 AND s.status IN ('ON_SALE', 'CLOSED') AND s.starts_at > clock_timestamp()
        ) AS found";
    found(tx, SQL, vec![organizer.into()]).await
}
