//! The desk: what an organizer sees of a performance. What was sold, who holds and owns seats, and all of it as a file for the
//! door and the accountant. It reads what others write, and writes nothing.

mod export;
mod rules;
mod store;

use std::collections::HashMap;

use crate::{
    catalogue::Search,
    db::Db,
    kernel::{Fault, Page, PageRequest, Points, ReservationId, ScheduleId},
    reservation::{Reservation, ReservationStatus},
};

pub use export::{ExportFailed, ExportLine, ExportedSeat, csv_header, export};

/// What was sold at a performance: seats are counted, money is in points, all as committed at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScheduleSales {
    /// Seats of live holds.
    pub held: i32,
    /// Seats that are somebody's.
    pub sold: i32,
    /// Paid and not given back yet.
    pub revenue: Points,
    /// Paid and given back.
    pub refunded: Points,
    /// By grade, dearest first; every grade is there.
    pub grades: Vec<GradeSales>,
}

/// What was sold of one grade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradeSales {
    /// VIP, R, S, ...
    pub grade: String,
    /// Seats that are somebody's.
    pub sold: i32,
    /// Paid and not given back yet.
    pub revenue: Points,
}

/// Which reservations of a performance are asked for.
#[derive(Debug, Clone, Default)]
pub struct ReservationFilter {
    /// Those of these states; `None` for all.
    pub statuses: Option<Vec<ReservationStatus>>,
    /// A part of a name, of an e-mail address, or of the id of a reservation, a person or a payment.
    pub search: Option<Search>,
}

/// What an organizer sees; cheap to clone. Whose a performance is, the caller has checked.
#[derive(Debug, Clone)]
pub struct Desk {
    db: Db,
}

impl Desk {
    /// The desk over `db`. It has a share of the connections of those who look around.
    pub fn new(db: &Db) -> Self {
        Self { db: db.for_browsing() }
    }

    /// What was sold at these performances, read in one statement; ids that name none are left out.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn sales(
        &self,
        ids: &[ScheduleId],
    ) -> Result<HashMap<ScheduleId, ScheduleSales>, Fault> {
        store::sales(&self.db, ids).await
    }

    /// Who held and owns seats at a performance, newest first. The cursor is a reservation's id.
    ///
    /// # Errors
    /// When Postgres cannot be asked, or needs too long to search.
    pub async fn reservations(
        &self,
        schedule_id: ScheduleId,
        filter: &ReservationFilter,
        page: PageRequest<ReservationId>,
    ) -> Result<Page<Reservation>, Fault> {
        store::reservations(&self.db, schedule_id, filter, page).await
    }
}
