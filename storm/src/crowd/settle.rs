//! Asking until there is a final answer: whatever was not answered, or not served, is asked again under the same key.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use stampede::{
    api::{Answer, Api, Failure, Place, Reservation},
    history::Ms,
};
use tokio::time::sleep;

use super::scene::{Person, Phase, Scene, Show};
use crate::history::{Act, Entry, Outcome, Proof};

/// The grade of the seats that the server chooses.
pub(crate) const GRADE: &str = "R";
/// What somebody waits before asking again: twice as long each time, up to eight times as long.
const AGAIN_MS: u64 = 100;
/// A caller in a hurry waits this long, and no longer each time.
const HURRY_MS: u64 = 150;

/// What was answered in the end.
#[derive(Debug)]
pub(crate) enum Settled {
    Done(Reply),
    Refused(String),
    /// The storm was over first.
    Open,
}

/// What an acknowledgement brought.
#[derive(Debug)]
pub(crate) enum Reply {
    Place(Box<Place>),
    Reservation(Reservation),
    Done,
}

/// One person's way to the server.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) scene: Arc<Scene>,
    pub(crate) person: Person,
    /// Only this instance is asked: 0 or 1.
    pinned: Option<usize>,
    /// Reservations that were acknowledged already.
    known: Mutex<BTreeSet<String>>,
}

impl Client {
    /// Somebody who asks either instance, and the other one when the first does not answer.
    pub(crate) const fn new(scene: Arc<Scene>, person: Person) -> Self {
        Self { scene, person, pinned: None, known: Mutex::new(BTreeSet::new()) }
    }

    /// Somebody in a hurry, who asks one instance only.
    pub(crate) const fn pinned(scene: Arc<Scene>, person: Person, instance: usize) -> Self {
        Self { scene, person, pinned: Some(instance), known: Mutex::new(BTreeSet::new()) }
    }

