//! Reading reservations and their seats.

use std::collections::HashMap;

use super::{Reservation, ReservationStatus, Reservations, Seat, store};
use crate::kernel::{Actor, Fault, Page, PageRequest, ReservationId};

impl Reservations {
    /// One of the caller's reservations; `None` for those of others too.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn find(
        &self,
        actor: Actor,
        id: ReservationId,
    ) -> Result<Option<Reservation>, Fault> {
        let found = store::by_ids(&self.db, &[id]).await?.into_iter().next();
        Ok(found.filter(|reservation| reservation.person_id == actor.person_id))
    }

    /// The caller's reservations, newest first. The cursor is a reservation's id.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn list(
        &self,
        actor: Actor,
        statuses: Option<&[ReservationStatus]>,
        page: PageRequest<ReservationId>,
    ) -> Result<Page<Reservation>, Fault> {
        store::list(&self.db, actor.person_id, statuses, page).await
    }

    /// Reservations by id, whosever they are; for objects that the caller reached by right.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn by_ids(
        &self,
        ids: &[ReservationId],
    ) -> Result<HashMap<ReservationId, Reservation>, Fault> {
        let found = store::by_ids(&self.db, ids).await?;
        Ok(found.into_iter().map(|reservation| (reservation.id, reservation)).collect())
    }

    /// The seats of each reservation, in the order of the hall. They stay known when the reservation is over.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn seats_of(
        &self,
        ids: &[ReservationId],
    ) -> Result<HashMap<ReservationId, Vec<Seat>>, Fault> {
        let mut seats: HashMap<ReservationId, Vec<Seat>> = HashMap::new();
        for (id, seat) in store::seats_of(&self.db, ids).await? {
            seats.entry(id).or_default().push(seat);
        }
        Ok(seats)
    }
}
