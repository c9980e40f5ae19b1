//! One fan's way, again and again: enter, wait, hold, pay or not, give back or not, leave.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use stampede::{
    api::{Place, pushed_place},
    measure::Op,
    net::socket::Socket,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    scene::{Person, Phase, Programme, Scene, Show},
    settle::{Client, Reply, Settled},
};
use crate::history::Act;

/// A fan who has not been admitted by then goes home.
const WAIT: Duration = Duration::from_secs(40);
/// A subscription that says nothing for this long is opened again; places are pushed at least when they change.
const QUIET: Duration = Duration::from_secs(6);
/// Between two looks of those who poll, in milliseconds.
const POLL_MS: std::ops::Range<u64> = 700..1_300;
/// Between two things that a fan does, in milliseconds.
const THINK_MS: std::ops::Range<u64> = 50..400;
/// Between two visits, in milliseconds.
const HOME_MS: std::ops::Range<u64> = 200..1_200;

/// A fan.
pub(crate) struct Fan {
    client: Client,
    programme: watch::Receiver<Programme>,
    rng: Rng,
    watches: bool,
    intents: u32,
    /// What the fan has paid for and kept: a performance, and a reservation of it.
    owned: Vec<(String, String)>,
}

impl Fan {
    pub(crate) fn new(
        scene: Arc<Scene>,
        person: Person,
        programme: watch::Receiver<Programme>,
        seed: u64,
    ) -> Self {
        let mut rng = Rng::with_seed(seed);
        let watches = rng.bool();
        Self {
            client: Client::new(scene, person),
            programme,
            rng,
            watches,
            intents: 0,
            owned: Vec::new(),
        }
    }

    /// Plays until nobody does any more.
    pub(crate) async fn live(mut self) {
        let scene = self.client.scene.clone();
        scene.pause(&mut self.rng, 0..2_000).await;
        while scene.phase() == Phase::Playing {
            let shows = self.programme.borrow().shows.clone();
            self.owned.retain(|(owned, _)| shows.iter().any(|show| show.id == *owned));
            if let Some(show) = self.rng.choice(shows) {
                self.visit(&show).await;
            }
            scene.pause(&mut self.rng, HOME_MS).await;
        }
    }

    fn side(&mut self) -> usize {
        self.rng.usize(0..2)
    }

    /// A key that nobody used before.
    fn key(&mut self, what: &str) -> String {
        self.intents += 1;
        format!("storm-{what}-{}", self.intents)
    }

    async fn settle(&mut self, show: &Show, act: Act) -> Settled {
        let first = self.side();
        self.client.settle(show, first, act, "").await
    }

    async fn visit(&mut self, show: &Show) {
        let enter = Act::Enter { schedule: show.id.clone() };
        let place = match self.settle(show, enter).await {
            Settled::Done(Reply::Place(place)) => place,
            Settled::Refused(code) if code == "SEAT_LIMIT_REACHED" => return self.sell(show).await,
            Settled::Refused(_) | Settled::Done(_) | Settled::Open => return,
        };
        let Some(token) = place.token.clone() else { return };
        let patient = self.rng.f64() < 0.95;
        let mut inside = patient && self.admitted(show, *place).await;
        for _ in 0..self.rng.usize(1..=4) {
            if !inside || self.client.scene.phase() > Phase::Playing {
                break;
            }
            inside = self.shop(show, &token).await;
        }
        // Some just close the tab.
        if self.rng.f64() < 0.9 {
            self.settle(show, Act::Leave { schedule: show.id.clone() }).await;
        }
    }

    /// Gives back what the fan owns of a performance, so that a long storm does not run out of people who may buy.
    async fn sell(&mut self, show: &Show) {
        let (back, kept) =
            std::mem::take(&mut self.owned).into_iter().partition(|(at, _)| *at == show.id);
        self.owned = kept;
        for (_, reservation) in back {
            self.settle(show, Act::Cancel { reservation }).await;
        }
    }