    /// The client of an instance.
    pub(crate) fn api<'a>(&self, show: &'a Show, instance: usize) -> &'a Api {
        let apis = if self.pinned.is_some() { &show.hurried } else { &show.apis };
        let [first, second] = apis;
        if self.pinned.unwrap_or(instance).is_multiple_of(2) { first } else { second }
    }

    /// Asks for something until it is done or refused, beginning at an instance. `token` is the queue token where a seat is
    /// to be held.
    pub(crate) async fn settle(&self, show: &Show, first: usize, act: Act, token: &str) -> Settled {
        let settled = self.insist(show, first, act, token).await;
        self.scene.history.settle();
        settled
    }

    async fn insist(&self, show: &Show, first: usize, act: Act, token: &str) -> Settled {
        let intent = self.scene.history.intend();
        let mut attempt = 0;
        loop {
            let instance = self.pinned.unwrap_or(first + usize::try_from(attempt).unwrap_or(0)) % 2;
            let sent = self.scene.clock.now();
            let answer = self.ask(show, instance, &act, token).await;
            let outcome = outcome(&answer);
            let note =
                |outcome, sent| self.note((intent, attempt, instance), act.clone(), outcome, sent);
            note(outcome.clone(), sent);
            let refused = match (answer, outcome) {
                (Ok(reply), Outcome::Done { .. }) => {
                    self.learn(&reply);
                    return Settled::Done(reply);
                }
                (_, Outcome::Refused { code }) => Some(code),
                _ => None,
            };
            // A hold has no key: whether one that was not answered was made is looked up.
            let open = attempt > 0 || refused.is_none();
            if open && let Act::Hold { seat, .. } = &act {
                let asked = self.scene.clock.now();
                if let Some(found) = self.find(show, instance + 1, seat.as_deref()).await {
                    let reply = Reply::Reservation(found);
                    note(Outcome::Done { proof: proof(&reply) }, asked);
                    self.learn(&reply);
                    return Settled::Done(reply);
                }
            }
            if let Some(code) = refused {
                return Settled::Refused(code);
            }
            if self.scene.phase() == Phase::Over {
                return Settled::Open;
            }
            self.wait(attempt).await;
            attempt += 1;
        }
    }

    async fn ask(&self, show: &Show, instance: usize, act: &Act, token: &str) -> Answer<Reply> {
        let api = self.api(show, instance);
        let session = &self.person.session;
        match act {
            Act::Enter { .. } => Ok(Reply::Place(Box::new(api.enter(session).await?))),
            Act::Leave { .. } => api.leave(session).await.map(|_| Reply::Done),
            Act::Hold { seat: Some(seat), .. } => {
                Ok(Reply::Reservation(api.hold(session, token, seat).await?))
            }
            Act::Hold { seat: None, .. } => {
                Ok(Reply::Reservation(api.hold_best(session, token, GRADE).await?))
            }
            Act::Charge { amount, key } => {
                api.charge(session, *amount, key).await.map(|_| Reply::Done)
            }
            Act::Pay { reservation, amount, key } => {
                let payment = api.pay(session, reservation, *amount, key).await?;
                if payment.status == "APPROVED" {
                    return Ok(Reply::Done);
                }
                // One that is being decided is asked for again.
                let message = "a payment that is not approved".to_owned();
                Err(Failure { retryable: true, ..Failure::new(&payment.status, message) })
            }
            Act::Cancel { reservation } => {
                api.cancel(session, reservation).await.map(|_| Reply::Done)
            }
        }
    }

    fn note(
        &self,
        (intent, attempt, instance): (u64, u32, usize),
        act: Act,
        outcome: Outcome,
        sent: Ms,
    ) {
        self.scene.history.note(Entry {
            intent,
            attempt,
            person: self.person.id.clone(),
            instance: instance + 1,
            sent,
            ended: self.scene.clock.now(),
            act,
            outcome,
        });
    }

    /// A hold of this seat, or of any that the server chose, that nobody acknowledged so far.
    async fn find(&self, show: &Show, instance: usize, seat: Option<&str>) -> Option<Reservation> {
        let held = self.api(show, instance).held(&self.person.session).await.ok()?;
        held.into_iter().find(|held| {
            let here = held.schedule.as_ref().is_some_and(|schedule| schedule.id == show.id);
            let wanted = seat.is_none_or(|seat| held.seats.iter().any(|held| held.id == seat));
            here && wanted && !self.known().contains(&held.id)
        })
    }

    fn learn(&self, reply: &Reply) {
        if let Reply::Reservation(reservation) = reply {
            self.known().insert(reservation.id.clone());
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self, attempt: u32) {
        let ms = match self.pinned {
            Some(_) => HURRY_MS,
            None => AGAIN_MS * 2_u64.pow(attempt.min(3)),
        };
        sleep(Duration::from_millis(ms + fastrand::u64(0..ms / 2))).await;
    }
}

fn outcome(answer: &Answer<Reply>) -> Outcome {
    match answer {
        Ok(reply) => Outcome::Done { proof: proof(reply) },
        Err(Failure { code, retryable, .. }) => {
            let code = code.clone();
            match code.as_str() {
                "TIMEOUT" | "CONNECTION" | "MALFORMED" => Outcome::Unanswered { code },
                // Decided in a moment, the server says.
                "PAYMENT_IN_PROGRESS" => Outcome::Failed { code },
                _ if *retryable => Outcome::Failed { code },
                _ => Outcome::Refused { code },
            }
        }
    }
}

fn proof(reply: &Reply) -> Proof {
    match reply {
        Reply::Place(place) => Proof::Place { entered_at: place.entered_at.0 },
        Reply::Reservation(reservation) => Proof::Reservation {
            id: reservation.id.clone(),
            seats: reservation.seats.iter().map(|seat| seat.id.clone()).collect(),
            price: reservation.total_price,
        },
        Reply::Done => Proof::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: &str, retryable: bool) -> Outcome {
        outcome(&Err(Failure { retryable, ..Failure::new(code, "") }))
    }

    #[test]
    fn a_no_is_told_from_a_failure_and_from_silence() {
        assert!(matches!(outcome(&Ok(Reply::Done)), Outcome::Done { proof: Proof::Done }));
        assert!(matches!(failed("SEAT_HELD", false), Outcome::Refused { .. }));
        assert!(matches!(failed("OVERLOADED", true), Outcome::Failed { .. }));
        assert!(matches!(failed("PAYMENT_IN_PROGRESS", false), Outcome::Failed { .. }));
        for code in ["TIMEOUT", "CONNECTION", "MALFORMED"] {
            assert!(matches!(failed(code, false), Outcome::Unanswered { .. }), "{code}");
        }
    }
}
