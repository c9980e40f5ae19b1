//! What organizers do: concerts, schedules, and how far the sale of one is.
//!
//! Each changes what is the organizer's own; anything of another organizer does not exist for them. What a schedule needs
//! besides its row, seats and a waiting room, `sale` makes in the same transaction.

use super::{Catalogue, CatalogueRefusal, Concert, Schedule, ScheduleStatus, rules, store};
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
    /// Until then a fan may cancel what they have paid for, not after `starts_at`; until it starts when left out.
    pub cancel_until: Option<Timestamp>,
    /// 1 to 50, with 100,000 seats in all at most.
    pub sections: Vec<NewSection>,
}

impl NewSchedule {
    /// The schedule as it is stored: names trimmed, and everything within its limits.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ValueInvalid`] for each field at fault.
    pub fn checked(self) -> Result<Self, Vec<CatalogueRefusal>> {
        rules::schedule(self)
    }
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

impl NewSection {
    /// Every seat of this section, front row first.
    pub fn seats(&self) -> Vec<PlannedSeat> {
        rules::seats(self)
    }

    /// The names of its rows, front row first.
    pub fn row_labels(&self) -> Vec<String> {
        (1..=self.rows).map(rules::row_label).collect()
    }
}

/// Where one seat of a section stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedSeat {
    /// From 1, at the stage.
    pub row_index: i32,
    /// From 1, at the left.
    pub number: i32,
    /// Lower is better; equal for two seats as far from the middle of the same row.
    pub preference: i32,
}

impl Catalogue {
    /// Makes a concert.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ValueInvalid`] for each field at fault, or a fault.
    pub async fn create_concert(
        &self,
        organizer: PersonId,
        new: NewConcert,
    ) -> Result<Concert, Failure<Vec<CatalogueRefusal>>> {
        self.db.tx(async |tx| Self::create_concert_in_tx(tx, organizer, new).await).await
    }

    /// [`Catalogue::create_concert`] in the caller's transaction.
    ///
    /// # Errors
    /// As [`Catalogue::create_concert`].
    pub async fn create_concert_in_tx(
        tx: &Tx,
        organizer: PersonId,
        new: NewConcert,
    ) -> Result<Concert, Failure<Vec<CatalogueRefusal>>> {
        let refusals = match rules::concert(&new) {
            Ok(sound) => {
                match store::insert_concert(tx, ConcertId::new(), organizer, &sound).await? {
                    Some(concert) => return Ok(concert),
                    None => vec![no_time_zone()],
                }
            }
            Err(mut refusals) => {
                let told = refusals.iter().any(|refusal| refusal.is_about("timeZone"));
                if !told && !store::is_time_zone(tx, new.time_zone.trim()).await? {
                    refusals.push(no_time_zone());
                }
                refusals
            }
        };
        Err(Failure::Refused(refusals))
    }

    /// The concert of a title, if this organizer has one; of several the first.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn concert_of_title_in_tx(
        tx: &Tx,
        organizer: PersonId,
        title: &str,
    ) -> Result<Option<TitledConcert>, Fault> {
        store::concert_of_title(tx, organizer, title).await
    }

    /// Whether this organizer has such a concert.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn has_concert_in_tx(
        tx: &Tx,
        organizer: PersonId,
        id: ConcertId,
    ) -> Result<bool, Fault> {
        store::has_concert(tx, organizer, id).await
    }

    /// Whether an organizer has a performance to come whose sale has been opened, and that was not called off.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn has_sales_ahead_in_tx(tx: &Tx, organizer: PersonId) -> Result<bool, Fault> {
        store::has_sales_ahead(tx, organizer).await
    }

    /// Writes a schedule that was [checked](NewSchedule::checked), as a DRAFT without seats and without a waiting room.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ConcertNotFound`], or a fault.
    pub async fn add_schedule_in_tx(
        tx: &Tx,
        organizer: PersonId,
        new: &NewSchedule,
    ) -> Result<Schedule, Failure<CatalogueRefusal>> {
        let id = ScheduleId::new();
        let seat_count = rules::seat_count(&new.sections);
        if !store::insert_schedule(tx, id, organizer, new, seat_count).await? {
            return Err(Failure::Refused(CatalogueRefusal::ConcertNotFound));
        }
        Ok(stored(tx, id).await?)
    }

    /// Turns a schedule ON_SALE, CLOSED or CANCELLED, under its row's lock; whether it was not so before.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ScheduleNotFound`], [`CatalogueRefusal::WrongState`] when a sale that stands where this one does
    /// does not go there, or a fault.
    pub async fn change_sale_in_tx(
        tx: &Tx,
        organizer: PersonId,
        id: ScheduleId,
        to: ScheduleStatus,
    ) -> Result<(Schedule, bool), Failure<CatalogueRefusal>> {
        let found = store::lock_sale(tx, id, organizer).await?;
        let sale = found.ok_or(Failure::Refused(CatalogueRefusal::ScheduleNotFound))?;
        rules::change_sale(sale.status, sale.window_over, to).map_err(Failure::Refused)?;
        let changed = store::set_status(tx, id, to).await?;
        Ok((stored(tx, id).await?, changed))
    }
}

fn no_time_zone() -> CatalogueRefusal {
    CatalogueRefusal::value("timeZone", "Not an IANA time zone; write one like Asia/Seoul.")
}

/// A concert that was found by its title.
#[derive(Debug, Clone, Copy)]
pub struct TitledConcert {
    /// Names it.
    pub id: ConcertId,
    /// Whether a performance of it is still to come.
    pub upcoming: bool,
}

/// The schedule as it stands in the transaction.
async fn stored(tx: &Tx, id: ScheduleId) -> Result<Schedule, Fault> {
    let schedule = store::schedules(tx, &[id]).await?.pop();
    schedule.ok_or(Fault::internal("a schedule vanished in its transaction"))
}
