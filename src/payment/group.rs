//! Payments that have arrived together: how a lane serves them, and how everybody is told.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::store::{self, Cancelled, Moved, Order, Paid};
use crate::{
    db::Db,
    kernel::{Fault, PersonId, ScheduleId},
    lanes::{Claims, GroupWork},
    reservation::{News, Reservations, SeatStatus},
    waiting_room::{Event, WaitingRooms},
};

/// What the lanes of payments do.
#[derive(Debug)]
pub(super) struct Paying {
    pub db: Db,
    pub herald: Herald,
}

impl GroupWork for Paying {
    type Request = Order;
    type Outcome = Option<Paid>;
    type Key = PersonId;

    /// One payment of a person at a time: the next would only meet the first one's locks.
    fn claims(&self, order: &Order) -> Claims<PersonId> {
        Claims { alone: vec![order.person_id], shared: Vec::new() }
    }

    async fn serve(&self, group: &[Order]) -> Result<Vec<Option<Paid>>, Fault> {
        Ok(store::pay_group(&self.db, group).await?)
    }

    async fn tell(&self, _group: &[Order], outcomes: &[Option<Paid>]) {
        self.herald.tell(outcomes.iter().flatten()).await;
    }
}

/// Tells everybody of payments that are committed; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Herald {
    pub reservations: Reservations,
    pub waiting_rooms: WaitingRooms,
}

impl Herald {
    /// Tells of payments: of each performance's seats, people and places at once.
    pub(super) async fn tell(&self, paid: impl IntoIterator<Item = &Paid>) {
        let (mut news, mut events) = (News::default(), BTreeMap::<ScheduleId, Event>::new());
        let mut awaited = BTreeSet::new();
        for paid in paid {
            news.seats(paid.schedule_id, &paid.seats);
            news.reservation(paid.payment.person_id, paid.payment.reservation_id);
            events.entry(paid.schedule_id).or_default().changes.extend(paid.token.clone());
            if paid.awaited {
                awaited.insert(paid.schedule_id);
            }
        }
        let shows: Vec<ScheduleId> = events.keys().copied().collect();
        let rooms = events
            .into_iter()
            .filter(|(_, event)| !event.changes.is_empty())
            .map(|(schedule_id, event)| self.waiting_rooms.announce(schedule_id, event));
        tokio::join!(self.reservations.tell(news), join_all(rooms));
        for schedule_id in shows {
            self.waiting_rooms.sold(schedule_id);
        }
        // A used token is a free place.
        awaited.into_iter().for_each(|schedule_id| self.waiting_rooms.kick(schedule_id));
    }

    /// Tells of what a payment by card has moved: seats that are kept for longer or shorter, sold, or free again.
    pub(super) async fn tell_moved(&self, moved: &Moved) {
        let mut news = News::default();
        news.seats(moved.schedule_id, &moved.seats);
        news.payment(moved.person_id, moved.reservation_id);
        let freed = moved.seats.iter().any(|seat| seat.status == SeatStatus::Available);
        let event = Event { changes: moved.token.iter().cloned().collect(), room_changed: freed };
        let room = async {
            if freed || !event.changes.is_empty() {
                self.waiting_rooms.announce(moved.schedule_id, event).await;
            }
        };
        tokio::join!(self.reservations.tell(news), room);
        if moved.theirs {
            self.waiting_rooms.sold(moved.schedule_id);
        }
        if moved.theirs || freed {
            self.waiting_rooms.kick(moved.schedule_id);
        }
    }

    /// Tells of cancellations: of each performance's seats, people and places at once.
    pub(super) async fn tell_cancelled(&self, cancelled: impl IntoIterator<Item = &Cancelled>) {
        let (mut news, mut events) = (News::default(), BTreeMap::<ScheduleId, Event>::new());
        for Cancelled { reservation, seats, token, .. } in cancelled {
            news.seats(reservation.schedule_id, seats);
            news.reservation(reservation.person_id, reservation.id);
            let event = events.entry(reservation.schedule_id).or_default();
            event.room_changed = true;
            event.changes.extend(token.clone());
        }
        let shows: Vec<ScheduleId> = events.keys().copied().collect();
        let rooms = events
            .into_iter()
            .map(|(schedule_id, event)| self.waiting_rooms.announce(schedule_id, event));
        tokio::join!(self.reservations.tell(news), join_all(rooms));
        for schedule_id in shows {
            // With a seat free again the line moves.
            self.waiting_rooms.kick(schedule_id);
        }
    }
}
