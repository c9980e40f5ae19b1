//! The seats of a new performance, and whether somebody has any.

use super::{Reservations, store};
use crate::{
    catalogue::NewSection,
    db::Tx,
    kernel::{Fault, PersonId, ScheduleId},
};

impl Reservations {
    /// Makes the seats of a schedule's sections, all of them free.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn add_seats_in_tx(
        tx: &Tx,
        schedule_id: ScheduleId,
        sections: &[NewSection],
    ) -> Result<(), Fault> {
        for section in sections {
            store::insert_seats(tx, schedule_id, section).await?;
        }
        Ok(())
    }

    /// Whether a person holds a seat, or owns one at a performance that is to come.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn has_seats_ahead_in_tx(tx: &Tx, person_id: PersonId) -> Result<bool, Fault> {
        store::has_seats_ahead(tx, person_id).await
    }
}
