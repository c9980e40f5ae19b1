//! Tidying lapsed holds. They count as free already; this makes it visible and tells everybody.

use std::collections::{HashMap, HashSet};

use super::{Reservations, SeatChange, store};
use crate::kernel::{Fault, ScheduleId};

impl Reservations {
    /// Tidies holds that have lapsed, a few hundred at a time; `true` when there may be more. Any number of instances may
    /// do so at once.
    ///
    /// # Errors
    /// A fault; the next call goes on.
    pub async fn expire_lapsed(&self) -> Result<bool, Fault> {
        let lapsed = store::expire(&self.db.for_background()).await?;
        let mut seats: HashMap<ScheduleId, Vec<SeatChange>> = HashMap::new();
        let mut told = HashSet::new();
        for row in &lapsed {
            let changes = seats.entry(row.schedule_id).or_default();
            changes.extend(row.seat);
            if told.insert(row.reservation_id) {
                self.announce(row.schedule_id, row.person_id, row.reservation_id, &[]).await;
            }
        }
        self.metrics.holds_lapsed.inc_by(u64::try_from(told.len()).unwrap_or(0));
        for (schedule_id, changes) in &seats {
            self.announce_seats(*schedule_id, changes).await;
            self.waiting_rooms.kick(*schedule_id);
        }
        Ok(told.len() >= store::EXPIRE_BATCH)
    }
}
