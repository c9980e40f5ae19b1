//! Payments by card, to be compared with the gateway's list.

use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::{
    audit::gateway::Booked,
    db::{Db, Session, uuids},
    kernel::{Fault, PaymentId, Points, Timestamp},
};

/// Payments that are read at a time.
const PAGE: i64 = 5_000;

#[derive(Debug, FromQueryResult)]
struct BookedRow {
    id: PaymentId,
    amount: Points,
    status: String,
    refund_status: Option<String>,
    young: bool,
    decided_at: Option<Timestamp>,
}

impl From<BookedRow> for Booked {
    fn from(row: BookedRow) -> Self {
        let BookedRow { id, amount, status, refund_status, young, decided_at } = row;
        Self { id, amount, status, refund_status, young, decided_at }
    }
}

/// The database's clock.
pub(in crate::audit) async fn now(db: &Db) -> Result<Timestamp, Fault> {
    db.tx(async |tx| tx.now().await).await
}

/// Payments by id. One that is PENDING is young until a quarter of an hour after it was to be called off, and so is a refund that was
/// asked for within an hour.
pub(in crate::audit) async fn booked(db: &Db, ids: &[PaymentId]) -> Result<Vec<Booked>, Fault> {
    const SQL: &str = "
        SELECT id, amount, status, refund_status, greatest(approved_at, refunded_at) AS decided_at,
               coalesce(CASE WHEN status = 'PENDING' THEN call_off_at > clock_timestamp() - interval '15 min'
                             ELSE refund_status = 'PENDING' AND refund_asked_at > clock_timestamp() - interval '1 hour' END,
                        false) AS young
        FROM payment WHERE id = ANY($1) AND method = 'CARD'
        ORDER BY id";
    let rows: Vec<BookedRow> = db.rows(SQL, vec![uuids(ids.iter().map(|id| id.0))]).await?;
    Ok(rows.into_iter().map(Booked::from).collect())
}

/// Some payments by card that were paid before an instant, behind the one that came last.
pub(in crate::audit) async fn paid_by_card(
    db: &Db,
    after: Option<PaymentId>,
    before: Timestamp,
) -> Result<Vec<Booked>, Fault> {
    const SQL: &str = "
        SELECT id, amount, status, refund_status, false AS young, greatest(approved_at, refunded_at) AS decided_at
        FROM payment
        WHERE id > $1 AND method = 'CARD' AND status IN ('APPROVED', 'REFUNDED') AND approved_at < $2
        ORDER BY id LIMIT $3";
    let after = after.map_or(Uuid::nil(), |id| id.0);
    let rows: Vec<BookedRow> = db.rows(SQL, vec![after.into(), before.into(), PAGE.into()]).await?;
    Ok(rows.into_iter().map(Booked::from).collect())
}
