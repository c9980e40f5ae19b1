//! Money on its way back: which refunds are due, and what has become of them.

use std::{collections::HashMap, time::Duration};

use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Session, uuids},
    gateway::{CardPayment, CardRefund},
    kernel::{
        Fault, POINTS_MAX, PaymentId, PersonId, Points, RefundId, ReservationId, ScheduleId,
        WalletEntryId,
    },
    payment::{
        PaymentMethod, PaymentStatus, RefundProgress, RefundStatus,
        rules::{RefundFacts, Retry},
    },
};

/// A refund that is due, and taken for now.
#[derive(Debug, Clone, FromQueryResult)]
pub(in crate::payment) struct DueRefund {
    pub id: PaymentId,
    pub person_id: PersonId,
    /// `None` where points were paid for.
    pub reservation_id: Option<ReservationId>,
    pub method: PaymentMethod,
    pub amount: Points,
    pub gateway_reference: Option<String>,
    pub refund_id: RefundId,
    pub refund_attempt: i32,
}

impl DueRefund {
    /// The refund, as a gateway is asked for it.
    pub(in crate::payment) fn at_the_gateway(&self) -> CardRefund {
        let (id, amount, reference) = (self.id, self.amount, self.gateway_reference.clone());
        CardRefund {
            id: self.refund_id,
            attempt: u32::try_from(self.refund_attempt).unwrap_or(1),
            amount,
            payment: CardPayment { id, amount, reference },
        }
    }
}

