//! What the sandbox knows of payments, and what each token makes of one. It waits for nothing and reads no clock.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kernel::{Points, text_enum};

/// Payments that are remembered; one takes half a kilobyte. Then no further ones are taken.
const PAYMENTS_MAX: usize = 500_000;
/// Attempts to refund one payment.
const REFUNDS_MAX: usize = 200;
/// How long `tok_slow` takes.
const SLOW: Duration = Duration::from_secs(3);
/// How long a refund takes.
const REFUND: Duration = Duration::from_millis(100);
/// How long a refund of `tok_refund_late` takes.
const REFUND_LATE: Duration = Duration::from_secs(2);
/// How often a refund of `tok_refund_fails_twice` fails.
const FAILURES: usize = 2;

text_enum! {
    /// The tokens, and what they stand for.
    pub enum Token {
        /// Charged at once.
        Ok = "tok_ok",
        /// Declined.
        Declined = "tok_declined",
        /// Charged after three seconds.
        Slow = "tok_slow",
        /// Charged, and never answered.
        Timeout = "tok_timeout",
        /// Charged, and answered with 500.
        Error = "tok_500",
        /// The bank wants something of the buyer first.
        Challenge = "tok_challenge",
        /// Charged; a refund takes two seconds.
        RefundLate = "tok_refund_late",
        /// Charged; a refund fails twice and then works.
        RefundFailsTwice = "tok_refund_fails_twice",
        /// Charged; refunds fail.
        RefundFails = "tok_refund_fails",
        /// Charged; every webhook comes twice, the second time late.
        WebhookTwice = "tok_webhook_twice",
    }
}

/// What the shop asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ask {
    pub(super) payment_id: Uuid,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) card_token: String,
    #[serde(default)]
    pub(super) return_url: Option<String>,
}

/// How a payment is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    pub(super) payment_id: Uuid,
    pub(super) amount: i64,
    pub(super) status: &'static str,
    pub(super) code: Option<&'static str>,
    /// The key of the challenge; routes make an address of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) redirect_url: Option<String>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) refunded: i64,
}

/// How an attempt to refund is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToldRefund {
    pub(super) refund_id: String,
    pub(super) amount: i64,
    pub(super) status: &'static str,
    pub(super) code: Option<&'static str>,
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) payment_id: Uuid,
    pub(super) amount: i64,
    pub(super) charged: i64,
    pub(super) refunded: i64,
}

/// Something that the shop is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: &'static str,
    pub(super) payment_id: Uuid,
    /// It is told a second time, late.
    pub(super) twice: bool,
}

/// What goes on by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The bank has decided.
    Charge(Uuid),
    /// The time of a challenge may be over.
    Expire(Uuid),
    /// A refund has arrived, or failed.
    Refund(Uuid, String),
}

/// What came of something at once, and what comes later.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) event: Option<Event>,
    pub(super) later: Option<(Duration, Step)>,
}

/// How the shop hears of what it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hears {
    /// At once.
    Now,
    /// When the bank has decided.
    Later,
    /// Never.
    Never,
    /// By an error.
    Error,
}

/// Why the sandbox does not do what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The id was used for something else.
    KeyReused,
    /// No such payment, refund or challenge.
    Unknown,
    /// Nothing was charged.
    NotCharged,
    /// More than was charged.
    AmountExceedsCharge,
    /// It remembers no more.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Challenge { key: Uuid, ends: SystemTime },
    Charged,
    Declined(&'static str),
}

#[derive(Debug)]
struct Payment {
    /// Missing when it was called off before it came.
    ask: Option<Ask>,
    state: State,
    refunds: Vec<Refund>,
}

#[derive(Debug)]
struct Refund {
    key: String,
    amount: i64,
    state: RefundState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RefundState {
    Pending,
    Done,
    Failed,
}

/// Everything that the sandbox knows.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    payments: HashMap<Uuid, Payment>,
    /// In the order in which they came.
    order: Vec<Uuid>,
    challenges: HashMap<Uuid, Uuid>,
}

impl Payment {
    fn token(&self) -> Option<Token> {
        Token::parse(&self.ask.as_ref()?.card_token)
    }

    fn amount(&self) -> i64 {
        self.ask.as_ref().map_or(0, |ask| ask.amount)
    }

    fn sum(&self, of: impl Fn(RefundState) -> bool) -> i64 {
        self.refunds.iter().filter(|refund| of(refund.state)).map(|refund| refund.amount).sum()
    }

    fn refunded(&self) -> i64 {
        self.sum(|state| state == RefundState::Done)
    }

    fn event(&self, id: Uuid, kind: &'static str) -> Event {
        Event { kind, payment_id: id, twice: self.token() == Some(Token::WebhookTwice) }
    }

