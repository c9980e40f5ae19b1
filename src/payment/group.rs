//! Payments that have arrived together: how a lane serves them, and how everybody is told.

use std::collections::HashMap;

use futures_util::future::join_all;

use super::store::{self, Order, Paid};
use crate::{
    db::Db,
    kernel::{Fault, PersonId, ScheduleId},
    lanes::{Claims, GroupWork},
    reservation::{Reservations, SeatChange},
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
    /// Tells of payments, once for each performance.
    pub(super) async fn tell(&self, paid: impl IntoIterator<Item = &Paid>) {
        let mut shows: HashMap<ScheduleId, Vec<&Paid>> = HashMap::new();
        for paid in paid {
            shows.entry(paid.schedule_id).or_default().push(paid);
        }
        let told = shows.iter().map(|(schedule_id, paid)| self.tell_of(*schedule_id, paid));
        join_all(told).await;
    }

    async fn tell_of(&self, schedule_id: ScheduleId, paid: &[&Paid]) {
        let whose: Vec<_> =
            paid.iter().map(|it| (it.payment.person_id, it.payment.reservation_id)).collect();
        let seats: Vec<SeatChange> = paid.iter().flat_map(|it| it.seats.iter().copied()).collect();
        let changes: Vec<_> = paid.iter().filter_map(|it| it.token.clone()).collect();
        let room = async {
            if !changes.is_empty() {
                self.waiting_rooms
                    .announce(schedule_id, Event { changes, ..Event::default() })
                    .await;
            }
        };
        tokio::join!(self.reservations.announce_all(schedule_id, &whose, &seats), room);
        self.waiting_rooms.sold(schedule_id);
        // A used token is a free place.
        self.waiting_rooms.kick(schedule_id);
    }
}
