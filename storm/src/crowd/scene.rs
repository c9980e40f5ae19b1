//! What everybody in the crowd shares.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use fastrand::Rng;
use stampede::{
    api::Api,
    history::Clock,
    measure::Recorder,
    net::{Sources, Target, http::Pool},
};
use tokio::{sync::watch, time::sleep};

use crate::{Result, history::History};

/// How long fans wait for an answer before they ask elsewhere. The server promises one within five seconds, or says that it
/// is overloaded.
const PATIENCE: Duration = Duration::from_secs(8);
/// A caller who looks whether the server is well again asks again sooner.
const HURRY: Duration = Duration::from_secs(3);
/// Connections to one instance for one performance; more than ask at once.
const CONNECTIONS: usize = 256;
/// Comparisons of positions are stampede's; nothing is compared here.
const COMPARING: usize = 1;

/// How far the storm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Playing,
    /// Everybody brings to an end what they have begun, and goes home.
    Closing,
    /// What is not settled now stays open.
    Over,
}

/// A person, who is known to the server by a session.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) session: String,
}

/// A performance that is on sale.
#[derive(Debug)]
pub(crate) struct Show {
    pub(crate) id: String,
    /// A client of each instance.
    pub(crate) apis: [Api; 2],
    /// The same, for those in a hurry.
    pub(crate) hurried: [Api; 2],
}

/// The performances of the moment.
#[derive(Debug, Clone)]
pub(crate) struct Programme {
    /// For the crowd.
    pub(crate) shows: Vec<Arc<Show>>,
    /// For those who look whether the server is well.
    pub(crate) quiet: Arc<Show>,
}

/// What everybody shares.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) history: History,
    pub(crate) clock: Clock,
    recorder: Arc<Recorder>,
    sources: Arc<Sources>,
    targets: [Target; 2],
    phase: watch::Receiver<Phase>,
}

impl Scene {
    /// A scene before two instances.
    ///
    /// # Errors
    /// When an address is none.
    pub(crate) fn new(
        history: History,
        addresses: [SocketAddr; 2],
        phase: watch::Receiver<Phase>,
    ) -> Result<Self> {
        let [first, second] = addresses;
        let target = |address: SocketAddr| Target::parse(&format!("http://{address}"), false);
        let clock = Clock::start();
        Ok(Self {
            history,
            clock,
            recorder: Arc::new(Recorder::new(clock)),
            sources: Arc::new(Sources::new(0)),
            targets: [target(first)?, target(second)?],
            phase,
        })
    }

    /// Clients for a performance.
    pub(crate) fn show(&self, id: &str) -> Show {
        let clients = |patience| {
            self.targets.each_ref().map(|target| Api {
                target: target.clone(),
                sources: self.sources.clone(),
                recorder: self.recorder.clone(),
                schedule: id.to_owned(),
                pool: Pool::new(target.clone(), CONNECTIONS, patience).without_resending(),
                comparing: Pool::new(target.clone(), COMPARING, patience),
            })
        };
        Show { id: id.to_owned(), apis: clients(PATIENCE), hurried: clients(HURRY) }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Returns when the phase is at least this.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut phases = self.phase.clone();
        // Where nobody tells any more, everything is over.
        drop(phases.wait_for(|now| *now >= phase).await);
    }

    /// Waits some milliseconds, or until nobody plays any more.
    pub(crate) async fn pause(&self, rng: &mut Rng, ms: std::ops::Range<u64>) {
        let wait = Duration::from_millis(rng.u64(ms));
        tokio::select! {
            () = sleep(wait) => {}
            () = self.reached(Phase::Closing) => {}
        }
    }
}
