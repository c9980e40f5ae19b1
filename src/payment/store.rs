//! The table of payments, and the statement that moves points.

use sea_orm::{ColumnTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter};

use super::{PayOrder, PayRefusal, Payment, PaymentMethod, PaymentStatus, rules::PayFacts};
use crate::{
    db::{Db, Session, entity::payment, text_column, uuids},
    kernel::{
        Fault, PaymentId, PersonId, Points, ReservationId, ScheduleId, SeatId, Timestamp,
        WalletEntryId,
    },
    reservation::{ReservationStatus, SeatChange, SeatStatus},
    waiting_room::{Change, QueueStatus},
};

text_column!(PaymentMethod, PaymentStatus, PayRefusal);

#[derive(Debug, Clone, FromQueryResult)]
struct PaymentRow {
    id: PaymentId,
    person_id: PersonId,
    reservation_id: ReservationId,
    method: PaymentMethod,
    amount: Points,
    status: PaymentStatus,
    failure_code: Option<PayRefusal>,
    created_at: Timestamp,
    approved_at: Option<Timestamp>,
    refunded_at: Option<Timestamp>,
}

impl From<PaymentRow> for Payment {
    fn from(row: PaymentRow) -> Self {
        Self {
            id: row.id,
            person_id: row.person_id,
            reservation_id: row.reservation_id,
            method: row.method,
            amount: row.amount,
            status: row.status,
            failure: row.failure_code,
            created_at: row.created_at,
            approved_at: row.approved_at,
            refunded_at: row.refunded_at,
        }
    }
}

/// A payment that was just made, and what has to be told.
#[derive(Debug)]
pub(super) struct Paid {
    pub payment: Payment,
    pub schedule_id: ScheduleId,
    pub seats: Vec<SeatChange>,
    /// The person's token, if it was ACTIVE.
    pub token: Option<Change>,
}

#[derive(Debug, FromQueryResult)]
struct PaidRow {
    seat_id: SeatId,
    seat_version: i32,
    schedule_id: ScheduleId,
    number: Option<i64>,
    token_status: Option<QueueStatus>,
    token_version: Option<i64>,
    activated_at: Option<Timestamp>,
    token_expires_at: Option<Timestamp>,
    #[sea_orm(nested)]
    payment: PaymentRow,
}

/// The whole payment in one statement: reservation, seats, wallet, ledger, queue token. `None` when something stood in
/// its way, and then nothing was changed.
///
/// Locks in the order token, reservation, seats, wallet; each step needs the one before, so a payment is made whole or
/// not at all. A seat that somebody took over after the hold had lapsed is missing from `place`, and then nothing is paid.
/// The token is USED up when the person owns as many seats as they may; its version must be that of the statement's
/// snapshot, else another payment of theirs was committed in between and the seats counted are stale.
pub(super) async fn pay_with_points(
    db: &Db,
    person_id: PersonId,
    order: &PayOrder,
    fingerprint: &[u8],
) -> Result<Option<Paid>, DbErr> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
        seen AS MATERIALIZED (
            SELECT t.version FROM reservation r JOIN queue_token t ON t.id = r.queue_token_id
            WHERE r.id = $1 AND r.person_id = $2
        ),
        token AS MATERIALIZED (
            SELECT t.id, t.version, t.status FROM reservation r
            JOIN queue_token t ON t.id = r.queue_token_id
            WHERE r.id = $1 AND r.person_id = $2
            FOR NO KEY UPDATE OF t
        ),
        current AS MATERIALIZED (
            SELECT r.id, r.schedule_id, r.seat_count, r.total_price
            FROM token
            JOIN seen ON seen.version = token.version
            JOIN reservation r ON r.id = $1
            WHERE r.status = 'HOLD' AND r.expires_at > clock_timestamp() AND r.total_price = $3
            FOR NO KEY UPDATE OF r
        ),
        place AS MATERIALIZED (
            SELECT seat.id FROM current
            JOIN reservation_seat l ON l.reservation_id = current.id
            JOIN seat ON seat.id = l.seat_id
            WHERE seat.reservation_id = current.id AND seat.status = 'HOLD'
            ORDER BY seat.id
            FOR NO KEY UPDATE OF seat
        ),
        purse AS MATERIALIZED (
            SELECT w.balance FROM current
            JOIN wallet w ON w.person_id = $2
            WHERE (SELECT count(*) FROM place) = current.seat_count AND w.balance >= current.total_price
            FOR NO KEY UPDATE OF w
        ),
        paid AS (
            INSERT INTO payment (id, person_id, reservation_id, method, amount, status, idempotency_key,
                                 fingerprint, created_at, approved_at)
            SELECT $4, $2, current.id, 'POINT', current.total_price, 'APPROVED', $5, $6, clock.now, clock.now
            FROM current, purse, clock
            RETURNING id, person_id, reservation_id, method, amount, status, failure_code,
                      created_at, approved_at, refunded_at
        ),
        confirmed AS (
            UPDATE reservation r SET status = 'CONFIRMED', confirmed_at = clock.now
            FROM paid, clock
            WHERE r.id = paid.reservation_id
            RETURNING r.schedule_id
        ),
        sold AS (
            UPDATE seat SET status = 'SOLD_OUT', hold_expires_at = NULL, version = seat.version + 1
            FROM place, paid
            WHERE seat.id = place.id
            RETURNING seat.id, seat.version
        ),
        spent AS (
            UPDATE wallet w SET balance = w.balance - paid.amount FROM paid WHERE w.person_id = $2
            RETURNING w.balance
        ),
        entry AS (
            INSERT INTO wallet_entry
                (id, person_id, kind, delta, balance_after, purpose, key, payment_id, created_at)
            SELECT $7, $2, 'DEDUCT', -paid.amount, spent.balance, 'PAYMENT', paid.id::text, paid.id, clock.now
            FROM paid, spent, clock
        ),
        touched AS (
            UPDATE queue_token t
            SET version = t.version + 1, last_action_at = clock.now,
                status = CASE WHEN used.up THEN 'USED' ELSE t.status END,
                ended_at = CASE WHEN used.up THEN clock.now END
            FROM token, current, paid, clock, LATERAL (
                SELECT current.seat_count + coalesce(sum(r.seat_count), 0) >= s.max_seats_per_person AS up
                FROM schedule s
                LEFT JOIN reservation r
                    ON r.schedule_id = s.id AND r.person_id = $2 AND r.status = 'CONFIRMED'
                WHERE s.id = current.schedule_id
                GROUP BY s.max_seats_per_person
            ) used
            WHERE t.id = token.id AND t.status = 'ACTIVE'
            RETURNING t.number, t.status, t.version, t.activated_at, t.expires_at
        )
        SELECT sold.id AS seat_id, sold.version AS seat_version, confirmed.schedule_id,
               touched.number, touched.status AS token_status, touched.version AS token_version,
               touched.activated_at, touched.expires_at AS token_expires_at, paid.*
        FROM paid CROSS JOIN confirmed CROSS JOIN sold LEFT JOIN touched ON true";
    let values = vec![
        order.reservation_id.into(),
        person_id.into(),
        order.amount.into(),
        PaymentId::new().into(),
        order.idempotency_key.as_str().into(),
        fingerprint.to_vec().into(),
        WalletEntryId::new().into(),
    ];
    let rows: Vec<PaidRow> = db.rows(SQL, values).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let token = first.number.zip(first.token_status).zip(first.token_version).map(
        |((number, status), version)| Change {
            number,
            person_id,
            status,
            version,
            activated_at: first.activated_at,
            expires_at: first.token_expires_at,
        },
    );
    let sold = |row: &PaidRow| SeatChange {
        seat_id: row.seat_id,
        status: SeatStatus::SoldOut,
        version: row.seat_version,
        hold_expires_at: None,
    };
    Ok(Some(Paid {
        payment: first.payment.clone().into(),
        schedule_id: first.schedule_id,
        seats: rows.iter().map(sold).collect(),
        token,
    }))
}

