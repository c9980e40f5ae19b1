//! One fan's way: arrive, wait, buy or not, go home.

mod shop;
mod wait;

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    api::{Api, Place, backoff},
    history::{Audit, End, Fan, Look, Ms, Via, Visit},
    measure::{Op, count},
    net::socket::Socket,
    plan::{Buying, Part},
    stage::{Phase, Stage},
};

/// How often something is tried again before a fan gives up.
const TRIES: u32 = 6;
/// When the time is over, people go home within this many milliseconds.
const EXIT_MS: u64 = 8_000;
/// How long a fan who has paid waits to be told so.
const FAREWELL: Ms = 10_000;

/// Somebody with a part to play.
pub(crate) struct Actor {
    pub(crate) stage: Arc<Stage>,
    api: Arc<Api>,
    session: String,
    part: Part,
    rng: Rng,
    fan: Fan,
    token: String,
    sockets: u32,
    /// Ask again no sooner.
    poll_after: Ms,
    /// The end of the ACTIVE time, as last told.
    expires_at: Option<Ms>,
    /// Never to be seen again; the place is the server's to clear away.
    gone: bool,
}

/// A socket, and the right to have one.
struct Watched {
    socket: Socket,
    number: u32,
    _permit: OwnedSemaphorePermit,
}

impl Actor {
    /// The fan of this index with this part.
    pub(crate) fn new(
        stage: Arc<Stage>,
        index: usize,
        session: String,
        part: Part,
    ) -> Option<Self> {
        let api = stage.apis.get(index.checked_rem(stage.apis.len())?)?.clone();
        Some(Self {
            stage,
            api,
            session,
            rng: Rng::with_seed(part.seed),
            part,
            fan: Fan { index: u32::try_from(index).ok()?, ..Fan::default() },
            token: String::new(),
            sockets: 0,
            poll_after: 0,
            expires_at: None,
            gone: false,
        })
    }

    /// Plays the part, and tells what happened.
    pub(crate) async fn live(mut self) -> Fan {
        let arrives = self.stage.opening + in_ms(self.part.arrives);
        if self.stage.until(arrives, Phase::SoldOut).await {
            count(&self.stage.recorder.live.arrived);
            if self.enter().await {
                // Boxed, so that those who have not come yet are small.
                Box::pin(self.visit()).await;
            }
        }
        count(&self.stage.recorder.live.done);
        self.fan
    }

    async fn visit(&mut self) {
        let socket = self.wait().await;
        if self.open_visit().is_some_and(|visit| visit.activated_at.is_some()) {
            count(&self.stage.recorder.live.admitted);
            let paid = match self.part.buying {
                Buying::Idles => false,
                _ => self.shop().await,
            };
            let until = if paid { self.stage.clock.now() + FAREWELL } else { Ms::MAX };
            self.linger(socket, until).await;
        }
        if !self.gone {
            self.go_home().await;
        }
    }

    /// Takes a place; whether there is one now.
    async fn enter(&mut self) -> bool {
        for attempt in 0..TRIES {
            let sent = self.stage.clock.now();
            match self.api.enter(&self.session).await {
                Ok(place) => {
                    let acked = self.stage.clock.now();
                    self.token = place.token.clone().unwrap_or_default();
                    let visit = Visit {
                        sent,
                        acked,
                        entered_at: place.entered_at.0,
                        leftover: place.entered_at.0 < self.stage.started - 5_000,
                        // An earlier attempt may have got through without our knowing when.
                        away: attempt > 0,
                        waiting_until: sent,
                        ..Visit::default()
                    };
                    self.fan.visits.push(visit);
                    self.note(&place, Via::Poll, sent);
                    count(&self.stage.recorder.live.entered);
                    return true;
                }
                Err(failure) if failure.unknown() || failure.code == "RATE_LIMITED" => {
                    tokio::time::sleep(failure.pause(attempt)).await;
                }
                Err(_) => return false,
            }
            if self.stage.phase() > Phase::Running {
                return false;
            }
        }
        false
    }

    /// The visit, as long as it has no end.
    fn open_visit(&mut self) -> Option<&mut Visit> {
        self.fan.visits.last_mut().filter(|visit| visit.end.is_none())
    }

