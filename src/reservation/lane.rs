//! Holds in lanes: what arrives while a statement is running shares the next one.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::{
    HoldRefusal, HoldTerms,
    announce::News,
    rules::{self, Obstacle},
    store::{self, Held, HoldOrder, Locks},
};
use crate::{
    db::Db,
    kernel::{Fault, PersonId, ScheduleId, SeatId, TooOften},
    kv::Kv,
    lanes::{Claims, GroupWork},
    waiting_room::{Event, WaitingRooms},
};

/// What became of a hold that was asked for.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It stands.
    Held(Box<Held>),
    /// The rules say no.
    Refused(HoldRefusal),
    /// Nothing is held: the reason could not be looked up, or the person let too many holds lapse.
    Failed(Fault),
    /// It was left out, and nothing stands in its way any more.
    Again,
}

/// What may not be under way twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Person(PersonId),
    Seat(SeatId),
}

/// How a lane holds.
pub(super) struct HoldLane {
    db: Db,
    kv: Kv,
    waiting_rooms: WaitingRooms,
    terms: HoldTerms,
}

impl HoldLane {
    pub(super) fn new(db: &Db, kv: &Kv, waiting_rooms: &WaitingRooms, terms: HoldTerms) -> Self {
        let (kv, waiting_rooms) = (kv.clone(), waiting_rooms.clone());
        Self { db: db.for_lanes(), kv, waiting_rooms, terms }
    }
}

impl GroupWork for HoldLane {
    type Request = HoldOrder;
    type Outcome = Outcome;
    type Key = Key;

    /// Two holds of one person are counted one after the other. A seat that is being taken is left alone until that is
    /// decided, unless it is asked for in the same group: the statement gives it to the first.
    fn claims(&self, order: &HoldOrder) -> Claims<Key> {
        Claims {
            alone: vec![Key::Person(order.person_id)],
            shared: order.seat_ids.iter().map(|seat| Key::Seat(*seat)).collect(),
        }
    }

    async fn serve(&self, group: &[HoldOrder]) -> Result<Vec<Outcome>, Fault> {
        let orders: Vec<&HoldOrder> = group.iter().collect();
        attempt(&self.db, &orders, self.terms, Locks::Skipped).await
    }

    async fn tell(&self, group: &[HoldOrder], outcomes: &[Outcome]) {
        let held = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Held(held) => Some(&**held),
            _ => None,
        });
        // Those who were refused because of the seats were busy: their idle time starts anew, as it does with a hold.
        let busy = group.iter().zip(outcomes).filter_map(|(order, outcome)| match outcome {
            Outcome::Refused(refusal) if rules::was_busy(refusal.code) => {
                Some(order.queue_token_id)
            }
            _ => None,
        });
        let busy: Vec<_> = busy.collect();
        tokio::join!(tell(&self.kv, &self.waiting_rooms, held), async {
            if busy.is_empty() {
                return;
            }
            if let Err(fault) = self.waiting_rooms.all_acted(&busy).await {
                tracing::warn!(fault = %fault.report(), "refused holds do not count as actions");
            }
        });
    }
}

/// Tries to hold for each of some orders, and looks up what stood in the way of the others.
pub(super) async fn attempt(
    db: &Db,
    orders: &[&HoldOrder],
    terms: HoldTerms,
    locks: Locks,
) -> Result<Vec<Outcome>, Fault> {
    let held = store::hold(db, orders, terms, locks).await?;
    let left_out: Vec<&HoldOrder> = orders
        .iter()
        .zip(&held)
        .filter(|(_, held)| held.is_none())
        .map(|(order, _)| *order)
        .collect();
    // The people who hold seats by now have them, whatever happens to this question.
    let looked = store::hold_facts(db, &left_out, terms).await;
    let mut why = left_out.iter().enumerate().map(|(at, order)| match &looked {
        Ok(facts) => {
            let facts = facts.get(at);
            match facts.and_then(|facts| rules::why_refused(facts, &order.seat_ids)) {
                None => Outcome::Again,
                Some(Obstacle::Refused(refusal)) => Outcome::Refused(refusal),
                Some(Obstacle::Rest(seconds)) => {
                    Outcome::Failed(Fault::too_often(TooOften::LapsedHolds, seconds))
                }
            }
        }
        Err(fault) => {
            Outcome::Failed(Fault::alike(fault.kind(), "why nothing is held is not known"))
        }
    });
    let outcome = |held: Option<Held>| match held {
        Some(held) => Outcome::Held(Box::new(held)),
        None => why.next().unwrap_or(Outcome::Again),
    };
    let outcomes = held.into_iter().map(outcome).collect();
    if let Err(fault) = &looked {
        tracing::error!(fault = %fault.report(), "why holds were refused could not be looked up");
    }
    Ok(outcomes)
}

/// Tells every instance of holds that were just made: of each performance's seats and people at once.
pub(super) async fn tell(
    kv: &Kv,
    waiting_rooms: &WaitingRooms,
    holds: impl IntoIterator<Item = &Held>,
) {
    let (mut news, mut events) = (News::default(), BTreeMap::<ScheduleId, Event>::new());
    for held in holds {
        let reservation = &held.reservation;
        news.seats(reservation.schedule_id, &held.seats);
        news.reservation(reservation.person_id, reservation.id);
        events.entry(reservation.schedule_id).or_default().changes.push(held.token.clone());
    }
    let rooms = events.into_iter().map(|(id, event)| waiting_rooms.announce(id, event));
    tokio::join!(news.tell(kv), join_all(rooms));
}
