//! Buying: look, hold, pay.

use std::sync::atomic::Ordering;

use super::{Actor, TRIES, in_ms};
use crate::{
    api::{Failure, Reservation, backoff},
    history::{Holding, Ms},
    measure::count,
    plan::{Buying, Taste},
    stage::Phase,
};

/// Seats that everybody in front wants.
const FRONT_SEATS: usize = 20;
/// Seats that somebody tries for before giving up.
const HOLDS: usize = 8;
/// Points that one charge may add.
const CHARGE_MAX: i64 = 10_000_000;

/// Whether to go on with something.
enum Try<T> {
    Got(T),
    /// Somebody else was faster.
    Again,
    /// There is nothing to be had.
    Done,
}

impl Actor {
    /// Goes shopping; whether a seat was paid for.
    pub(super) async fn shop(&mut self) -> bool {
        let Some(mut holding) = self.get_seat().await else { return false };
        if self.part.buying == Buying::Regrets {
            self.think().await;
            self.give_back(holding).await;
            self.part.taste = Taste::Anywhere;
            match self.get_seat().await {
                Some(another) => holding = another,
                None => return false,
            }
        }
        if self.part.buying == Buying::Lapses {
            return false;
        }
        self.think().await;
        self.pay(holding).await
    }

    async fn think(&mut self) {
        // Exponential: most are quick, some are slow.
        let seconds = -(1.0 - self.rng.f64()).ln() * self.stage.think_seconds;
        let until = self.stage.clock.now() + in_ms(seconds.min(self.stage.think_seconds * 6.0));
        self.stage.until(until, Phase::Over).await;
    }

    /// Tries for a seat, several times; its place among the fan's holdings.
    async fn get_seat(&mut self) -> Option<usize> {
        for attempt in 0..HOLDS {
            self.think().await;
            if self.stage.phase() == Phase::Over {
                return None;
            }
            match self.try_for_seat(attempt).await {
                Try::Got(reservation) => return Some(self.keep(reservation)),
                Try::Again => {}
                Try::Done => return None,
            }
        }
        None
    }

    async fn try_for_seat(&mut self, attempt: usize) -> Try<Reservation> {
        let stage = self.stage.clone();
        let Ok(hall) = stage.hall(&self.api, &self.session, &self.token).await else {
            return Try::Done;
        };
        let sent = stage.clock.now();
        let held = if self.part.taste == Taste::Best {
            let Some(grade) = self.rng.choice(&hall.grades).cloned() else { return Try::Done };
            self.api.hold_best(&self.session, &self.token, &grade).await
        } else {
            let front = self.part.taste == Taste::Front && attempt < HOLDS / 2;
            let section = if front { 0 } else { self.rng.usize(..hall.sections.len().max(1)) };
            let Some((name, _)) = hall.sections.get(section) else { return Try::Done };
            let free = match self.api.seats(&self.session, &self.token, Some(name)).await {
                Ok(seats) => seats,
                Err(failure) => return self.refused(&failure),
            };
            self.acted(sent);
            let wanted = if front { FRONT_SEATS } else { usize::MAX };
            let free: Vec<_> =
                free.iter().take(wanted).filter(|seat| seat.status == "AVAILABLE").collect();
            let Some(seat) = self.rng.choice(&free) else { return Try::Again };
            let id = seat.id.clone();
            // Others look at the same picture meanwhile.
            let glance = stage.clock.now() + self.rng.i64(0..in_ms(stage.think_seconds).max(1));
            stage.until(glance, Phase::Over).await;
            self.api.hold(&self.session, &self.token, &id).await
        };
        match held {
            Ok(reservation) => {
                self.acted(sent);
                Try::Got(reservation)
            }
            Err(failure) => self.refused(&failure),
        }
    }

