//! Our payments by card against the gateway's own list.
//!
//! The gateway's page is read first and our rows then, so that what we know is never older than what it says. What was decided while
//! this went on is not judged.

use std::collections::BTreeSet;

use super::{Check, store};
use crate::{
    db::Db,
    gateway::{CardGateway, Listed},
    kernel::{Fault, FaultKind, PaymentId, Points, Timestamp},
};

/// Faults that are told; the rest is counted only.
const TOLD: usize = 20;
/// Payments of a gateway's list that are compared at most; one takes some forty bytes meanwhile.
const LISTED_MAX: usize = 10_000_000;

/// A payment by card as our books have it.
#[derive(Debug, Clone)]
pub(super) struct Booked {
    pub id: PaymentId,
    pub amount: Points,
    pub status: String,
    pub refund_status: Option<String>,
    /// It is PENDING, or its refund is, for no longer than that may take.
    pub young: bool,
    /// When it was approved or refunded last.
    pub decided_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Comparison {
    began: Timestamp,
    /// Payments that the gateway knows of: these are judged.
    listed: BTreeSet<PaymentId>,
    check: Check,
}

/// Compares our payments by card with what the gateway says that it did.
///
/// # Errors
/// When the gateway or Postgres cannot be asked; then nothing is known.
pub async fn compare(db: &Db, gateway: &CardGateway) -> Result<Check, Fault> {
    let check = Check { name: "payments_agree_with_the_gateway", count: 0, faults: Vec::new() };
    let began = store::now(db).await?;
    let mut comparison = Comparison { began, listed: BTreeSet::new(), check };
    let mut after = None;
    loop {
        let page = gateway.list(after.as_deref()).await?;
        let ids: Vec<PaymentId> = page.payments.iter().map(|listed| listed.payment_id).collect();
        let booked = store::booked(db, &ids).await?;
        for listed in &page.payments {
            let ours = booked.iter().find(|ours| ours.id == listed.payment_id);
            comparison.judge(listed, ours);
        }
        if comparison.listed.len() > LISTED_MAX {
            let words = "the gateway's list is longer than can be compared at once";
            return Err(Fault::alike(FaultKind::Internal, words));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    comparison.look_for_the_rest(db).await?;
    Ok(comparison.check)
}

impl Comparison {
    fn fault(&mut self, text: String) {
        self.check.count += 1;
        if self.check.faults.len() < TOLD {
            self.check.faults.push(text);
        }
    }

    fn judge(&mut self, listed: &Listed, ours: Option<&Booked>) {
        let Listed { payment_id, charged, refunded } = *listed;
        self.listed.insert(payment_id);
        if let Some(wrong) = wrong(listed, ours, self.began) {
            let (charged, refunded) = (charged.get(), refunded.get());
            self.fault(format!(
                "payment {payment_id}: {charged} charged and {refunded} refunded there, {wrong}"
            ));
        }
    }

    /// Money that we have booked, of payments that the gateway knows nothing of.
    async fn look_for_the_rest(&mut self, db: &Db) -> Result<(), Fault> {
        let mut after = None;
        loop {
            let page = store::paid_by_card(db, after, self.began).await?;
            for ours in &page {
                if ours.amount > Points::ZERO && !self.listed.contains(&ours.id) {
                    let Booked { id, amount, status, .. } = ours;
                    self.fault(format!(
                        "payment {id}: {status} here with {}, and not charged there",
                        amount.get()
                    ));
                }
            }
            match page.last() {
                Some(last) => after = Some(last.id),
                None => return Ok(()),
            }
        }
    }
}

/// What does not agree; `None` when all does, or when it was decided only now.
fn wrong(listed: &Listed, ours: Option<&Booked>, began: Timestamp) -> Option<String> {
    let Listed { charged, refunded, .. } = *listed;
    let kept = charged > refunded;
    let Some(ours) = ours else {
        return kept.then(|| "and unknown here".to_owned());
    };
    if ours.decided_at.is_some_and(|at| at >= began) {
        return None;
    }
    let amount = ours.amount.get();
    let stands = |more: &str| Some(format!("{} of {amount} here{more}", ours.status));
    match ours.status.as_str() {
        "APPROVED" if charged != ours.amount => stands(""),
        // A refund that the gateway has done is noted soon.
        "APPROVED" if refunded > Points::ZERO && !ours.young => match &ours.refund_status {
            None => stands(" without a refund"),
            Some(refund) => stands(&format!(" with a refund that is {refund}")),
        },
        "REFUNDED" if charged != ours.amount || refunded != ours.amount => stands(""),
        "FAILED" if kept => stands(""),
        "PENDING" if kept && !ours.young => stands(" for too long"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    fn booked(status: &str, refund: Option<&str>, young: bool) -> Booked {
        Booked {
            id: PaymentId(Uuid::from_u128(1)),
            amount: Points::new(500).unwrap(),
            status: status.to_owned(),
            refund_status: refund.map(str::to_owned),
            young,
            decided_at: Some(Timestamp::UNIX_EPOCH),
        }
    }

    fn judged(charged: i64, refunded: i64, ours: Option<&Booked>) -> bool {
        let [charged, refunded] = [charged, refunded].map(|it| Points::new(it).unwrap());
        let listed = Listed { payment_id: PaymentId(Uuid::from_u128(1)), charged, refunded };
        wrong(&listed, ours, Timestamp::UNIX_EPOCH + TimeDelta::seconds(1)).is_none()
    }

    #[test]
    fn what_agrees_is_no_fault_and_all_else_is() {
        for (charged, refunded, status, refund, young, agrees) in [
            (500, 0, "APPROVED", None, false, true),
            (499, 0, "APPROVED", None, false, false),
            (500, 500, "APPROVED", None, false, false),
            (500, 500, "APPROVED", Some("PENDING"), true, true),
            (500, 500, "APPROVED", Some("PENDING"), false, false),
            (500, 500, "APPROVED", Some("FAILED"), false, false),
            (500, 0, "APPROVED", Some("FAILED"), false, true),
            (500, 500, "REFUNDED", None, false, true),
            (500, 499, "REFUNDED", None, false, false),
            (500, 0, "REFUNDED", None, false, false),
            (0, 0, "FAILED", None, false, true),
            (500, 0, "FAILED", None, false, false),
            (500, 500, "FAILED", None, false, true),
            (500, 0, "PENDING", None, true, true),
            (500, 0, "PENDING", None, false, false),
            (0, 0, "PENDING", None, false, true),
        ] {
            let ours = booked(status, refund, young);
            assert_eq!(
                judged(charged, refunded, Some(&ours)),
                agrees,
                "{charged} {refunded} {ours:?}"
            );
        }
        assert!(judged(0, 0, None) && judged(500, 500, None) && !judged(500, 0, None));
    }

    #[test]
    fn what_was_decided_meanwhile_is_not_judged() {
        let late = Some(Timestamp::UNIX_EPOCH + TimeDelta::seconds(2));
        let ours = Booked { decided_at: late, ..booked("REFUNDED", None, false) };
        assert!(judged(500, 0, Some(&ours)));
    }
}