    fn told(&self, id: Uuid) -> Told {
        let (status, code) = match self.state {
            State::Pending => ("pending", None),
            State::Challenge { .. } => ("action", None),
            State::Charged => ("charged", None),
            State::Declined(code) => ("declined", Some(code)),
        };
        let challenge = match self.state {
            State::Challenge { key, ends } => Some((key.to_string(), DateTime::from(ends))),
            _ => None,
        };
        let (redirect_url, expires_at) = challenge.unzip();
        let (amount, refunded) = (self.amount(), self.refunded());
        Told { payment_id: id, amount, status, code, redirect_url, expires_at, refunded }
    }
}

impl Refund {
    fn told(&self) -> ToldRefund {
        let (status, code) = match self.state {
            RefundState::Pending => ("pending", None),
            RefundState::Done => ("done", None),
            RefundState::Failed => ("failed", Some("refund_failed")),
        };
        ToldRefund { refund_id: self.key.clone(), amount: self.amount, status, code }
    }
}

impl Ledger {
    /// Begins a payment, or tells how it stands when it was begun before.
    pub(super) fn begin(
        &mut self,
        ask: Ask,
        key: Uuid,
        now: SystemTime,
        challenge: Duration,
    ) -> Result<(Hears, Done), Refused> {
        let id = ask.payment_id;
        if let Some(known) = self.payments.get(&id) {
            let same = known.ask.as_ref().is_none_or(|before| {
                (before.amount, &before.currency, &before.card_token)
                    == (ask.amount, &ask.currency, &ask.card_token)
            });
            return if same { Ok((Hears::Now, Done::default())) } else { Err(Refused::KeyReused) };
        }
        let token = Token::parse(&ask.card_token);
        let (state, hears) = match token {
            None => (State::Declined("token_unknown"), Hears::Now),
            Some(Token::Declined) => (State::Declined("card_declined"), Hears::Now),
            Some(Token::Slow) => (State::Pending, Hears::Later),
            Some(Token::Challenge) => (State::Challenge { key, ends: now + challenge }, Hears::Now),
            Some(Token::Timeout) => (State::Charged, Hears::Never),
            Some(Token::Error) => (State::Charged, Hears::Error),
            Some(_) => (State::Charged, Hears::Now),
        };
        let payment = Payment { ask: Some(ask), state, refunds: Vec::new() };
        let done = match state {
            State::Charged => {
                Done { event: Some(payment.event(id, "payment.charged")), later: None }
            }
            State::Declined(_) => {
                Done { event: Some(payment.event(id, "payment.declined")), later: None }
            }
            State::Pending => Done { event: None, later: Some((SLOW, Step::Charge(id))) },
            State::Challenge { .. } => {
                Done { event: None, later: Some((challenge, Step::Expire(id))) }
            }
        };
        self.remember(id, payment)?;
        if let State::Challenge { key, .. } = state {
            self.challenges.insert(key, id);
        }
        Ok((hears, done))
    }

    fn remember(&mut self, id: Uuid, payment: Payment) -> Result<(), Refused> {
        if self.payments.len() >= PAYMENTS_MAX {
            return Err(Refused::Full);
        }
        self.payments.insert(id, payment);
        self.order.push(id);
        Ok(())
    }

    /// How a payment stands.
    pub(super) fn look(&self, id: Uuid) -> Result<Told, Refused> {
        self.payments.get(&id).map(|payment| payment.told(id)).ok_or(Refused::Unknown)
    }

    /// Calls a payment off, whether it has come or not. What is charged or being decided stays as it is.
    pub(super) fn call_off(&mut self, id: Uuid) -> Result<Done, Refused> {
        let Some(payment) = self.payments.get_mut(&id) else {
            let state = State::Declined("called_off");
            self.remember(id, Payment { ask: None, state, refunds: Vec::new() })?;
            return Ok(Done::default());
        };
        if let State::Challenge { key, .. } = payment.state {
            payment.state = State::Declined("called_off");
            let event = Some(payment.event(id, "payment.declined"));
            self.challenges.remove(&key);
            return Ok(Done { event, later: None });
        }
        Ok(Done::default())
    }

    /// The payment of a challenge, and where its buyer goes afterwards.
    pub(super) fn challenge(&self, key: Uuid) -> Result<(Told, String, Option<String>), Refused> {
        let id = self.challenges.get(&key).ok_or(Refused::Unknown)?;
        let payment = self.payments.get(id).ok_or(Refused::Unknown)?;
        let ask = payment.ask.as_ref().ok_or(Refused::Unknown)?;
        Ok((payment.told(*id), ask.currency.clone(), ask.return_url.clone()))
    }

