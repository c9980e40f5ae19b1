//! How many seats are left, at most one second old: however many people look at a sale, each instance counts a performance
//! once a second.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Availability, Catalogue, store};
use crate::{
    db::Fresh,
    kernel::{Fault, ScheduleId},
};

/// How old a count may be.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The counts of late.
#[derive(Debug)]
pub(super) struct Counts(Fresh<ScheduleId, Arc<Availability>>);

impl Default for Counts {
    fn default() -> Self {
        Self(Fresh::new(MAX_AGE))
    }
}

impl Catalogue {
    /// What is left of some schedules, by grade, at most one second old. Schedules that do not exist have no grades.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn availability(
        &self,
        ids: &[ScheduleId],
    ) -> Result<HashMap<ScheduleId, Arc<Availability>>, Fault> {
        self.counts.0.get_many(ids, |ids| self.count(ids)).await
    }

    async fn count(
        &self,
        ids: Vec<ScheduleId>,
    ) -> Result<HashMap<ScheduleId, Arc<Availability>>, Fault> {
        let mut counted = store::availability(&self.browsing, &ids).await?;
        let count = |id| (id, Arc::new(counted.remove(&id).unwrap_or_default()));
        Ok(ids.into_iter().map(count).collect())
    }
}
