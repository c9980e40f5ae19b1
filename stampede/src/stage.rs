//! What all fans of a rehearsal share.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{OnceCell, Semaphore, watch},
    time::sleep,
};

use crate::{
    api::{Answer, Api},
    history::{Clock, Ms},
    measure::Recorder,
};

/// How far the rehearsal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// Nothing is left: everybody who waits goes home.
    SoldOut,
    /// The time is over: everybody goes home.
    Over,
}

/// The hall's plan, read once.
#[derive(Debug)]
pub(crate) struct Hall {
    /// Seats by section, in the order of the hall; the first section is the front.
    pub(crate) sections: Vec<(String, Vec<String>)>,
    pub(crate) grades: Vec<String>,
}

/// What all fans share.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) clock: Clock,
    pub(crate) apis: Vec<Arc<Api>>,
    pub(crate) recorder: Arc<Recorder>,
    /// When sales open, by our clock.
    pub(crate) opening: Ms,
    pub(crate) started: Ms,
    pub(crate) think_seconds: f64,
    /// Share of pushed positions that are compared with the true one.
    pub(crate) compare: f64,
    /// How many of those may run at once.
    pub(crate) comparing: Semaphore,
    pub(crate) sockets: Arc<Semaphore>,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Makes idempotency keys of one run differ from those of another.
    pub(crate) run: String,
    pub(crate) hall: OnceCell<Hall>,
}

impl Stage {
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Returns when the phase is at least this.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut phases = self.phase.clone();
        if phases.wait_for(|now| *now >= phase).await.is_err() {
            // Nobody tells any more.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until an instant of our clock, or for the phase; `false` when the phase came first.
    pub(crate) async fn until(&self, at: Ms, phase: Phase) -> bool {
        let wait = u64::try_from(at - self.clock.now()).unwrap_or(0);
        tokio::select! {
            biased;
            () = self.reached(phase) => false,
            () = sleep(Duration::from_millis(wait)) => true,
        }
    }

    /// The hall's plan; the first fan reads it for all.
    pub(crate) async fn hall(&self, api: &Api, session: &str, token: &str) -> Answer<&Hall> {
        self.hall
            .get_or_try_init(|| async {
                let seats = api.seats(session, token, None).await?;
                let mut order: Vec<String> = Vec::new();
                let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
                let mut grades: Vec<String> = Vec::new();
                for seat in seats {
                    if !order.contains(&seat.section) {
                        order.push(seat.section.clone());
                    }
                    if !grades.contains(&seat.grade) {
                        grades.push(seat.grade);
                    }
                    sections.entry(seat.section).or_default().push(seat.id);
                }
                let sections = order
                    .into_iter()
                    .filter_map(|name| sections.remove(&name).map(|seats| (name, seats)))
                    .collect();
                Ok(Hall { sections, grades })
            })
            .await
    }
}
