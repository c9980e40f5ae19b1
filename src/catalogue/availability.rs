//! How many seats are left, at most one second old.
//!
//! Time is cut into ticks of a second, and what was counted in a tick is shown until the tick ends. However many people
//! look at a sale, each instance counts a performance once a second.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;

use super::{Availability, Catalogue, store};
use crate::kernel::{Fault, ScheduleId};

/// How old a count may be.
const TICK: Duration = Duration::from_secs(1);
/// Counts kept; those of past ticks fall out.
const CAPACITY: usize = 4_096;

/// The counts of late.
#[derive(Debug)]
pub(super) struct Counts {
    cache: Cache<(ScheduleId, u128), Arc<Availability>>,
    epoch: Instant,
}

impl Default for Counts {
    fn default() -> Self {
        Self { cache: Cache::new(CAPACITY), epoch: Instant::now() }
    }
}

impl Counts {
    fn tick(&self) -> u128 {
        self.epoch.elapsed().as_nanos() / TICK.as_nanos()
    }
}

impl Catalogue {
    /// What is left of some schedules, by grade, at most one second old. Schedules that do not exist have no grades.
    ///
    /// # Errors
    /// A fault.
    pub async fn availability(
        &self,
        ids: &[ScheduleId],
    ) -> Result<HashMap<ScheduleId, Arc<Availability>>, Fault> {
        // Everybody takes the keys in the same order, so that nobody waits for somebody who waits for them.
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let tick = self.counts.tick();
        let mut found = HashMap::with_capacity(ids.len());
        let mut missing = Vec::new();
        for id in ids {
            match self.counts.cache.get_value_or_guard_async(&(id, tick)).await {
                Ok(availability) => {
                    found.insert(id, availability);
                }
                Err(guard) => missing.push((id, guard)),
            }
        }
        if !missing.is_empty() {
            let ids: Vec<ScheduleId> = missing.iter().map(|(id, _)| *id).collect();
            let mut counted = store::availability(&self.browsing, &ids).await?;
            for (id, guard) in missing {
                let availability = Arc::new(counted.remove(&id).unwrap_or_default());
                // Refused only when the entry was pushed out meanwhile; the answer is good all the same.
                drop(guard.insert(Arc::clone(&availability)));
                found.insert(id, availability);
            }
        }
        Ok(found)
    }
}