#[derive(Debug, FromQueryResult)]
struct PayFactsRow {
    status: ReservationStatus,
    price: Points,
    balance: Points,
    pending: bool,
    seats_kept: bool,
}

/// What stood in the way of a payment; `None` when there is no such reservation of this person.
pub(super) async fn pay_facts(
    db: &Db,
    person_id: PersonId,
    reservation_id: ReservationId,
) -> Result<Option<PayFacts>, Fault> {
    const SQL: &str = "
        WITH opened AS (
            INSERT INTO wallet (person_id) VALUES ($2) ON CONFLICT DO NOTHING
        )
        SELECT CASE WHEN r.status = 'HOLD' AND r.expires_at <= clock_timestamp() THEN 'EXPIRED'
                    ELSE r.status END AS status,
               r.total_price AS price,
               coalesce((SELECT balance FROM wallet WHERE person_id = $2), 0) AS balance,
               EXISTS (SELECT 1 FROM payment p WHERE p.reservation_id = r.id AND p.status = 'PENDING') AS pending,
               (SELECT count(*) FROM reservation_seat l JOIN seat ON seat.id = l.seat_id
                WHERE l.reservation_id = r.id AND seat.reservation_id = r.id) = r.seat_count AS seats_kept
        FROM reservation r WHERE r.id = $1 AND r.person_id = $2";
    let row: Option<PayFactsRow> =
        db.row(SQL, vec![reservation_id.into(), person_id.into()]).await?;
    Ok(row.map(|row| PayFacts {
        status: row.status,
        price: row.price,
        balance: row.balance,
        pending: row.pending,
        seats_kept: row.seats_kept,
    }))
}

#[derive(Debug, FromQueryResult)]
struct KeyRow {
    fingerprint: Vec<u8>,
    #[sea_orm(nested)]
    payment: PaymentRow,
}

/// The payment that a key was used for, and the fingerprint of its order.
pub(super) async fn by_key(
    db: &Db,
    person_id: PersonId,
    key: &str,
) -> Result<Option<(Payment, Vec<u8>)>, Fault> {
    const SQL: &str = "
        SELECT id, person_id, reservation_id, method, amount, status, failure_code, created_at, approved_at,
               refunded_at, fingerprint
        FROM payment WHERE person_id = $1 AND idempotency_key = $2";
    let row: Option<KeyRow> = db.row(SQL, vec![person_id.into(), key.into()]).await?;
    Ok(row.map(|row| (row.payment.into(), row.fingerprint)))
}

/// Payments by id.
pub(super) async fn by_ids(db: &Db, ids: &[PaymentId]) -> Result<Vec<Payment>, Fault> {
    let rows = payment::Entity::find()
        .filter(payment::Column::Id.is_in(ids.iter().copied()))
        .into_model::<PaymentRow>()
        .all(db.pool())
        .await?;
    Ok(rows.into_iter().map(Payment::from).collect())
}

/// The latest payment of each reservation.
pub(super) async fn latest_of(db: &Db, ids: &[ReservationId]) -> Result<Vec<Payment>, Fault> {
    const SQL: &str = "
        SELECT DISTINCT ON (reservation_id)
               id, person_id, reservation_id, method, amount, status, failure_code, created_at, approved_at,
               refunded_at
        FROM payment WHERE reservation_id = ANY($1)
        ORDER BY reservation_id, id DESC";
    let rows: Vec<PaymentRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    Ok(rows.into_iter().map(Payment::from).collect())
}
