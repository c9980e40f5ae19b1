//! What organizers do: concerts, schedules with their seats, the sale, the waiting room.
//!
//! Each changes what is the organizer's own; anything of another organizer does not exist for them.

use super::{
    Catalogue, CatalogueRefusal, Concert, Schedule, ScheduleStatus, WaitingRoomSettings, rules,
    store,
};
use crate::{
    db::Tx,
    kernel::{ConcertId, Failure, Fault, PersonId, Points, ScheduleId, Timestamp},
};

/// A concert to be made; the limits of its texts stand at [`Concert`].
#[derive(Debug, Clone)]
pub struct NewConcert {
    /// Trimmed before it is stored, as all texts are.
    pub title: String,
    /// Who performs.
    pub artist: String,
    /// Where.
    pub venue: String,
    /// What a fan should know; may have line breaks.
    pub description: String,
    /// The venue's IANA zone; one that Postgres knows.
    pub time_zone: String,
}

/// A schedule to be made.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// What is performed; a concert of the organizer.
    pub concert_id: ConcertId,
    /// Not before `sales_close_at`.
    pub starts_at: Timestamp,
    /// Before `sales_close_at`.
    pub sales_open_at: Timestamp,
    /// From then on the sale is closed.
    pub sales_close_at: Timestamp,
    /// 1 to 20.
    pub max_seats_per_person: i32,
    /// 1 to 50, with 100,000 seats in all at most.
    pub sections: Vec<NewSection>,
    /// What differs from [`WaitingRoomSettings::DEFAULT`].
    pub waiting_room: WaitingRoomPatch,
}

/// A block of seats to be made.
#[derive(Debug, Clone)]
pub struct NewSection {
    /// 1 to 50 characters, unique within the schedule.
    pub name: String,
    /// 1 to 20 characters; one price per grade.
    pub grade: String,
    /// 0 to 10,000,000,000.
    pub price: Points,
    /// 1 to 200.
    pub rows: i32,
    /// 1 to 500.
    pub seats_per_row: i32,
}

/// Changes to a waiting room; what is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct WaitingRoomPatch {
    /// People ACTIVE at once; 1 to 1,000,000.
    pub max_active: Option<i32>,
    /// People admitted by one round; 1 to 100,000.
    pub admit_per_round: Option<i32>,
    /// Seconds from round to round; 0.1 to 600.
    pub round_seconds: Option<f64>,
    /// Seconds of ACTIVE time without an action; 5 to 86,400.
    pub idle_seconds: Option<i32>,
    /// Seconds of ACTIVE time in all; 5 to 86,400.
    pub active_seconds: Option<i32>,
    /// Whether nobody is admitted.
    pub paused: Option<bool>,
}

impl Catalogue {
    /// Makes a concert.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ValueInvalid`], or a fault.
    pub async fn create_concert(
        &self,
        organizer: PersonId,
        new: NewConcert,
    ) -> Result<Concert, Failure<CatalogueRefusal>> {
        self.db.tx(async |tx| self.create_concert_in_tx(tx, organizer, new).await).await
    }

    /// [`Catalogue::create_concert`] in the caller's transaction.
    pub(super) async fn create_concert_in_tx(
        &self,
        tx: &Tx,
        organizer: PersonId,
        new: NewConcert,
    ) -> Result<Concert, Failure<CatalogueRefusal>> {
        let new = rules::concert(new).map_err(Failure::Refused)?;
        store::insert_concert(tx, ConcertId::new(), organizer, &new).await?.ok_or_else(|| {
            Failure::Refused(CatalogueRefusal::value(
                "timeZone",
                "Not an IANA time zone; write one like Asia/Seoul.",
            ))
        })
    }

    /// Makes a schedule with all its seats and its waiting room, as a DRAFT.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ConcertNotFound`] or [`CatalogueRefusal::ValueInvalid`], or a fault.
    pub async fn create_schedule(
        &self,
        organizer: PersonId,
        new: NewSchedule,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        self.db
            .tx(async |tx| {
                // A hall may have a hundred thousand seats.
                tx.be_patient().await?;
                self.create_schedule_in_tx(tx, organizer, new).await
            })
            .await
    }

