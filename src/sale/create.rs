//! Making performances, by an organizer and for demonstrations.

use super::{Sales, change::change_in_tx};
use crate::{
    catalogue::{Catalogue, CatalogueRefusal, NewConcert, NewSchedule, Schedule, ScheduleStatus},
    db::Tx,
    kernel::{ConcertId, Failure, PersonId},
    reservation::Reservations,
    waiting_room::{WaitingRoomPatch, WaitingRoomSettings, WaitingRooms},
};

/// A performance to be sold.
#[derive(Debug, Clone)]
pub struct NewSale {
    /// What is performed, when, and the seats.
    pub schedule: NewSchedule,
    /// What differs from [`WaitingRoomSettings::DEFAULT`].
    pub waiting_room: WaitingRoomPatch,
}

impl Sales {
    /// Makes a schedule with all its seats and its waiting room, as a DRAFT.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ConcertNotFound`], and [`CatalogueRefusal::ValueInvalid`] for each field at fault; or a fault.
    pub async fn create(
        &self,
        organizer: PersonId,
        new: NewSale,
    ) -> Result<Schedule, Failure<Vec<CatalogueRefusal>>> {
        self.db
            .tx(async |tx| {
                // A hall may have a hundred thousand seats.
                tx.be_patient().await?;
                create_in_tx(tx, organizer, new).await
            })
            .await
    }
}

/// [`Sales::create`] in the caller's transaction.
async fn create_in_tx(
    tx: &Tx,
    organizer: PersonId,
    new: NewSale,
) -> Result<Schedule, Failure<Vec<CatalogueRefusal>>> {
    let concert_id = new.schedule.concert_id;
    let (plan, room) = match checked(new) {
        Ok(sound) => sound,
        Err(mut refusals) => {
            if !Catalogue::has_concert_in_tx(tx, organizer, concert_id).await? {
                refusals.insert(0, CatalogueRefusal::ConcertNotFound);
            }
            return Err(Failure::Refused(refusals));
        }
    };
    let schedule = Catalogue::add_schedule_in_tx(tx, organizer, &plan).await?;
    WaitingRooms::add_room_in_tx(tx, schedule.id, room).await?;
    Reservations::add_seats_in_tx(tx, schedule.id, &plan.sections).await?;
    Ok(schedule)
}

/// The parts of a performance as they are stored, or everything that is wrong with them.
fn checked(new: NewSale) -> Result<(NewSchedule, WaitingRoomSettings), Vec<CatalogueRefusal>> {
    let room = WaitingRoomSettings::DEFAULT.changed(&new.waiting_room);
    let room = room.map_err(|refusals| {
        refusals.into_iter().map(|refusal| refusal.within(&["waitingRoom"])).collect::<Vec<_>>()
    });
    match (new.schedule.checked(), room) {
        (Ok(plan), Ok(room)) => Ok((plan, room)),
        (plan, room) => Err(plan.err().into_iter().chain(room.err()).flatten().collect()),
    }
}

/// Makes a concert with schedules on sale, unless this organizer has one of this title with a performance to come.
/// A concert that has none left gets new ones. Returns how many schedules were made.
///
/// The caller has to keep others from doing the same at the same time; see [`Tx::lock`].
///
/// # Errors
/// As [`Catalogue::create_concert`] and [`Sales::create`].
pub async fn ensure_in_tx(
    tx: &Tx,
    organizer: PersonId,
    concert: NewConcert,
    sales: impl FnOnce(ConcertId) -> Vec<NewSale> + Send,
) -> Result<usize, Failure<Vec<CatalogueRefusal>>> {
    let id = match Catalogue::concert_of_title_in_tx(tx, organizer, &concert.title).await? {
        Some(found) if found.upcoming => return Ok(0),
        Some(found) => found.id,
        None => Catalogue::create_concert_in_tx(tx, organizer, concert).await?.id,
    };
    let sales = sales(id);
    let made = sales.len();
    for new in sales {
        let schedule = create_in_tx(tx, organizer, new).await?;
        change_in_tx(tx, organizer, schedule.id, ScheduleStatus::OnSale).await?;
    }
    Ok(made)
}
