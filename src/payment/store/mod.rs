//! The table of payments, and the statements in which money moves together with what it is for: `pay` and `cancel`. What is
//! on its way back is `refund`'s.

mod cancel;
mod pay;
mod refund;

pub(super) use cancel::{Cancelled, called_off, cancel, cancel_facts, customer};
pub(super) use pay::{Order, Paid, pay_alone, pay_facts, pay_group};
pub(super) use refund::{
    DueRefund, book_refund, claim_refunds, refund_anew, refund_done, refund_later, refund_progress,
    refund_soon,
};
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter};

use super::{PayRefusal, Payment, PaymentMethod, PaymentStatus, RefundStatus};
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

#[derive(Debug, FromQueryResult)]
struct KeyRow {
    fingerprint: Vec<u8>,
    #[sea_orm(nested)]
    payment: StandingRow,
}

/// The payment that a key was used for, and the fingerprint of its order.
pub(super) async fn by_key(
    db: &Db,
    person_id: PersonId,
    key: &str,
) -> Result<Option<(Payment, Vec<u8>)>, Fault> {
    const SQL: &str = "
        SELECT id, person_id, reservation_id, method, amount, status, failure_code, created_at, approved_at,
               refunded_at, refund_status, fingerprint
        FROM payment WHERE person_id = $1 AND idempotency_key = $2";
    let row: Option<KeyRow> = db.row(SQL, vec![person_id.into(), key.into()]).await?;
    Ok(row.map(|row| (row.payment.into(), row.fingerprint)))
}

/// Payments by id.
pub(super) async fn by_ids(db: &Db, ids: &[PaymentId]) -> Result<Vec<Payment>, Fault> {
    let rows = payment::Entity::find()
        .filter(payment::Column::Id.is_in(ids.iter().copied()))
        .into_model::<StandingRow>()
        .all(db.connection())
        .await?;
    Ok(rows.into_iter().map(Payment::from).collect())
}

/// The latest payment of each reservation.
pub(super) async fn latest_of(db: &Db, ids: &[ReservationId]) -> Result<Vec<Payment>, Fault> {
    const SQL: &str = "
        SELECT DISTINCT ON (reservation_id)
               id, person_id, reservation_id, method, amount, status, failure_code, created_at, approved_at,
               refunded_at, refund_status
        FROM payment WHERE reservation_id = ANY($1)
        ORDER BY reservation_id, id DESC";
    let rows: Vec<StandingRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    Ok(rows.into_iter().map(Payment::from).collect())
}
