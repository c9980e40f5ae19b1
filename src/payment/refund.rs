//! Money on its way back: by card through the gateway, and points when their wallet has room for them.
//!
//! A refund is noted in the commit that frees the seats, and done here by any instance. Its id and its attempt are the
//! gateway's idempotency key, so whatever is lost on the way may be asked again, by anybody: money goes back once.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;

use super::{
    PaymentMethod, Payments, RefundStatus,
    rules::{self, Step},
    store::{self, DueRefund},
};
use crate::{
    kernel::{Fault, FaultKind, PaymentId, PersonId, ReservationId, ScheduleId},
    reservation::News,
    telemetry::Span,
};

/// Refunds that one call takes at most, all of them asked for at once: a gateway refuses who asks for too much. None of them waits
/// for another one's answer, so one that was taken by an instance that died is soon another one's.
const AT_ONCE: usize = 4;
/// For writing down what the gateway said.
const MARGIN: Duration = Duration::from_secs(5);

/// How far the refunds of a performance are that was called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RefundProgress {
    /// Reservations that were paid for.
    pub total: i32,
    /// Whose money is back.
    pub done: i32,
    /// Whose refund was given up, and needs a person.
    pub failed: i32,
}

impl Payments {
    /// Tries refunds that are due, a few at a time; `true` when there are more. Any number of instances may do so at once.
    ///
    /// # Errors
    /// When Postgres cannot be asked; what was taken is due again soon.
    pub async fn refund_due(&self) -> Result<bool, Fault> {
        let lease = self.gateway.timeout() + MARGIN;
        let due = store::claim_refunds(&self.background, AT_ONCE, lease).await?;
        let full = due.len() >= AT_ONCE;
        let tried = join_all(
            due.iter()
                .map(async |due| Span::of_worker("try a refund").run(self.try_refund(due)).await),
        )
        .await;
        let (mut news, mut fault, mut quiet) = (News::default(), None, false);
        for outcome in tried {
            match outcome {
                Ok(Tried { told, answered }) => {
                    quiet |= !answered;
                    if let Some((person_id, reservation_id)) = told {
                        news.payment(person_id, reservation_id);
                    }
                }
                Err(first) => fault = fault.or(Some(first)),
            }
        }
        self.herald.reservations.tell(news).await;
        match fault {
            Some(fault) => Err(fault),
            // A gateway that does not answer is not pressed for more.
            None => Ok(full && !quiet),
        }
    }

    /// Has a refund that is on its way looked at soon: its gateway says that something has happened.
    ///
    /// # Errors
    /// When Postgres cannot be asked; the refund is looked at later.
    pub async fn refund_soon(&self, id: PaymentId) -> Result<(), Fault> {
        store::refund_soon(&self.money, id).await
    }

    /// How far the refunds of these performances are; those that were not called off are left out.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn refund_progress(
        &self,
        ids: &[ScheduleId],
    ) -> Result<HashMap<ScheduleId, RefundProgress>, Fault> {
        store::refund_progress(&self.db.for_browsing(), ids).await
    }

    async fn try_refund(&self, due: &DueRefund) -> Result<Tried, Fault> {
        let (step, answered) = match due.method {
            PaymentMethod::Point => (self.book(due).await?, true),
            PaymentMethod::Card => self.ask_for_refund(due).await,
        };
        let changed = match step {
            Step::Booked => true,
            Step::Done => store::refund_done(&self.background, due.id).await?,
            Step::Later(retry) => {
                let within = self.refund_within;
                let status = store::refund_later(&self.background, due, retry, within).await?;
                self.metrics.refunds("again").inc();
                if status == Some(RefundStatus::Failed) {
                    self.call_a_person(due);
                }
                status == Some(RefundStatus::Failed)
            }
        };
        if changed && step.is_done() {
            self.metrics.refunds("done").inc();
        }
        let told = due.reservation_id.filter(|_| changed).map(|id| (due.person_id, id));
        Ok(Tried { told, answered })
    }

    /// Points, into a wallet that was too full for them.
    async fn book(&self, due: &DueRefund) -> Result<Step, Fault> {
        let booked = store::book_refund(&self.background, due.id).await?;
        Ok(if booked { Step::Booked } else { Step::Later(rules::NO_ROOM) })
    }

    /// What the gateway says, and whether it says anything.
    async fn ask_for_refund(&self, due: &DueRefund) -> (Step, bool) {
        match self.gateway.refund(&due.at_the_gateway()).await {
            Ok(standing) => (rules::after_refund(&standing), true),
            Err(fault) => {
                let (payment_id, attempt) = (due.id, due.refund_attempt);
                let report = fault.report();
                if fault.kind() == FaultKind::Internal {
                    tracing::error!(%payment_id, attempt, fault = %report, "a refund cannot be asked for");
                } else {
                    tracing::debug!(%payment_id, attempt, fault = %report, "a refund is asked for again");
                }
                (Step::Later(rules::NO_ANSWER), false)
            }
        }
    }

    /// A refund was given up: somebody has to see to it.
    fn call_a_person(&self, due: &DueRefund) {
        self.metrics.refunds("failed").inc();
        tracing::error!(
            payment_id = %due.id,
            reservation_id = due.reservation_id.map(tracing::field::display),
            person_id = %due.person_id,
            amount = due.amount.get(),
            method = due.method.as_str(),
            attempt = due.refund_attempt,
            "a refund was given up and needs a person"
        );
    }
}

/// What came of one try.
#[derive(Debug)]
struct Tried {
    /// Whose reservation shows something new.
    told: Option<(PersonId, ReservationId)>,
    /// Whether the gateway answered.
    answered: bool,
}
