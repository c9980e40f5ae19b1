//! The seats of a new performance.

use super::{Reservations, store};
use crate::{
    catalogue::NewSection,
    db::Tx,
    kernel::{Fault, ScheduleId},
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
}
