//! Deciding payments that a card gateway has decided: by whoever hears of it first, the request, or any instance's worker.
//!
//! Each step is one guarded statement, so that it does not matter how many hear of it. What a gateway says of a payment that is
//! decided here already changes nothing.

use futures_util::{StreamExt, stream};

use super::{PayRefusal, Payments, rules, store};
use crate::{
    gateway::{Card, Seen, Standing},
    kernel::{Fault, FaultKind, PaymentId},
    reservation::ATTEMPTS,
    telemetry::Span,
};

/// Payments that a worker takes at once.
const BATCH: i64 = 64;
/// Of them, so many are looked into at the same time.
const LOOKS_AT_ONCE: usize = 16;

impl Payments {
    /// Looks into payments that nobody has decided in time; `true` when there may be more. Any number of instances may do so
    /// at once.
    ///
    /// # Errors
    /// When Postgres cannot be asked; the next call goes on.
    pub async fn settle_due(&self) -> Result<bool, Fault> {
        if self.gateway.name().is_none() {
            return Ok(false);
        }
        let db = self.db.for_background();
        let due = store::take_due(&db, BATCH, self.pace()).await?;
        let more = i64::try_from(due.len()).is_ok_and(|taken| taken >= BATCH);
        let looks = due.into_iter().map(async |payment| {
            let id = payment.card.id;
            let span = Span::of_worker("settle a payment");
            if let Err(fault) = span.run(self.settle(payment)).await {
                tracing::warn!(payment = %id, fault = %fault.report(), "a payment is looked into again later");
            }
        });
        stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE).collect::<()>().await;
        Ok(more)
    }

    /// Says that something may have happened to a payment, or to its refund: somebody looks into it soon.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn notice(&self, id: PaymentId) -> Result<(), Fault> {
        store::look_soon(&self.db, id).await?;
        self.refund_soon(id).await
    }

    /// Looks into a payment, and decides it if the gateway has. What was never begun is called off, and so is what has taken
    /// too long.
    async fn settle(&self, payment: store::Undecided) -> Result<(), Fault> {
        let seen = match self.gateway.look(&payment.card).await {
            Ok(seen) => self.in_time(&payment, seen).await,
            Err(fault) => Err(fault),
        };
        match seen {
            Ok(seen) => self.decide(&payment, seen).await,
            Err(fault) => {
                store::look_later(&self.db, payment.card.id).await?;
                Err(fault)
            }
        }
    }

    /// What the gateway says in the end: it is told to give up what nobody has begun, or has waited for long enough.
    async fn in_time(&self, payment: &store::Undecided, seen: Seen) -> Result<Seen, Fault> {
        let over = match &seen.standing {
            // A webhook may come while we are about to ask for the money: that is not given up.
            Standing::Unknown => payment.quiet,
            Standing::Pending | Standing::Action(_) => payment.overdue,
            Standing::Charged | Standing::Declined { .. } => false,
        };
        if over { self.gateway.call_off(&payment.card).await } else { Ok(seen) }
    }

    /// Writes down what the gateway says of a payment, and tells everybody whom that concerns.
    pub(super) async fn decide(&self, payment: &store::Undecided, seen: Seen) -> Result<(), Fault> {
        let (id, reference) = (payment.card.id, seen.reference.as_deref());
        match &seen.standing {
            Standing::Charged => self.approve(payment, reference).await,
            Standing::Declined { why, code } => {
                let refusal = rules::why_failed(*why, payment.had_action);
                tracing::info!(payment = %id, why = why.as_str(), code, "a card was not charged");
                self.fail(payment, refusal, reference, None).await
            }
            Standing::Action(action) => {
                store::note_standing(&self.db, id, reference, Some(action)).await
            }
            Standing::Pending | Standing::Unknown => {
                store::note_standing(&self.db, id, reference, None).await
            }
        }
    }

    /// The card was charged: the seats are the payer's, or the points; or the money goes back.
    async fn approve(
        &self,
        payment: &store::Undecided,
        reference: Option<&str>,
    ) -> Result<(), Fault> {
        let id = payment.card.id;
        if !payment.for_seats {
            return store::credit(&self.money, id, reference).await;
        }
        for _ in 0..ATTEMPTS {
            if let Some(moved) = store::approve(&self.money, id, reference).await? {
                if !moved.theirs {
                    tracing::info!(payment = %id, "a card was charged too late for its seats; the money goes back");
                }
                self.herald.tell_moved(&moved).await;
                return Ok(());
            }
            if store::undecided(&self.money, id, self.pace()).await?.is_none() {
                return Ok(());
            }
        }
        Err(Fault::unavailable("the reservation changed too often to be paid"))
    }

    /// No money moves. With `attempts`, only if the gateway was asked for it no more often than that.
    pub(super) async fn fail(
        &self,
        payment: &store::Undecided,
        refusal: PayRefusal,
        reference: Option<&str>,
        attempts: Option<i32>,
    ) -> Result<(), Fault> {
        let id = payment.card.id;
        if !payment.for_seats {
            return store::fail_charge(&self.money, id, refusal, reference, attempts).await;
        }
        for _ in 0..ATTEMPTS {
            if let Some(moved) = store::fail(&self.money, id, refusal, reference, attempts).await? {
                self.herald.tell_moved(&moved).await;
                return Ok(());
            }
            let still = store::undecided(&self.money, id, self.pace()).await?;
            if still.is_none_or(|now| attempts.is_some_and(|attempts| now.attempts > attempts)) {
                return Ok(());
            }
        }
        Err(Fault::unavailable("the reservation changed too often to be let go"))
    }

    /// What follows from the gateway's answer to `begin`, or from its silence. Afterwards the payment may be decided or not;
    /// whoever wants to know reads it.
    pub(super) async fn after_begin(
        &self,
        payment: &store::Undecided,
        answer: Result<Seen, Fault>,
    ) -> Result<(), Fault> {
        let fault = match answer {
            Ok(seen) => return self.decide(payment, seen).await,
            Err(fault) => fault,
        };
        let id = payment.card.id;
        tracing::warn!(payment = %id, fault = %fault.report(), "the card gateway gave no answer");
        match fault.kind() {
            // Nothing was asked, and nobody else has asked: surely nothing has happened.
            FaultKind::Unavailable if payment.attempts == 1 => {
                self.fail(payment, PayRefusal::GatewayUnavailable, None, Some(1)).await
            }
            FaultKind::Unanswered => {
                // A webhook may have told more meanwhile.
                if store::undecided(&self.money, id, self.pace()).await?.is_none() {
                    return Ok(());
                }
                match self.gateway.look(&payment.card).await {
                    // It may be on its way still: the worker sees to it that it is called off.
                    Ok(Seen { standing: Standing::Unknown, .. }) | Err(_) => Ok(()),
                    Ok(seen) => self.decide(payment, seen).await,
                }
            }
            // An earlier attempt may be on its way, or a person has to look at what the gateway did.
            FaultKind::Unavailable
            | FaultKind::Internal
            | FaultKind::CallerGone
            | FaultKind::TooOften { .. } => match self.gateway.call_off(&payment.card).await {
                Ok(seen) => self.decide(payment, seen).await,
                Err(_) => Ok(()),
            },
        }
    }

    /// Goes on with a payment that is not decided: looks, and asks for the money again where the gateway knows nothing of it.
    /// Where it cannot be asked, the payment stays as it is.
    pub(super) async fn go_on(
        &self,
        payment: &store::Undecided,
        again: Again<'_>,
    ) -> Result<(), Fault> {
        let seen = if again.action_result.is_some() || payment.had_action {
            self.gateway.advance(&payment.card, again.action_result).await
        } else {
            self.gateway.look(&payment.card).await
        };
        let seen = match seen {
            Ok(seen) => seen,
            Err(fault) => {
                let id = payment.card.id;
                tracing::warn!(payment = %id, fault = %fault.report(), "a payment could not be looked into");
                return Ok(());
            }
        };
        if seen.standing != Standing::Unknown {
            return match self.in_time(payment, seen).await {
                Ok(seen) => self.decide(payment, seen).await,
                Err(_) => Ok(()),
            };
        }
        let attempts = store::attempt_again(&self.money, payment.card.id, self.pace()).await?;
        let Some(attempts) = attempts else { return Ok(()) };
        let payment = store::Undecided { attempts, ..payment.clone() };
        let card = Card { token: again.card_token, return_url: again.return_url };
        let answer = self.gateway.begin(&payment.card, card).await;
        self.after_begin(&payment, answer).await
    }

    /// The times of a payment.
    pub(super) fn pace(&self) -> store::Pace {
        let timeout = self.gateway.timeout().as_secs_f64();
        store::Pace {
            look: timeout + LOOK_AFTER,
            call_off: timeout + self.cards.action.as_secs_f64(),
            margin: 2.0 * timeout + MARGIN,
            lease: 2.0 * timeout + LOOK_AFTER,
        }
    }
}

/// What goes on with a payment, as the client has sent it once more.
#[derive(Clone, Copy)]
pub(super) struct Again<'a> {
    pub card_token: &'a str,
    pub return_url: Option<&'a str>,
    pub action_result: Option<&'a str>,
}

/// Whoever asked the gateway writes down its answer within this many seconds; then somebody else looks.
const LOOK_AFTER: f64 = 1.0;
/// Beyond the two answers that calling off takes, the seats are kept for so many seconds.
const MARGIN: f64 = 5.0;
