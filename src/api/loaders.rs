//! Reads that many fields of one answer need, gathered by `gather`.
//!
//! A noun that wants its reads gathered implements `Loader<Key>` for [`Reads`], here or in its own file.

use std::{collections::HashMap, sync::Arc};

use async_graphql::Context;

use super::{
    ApiError, ApiResult,
    gather::{Gatherer, Key, Loader},
};
use crate::{
    account::Person,
    app::App,
    catalogue::{Availability, Concert, Schedule, ScheduleFilter},
    kernel::{ConcertId, PaymentId, PersonId, ReservationId, ScheduleId},
    payment::Payment,
    reservation::{Reservation, Seat},
    waiting_room::Summary,
};

/// The reads that can be gathered, by type of key.
pub(super) struct Reads {
    pub(super) app: App,
}

/// Gathers reads; part of the schema's data.
pub(super) type Loaders = Gatherer<Reads>;

/// Reads one thing along with others of its kind; `None` when there is none of this key.
pub(super) async fn load<K: Key>(
    ctx: &Context<'_>,
    key: K,
) -> ApiResult<Option<<Reads as Loader<K>>::Value>>
where
    Reads: Loader<K>,
{
    let loaders = ctx
        .data_opt::<Loaders>()
        .ok_or_else(|| ApiError::internal("the schema was built without its loaders"))?;
    loaders.load(key).await
}

impl Loader<PersonId> for Reads {
    type Value = Person;

    async fn load(&self, keys: &[PersonId]) -> ApiResult<HashMap<PersonId, Person>> {
        let people = self.app.accounts.people(keys).await?;
        Ok(people.into_iter().map(|person| (person.id, person)).collect())
    }
}

impl Loader<ConcertId> for Reads {
    type Value = Arc<Concert>;

    async fn load(&self, keys: &[ConcertId]) -> ApiResult<HashMap<ConcertId, Arc<Concert>>> {
        let concerts = self.app.catalogue.concerts_by_id(keys).await?;
        Ok(concerts.into_iter().map(|concert| (concert.id, Arc::new(concert))).collect())
    }
}

impl Loader<ScheduleId> for Reads {
    type Value = Schedule;

    async fn load(&self, keys: &[ScheduleId]) -> ApiResult<HashMap<ScheduleId, Schedule>> {
        let schedules = self.app.catalogue.schedules(keys).await?;
        Ok(schedules.into_iter().map(|schedule| (schedule.id, schedule)).collect())
    }
}

/// The schedules of a concert that pass a filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SchedulesOf {
    pub(super) concert_id: ConcertId,
    pub(super) filter: Arc<ScheduleFilter>,
}

impl Loader<SchedulesOf> for Reads {
    type Value = Arc<[Schedule]>;

    async fn load(&self, keys: &[SchedulesOf]) -> ApiResult<HashMap<SchedulesOf, Arc<[Schedule]>>> {
        let mut by_filter: HashMap<&Arc<ScheduleFilter>, Vec<ConcertId>> = HashMap::new();
        for key in keys {
            by_filter.entry(&key.filter).or_default().push(key.concert_id);
        }
        let mut found = HashMap::with_capacity(keys.len());
        for (filter, concerts) in by_filter {
            let schedules = self.app.catalogue.schedules_of(&concerts, filter).await?;
            found.extend(schedules.into_iter().map(|(concert_id, schedules)| {
                (SchedulesOf { concert_id, filter: Arc::clone(filter) }, schedules.into())
            }));
        }
        Ok(found)
    }
}

/// What is left of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct AvailabilityOf(pub(super) ScheduleId);

impl Loader<AvailabilityOf> for Reads {
    type Value = Arc<Availability>;

    async fn load(
        &self,
        keys: &[AvailabilityOf],
    ) -> ApiResult<HashMap<AvailabilityOf, Arc<Availability>>> {
        let ids: Vec<ScheduleId> = keys.iter().map(|key| key.0).collect();
        let counted = self.app.catalogue.availability(&ids).await?;
        Ok(counted.into_iter().map(|(id, counts)| (AvailabilityOf(id), counts)).collect())
    }
}

/// How the waiting room of a schedule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RoomOf(pub(super) ScheduleId);

impl Loader<RoomOf> for Reads {
    type Value = Summary;

    async fn load(&self, keys: &[RoomOf]) -> ApiResult<HashMap<RoomOf, Summary>> {
        let ids: Vec<ScheduleId> = keys.iter().map(|key| key.0).collect();
        let rooms = self.app.waiting_rooms.summaries(&ids).await?;
        Ok(rooms.into_iter().filter_map(|(id, room)| Some((RoomOf(id), room?))).collect())
    }
}

impl Loader<ReservationId> for Reads {
    type Value = Reservation;

    async fn load(&self, keys: &[ReservationId]) -> ApiResult<HashMap<ReservationId, Reservation>> {
        Ok(self.app.reservations.by_ids(keys).await?)
    }
}

/// The seats of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SeatsOf(pub(super) ReservationId);

impl Loader<SeatsOf> for Reads {
    type Value = Vec<Seat>;

    async fn load(&self, keys: &[SeatsOf]) -> ApiResult<HashMap<SeatsOf, Vec<Seat>>> {
        let ids: Vec<ReservationId> = keys.iter().map(|key| key.0).collect();
        let seats = self.app.reservations.seats_of(&ids).await?;
        Ok(seats.into_iter().map(|(id, seats)| (SeatsOf(id), seats)).collect())
    }
}

impl Loader<PaymentId> for Reads {
    type Value = Payment;

    async fn load(&self, keys: &[PaymentId]) -> ApiResult<HashMap<PaymentId, Payment>> {
        Ok(self.app.payments.by_ids(keys).await?)
    }
}

/// The latest payment of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LatestPaymentOf(pub(super) ReservationId);

impl Loader<LatestPaymentOf> for Reads {
    type Value = Payment;

    async fn load(&self, keys: &[LatestPaymentOf]) -> ApiResult<HashMap<LatestPaymentOf, Payment>> {
        let ids: Vec<ReservationId> = keys.iter().map(|key| key.0).collect();
        let payments = self.app.payments.latest_of(&ids).await?;
        Ok(payments.into_iter().map(|(id, payment)| (LatestPaymentOf(id), payment)).collect())
    }
}
