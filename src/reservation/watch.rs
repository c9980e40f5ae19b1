//! Watching one's reservations.

use std::{collections::HashMap, time::Duration};

use futures_util::{Stream, stream};
use tokio::time::{Instant, timeout_at};

use super::{Reservation, ReservationStatus, Reservations, announce::PAYMENT_MARK, person_channel};
use crate::{
    kernel::{Actor, PageRequest, ReservationId, Timestamp},
    kv::{Signal, Topic},
};

/// Reservations that are looked through after messages may have been missed.
const LOOK_BACK: u32 = 50;
/// How soon a read that failed is tried again; the time doubles with every failure, up to [`SETTLED`].
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// This long after a gap they are looked through once more: other instances may have found Redis again later than this one.
const SETTLED: Duration = Duration::from_secs(5);

impl Reservations {
    /// The caller's reservations as they change, from now on. Each is read from Postgres when it is told about.
    pub async fn changes(&self, actor: Actor) -> impl Stream<Item = Reservation> + Send + use<> {
        let topic = self.kv.listen(&person_channel(actor.person_id)).await;
        let mut watching = Watching {
            reservations: self.clone(),
            actor,
            topic,
            shown: HashMap::new(),
            pending: Vec::new(),
            look_again: None,
            patience: RETRY_AFTER,
        };
        // What is there already is no change. Should it not be readable now, all of it is shown later.
        watching.catch_up().await;
        watching.pending.clear();
        stream::unfold(watching, Watching::next)
    }
}

struct Watching {
    reservations: Reservations,
    actor: Actor,
    topic: Topic,
    /// How each was shown last, and when it lapses.
    shown: HashMap<ReservationId, (ReservationStatus, Timestamp)>,
    pending: Vec<Reservation>,
    /// When to look through the reservations, because something was missed.
    look_again: Option<Instant>,
    /// How long to wait after the next read that fails.
    patience: Duration,
}

impl Watching {
    async fn next(mut self) -> Option<(Reservation, Self)> {
        loop {
            if let Some(reservation) = self.pending.pop() {
                return Some((reservation, self));
            }
            let signal = match self.look_again {
                None => self.topic.next().await?,
                Some(due) => match timeout_at(due, self.topic.next()).await {
                    Ok(signal) => signal?,
                    Err(_) => {
                        self.catch_up().await;
                        continue;
                    }
                },
            };
            match signal {
                Signal::Message(id) => {
                    let (id, paying) = match id.strip_suffix(&[PAYMENT_MARK]) {
                        Some(id) => (id, true),
                        None => (&*id, false),
                    };
                    let id = std::str::from_utf8(id).ok().and_then(ReservationId::parse);
                    let Some(id) = id else { continue };
                    match self.reservations.find(self.actor, id).await {
                        Ok(Some(found)) if self.is_news(&found) || paying => {
                            self.pending.push(found);
                        }
                        Ok(_) => {}
                        Err(fault) => {
                            tracing::warn!(fault = %fault.report(), "a change could not be read");
                            self.failed();
                        }
                    }
                }
                Signal::Gap => {
                    self.catch_up().await;
                    self.look_again.get_or_insert_with(|| Instant::now() + SETTLED);
                }
            }
        }
    }

    /// Notes that something was missed. What is due already stays due then, however many reads fail.
    fn failed(&mut self) {
        let due = Instant::now() + self.patience;
        self.look_again = Some(self.look_again.map_or(due, |earlier| earlier.min(due)));
        self.patience = (self.patience * 2).min(SETTLED);
    }

    /// Notes the state that is about to be shown; `false` when it was shown before.
    fn is_news(&mut self, reservation: &Reservation) -> bool {
        let stands = (reservation.status, reservation.expires_at);
        self.shown.insert(reservation.id, stands) != Some(stands)
    }

    async fn catch_up(&mut self) {
        let page = PageRequest { first: LOOK_BACK, after: None };
        self.look_again = None;
        match self.reservations.list(self.actor, None, page).await {
            // Newest first, and taken from the end: the oldest change is shown first.
            Ok(page) => {
                self.patience = RETRY_AFTER;
                for reservation in page.items {
                    if self.is_news(&reservation) {
                        self.pending.push(reservation);
                    }
                }
            }
            Err(fault) => {
                tracing::warn!(fault = %fault.report(), "missed changes could not be read");
                self.failed();
            }
        }
    }
}
