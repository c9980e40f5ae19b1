//! Demonstration data: made when missing, kept when there.

use super::{Catalogue, CatalogueRefusal, NewConcert, NewSchedule, ScheduleStatus, store};
use crate::{
    db::Tx,
    kernel::{ConcertId, Failure, PersonId},
};

impl Catalogue {
    /// Makes a concert with schedules on sale, unless this organizer has one of this title with a performance to come.
    /// A concert that has none left gets new ones. Returns how many schedules were made.
    ///
    /// The caller has to keep others from doing the same at the same time; see [`Tx::lock`].
    ///
    /// # Errors
    /// As [`Catalogue::create_concert`] and [`Catalogue::create_schedule`].
    pub async fn ensure_in_tx(
        &self,
        tx: &Tx,
        organizer: PersonId,
        concert: NewConcert,
        schedules: impl FnOnce(ConcertId) -> Vec<NewSchedule> + Send,
    ) -> Result<usize, Failure<CatalogueRefusal>> {
        let id = match store::concert_of_title(tx, organizer, &concert.title).await? {
            Some(found) if found.upcoming => return Ok(0),
            Some(found) => found.id,
            None => self.create_concert_in_tx(tx, organizer, concert).await?.id,
        };
        let schedules = schedules(id);
        let made = schedules.len();
        for new in schedules {
            let schedule = self.create_schedule_in_tx(tx, organizer, new).await?;
            self.set_status_in_tx(tx, organizer, schedule.id, ScheduleStatus::OnSale).await?;
        }
        Ok(made)
    }
}
