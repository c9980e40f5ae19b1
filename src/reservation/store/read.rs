//! Reading reservations and their seats.

use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    entity::prelude::Expr,
};

use super::ReservationRow;
use crate::{
    db::{Db, Session, Tx, entity::reservation, uuids},
    kernel::{Fault, Page, PageRequest, PersonId, Points, ReservationId, SeatId},
    reservation::{Reservation, ReservationStatus, Seat, SeatStatus},
};

const COLUMNS: [reservation::Column; 12] = [
    reservation::Column::Id,
    reservation::Column::PersonId,
    reservation::Column::ScheduleId,
    reservation::Column::QueueTokenId,
    reservation::Column::Status,
    reservation::Column::SeatCount,
    reservation::Column::TotalPrice,
    reservation::Column::HeldAt,
    reservation::Column::ExpiresAt,
    reservation::Column::ExtendableUntil,
    reservation::Column::ConfirmedAt,
    reservation::Column::CancelledAt,
];

fn find() -> sea_orm::Select<reservation::Entity> {
    reservation::Entity::find()
        .select_only()
        .columns(COLUMNS)
        .expr_as(Expr::cust("clock_timestamp()"), "now")
}

/// Reservations by id.
pub(in crate::reservation) async fn by_ids(
    db: &Db,
    ids: &[ReservationId],
) -> Result<Vec<Reservation>, Fault> {
    let rows = find()
        .filter(reservation::Column::Id.is_in(ids.iter().copied()))
        .into_model::<ReservationRow>()
        .all(db.connection())
        .await?;
    Ok(rows.into_iter().map(Reservation::from).collect())
}

/// A person's reservations, newest first. A HOLD that has lapsed is an EXPIRED one.
pub(in crate::reservation) async fn list(
    db: &Db,
    person_id: PersonId,
    statuses: Option<&[ReservationStatus]>,
    page: PageRequest<ReservationId>,
) -> Result<Page<Reservation>, Fault> {
    let mut query = find().filter(reservation::Column::PersonId.eq(person_id));
    if let Some(statuses) = statuses {
        let words = statuses.iter().map(|status| status.as_str());
        query = query.filter(
            Expr::cust(
                "CASE WHEN has_lapsed(status, expires_at, clock_timestamp()) THEN 'EXPIRED' ELSE status END",
            )
            .is_in(words),
        );
    }
    if let Some(after) = page.after {
        query = query.filter(reservation::Column::Id.lt(after));
    }
    let rows = query
        .order_by_desc(reservation::Column::Id)
        .limit(u64::from(page.first) + 1)
        .into_model::<ReservationRow>()
        .all(db.connection())
        .await?;
    Ok(Page::from_rows(rows, page.first).map(Reservation::from))
}

/// Whether a person holds a seat, or owns one at a performance that is to come.
pub(in crate::reservation) async fn has_seats_ahead(
    tx: &Tx,
    person_id: PersonId,
) -> Result<bool, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        found: bool,
    }
    const SQL: &str = "
        SELECT EXISTS (
            SELECT FROM reservation r JOIN schedule s ON s.id = r.schedule_id
            WHERE r.person_id = $1
              AND ((r.status = 'HOLD' AND NOT has_lapsed(r.status, r.expires_at, clock_timestamp()))
                   OR (r.status = 'CONFIRMED' AND s.starts_at > clock_timestamp()))
        ) AS found";
    let row: Option<Row> = tx.row(SQL, vec![person_id.into()]).await?;
    Ok(row.is_some_and(|row| row.found))
}

#[derive(Debug, FromQueryResult)]
struct SeatOfRow {
    reservation_id: ReservationId,
    id: SeatId,
    section: String,
    row_label: String,
    number: i32,
    grade: String,
    price: Points,
    status: SeatStatus,
    version: i32,
}

/// The seats of reservations, in the order of the hall, at the price that was agreed.
pub(in crate::reservation) async fn seats_of(
    db: &Db,
    ids: &[ReservationId],
) -> Result<Vec<(ReservationId, Seat)>, Fault> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
        SELECT l.reservation_id, s.id, s.section, s.row_label, s.number, s.grade, l.price,
               CASE WHEN is_free(s.status, s.hold_expires_at, clock.now) THEN 'AVAILABLE' ELSE s.status END AS status,
               s.version + CASE WHEN has_lapsed(s.status, s.hold_expires_at, clock.now) THEN 1 ELSE 0 END AS version
        FROM reservation_seat l
        JOIN seat s ON s.id = l.seat_id
        CROSS JOIN clock
        WHERE l.reservation_id = ANY($1)
        ORDER BY l.reservation_id, s.section, s.row_index, s.number";
    let rows: Vec<SeatOfRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    let seat = |row: SeatOfRow| {
        let seat = Seat {
            id: row.id,
            section: row.section,
            row: row.row_label,
            number: row.number,
            grade: row.grade,
            price: row.price,
            status: row.status,
            version: row.version,
        };
        (row.reservation_id, seat)
    };
    Ok(rows.into_iter().map(seat).collect())
}
