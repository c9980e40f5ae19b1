//! What can be bought: concerts, their performances (schedules), and how many seats are left.
//!
//! Organizers write here, everybody reads. Nothing here sells: seats are `reservation`'s, and a sale is run by `sale`.

mod availability;
mod browse;
mod manage;
mod refusal;
mod rules;
mod store;

use std::sync::Arc;

use availability::Counts;
pub use browse::{ConcertFilter, ScheduleFilter, Search};
pub use manage::{NewConcert, NewSchedule, NewSection, PlannedSeat, TitledConcert};
pub use refusal::CatalogueRefusal;

use crate::{
    db::Db,
    kernel::{ConcertId, PersonId, Points, ScheduleId, Timestamp, text_enum},
};

/// Shows and manages concerts and schedules; cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalogue {
    db: Db,
    browsing: Db,
    counts: Arc<Counts>,
}

impl Catalogue {
    /// The catalogue in `db`.
    pub fn new(db: Db) -> Self {
        Self { browsing: db.for_browsing(), db, counts: Arc::default() }
    }
}

/// A programme of an artist at a venue, performed once or several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concert {
    /// Names it.
    pub id: ConcertId,
    /// Who manages it.
    pub organizer_id: PersonId,
    /// 1 to 200 characters.
    pub title: String,
    /// 1 to 200 characters.
    pub artist: String,
    /// 1 to 200 characters.
    pub venue: String,
    /// 0 to 5000 characters; may have line breaks.
    pub description: String,
    /// The venue's IANA zone.
    pub time_zone: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether anything of it is published: a performance that is no DRAFT, whatever became of it since.
    pub published: bool,
}

impl Concert {
    /// Whether `viewer` may see it: what is not published is its organizer's alone.
    pub fn visible_to(&self, viewer: Option<PersonId>) -> bool {
        self.published || viewer == Some(self.organizer_id)
    }
}

text_enum! {
    /// How far the sale of a performance is.
    pub enum ScheduleStatus {
        /// In preparation; seen by its organizer only.
        Draft = "DRAFT",
        /// Sold within its sale window.
        OnSale = "ON_SALE",
        /// Not sold any more: closed by its organizer, or by the end of the sale window.
        Closed = "CLOSED",
        /// Called off: it does not take place, and everybody is refunded.
        Cancelled = "CANCELLED",
    }
}

/// One performance of a concert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Names it.
    pub id: ScheduleId,
    /// What is performed.
    pub concert_id: ConcertId,
    /// Who manages it.
    pub organizer_id: PersonId,
    /// When the performance starts.
    pub starts_at: Timestamp,
    /// How far the sale was when it was read; CLOSED from `sales_close_at` on, by the database's clock.
    pub status: ScheduleStatus,
    /// Start of the sale window.
    pub sales_open_at: Timestamp,
    /// End of the sale window.
    pub sales_close_at: Timestamp,
    /// Seats in all.
    pub seat_count: i32,
    /// How many seats one person may hold and own here.
    pub max_seats_per_person: i32,
    /// Until then a fan may cancel what they have paid for.
    pub cancel_until: Timestamp,
}

impl Schedule {
    /// Whether `viewer` may see it: a DRAFT is its organizer's alone.
    pub fn visible_to(&self, viewer: Option<PersonId>) -> bool {
        self.status != ScheduleStatus::Draft || viewer == Some(self.organizer_id)
    }
}

/// The seats of one grade at one performance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grade {
    /// VIP, R, S, ...
    pub grade: String,
    /// What each of its seats costs.
    pub price: Points,
    /// Seats in all.
    pub total: i32,
    /// Seats that nobody holds or owns.
    pub remaining: i32,
}

/// The grades of one performance, dearest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Availability {
    /// Every grade.
    pub grades: Vec<Grade>,
}

impl Availability {
    /// Seats of all grades that nobody holds or owns.
    pub fn remaining(&self) -> i32 {
        self.grades.iter().fold(0, |sum, grade| sum.saturating_add(grade.remaining))
    }
}