    fn refused(&mut self, failure: &Failure) -> Try<Reservation> {
        match failure.code.as_str() {
            "SEAT_HELD" | "SEAT_SOLD" | "NO_ADJACENT_SEATS" | "RATE_LIMITED" => Try::Again,
            _ if failure.unknown() => {
                // A seat may be ours without our knowing.
                self.fan.unsure = true;
                Try::Again
            }
            _ => Try::Done,
        }
    }

    /// Something was done that only an ACTIVE person can do.
    fn acted(&mut self, sent: Ms) {
        if let Some(visit) = self.open_visit() {
            visit.active_until = visit.active_until.max(sent);
        }
    }

    fn keep(&mut self, reservation: Reservation) -> usize {
        self.fan.holdings.push(Holding {
            seats: reservation.seats.into_iter().map(|seat| seat.id).collect(),
            reservation: reservation.id,
            price: reservation.total_price,
            held_at: reservation.held_at.0,
            expires_at: reservation.expires_at.0,
            given_back: None,
            paid: false,
            approved_at: None,
        });
        self.fan.holdings.len() - 1
    }

    async fn give_back(&mut self, holding: usize) {
        let Some(held) = self.fan.holdings.get_mut(holding) else { return };
        held.given_back = Some(self.stage.clock.now());
        let id = held.reservation.clone();
        for attempt in 0..TRIES {
            match self.api.cancel(&self.session, &id).await {
                Err(failure) if failure.unknown() => tokio::time::sleep(backoff(attempt)).await,
                _ => return,
            }
        }
    }

    /// Charges what is missing and pays; whether the seat is the fan's now.
    async fn pay(&mut self, holding: usize) -> bool {
        let Some((id, price)) =
            self.fan.holdings.get(holding).map(|held| (held.reservation.clone(), held.price))
        else {
            return false;
        };
        if !self.charge(price, &id).await {
            return false;
        }
        let key = format!("stampede-{}-{id}", self.stage.run);
        for attempt in 0..TRIES {
            let sent = self.stage.clock.now();
            let (api, session) = (self.api.clone(), self.session.clone());
            let twice = attempt == 0 && self.part.buying == Buying::Pays { twice: true };
            let answer = if twice {
                let (one, other) = tokio::join!(
                    api.pay(&session, &id, price, &key),
                    api.pay(&session, &id, price, &key)
                );
                one.or(other)
            } else {
                api.pay(&session, &id, price, &key).await
            };
            match answer {
                Ok(payment) if payment.status == "APPROVED" => {
                    self.acted(sent);
                    if let Some(held) = self.fan.holdings.get_mut(holding) {
                        held.paid = true;
                        held.approved_at = payment.approved_at.map(|at| at.0);
                    }
                    let live = &self.stage.recorder.live;
                    count(&live.sold);
                    live.last_sale.fetch_max(self.stage.clock.now(), Ordering::Relaxed);
                    return true;
                }
                Ok(payment) if payment.status == "PENDING" => {}
                Err(failure) if failure.unknown() || failure.code == "PAYMENT_IN_PROGRESS" => {}
                Ok(_) | Err(_) => return false,
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
        self.fan.unsure = true;
        false
    }

    async fn charge(&mut self, price: i64, reservation: &str) -> bool {
        let (api, session) = (self.api.clone(), self.session.clone());
        let Ok(balance) = api.balance(&session).await else { return false };
        let wallet = self.fan.wallet.get_or_insert((balance, 0));
        let missing = (price - balance).max(0);
        let mut charged = 0;
        while charged < missing {
            let amount = (missing - charged).min(CHARGE_MAX);
            let key = format!("stampede-{}-{reservation}-{charged}", self.stage.run);
            let mut answer = api.charge(&session, amount, &key).await;
            for attempt in 0..TRIES {
                if !answer.as_ref().is_err_and(Failure::unknown) {
                    break;
                }
                tokio::time::sleep(backoff(attempt)).await;
                answer = api.charge(&session, amount, &key).await;
            }
            if answer.is_err() {
                self.fan.unsure = true;
                return false;
            }
            wallet.1 += amount;
            charged += amount;
        }
        true
    }
}