    /// Whether the fan got in.
    async fn admitted(&mut self, show: &Show, place: Place) -> bool {
        let deadline = Instant::now() + WAIT;
        let mut status = place.status;
        while status == "WAITING" && self.client.scene.phase() == Phase::Playing {
            let told = if self.watches {
                timeout_at(deadline, self.watch(show)).await
            } else {
                timeout_at(deadline, self.poll(show)).await
            };
            match told {
                Ok(told) => status = told.unwrap_or(status),
                Err(_) => return false,
            }
        }
        status == "ACTIVE"
    }

    async fn poll(&mut self, show: &Show) -> Option<String> {
        self.client.scene.clone().pause(&mut self.rng, POLL_MS).await;
        let side = self.side();
        let api = self.client.api(show, side);
        api.status(Op::Poll, &self.client.person.session).await.ok()?.map(|place| place.status)
    }

    /// Watches over one socket until it breaks or says something else than WAITING.
    async fn watch(&mut self, show: &Show) -> Option<String> {
        let side = self.side();
        let opened = self.client.api(show, side).watch(&self.client.person.session).await;
        let Ok(mut socket) = opened else {
            sleep(Duration::from_millis(self.rng.u64(POLL_MS))).await;
            return None;
        };
        let scene = self.client.scene.clone();
        loop {
            tokio::select! {
                status = told(&mut socket) => match status?.as_str() {
                    "WAITING" => {}
                    other => return Some(other.to_owned()),
                },
                () = scene.reached(Phase::Closing) => return None,
            }
        }
    }

    /// Holds a seat and does something with it; whether the fan may go on.
    async fn shop(&mut self, show: &Show, token: &str) -> bool {
        let side = self.side();
        let seat = if self.rng.f64() < 0.2 {
            None
        } else {
            let seats = self.client.api(show, side).seats(&self.client.person.session, token, None);
            let Ok(seats) = seats.await else { return true };
            let free = seats.into_iter().filter(|seat| seat.status == "AVAILABLE");
            match self.rng.choice(free.collect::<Vec<_>>()) {
                Some(seat) => Some(seat.id),
                None => return false,
            }
        };
        self.think().await;
        let hold = Act::Hold { schedule: show.id.clone(), seat };
        let reservation = match self.client.settle(show, side, hold, token).await {
            Settled::Done(Reply::Reservation(reservation)) => reservation,
            Settled::Refused(code) => {
                return matches!(code.as_str(), "SEAT_HELD" | "SEAT_SOLD" | "NO_ADJACENT_SEATS");
            }
            Settled::Done(_) | Settled::Open => return false,
        };
        self.think().await;
        let cancel = Act::Cancel { reservation: reservation.id.clone() };
        match self.rng.f64() {
            mood if mood < 0.06 => {} // It lapses.
            mood if mood < 0.16 => drop(self.settle(show, cancel).await),
            _ => {
                let (id, price) = (reservation.id, reservation.total_price);
                let paid = self.pay(show, id.clone(), price).await;
                if paid && self.rng.f64() < 0.3 {
                    self.think().await;
                    self.settle(show, cancel).await;
                } else if paid {
                    self.owned.push((show.id.clone(), id));
                }
            }
        }
        true
    }

    /// Charges what is needed, and pays; some press the button twice, at both instances.
    async fn pay(&mut self, show: &Show, reservation: String, amount: i64) -> bool {
        let key = self.key("charge");
        let charged = self.settle(show, Act::Charge { amount, key }).await;
        if !matches!(charged, Settled::Done(_)) {
            return false;
        }
        self.think().await;
        let key = self.key("pay");
        let pay = Act::Pay { reservation, amount, key };
        let twice = self.rng.f64() < 0.15;
        let one = self.client.settle(show, 0, pay.clone(), "");
        let paid = if twice {
            let (one, other) = tokio::join!(one, self.client.settle(show, 1, pay, ""));
            [one, other]
        } else {
            [one.await, Settled::Open]
        };
        paid.iter().any(|paid| matches!(paid, Settled::Done(_)))
    }

    async fn think(&mut self) {
        self.client.scene.clone().pause(&mut self.rng, THINK_MS).await;
    }
}

/// The status that is pushed next; nothing when the socket is of no use any more.
async fn told(socket: &mut Socket) -> Option<String> {
    let pushed = timeout(QUIET, socket.next()).await.ok()?.ok()?;
    pushed_place(&pushed).ok()?.map(|place| place.status)
}