    /// [`Catalogue::create_schedule`] in the caller's transaction.
    pub(super) async fn create_schedule_in_tx(
        &self,
        tx: &Tx,
        organizer: PersonId,
        new: NewSchedule,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        let new = rules::schedule(new).map_err(Failure::Refused)?;
        let room = rules::waiting_room(WaitingRoomSettings::DEFAULT, &new.waiting_room)
            .map_err(|refusal| Failure::Refused(refusal.within(&["waitingRoom"])))?;
        let id = ScheduleId::new();
        let seat_count = rules::seat_count(&new.sections);
        if !store::insert_schedule(tx, id, organizer, &new, seat_count, room).await? {
            return Err(Failure::Refused(CatalogueRefusal::ConcertNotFound));
        }
        for section in &new.sections {
            store::insert_seats(tx, id, section, &rules::seats(section)).await?;
        }
        stored(tx, id).await
    }

    /// Opens the sale; nothing changes when it is open. People can buy from `sales_open_at` on.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ScheduleNotFound`], [`CatalogueRefusal::WrongState`] when the sale was closed or its window
    /// is over, or a fault.
    pub async fn open_sale(
        &self,
        organizer: PersonId,
        id: ScheduleId,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        self.set_status(organizer, id, ScheduleStatus::OnSale).await
    }

    /// Closes the sale for good; nothing changes when it is closed. What was sold stays sold.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ScheduleNotFound`], [`CatalogueRefusal::WrongState`] when the sale was never opened, or a
    /// fault.
    pub async fn close_sale(
        &self,
        organizer: PersonId,
        id: ScheduleId,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        self.set_status(organizer, id, ScheduleStatus::Closed).await
    }

    async fn set_status(
        &self,
        organizer: PersonId,
        id: ScheduleId,
        to: ScheduleStatus,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        self.db.tx(async |tx| self.set_status_in_tx(tx, organizer, id, to).await).await
    }

    /// [`Catalogue::open_sale`] or [`Catalogue::close_sale`] in the caller's transaction.
    pub(super) async fn set_status_in_tx(
        &self,
        tx: &Tx,
        organizer: PersonId,
        id: ScheduleId,
        to: ScheduleStatus,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        let found = store::lock_sale(tx, id, organizer).await?;
        let sale = found.ok_or(Failure::Refused(CatalogueRefusal::ScheduleNotFound))?;
        rules::change_sale(sale.status, sale.window_over, to).map_err(Failure::Refused)?;
        store::set_status(tx, id, to).await?;
        store::interrupt_rounds(tx, id).await?;
        stored(tx, id).await
    }

    /// Changes how a waiting room is run, also while it runs. When this returns, no round goes by the settings of before.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ScheduleNotFound`] or [`CatalogueRefusal::ValueInvalid`], or a fault.
    pub async fn configure_waiting_room(
        &self,
        organizer: PersonId,
        id: ScheduleId,
        patch: WaitingRoomPatch,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        self.db
            .tx(async |tx| {
                let found = store::lock_waiting_room(tx, id, organizer).await?;
                let room = found.ok_or(Failure::Refused(CatalogueRefusal::ScheduleNotFound))?;
                let room = rules::waiting_room(room, &patch).map_err(Failure::Refused)?;
                store::update_waiting_room(tx, id, room).await?;
                store::interrupt_rounds(tx, id).await?;
                stored(tx, id).await
            })
            .await
    }
}

/// The schedule as it stands in the transaction.
async fn stored(tx: &Tx, id: ScheduleId) -> Result<Schedule, Failure<CatalogueRefusal>> {
    let schedule = store::schedules(tx, &[id]).await?.pop();
    Ok(schedule.ok_or(Fault::internal("a schedule vanished in its transaction"))?)
}