    /// The buyer has passed the challenge, or failed. The first answer counts.
    pub(super) fn answer(&mut self, key: Uuid, passed: bool, now: SystemTime) -> Option<Event> {
        let id = *self.challenges.get(&key)?;
        let payment = self.payments.get_mut(&id)?;
        match payment.state {
            State::Challenge { ends, .. } if now < ends => {
                let (state, kind) = if passed {
                    (State::Charged, "payment.charged")
                } else {
                    (State::Declined("challenge_failed"), "payment.declined")
                };
                payment.state = state;
                Some(payment.event(id, kind))
            }
            _ => None,
        }
    }

    /// Gives money back, under a key. The answer is how the refund stands.
    pub(super) fn refund(
        &mut self,
        id: Uuid,
        key: &str,
        amount: i64,
    ) -> Result<(ToldRefund, Done), Refused> {
        let payment = self.payments.get_mut(&id).ok_or(Refused::Unknown)?;
        if let Some(known) = payment.refunds.iter().find(|refund| refund.key == key) {
            let same = known.amount == amount;
            return if same {
                Ok((known.told(), Done::default()))
            } else {
                Err(Refused::KeyReused)
            };
        }
        if payment.state != State::Charged {
            return Err(Refused::NotCharged);
        }
        let given = payment.sum(|state| state != RefundState::Failed);
        if amount <= 0 || given.saturating_add(amount) > payment.amount() {
            return Err(Refused::AmountExceedsCharge);
        }
        if payment.refunds.len() >= REFUNDS_MAX {
            return Err(Refused::Full);
        }
        let takes = if payment.token() == Some(Token::RefundLate) { REFUND_LATE } else { REFUND };
        let refund = Refund { key: key.to_owned(), amount, state: RefundState::Pending };
        let told = refund.told();
        payment.refunds.push(refund);
        let later = Some((takes, Step::Refund(id, key.to_owned())));
        Ok((told, Done { event: None, later }))
    }

    /// How a refund stands.
    pub(super) fn look_at_refund(&self, id: Uuid, key: &str) -> Result<ToldRefund, Refused> {
        let payment = self.payments.get(&id).ok_or(Refused::Unknown)?;
        let refund = payment.refunds.iter().find(|refund| refund.key == key);
        refund.map(Refund::told).ok_or(Refused::Unknown)
    }

    /// Something goes on by itself.
    pub(super) fn step(&mut self, step: Step, now: SystemTime) -> Option<Event> {
        match step {
            Step::Charge(id) => {
                let payment = self.payments.get_mut(&id)?;
                payment.state = State::Charged;
                Some(payment.event(id, "payment.charged"))
            }
            Step::Expire(id) => {
                let payment = self.payments.get_mut(&id)?;
                match payment.state {
                    State::Challenge { ends, .. } if now >= ends => {
                        payment.state = State::Declined("challenge_expired");
                        Some(payment.event(id, "payment.declined"))
                    }
                    _ => None,
                }
            }
            Step::Refund(id, key) => {
                let payment = self.payments.get_mut(&id)?;
                let token = payment.token();
                let at = payment.refunds.iter().position(|refund| refund.key == key)?;
                let fails = match token {
                    Some(Token::RefundFails) => true,
                    Some(Token::RefundFailsTwice) => at < FAILURES,
                    _ => false,
                };
                let (state, kind) = if fails {
                    (RefundState::Failed, "refund.failed")
                } else {
                    (RefundState::Done, "refund.done")
                };
                payment.refunds.get_mut(at)?.state = state;
                Some(payment.event(id, kind))
            }
        }
    }

    /// What was done, in the order in which it was asked for: `limit` payments after one of them.
    pub(super) fn list(&self, after: Option<Uuid>, limit: usize) -> Vec<Line> {
        let from = match after {
            Some(after) => {
                let at = self.order.iter().position(|id| *id == after);
                at.map_or(self.order.len(), |at| at + 1)
            }
            None => 0,
        };
        let line = |id: &Uuid| {
            let payment = self.payments.get(id)?;
            let charged = if payment.state == State::Charged { payment.amount() } else { 0 };
            Some(Line {
                payment_id: *id,
                amount: payment.amount(),
                charged,
                refunded: payment.refunded(),
            })
        };
        self.order.iter().skip(from).filter_map(line).take(limit).collect()
    }
}

/// Whether a payment can be begun with this at all.
pub(super) fn is_well_formed(ask: &Ask) -> bool {
    let url = ask.return_url.as_deref().is_none_or(|url| {
        reqwest::Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()))
    });
    ask.amount > 0
        && Points::new(ask.amount).is_some()
        && ask.currency.len() == 3
        && ask.currency.bytes().all(|letter| letter.is_ascii_lowercase())
        && url
}

#[cfg(test)]
mod tests;
