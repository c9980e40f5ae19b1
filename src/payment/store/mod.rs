//! The table of payments, and the statements in which money moves together with what it is for.

mod cancel;

pub(super) use cancel::{Cancelled, cancel, cancel_facts};
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
    number: i64,
    token_before: QueueStatus,
    token_status: QueueStatus,
    token_version: i64,
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
/// Nor is it when the hold has lapsed by the time at which the last lock was there: since the lapse the person may have
/// held other seats instead.
/// The token is USED up when the person owns as many seats as they may; its version must be that of the statement's
/// snapshot, else another payment of theirs was committed in between and the seats counted are stale.
pub(super) async fn pay_with_points(
    db: &Db,
    person_id: PersonId,
    order: &PayOrder,
    fingerprint: &[u8],
) -> Result<Option<Paid>, DbErr> {
    const SQL: &str = include_str!("pay_with_points.sql");
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
    let token = (first.token_before == QueueStatus::Active).then_some(Change {
        number: first.number,
        person_id,
        status: first.token_status,
        version: first.token_version,
        activated_at: first.activated_at,
        expires_at: first.token_expires_at,
    });
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
        .all(db.connection())
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
