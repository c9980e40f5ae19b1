//! Watching one's reservations.

use std::collections::HashMap;

use futures_util::{Stream, stream};

use super::{Reservation, ReservationStatus, Reservations, person_channel};
use crate::{
    kernel::{Actor, PageRequest, ReservationId},
    kv::{Signal, Topic},
};

/// Reservations that are looked through after messages may have been missed.
const LOOK_BACK: u32 = 50;

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
        };
        // What is there already is no change.
        watching.catch_up().await;
        watching.pending.clear();
        stream::unfold(watching, Watching::next)
    }
}

struct Watching {
    reservations: Reservations,
    actor: Actor,
    topic: Topic,
    shown: HashMap<ReservationId, ReservationStatus>,
    pending: Vec<Reservation>,
}

impl Watching {
    async fn next(mut self) -> Option<(Reservation, Self)> {
        loop {
            if let Some(reservation) = self.pending.pop() {
                return Some((reservation, self));
            }
            match self.topic.next().await? {
                Signal::Message(id) => {
                    let id = std::str::from_utf8(&id).ok().and_then(ReservationId::parse);
                    let Some(id) = id else { continue };
                    match self.reservations.find(self.actor, id).await {
                        Ok(Some(found)) if self.is_news(&found) => self.pending.push(found),
                        Ok(_) => {}
                        Err(fault) => {
                            tracing::warn!(fault = %fault.report(), "a change could not be read")
                        }
                    }
                }
                Signal::Gap => self.catch_up().await,
            }
        }
    }

    /// Notes the state that is about to be shown; `false` when it was shown before.
    fn is_news(&mut self, reservation: &Reservation) -> bool {
        self.shown.insert(reservation.id, reservation.status) != Some(reservation.status)
    }

    async fn catch_up(&mut self) {
        let page = PageRequest { first: LOOK_BACK, after: None };
        match self.reservations.list(self.actor, None, page).await {
            // Newest first, and taken from the end: the oldest change is shown first.
            Ok(page) => {
                for reservation in page.items {
                    if self.is_news(&reservation) {
                        self.pending.push(reservation);
                    }
                }
            }
            Err(fault) => {
                tracing::warn!(fault = %fault.report(), "missed changes could not be read")
            }
        }
    }
}