/// Takes refunds that are due, the longest waiting first, so that no other instance tries them meanwhile. One that nothing
/// becomes of, because its instance died, is due again after `lease`.
pub(in crate::payment) async fn claim_refunds(
    db: &Db,
    limit: usize,
    lease: Duration,
) -> Result<Vec<DueRefund>, Fault> {
    const SQL: &str = "
        WITH due AS MATERIALIZED (
            SELECT p.id FROM payment p
            WHERE p.refund_status = 'PENDING' AND p.refund_try_at <= statement_timestamp()
            ORDER BY p.refund_try_at LIMIT $1
            FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE payment p SET refund_try_at = clock_timestamp() + make_interval(secs => $2)
        FROM due WHERE p.id = due.id
        RETURNING p.id, p.person_id, p.reservation_id, p.method, p.amount, p.gateway_reference, p.refund_id, p.refund_attempt";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(db.rows(SQL, vec![limit.into(), lease.as_secs_f64().into()]).await?)
}

/// Gives points back whose wallet was too full; whether it has room now.
pub(in crate::payment) async fn book_refund(db: &Db, id: PaymentId) -> Result<bool, Fault> {
    const SQL: &str = include_str!("refund.sql");
    let values = vec![id.into(), POINTS_MAX.into(), WalletEntryId::new().into()];
    Ok(db.run(SQL, values).await? > 0)
}

/// Notes that the gateway has given a card's money back; whether that was news.
pub(in crate::payment) async fn refund_done(db: &Db, id: PaymentId) -> Result<bool, Fault> {
    const SQL: &str = "
        UPDATE payment SET status = 'REFUNDED', refunded_at = clock_timestamp(), refund_status = NULL, refund_try_at = NULL
        WHERE id = $1 AND status = 'APPROVED' AND refund_status IS NOT NULL";
    Ok(db.run(SQL, vec![id.into()]).await? > 0)
}

#[derive(Debug, FromQueryResult)]
struct StatusRow {
    refund_status: RefundStatus,
}

/// Notes that a refund is to be tried again, or given up for it has taken longer than `within`. What it says is how it
/// stands; `None` when somebody else has got further.
pub(in crate::payment) async fn refund_later(
    db: &Db,
    due: &DueRefund,
    retry: Retry,
    within: Duration,
) -> Result<Option<RefundStatus>, Fault> {
    // The last try comes when the time is over, and not an hour before.
    const SQL: &str = "
        UPDATE payment p
        SET refund_attempt = $3,
            refund_status = CASE WHEN clock.now < p.refund_asked_at + make_interval(secs => $4) THEN 'PENDING' ELSE 'FAILED' END,
            refund_try_at = CASE WHEN clock.now < p.refund_asked_at + make_interval(secs => $4) THEN least(
                clock.now + least(greatest((clock.now - p.refund_asked_at) / $5, make_interval(secs => $6)),
                                  make_interval(secs => $7)),
                p.refund_asked_at + make_interval(secs => $4)) END
        FROM (SELECT clock_timestamp() AS now) clock
        WHERE p.id = $1 AND p.refund_status = 'PENDING' AND p.refund_attempt = $2
        RETURNING p.refund_status";
    let values = vec![
        due.id.into(),
        due.refund_attempt.into(),
        (due.refund_attempt.saturating_add(i32::from(retry.next_attempt))).into(),
        within.as_secs_f64().into(),
        retry.age_over_pause.into(),
        Retry::PAUSE_MIN.as_secs_f64().into(),
        Retry::PAUSE_MAX.as_secs_f64().into(),
    ];
    let row: Option<StatusRow> = db.row(SQL, values).await?;
    Ok(row.map(|row| row.refund_status))
}

/// Has a refund that was given up tried anew; whether it was.
pub(in crate::payment) async fn refund_anew(db: &Db, id: PaymentId) -> Result<bool, Fault> {
    const SQL: &str = "
        UPDATE payment SET refund_status = 'PENDING', refund_asked_at = clock_timestamp(), refund_try_at = clock_timestamp()
        WHERE id = $1 AND refund_status = 'FAILED'";
    Ok(db.run(SQL, vec![id.into()]).await? > 0)
}

/// How a payment's refund stands, for finding words; `None` when there is no such payment.
pub(in crate::payment) async fn refund_facts(
    db: &Db,
    id: PaymentId,
) -> Result<Option<RefundFacts>, Fault> {
    const SQL: &str = "SELECT status, refund_status FROM payment WHERE id = $1";
    #[derive(FromQueryResult)]
    struct Row {
        status: PaymentStatus,
        refund_status: Option<RefundStatus>,
    }
    let row: Option<Row> = db.row(SQL, vec![id.into()]).await?;
    Ok(row.map(|Row { status, refund_status }| RefundFacts { status, refund_status }))
}

/// Has a refund that is on its way looked at now.
pub(in crate::payment) async fn refund_soon(db: &Db, id: PaymentId) -> Result<(), Fault> {
    const SQL: &str = "
        UPDATE payment SET refund_try_at = least(refund_try_at, clock_timestamp())
        WHERE id = $1 AND refund_status = 'PENDING'";
    db.run(SQL, vec![id.into()]).await?;
    Ok(())
}

#[derive(Debug, FromQueryResult)]
struct ProgressRow {
    schedule_id: ScheduleId,
    total: i64,
    done: i64,
    failed: i64,
}

/// How far the refunds of performances are that were called off.
pub(in crate::payment) async fn refund_progress(
    db: &Db,
    ids: &[ScheduleId],
) -> Result<HashMap<ScheduleId, RefundProgress>, Fault> {
    const SQL: &str = "
        SELECT s.id AS schedule_id, count(p.id) AS total, count(p.id) FILTER (WHERE p.status = 'REFUNDED') AS done,
               count(p.id) FILTER (WHERE p.refund_status = 'FAILED') AS failed
        FROM schedule s
        LEFT JOIN reservation r ON r.schedule_id = s.id
        LEFT JOIN payment p ON p.reservation_id = r.id AND p.status IN ('APPROVED', 'REFUNDED')
        WHERE s.id = ANY($1) AND s.status = 'CANCELLED'
        GROUP BY s.id";
    let rows: Vec<ProgressRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    let count = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
    let progress = |row: ProgressRow| {
        let ProgressRow { schedule_id, total, done, failed } = row;
        let [total, done, failed] = [total, done, failed].map(count);
        (schedule_id, RefundProgress { total, done, failed })
    };
    Ok(rows.into_iter().map(progress).collect())
}
