//! How a room is run: its settings, also while people stand in line, and what is made when a performance gets a room.

mod rules;

use super::{WaitingRooms, store::settings};
use crate::{
    catalogue::CatalogueRefusal,
    db::Tx,
    kernel::{Failure, Fault, PersonId, ScheduleId},
};

/// How a waiting room is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingRoomSettings {
    /// How many people may be ACTIVE at once.
    pub max_active: i32,
    /// How many people one round admits at most.
    pub admit_per_round: i32,
    /// How often a round runs, in milliseconds.
    pub round_ms: i32,
    /// ACTIVE time without an action, in seconds.
    pub idle_seconds: i32,
    /// ACTIVE time in all, in seconds.
    pub active_seconds: i32,
    /// Nobody is admitted while it is paused.
    pub paused: bool,
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

impl WaitingRoomSettings {
    /// What a schedule gets when its organizer says nothing.
    pub const DEFAULT: Self = Self {
        max_active: 100,
        admit_per_round: 50,
        round_ms: 1_000,
        idle_seconds: 120,
        active_seconds: 900,
        paused: false,
    };

    /// These settings after a change.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ValueInvalid`] for each field that is out of its range.
    pub fn changed(self, patch: &WaitingRoomPatch) -> Result<Self, Vec<CatalogueRefusal>> {
        rules::changed(self, patch)
    }
}

impl WaitingRooms {
    /// Changes how a room is run, also while it runs, and tells everybody who watches it. When this returns, no round uses
    /// the old settings any more.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ScheduleNotFound`], or [`CatalogueRefusal::ValueInvalid`] for each field at fault; or a fault.
    pub async fn configure(
        &self,
        organizer: PersonId,
        id: ScheduleId,
        patch: WaitingRoomPatch,
    ) -> Result<(), Failure<Vec<CatalogueRefusal>>> {
        self.db
            .tx(async |tx| {
                let found = settings::lock(tx, id, organizer).await?;
                let room =
                    found.ok_or(Failure::Refused(vec![CatalogueRefusal::ScheduleNotFound]))?;
                let room = room.changed(&patch).map_err(Failure::Refused)?;
                settings::update(tx, id, room).await?;
                Ok::<_, Failure<Vec<CatalogueRefusal>>>(settings::interrupt_rounds(tx, id).await?)
            })
            .await?;
        self.announce_room(id).await;
        Ok(())
    }

    /// Makes the room of a new schedule, with an empty line.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn add_room_in_tx(
        tx: &Tx,
        id: ScheduleId,
        settings: WaitingRoomSettings,
    ) -> Result<(), Fault> {
        settings::insert(tx, id, settings).await
    }

    /// Takes notice that the sale was opened or closed. A round under way has counted by what was so before, and lets go.
    /// Once the transaction is committed, no other round admits anybody by it. A sale that `opens` when its time has come
    /// has no draw.
    ///
    /// The caller has the schedule's lock, and tells the room afterwards: [`WaitingRooms::announce_room`].
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn sale_changed_in_tx(tx: &Tx, id: ScheduleId, opens: bool) -> Result<(), Fault> {
        if opens {
            settings::skip_draw(tx, id).await?;
        }
        settings::interrupt_rounds(tx, id).await
    }
}
