//! Claiming seats.

use sea_orm::FromQueryResult;

use super::ReservationRow;
use crate::{
    db::{Db, Session, uuids},
    kernel::{Fault, PersonId, QueueTokenId, ReservationId, ScheduleId, SeatId, Timestamp},
    reservation::{Reservation, SeatChange, SeatStatus, rules::HoldFacts},
    waiting_room::{Change, QueueStatus},
};

/// What is to be held, by whom, for how long.
#[derive(Debug)]
pub(in crate::reservation) struct HoldOrder<'a> {
    pub queue_token_id: QueueTokenId,
    pub schedule_id: ScheduleId,
    pub person_id: PersonId,
    /// Sorted, without doubles.
    pub seat_ids: &'a [SeatId],
    pub reservation_id: ReservationId,
    pub hold_seconds: u32,
}

/// A hold that was just made, and what has to be told.
#[derive(Debug)]
pub(in crate::reservation) struct Held {
    pub reservation: Reservation,
    pub seats: Vec<SeatChange>,
    pub token: Change,
}

#[derive(Debug, FromQueryResult)]
struct HeldRow {
    seat_id: SeatId,
    seat_version: i32,
    number: i64,
    token_version: i64,
    activated_at: Option<Timestamp>,
    token_expires_at: Option<Timestamp>,
    #[sea_orm(nested)]
    reservation: ReservationRow,
}

/// The whole hold in one statement; `None` when something stood in its way, and then nothing was changed.
///
/// Locks in the order token, reservations of earlier tokens, seats. The token's row lock lets one hold of a person through
/// at a time, and the version it finds there must be that of the statement's snapshot: else another hold of theirs was
/// committed in between, and the seats counted against the limit are stale. What the person holds by an earlier token is
/// locked too: it may be being paid, and a payment that comes later finds it lapsed if this hold did. A seat whose hold has lapsed is free; its version grows by two, one for
/// the lapse that nobody has written down yet.
pub(in crate::reservation) async fn hold(
    db: &Db,
    order: &HoldOrder<'_>,
) -> Result<Option<Held>, Fault> {
    const SQL: &str = include_str!("hold.sql");
    let values = vec![
        order.queue_token_id.into(),
        order.schedule_id.into(),
        order.person_id.into(),
        uuids(order.seat_ids.iter().map(|seat| seat.0)),
        order.reservation_id.into(),
        f64::from(order.hold_seconds).into(),
    ];
    let rows: Vec<HeldRow> = db.rows(SQL, values).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let reservation = Reservation::from(first.reservation.clone());
    let token = Change {
        number: first.number,
        person_id: order.person_id,
        status: QueueStatus::Active,
        version: first.token_version,
        activated_at: first.activated_at,
        expires_at: first.token_expires_at,
    };
    let hold_expires_at = Some(reservation.expires_at);
    let seat = |row: &HeldRow| SeatChange {
        seat_id: row.seat_id,
        status: SeatStatus::Hold,
        version: row.seat_version,
        hold_expires_at,
    };
    Ok(Some(Held { seats: rows.iter().map(seat).collect(), reservation, token }))
}

#[derive(Debug, FromQueryResult)]
struct HoldFactsRow {
    token: Option<QueueStatus>,
    on_sale: bool,
    taken: i64,
    seat_limit: i32,
}

#[derive(Debug, FromQueryResult)]
struct SeatStatusRow {
    id: SeatId,
    status: SeatStatus,
}

/// What stood in the way of a hold.
pub(in crate::reservation) async fn hold_facts(
    db: &Db,
    order: &HoldOrder<'_>,
) -> Result<HoldFacts, Fault> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
        SELECT (SELECT CASE WHEN t.status = 'ACTIVE' AND t.expires_at <= clock.now THEN 'EXPIRED'
                            ELSE t.status END
                FROM queue_token t WHERE t.id = $1 AND t.schedule_id = s.id AND t.person_id = $3) AS token,
               s.status = 'ON_SALE' AND clock.now >= s.sales_open_at AND clock.now < s.sales_close_at AS on_sale,
               (SELECT coalesce(sum(r.seat_count), 0) FROM reservation r
                WHERE r.schedule_id = s.id AND r.person_id = $3
                  AND (r.status = 'CONFIRMED' OR (r.status = 'HOLD' AND r.expires_at > clock.now)))::bigint AS taken,
               s.max_seats_per_person AS seat_limit
        FROM schedule s, clock
        WHERE s.id = $2";
    const SEATS: &str = "
        SELECT id, CASE WHEN status = 'HOLD' AND hold_expires_at <= clock_timestamp() THEN 'AVAILABLE'
                        ELSE status END AS status
        FROM seat WHERE id = ANY($1) AND schedule_id = $2";
    let values =
        vec![order.queue_token_id.into(), order.schedule_id.into(), order.person_id.into()];
    let row: Option<HoldFactsRow> = db.row(SQL, values).await?;
    let ids = uuids(order.seat_ids.iter().map(|seat| seat.0));
    let seats: Vec<SeatStatusRow> = if order.seat_ids.is_empty() {
        Vec::new()
    } else {
        db.rows(SEATS, vec![ids, order.schedule_id.into()]).await?
    };
    let row = row.unwrap_or(HoldFactsRow { token: None, on_sale: false, taken: 0, seat_limit: 0 });
    Ok(HoldFacts {
        token: row.token,
        on_sale: row.on_sale,
        taken: row.taken,
        limit: row.seat_limit,
        seats: seats.into_iter().map(|seat| (seat.id, seat.status)).collect(),
    })
}
