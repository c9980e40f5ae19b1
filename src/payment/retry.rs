//! Refunds that were given up, tried anew when an operator says so: also those of charges, which no organizer answers for.

use super::store;
use crate::{
    db::Db,
    kernel::{Failure, PaymentId, text_enum},
};

text_enum! {
    /// Why a refund is not tried anew.
    pub enum RetryRefusal {
        /// No such payment.
        PaymentNotFound = "PAYMENT_NOT_FOUND",
        /// Nobody has asked for its money back.
        NotRefunded = "NOT_REFUNDED",
        /// It is being tried already.
        OnItsWay = "ON_ITS_WAY",
        /// The money is back.
        Done = "DONE",
    }
}

/// Has the refund of a payment, for seats or for points, tried anew after it was given up; by any server, within moments. Its attempts
/// count on, and it is given up again after as long as the first time.
///
/// # Errors
/// A [`RetryRefusal`], or a fault; in both cases nothing was changed.
pub async fn retry_refund(db: &Db, id: PaymentId) -> Result<(), Failure<RetryRefusal>> {
    if store::refund_anew(db, id).await? {
        return Ok(());
    }
    let facts = store::refund_facts(db, id).await?;
    Err(Failure::Refused(facts.map_or(RetryRefusal::PaymentNotFound, |facts| facts.why_not())))
}
