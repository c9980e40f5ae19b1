//! Waiting: watched or polled, with people who leave and people who are away.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Actor, Watched, in_ms};
use crate::{
    api::{backoff, pushed_place},
    history::{Compared, Ms, Via},
    measure::{Op, count},
    net::refusal::label,
    plan::Waiting,
    stage::Phase,
};

/// A fan who asks less often than this may rightly be taken for away.
const PRESENCE: Ms = 45_000;
/// Those who go home when the seats are gone do so within this time.
const SIGH: Ms = 5_000;

/// How long a subscription may be silent at first.
const FIRST_PUSH: Duration = Duration::from_secs(15);

/// Why waiting stopped.
#[derive(Debug, PartialEq, Eq)]
enum Stopped {
    /// ACTIVE, USED or EXPIRED.
    Told,
    /// The time for what the fan had in mind has come.
    Due,
    /// The rehearsal has nothing more to wait for.
    Hopeless,
}

impl Actor {
    /// Waits in line; the socket, if one is open still.
    pub(super) async fn wait(&mut self) -> Option<Watched> {
        let entered = self.stage.clock.now();
        let mut socket = None;
        loop {
            let due = match self.part.waiting {
                Waiting::Stays => Ms::MAX / 2,
                Waiting::Leaves { after } | Waiting::GoesAway { after, .. } => {
                    entered + in_ms(after)
                }
            };
            match self.stand(&mut socket, due).await {
                Stopped::Told => return socket,
                Stopped::Hopeless => {
                    if self.stage.phase() == Phase::SoldOut {
                        let until = self.stage.clock.now() + self.rng.i64(0..SIGH);
                        self.stage.until(until, Phase::Over).await;
                    }
                    return None;
                }
                Stopped::Due => {
                    let planned = std::mem::replace(&mut self.part.waiting, Waiting::Stays);
                    let Waiting::GoesAway { back_after, .. } = planned else { return None };
                    drop(socket.take());
                    if !self.be_away(back_after).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Whether the fan came back.
    async fn be_away(&mut self, back_after: Option<f64>) -> bool {
        if let Some(visit) = self.open_visit() {
            visit.away = true;
        }
        let Some(after) = back_after else {
            self.gone = true;
            return false;
        };
        self.stage.until(self.stage.clock.now() + in_ms(after), Phase::SoldOut).await
    }

    /// Stands in line until told something, or until an instant.
    async fn stand(&mut self, socket: &mut Option<Watched>, due: Ms) -> Stopped {
        loop {
            if self.open_visit().is_none_or(|visit| visit.activated_at.is_some()) {
                return Stopped::Told;
            }
            if self.stage.phase() > Phase::Running {
                return Stopped::Hopeless;
            }
            if self.part.watches && socket.is_none() {
                *socket = self.open_socket().await;
                if socket.is_some() {
                    continue;
                }
            }
            let stopped = match socket {
                Some(watched) => self.watch(watched, due).await,
                None => self.poll(due).await,
            };
            match stopped {
                Ok(Some(stopped)) => return stopped,
                Ok(None) => {}
                Err(Broken(_)) => *socket = None,
            }
        }
    }

    /// Opens a socket, unless there are as many as may be; then the fan polls.
    async fn open_socket(&mut self) -> Option<Watched> {
        let permit = self.stage.sockets.clone().try_acquire_owned().ok()?;
        let recorder = self.stage.recorder.clone();
        for attempt in 0..4 {
            let begun = Instant::now();
            match self.api.watch(&self.session).await {
                Ok(socket) => {
                    self.sockets += 1;
                    count(&recorder.live.sockets);
                    let mut watched = Watched { socket, number: self.sockets, _permit: permit };
                    let first = tokio::time::timeout(FIRST_PUSH, self.hear(&mut watched)).await;
                    let outcome = match &first {
                        Ok(Ok(())) => "OK",
                        Ok(Err(Broken(how))) => how.as_str(),
                        Err(_) => "TIMEOUT",
                    };
                    if outcome == "OK" || outcome == "TIMEOUT" {
                        recorder.took(Op::Subscribe, begun.elapsed());
                    }
                    recorder.ended(Op::Subscribe, outcome);
                    return (outcome == "OK").then_some(watched);
                }
                Err(error) => {
                    let outcome = label(&error);
                    if outcome == "TIMEOUT" {
                        recorder.took(Op::Subscribe, begun.elapsed());
                    }
                    recorder.ended(Op::Subscribe, &outcome);
                    sleep(backoff(attempt)).await;
                }
            }
        }
        self.part.watches = false;
        None
    }

    /// Takes in one push.
    async fn hear(&mut self, watched: &mut Watched) -> Result<(), Broken> {
        let pushed = watched.socket.next().await.map_err(|error| Broken(label(&error)))?;
        self.take(&pushed, watched.number)
    }

    fn take(&mut self, pushed: &crate::net::socket::Pushed, socket: u32) -> Result<(), Broken> {
        self.stage.recorder.pushed();
        match pushed_place(pushed) {
            Ok(Some(place)) => {
                let now = self.stage.clock.now();
                self.note(&place, Via::Push(socket), now.min(place.entered_at.0));
                Ok(())
            }
            Ok(None) => Err(Broken("CLOSED by its end".to_owned())),
            Err(failure) => Err(Broken(failure.outcome().to_owned())),
        }
    }

    async fn watch(&mut self, watched: &mut Watched, due: Ms) -> Result<Option<Stopped>, Broken> {
        let wait = u64::try_from(due - self.stage.clock.now()).unwrap_or(0);
        let stage = self.stage.clone();
        let pushed = tokio::select! {
            pushed = watched.socket.next() => pushed,
            () = sleep(Duration::from_millis(wait)) => return Ok(Some(Stopped::Due)),
            () = stage.reached(Phase::SoldOut) => return Ok(Some(Stopped::Hopeless)),
        };
        let heard_at = stage.clock.now();
        let pushed = match pushed {
            Ok(pushed) => pushed,
            Err(error) => {
                // Cut off: until the next socket is open, the server may take the fan for away.
                if let Some(visit) = self.open_visit() {
                    visit.away = true;
                }
                return Err(Broken(label(&error)));
            }
        };
        self.take(&pushed, watched.number)?;
        if self.rng.f64() < stage.compare
            && let Ok(_permit) = stage.comparing.try_acquire()
            && let Ok(Some(place)) = pushed_place(&pushed)
            && place.status == "WAITING"
            && let Some(pushed) = place.position
        {
            self.compare(watched, pushed, heard_at).await;
        }
        Ok(None)
    }

    /// Reads the true position right after one was pushed.
    async fn compare(&mut self, watched: &mut Watched, pushed: u32, pushed_at: Ms) {
        let Some(place) = self.look(Op::Compare).await else { return };
        let answered_at = self.stage.clock.now();
        if let Some(truth) = place.position {
            let fan = self.fan.index;
            self.fan.compared.push(Compared { fan, pushed_at, pushed, answered_at, truth });
        }
        // What was pushed meanwhile would seem to come late.
        let late = Duration::from_millis(1);
        while let Ok(Ok(())) = tokio::time::timeout(late, self.hear(watched)).await {}
    }

    async fn poll(&mut self, due: Ms) -> Result<Option<Stopped>, Broken> {
        let asked = self.stage.clock.now();
        let next = asked + self.poll_after.max(1_000);
        if !self.stage.until(next.min(due), Phase::SoldOut).await {
            return Ok(Some(Stopped::Hopeless));
        }
        if self.stage.clock.now() >= due {
            return Ok(Some(Stopped::Due));
        }
        let answered = self.look(Op::Poll).await.is_some();
        let late = self.stage.clock.now() - asked > PRESENCE || !answered;
        if let Some(visit) = self.open_visit().filter(|_| late) {
            visit.away = true;
        }
        Ok(None)
    }

    /// Waits for the end of the ACTIVE time, however it comes.
    pub(super) async fn linger(&mut self, mut socket: Option<Watched>, until: Ms) {
        while self.open_visit().is_some() {
            let now = self.stage.clock.now();
            if now >= until || self.stage.phase() == Phase::Over {
                return;
            }
            let stage = self.stage.clone();
            match &mut socket {
                Some(watched) => {
                    let wait = Duration::from_millis(u64::try_from(until - now).unwrap_or(0));
                    let heard = tokio::select! {
                        heard = self.hear(watched) => heard,
                        () = sleep(wait) => return,
                        () = stage.reached(Phase::Over) => return,
                    };
                    if heard.is_err() {
                        socket = None;
                    }
                }
                None => {
                    let pause = if until == Ms::MAX { 5_000 } else { 500 };
                    self.look(Op::Poll).await;
                    if self.open_visit().is_some() {
                        stage.until(now + pause, Phase::Over).await;
                    }
                }
            }
        }
    }
}

/// The socket is of no use any more, and how that came, in the report's words.
#[derive(Debug)]
struct Broken(String);
