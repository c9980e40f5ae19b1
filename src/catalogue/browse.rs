//! Finding concerts and schedules.

use std::{collections::HashMap, sync::Arc};

use super::{Catalogue, Concert, Schedule, ScheduleStatus, rules, store};
use crate::kernel::{ConcertId, Fault, Page, PageRequest, PersonId, ScheduleId, Timestamp};

/// A text to look for in titles, artists and venues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    text: String,
    pattern: String,
}

impl Search {
    /// A search for a text of at most 100 characters; `None` for longer ones, and for control characters.
    pub fn new(text: &str) -> Option<Self> {
        let text = rules::search_text(text)?;
        Some(Self { pattern: rules::search_pattern(&text), text })
    }

    /// What is looked for, in its one spelling.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The pattern for LIKE that finds it as it is; an empty text finds everything.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }
}

/// Which concerts are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConcertFilter {
    /// Those of which something is published.
    Published {
        /// Those whose title, artist or venue has this text.
        search: Option<Search>,
        /// Those with a performance that is on sale, and of which not every seat is sold.
        available_only: bool,
    },
    /// Those of this organizer, published or not.
    Of(PersonId),
}

/// Which schedules of a concert are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScheduleFilter {
    /// Those that start at this instant or later.
    pub from: Option<Timestamp>,
    /// Those that start before this instant.
    pub to: Option<Timestamp>,
    /// Those of these states.
    pub status: Vec<ScheduleStatus>,
    /// Those that are on sale, and of which not every seat is sold.
    pub available_only: bool,
    /// The caller; drafts are shown to their organizer only.
    pub viewer: Option<PersonId>,
}

impl Catalogue {
    /// A page of concerts, those made last first.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn concerts(
        &self,
        page: &PageRequest<ConcertId>,
        filter: &ConcertFilter,
    ) -> Result<Page<Concert>, Fault> {
        match filter {
            ConcertFilter::Published { search, available_only: false } => {
                store::published(&self.browsing, page, search.as_ref()).await
            }
            ConcertFilter::Published { search, available_only: true } => {
                store::available(&self.browsing, page, search.as_ref()).await
            }
            ConcertFilter::Of(organizer) => {
                store::concerts_of(&self.browsing, page, *organizer).await
            }
        }
    }

    /// The concerts of some ids, published or not (see [`Concert::visible_to`]), in no particular order; ids that name none are left out.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn concerts_by_id(&self, ids: &[ConcertId]) -> Result<Vec<Concert>, Fault> {
        store::concerts(&self.browsing, ids).await
    }

    /// The schedules of some concerts, earliest first, at most 500 of each.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn schedules_of(
        &self,
        concerts: &[ConcertId],
        filter: &Arc<ScheduleFilter>,
    ) -> Result<HashMap<ConcertId, Vec<Schedule>>, Fault> {
        let mut by_concert: HashMap<ConcertId, Vec<Schedule>> = HashMap::new();
        for schedule in store::schedules_of(&self.browsing, concerts, filter).await? {
            by_concert.entry(schedule.concert_id).or_default().push(schedule);
        }
        Ok(by_concert)
    }

    /// The schedules of some ids, drafts included (see [`Schedule::visible_to`]), in no particular order; ids that name
    /// none are left out.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn schedules(&self, ids: &[ScheduleId]) -> Result<Vec<Schedule>, Fault> {
        store::schedules(&self.browsing, ids).await
    }

    /// The schedule of an id, if there is one; see [`Catalogue::schedules`].
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn schedule(&self, id: ScheduleId) -> Result<Option<Schedule>, Fault> {
        Ok(self.schedules(&[id]).await?.pop())
    }
}
