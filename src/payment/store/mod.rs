//! The table of payments, and the statements in which money moves together with what it is for: `pay`, `card` and `cancel`. What
//! is on its way back is `refund`'s.

mod cancel;
mod card;
mod pay;
mod refund;

pub(super) use cancel::{Cancelled, called_off, cancel, cancel_facts, customer};
pub(super) use card::{
    CardCharge, ChargeRow, FAILURES_MAX, Moved, Pace, Undecided, approve, attempt_again, begin,
    begin_charge, charge_by_key, credit, fail, fail_charge, look_later, look_soon, note_standing,
    record_failure, take_due, undecided,
};
pub(super) use pay::{Order, Paid, pay_alone, pay_facts, pay_group};
pub(super) use refund::{
    DueRefund, book_refund, claim_refunds, refund_anew, refund_done, refund_facts, refund_later,
    refund_progress, refund_soon,
};
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter};

use super::{PayRefusal, Payment, PaymentAction, PaymentMethod, PaymentStatus, RefundStatus};
use crate::{
    db::{Db, Session, entity::payment, text_column, uuids},
    kernel::{Fault, PaymentId, PersonId, Points, ReservationId, Timestamp},
};

text_column!(PaymentMethod, PaymentStatus, PayRefusal, RefundStatus);

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
            action: None,
            created_at: row.created_at,
            approved_at: row.approved_at,
            refunded_at: row.refunded_at,
            refund: (row.status == PaymentStatus::Refunded).then_some(RefundStatus::Done),
        }
    }
}

/// A payment that may be on its way back.
#[derive(Debug, FromQueryResult)]
struct StandingRow {
    refund_status: Option<RefundStatus>,
    #[sea_orm(nested)]
    payment: PaymentRow,
}

impl From<StandingRow> for Payment {
    fn from(row: StandingRow) -> Self {
        let payment = Self::from(row.payment);
        Self { refund: row.refund_status.or(payment.refund), ..payment }
    }
}

/// The same with what its buyer has to do; a payment with points never has anything.
#[derive(Debug, FromQueryResult)]
struct ReadRow {
    action_url: Option<String>,
    action_secret: Option<String>,
    action_expires_at: Option<Timestamp>,
    #[sea_orm(nested)]
    payment: StandingRow,
}

impl From<ReadRow> for Payment {
    fn from(row: ReadRow) -> Self {
        let payment = Self::from(row.payment);
        let action = action(payment.id, row.action_url, row.action_secret, row.action_expires_at);
        Self { action, ..payment }
    }
}

/// What a buyer has to do, if anything.
pub(super) fn action(
    payment_id: PaymentId,
    redirect_url: Option<String>,
    client_secret: Option<String>,
    expires_at: Option<Timestamp>,
) -> Option<PaymentAction> {
    let expires_at = expires_at.filter(|_| redirect_url.is_some() || client_secret.is_some())?;
    Some(PaymentAction { payment_id, redirect_url, client_secret, expires_at })
}

/// The payment that a key stands for.
#[derive(Debug)]
pub(super) struct Keyed {
    pub payment: Payment,
    /// Of the order that it was used for.
    pub fingerprint: Vec<u8>,
    /// The money came too late for the seats, and goes back.
    pub late: bool,
    /// The performance was called off before.
    pub called_off: bool,
}

#[derive(Debug, FromQueryResult)]
struct KeyRow {
    fingerprint: Vec<u8>,
    late: bool,
    called_off: bool,
    #[sea_orm(nested)]
    read: ReadRow,
}

/// The payment for seats that a key was used for.
pub(super) async fn by_key(
    db: &Db,
    person_id: PersonId,
    key: &str,
) -> Result<Option<Keyed>, Fault> {
    const SQL: &str = "
        SELECT p.id, p.person_id, p.reservation_id, p.method, p.amount, p.status, p.failure_code, p.created_at,
               p.approved_at, p.refunded_at, p.refund_status, p.action_url, p.action_secret, p.action_expires_at, p.fingerprint,
               p.status IN ('APPROVED', 'REFUNDED') AND r.confirmed_at IS NULL AS late,
               r.status = 'CANCELLED' AS called_off
        FROM payment p JOIN reservation r ON r.id = p.reservation_id
        WHERE p.person_id = $1 AND p.purpose = 'SEATS' AND p.idempotency_key = $2";
    let row: Option<KeyRow> = db.row(SQL, vec![person_id.into(), key.into()]).await?;
    Ok(row.map(|row| Keyed {
        payment: row.read.into(),
        fingerprint: row.fingerprint,
        late: row.late,
        called_off: row.called_off,
    }))
}

/// Payments for seats, by id.
pub(super) async fn by_ids(db: &Db, ids: &[PaymentId]) -> Result<Vec<Payment>, Fault> {
    let rows = payment::Entity::find()
        .filter(payment::Column::Id.is_in(ids.iter().copied()))
        .filter(payment::Column::Purpose.eq("SEATS"))
        .into_model::<ReadRow>()
        .all(db.connection())
        .await?;
    Ok(rows.into_iter().map(Payment::from).collect())
}

/// The latest payment of each reservation; of those that have not failed, if there is one.
pub(super) async fn latest_of(db: &Db, ids: &[ReservationId]) -> Result<Vec<Payment>, Fault> {
    const SQL: &str = "
        SELECT DISTINCT ON (reservation_id)
               id, person_id, reservation_id, method, amount, status, failure_code, created_at, approved_at,
               refunded_at, refund_status, action_url, action_secret, action_expires_at
        FROM (SELECT * FROM payment WHERE reservation_id = ANY($1) AND status IN ('PENDING', 'APPROVED')
              UNION ALL
              SELECT * FROM payment WHERE reservation_id = ANY($1) AND status IN ('FAILED', 'REFUNDED')) p
        ORDER BY reservation_id, status = 'FAILED', id DESC";
    let rows: Vec<ReadRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    Ok(rows.into_iter().map(Payment::from).collect())
}