    /// Takes in what was shown of the place; `sent` is an instant of ours at which it was already so, or later.
    fn note(&mut self, place: &Place, via: Via, sent: Ms) {
        let now = self.stage.clock.now();
        self.poll_after = in_ms(f64::from(u32::try_from(place.poll_after_seconds).unwrap_or(60)));
        let told_end = std::mem::replace(&mut self.expires_at, place.expires_at.map(|at| at.0));
        let Some(visit) = self.open_visit() else { return };
        match place.status.as_str() {
            "WAITING" => {
                visit.waiting_until = visit.waiting_until.max(sent);
                if let Some(position) = place.position {
                    let estimate = place.estimated_wait_seconds;
                    let sent = (via == Via::Poll).then_some(sent);
                    visit.look(Look { sent, at: now, position, estimate }, via);
                }
            }
            "ACTIVE" => {
                if visit.activated_at.is_none() {
                    visit.activated_at = place.activated_at.map(|at| at.0);
                    // A fan who comes back and finds the turn begun was not told late.
                    let watched =
                        visit.last_push.is_some_and(|(socket, _)| via == Via::Push(socket));
                    visit.pushed_active_at = watched.then_some(now);
                }
                if via == Via::Poll {
                    visit.active_until = visit.active_until.max(sent);
                }
            }
            "USED" => {
                visit.end = Some(End::Used);
                visit.activated_at = visit.activated_at.or(place.activated_at.map(|at| at.0));
            }
            _ => {
                visit.end = Some(End::Expired);
                visit.activated_at = visit.activated_at.or(place.activated_at.map(|at| at.0));
                if visit.activated_at.is_none() {
                    visit.left_line_at = Some(now);
                }
                // Ended by its own time, and not before the time that had been told.
                visit.lapsed_at =
                    told_end.filter(|end| *end <= now && visit.activated_at.is_some());
            }
        }
    }

    /// Gives up what is left of the place.
    async fn go_home(&mut self) {
        let over = self.stage.phase() == Phase::Over;
        let Some(visit) = self.open_visit() else { return };
        let waiting = visit.activated_at.is_none();
        let now = self.stage.clock.now();
        if waiting {
            // What follows is no longer a matter of the line.
            if let Some(visit) = self.open_visit() {
                visit.end = Some(if over { End::Unfinished } else { End::Left });
                visit.left_line_at = Some(now);
            }
        } else if let Some(visit) = self.open_visit() {
            visit.end = Some(End::Left);
        }
        if over {
            // Not all through the door at once: that would measure the door.
            tokio::time::sleep(Duration::from_millis(self.rng.u64(0..EXIT_MS))).await;
        }
        for attempt in 0..TRIES {
            match self.api.leave(&self.session).await {
                Err(failure) if failure.unknown() => tokio::time::sleep(backoff(attempt)).await,
                _ => return,
            }
        }
    }

    /// Reads the books of one fan at the end.
    pub(crate) async fn audit(api: &Api, session: &str, since: Ms) -> Option<Audit> {
        for attempt in 0..TRIES {
            match api.books(session).await {
                Ok(books) => {
                    let ours = |reservation: &crate::api::Reservation| {
                        reservation.held_at.0 >= since
                            && reservation.schedule.as_ref().is_some_and(|s| s.id == api.schedule)
                    };
                    return Some(Audit {
                        balance: books.balance,
                        deducts: books
                            .entries
                            .nodes
                            .iter()
                            .filter(|entry| entry.kind == "DEDUCT" && entry.created_at.0 >= since)
                            .map(|entry| -entry.delta)
                            .collect(),
                        confirmed: books
                            .reservations
                            .nodes
                            .into_iter()
                            .filter(ours)
                            .map(|reservation| reservation.id)
                            .collect(),
                    });
                }
                Err(_) => tokio::time::sleep(backoff(attempt)).await,
            }
        }
        None
    }

    async fn look(&mut self, op: Op) -> Option<Place> {
        let sent = self.stage.clock.now();
        let place = self.api.status(op, &self.session).await.ok().flatten()?;
        self.note(&place, Via::Poll, sent);
        Some(place)
    }
}

/// Seconds as milliseconds.
pub(crate) fn in_ms(seconds: f64) -> Ms {
    let magnitude = std::time::Duration::try_from_secs_f64(seconds.abs()).unwrap_or_default();
    let ms = Ms::try_from(magnitude.as_millis()).unwrap_or(Ms::MAX / 4);
    if seconds < 0.0 { -ms } else { ms }
}
