//! Claiming seats.

use sea_orm::FromQueryResult;

use super::ReservationRow;
use crate::{
    db::{Db, Session, uuids},
    kernel::{Fault, PersonId, QueueTokenId, ReservationId, ScheduleId, SeatId, Timestamp},
    reservation::{
        Reservation, SeatChange, SeatStatus,
        rules::{FreeSeat, HoldFacts},
    },
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
/// Locks in the order token, seats. The token's row lock lets one hold of a person through at a time, and the version it
/// finds there must be that of the statement's snapshot: else another hold of theirs was committed in between, and the
/// seats counted against the limit are stale. A seat whose hold has lapsed is free; its version grows by two, one for
/// the lapse that nobody has written down yet.
pub(in crate::reservation) async fn hold(
    db: &Db,
    order: &HoldOrder<'_>,
) -> Result<Option<Held>, Fault> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
        seen AS MATERIALIZED (SELECT version FROM queue_token WHERE id = $1),
        token AS MATERIALIZED (
            SELECT t.id, t.version, t.activated_at, s.max_seats_per_person, w.idle_seconds, w.active_seconds
            FROM queue_token t
            JOIN schedule s ON s.id = t.schedule_id
            JOIN waiting_room w ON w.schedule_id = t.schedule_id
            CROSS JOIN clock
            WHERE t.id = $1 AND t.schedule_id = $2 AND t.person_id = $3
              AND t.status = 'ACTIVE' AND t.expires_at > clock_timestamp()
              AND s.status = 'ON_SALE' AND clock.now >= s.sales_open_at AND clock.now < s.sales_close_at
            FOR NO KEY UPDATE OF t
        ),
        taken AS MATERIALIZED (
            SELECT coalesce(sum(r.seat_count), 0) AS seats FROM reservation r, clock
            WHERE r.schedule_id = $2 AND r.person_id = $3
              AND (r.status = 'CONFIRMED' OR (r.status = 'HOLD' AND r.expires_at > clock.now))
        ),
        claimable AS MATERIALIZED (
            SELECT seat.id, seat.price
            FROM token
            JOIN seen ON seen.version = token.version
            JOIN taken ON taken.seats + cardinality($4::uuid[]) <= token.max_seats_per_person
            JOIN seat ON seat.id = ANY($4) AND seat.schedule_id = $2
            WHERE seat.status = 'AVAILABLE'
               OR (seat.status = 'HOLD' AND seat.hold_expires_at <= clock_timestamp())
            ORDER BY seat.id
            FOR NO KEY UPDATE OF seat SKIP LOCKED
        ),
        granted AS MATERIALIZED (
            SELECT count(*)::integer AS seats, sum(price)::bigint AS price FROM claimable
            HAVING count(*) = cardinality($4)
        ),
        held AS (
            INSERT INTO reservation
                (id, person_id, schedule_id, queue_token_id, seat_count, total_price, held_at, expires_at)
            SELECT $5, $3, $2, token.id, granted.seats, granted.price,
                   clock.now, clock.now + make_interval(secs => $6)
            FROM token, granted, clock
            RETURNING id, person_id, schedule_id, queue_token_id, status, seat_count, total_price, held_at,
                      expires_at, confirmed_at, cancelled_at
        ),
        lines AS (
            INSERT INTO reservation_seat (reservation_id, seat_id, price)
            SELECT held.id, claimable.id, claimable.price FROM held, claimable
        ),
        claimed AS (
            UPDATE seat
            SET status = 'HOLD', reservation_id = held.id, hold_expires_at = held.expires_at,
                version = seat.version + CASE seat.status WHEN 'HOLD' THEN 2 ELSE 1 END
            FROM claimable, held
            WHERE seat.id = claimable.id
            RETURNING seat.id, seat.version
        ),
        touched AS (
            UPDATE queue_token t
            SET version = t.version + 1, last_action_at = clock.now,
                expires_at = greatest(t.expires_at, held.expires_at, least(
                    clock.now + make_interval(secs => token.idle_seconds),
                    token.activated_at + make_interval(secs => token.active_seconds)))
            FROM token, held, clock
            WHERE t.id = token.id
            RETURNING t.number, t.version, t.activated_at, t.expires_at
        )
        SELECT claimed.id AS seat_id, claimed.version AS seat_version,
               touched.number, touched.version AS token_version, touched.activated_at,
               touched.expires_at AS token_expires_at, held.*, clock.now
        FROM held, touched, claimed, clock";
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
    let seats: Vec<SeatStatusRow> = db.rows(SEATS, vec![ids, order.schedule_id.into()]).await?;
    let row = row.unwrap_or(HoldFactsRow { token: None, on_sale: false, taken: 0, seat_limit: 0 });
    Ok(HoldFacts {
        token: row.token,
        on_sale: row.on_sale,
        taken: row.taken,
        limit: row.seat_limit,
        seats: seats.into_iter().map(|seat| (seat.id, seat.status)).collect(),
    })
}

#[derive(Debug, FromQueryResult)]
struct FreeSeatRow {
    id: SeatId,
    section: String,
    row_index: i32,
    number: i32,
    preference: i32,
}

/// The free seats of a grade, by section, row and number.
pub(in crate::reservation) async fn free_seats(
    db: &Db,
    schedule_id: ScheduleId,
    grade: &str,
) -> Result<Vec<FreeSeat>, Fault> {
    const SQL: &str = "
        SELECT id, section, row_index, number, preference FROM seat
        WHERE schedule_id = $1 AND grade = $2
          AND (status = 'AVAILABLE' OR (status = 'HOLD' AND hold_expires_at <= clock_timestamp()))
        ORDER BY section, row_index, number";
    let rows: Vec<FreeSeatRow> = db.rows(SQL, vec![schedule_id.into(), grade.into()]).await?;
    let seat = |row: FreeSeatRow| FreeSeat {
        id: row.id,
        section: row.section,
        row_index: row.row_index,
        number: row.number,
        preference: row.preference,
    };
    Ok(rows.into_iter().map(seat).collect())
}
