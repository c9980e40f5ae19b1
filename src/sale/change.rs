//! Opening and closing a sale, and calling a performance off.

use super::Sales;
use crate::{
    catalogue::{Catalogue, CatalogueRefusal, Schedule, ScheduleStatus},
    db::Tx,
    kernel::{Failure, PersonId, ScheduleId},
    waiting_room::WaitingRooms,
};

impl Sales {
    /// Opens the sale, and tells its room; nothing changes when it is open. People can buy from `sales_open_at` on.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ScheduleNotFound`], [`CatalogueRefusal::WrongState`] when the sale was closed or its window
    /// is over, or a fault.
    pub async fn open(
        &self,
        organizer: PersonId,
        id: ScheduleId,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        self.change(organizer, id, ScheduleStatus::OnSale).await
    }

    /// Closes the sale for good, and tells its room; nothing changes when it is closed. What was sold stays sold.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ScheduleNotFound`], [`CatalogueRefusal::WrongState`] when the sale was never opened, or a
    /// fault.
    pub async fn close(
        &self,
        organizer: PersonId,
        id: ScheduleId,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        self.change(organizer, id, ScheduleStatus::Closed).await
    }

    /// Calls a performance off for good, and tells its room; nothing changes when it is called off. Nobody enters, is let in,
    /// holds or pays from then on. Holds are given up and purchases refunded by a worker, a few at a time.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ScheduleNotFound`], [`CatalogueRefusal::WrongState`] when the sale was never opened, or a
    /// fault.
    pub async fn call_off(
        &self,
        organizer: PersonId,
        id: ScheduleId,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        self.change(organizer, id, ScheduleStatus::Cancelled).await
    }

    async fn change(
        &self,
        organizer: PersonId,
        id: ScheduleId,
        to: ScheduleStatus,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        let schedule = self.db.tx(async |tx| change_in_tx(tx, organizer, id, to).await).await?;
        // Also when nothing changed: the process that changed it may have died before it told anybody.
        self.waiting_rooms.announce_room(id).await;
        Ok(schedule)
    }
}

/// [`Sales::open`], [`Sales::close`] or [`Sales::call_off`] in the caller's transaction, told to nobody.
///
/// Locks in the order schedule, waiting room, admission.
pub(super) async fn change_in_tx(
    tx: &Tx,
    organizer: PersonId,
    id: ScheduleId,
    to: ScheduleStatus,
) -> Result<Schedule, Failure<CatalogueRefusal>> {
    let (schedule, changed) = Catalogue::change_sale_in_tx(tx, organizer, id, to).await?;
    let opens = changed && to == ScheduleStatus::OnSale;
    WaitingRooms::sale_changed_in_tx(tx, id, opens).await?;
    Ok(schedule)
}
