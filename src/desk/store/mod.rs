//! What the desk reads.

use std::collections::HashMap;

use sea_orm::{FromQueryResult, sea_query::ArrayType};
use uuid::Uuid;

use super::{ExportLine, ExportedSeat, GradeSales, ReservationFilter, ScheduleSales};
use crate::{
    account::in_other_script,
    catalogue::Search,
    db::{Db, Session, Tx, array, uuids},
    kernel::{Fault, Page, PageRequest, PersonId, Points, ReservationId, ScheduleId, Timestamp},
    reservation::{Reservation, ReservationRow},
};

/// Reservations that an export has in memory at a time.
const EXPORT_PAGE: i64 = 500;
/// Whoever reads an export may stop reading for so long.
const EXPORT_PATIENCE: &str = "SET LOCAL idle_in_transaction_session_timeout = '15min'";
/// A part of an id is looked for when it is as long as this: shorter ones are in every id.
const ID_PART_MIN: usize = 4;

#[derive(Debug, FromQueryResult)]
struct SalesRow {
    schedule_id: ScheduleId,
    grade: String,
    held: i64,
    sold: i64,
    revenue: Points,
    refunded: Points,
}

/// What was sold, in one statement.
pub(super) async fn sales(
    db: &Db,
    ids: &[ScheduleId],
) -> Result<HashMap<ScheduleId, ScheduleSales>, Fault> {
    const SQL: &str = include_str!("sales.sql");
    let rows: Vec<SalesRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    let count = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
    let mut found: HashMap<ScheduleId, ScheduleSales> = HashMap::new();
    for row in rows {
        let SalesRow { schedule_id, grade, held, sold, revenue, refunded } = row;
        let sales = found.entry(schedule_id).or_default();
        sales.held = sales.held.saturating_add(count(held));
        sales.sold = sales.sold.saturating_add(count(sold));
        let total = Points::new(sales.revenue.get().saturating_add(revenue.get()));
        sales.revenue = total.ok_or(Fault::internal("a performance earned more than there is"))?;
        sales.refunded = refunded;
        sales.grades.push(GradeSales { grade, sold: count(sold), revenue });
    }
    Ok(found)
}

/// A page of a performance's reservations.
pub(super) async fn reservations(
    db: &Db,
    schedule_id: ScheduleId,
    filter: &ReservationFilter,
    page: PageRequest<ReservationId>,
) -> Result<Page<Reservation>, Fault> {
    const SQL: &str = include_str!("reservations.sql");
    let statuses = filter.statuses.as_ref().map_or_else(
        || sea_orm::Value::Array(ArrayType::String, None),
        |statuses| array(ArrayType::String, statuses.iter().map(|&status| status.into())),
    );
    let search = filter.search.as_ref();
    let ids = search.map(Search::pattern).filter(|pattern| may_be_of_an_id(pattern));
    let patterns = search.map_or_else(
        || sea_orm::Value::Array(ArrayType::String, None),
        |search| {
            // The domain of an address is found in either script.
            let other = in_other_script(search.text()).and_then(|text| Search::new(&text));
            let both = std::iter::once(search).chain(&other);
            array(ArrayType::String, both.map(|search| search.pattern().into()))
        },
    );
    let values = vec![
        schedule_id.into(),
        page.after.map_or(Uuid::max(), |id| id.0).into(),
        statuses,
        patterns,
        ids.map(str::to_lowercase).into(),
        (i64::from(page.first) + 1).into(),
    ];
    let rows: Vec<ReservationRow> = db.rows(SQL, values).await?;
    Ok(Page::from_rows(rows, page.first).map(Reservation::from))
}

/// Whether a pattern has nothing but what ids are made of.
fn may_be_of_an_id(pattern: &str) -> bool {
    let part = pattern.trim_matches('%');
    part.len() >= ID_PART_MIN && part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Prepares a transaction for [`export_page`]; `false` when there is no such performance.
pub(super) async fn begin_export(tx: &Tx, schedule_id: ScheduleId) -> Result<bool, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        found: bool,
    }
    const SQL: &str = "SELECT EXISTS (SELECT 1 FROM schedule WHERE id = $1) AS found";
    tx.run(EXPORT_PATIENCE, vec![]).await?;
    let row: Option<Row> = tx.row(SQL, vec![schedule_id.into()]).await?;
    Ok(row.is_some_and(|row| row.found))
}

#[derive(Debug, FromQueryResult)]
struct ExportRow {
    id: ReservationId,
    status: String,
    name: Option<String>,
    email: Option<String>,
    person_id: PersonId,
    total_price: Points,
    held_at: Timestamp,
    confirmed_at: Option<Timestamp>,
    cancelled_at: Option<Timestamp>,
    seats: Option<String>,
    paid: Points,
    method: Option<String>,
    paid_at: Option<Timestamp>,
    refund_status: Option<String>,
    refunded: Points,
    refunded_at: Option<Timestamp>,
    payment_ids: Option<String>,
}

/// The next lines of an export, behind the reservation that came last; none when it is over.
pub(super) async fn export_page(
    tx: &Tx,
    schedule_id: ScheduleId,
    after: Option<ReservationId>,
) -> Result<Vec<ExportLine>, Fault> {
    const SQL: &str = include_str!("export.sql");
    let after = after.map_or(Uuid::nil(), |id| id.0);
    let values = vec![schedule_id.into(), after.into(), EXPORT_PAGE.into()];
    let rows: Vec<ExportRow> = tx.rows(SQL, values).await?;
    rows.into_iter().map(export_line).collect()
}

fn export_line(row: ExportRow) -> Result<ExportLine, Fault> {
    let seats: Vec<ExportedSeat> = match row.seats {
        Some(seats) => serde_json::from_str(&seats)
            .map_err(|_| Fault::internal("seats that Postgres wrote cannot be read"))?,
        None => Vec::new(),
    };
    let payment_ids = row.payment_ids.unwrap_or_default();
    Ok(ExportLine {
        reservation_id: row.id,
        status: row.status,
        name: row.name,
        email: row.email,
        person_id: row.person_id,
        seats,
        total_price: row.total_price,
        paid: row.paid,
        method: row.method,
        paid_at: row.paid_at,
        refund_status: row.refund_status,
        refunded: row.refunded,
        refunded_at: row.refunded_at,
        held_at: row.held_at,
        confirmed_at: row.confirmed_at,
        cancelled_at: row.cancelled_at,
        payment_ids: payment_ids.split_whitespace().map(str::to_owned).collect(),
    })
}
