//! Tidying lapsed holds. They count as free already; this makes it visible and tells everybody.

use std::collections::HashSet;

use super::{Reservations, announce::News, store};
use crate::kernel::Fault;

impl Reservations {
    /// Tidies holds that have lapsed, a few hundred at a time; `true` when there may be more. Any number of instances may
    /// do so at once.
    ///
    /// # Errors
    /// When Postgres cannot be asked; the next call goes on.
    pub async fn expire_lapsed(&self) -> Result<bool, Fault> {
        let lapsed = store::expire(&self.db.for_background()).await?;
        let (mut news, mut told, mut schedules) = (News::default(), HashSet::new(), HashSet::new());
        for row in &lapsed {
            schedules.insert(row.schedule_id);
            news.seats(row.schedule_id, row.seat.as_slice());
            if told.insert(row.reservation_id) {
                news.reservation(row.person_id, row.reservation_id);
            }
        }
        news.tell(&self.kv).await;
        self.metrics.holds_lapsed.inc_by(u64::try_from(told.len()).unwrap_or(0));
        for schedule_id in schedules {
            self.waiting_rooms.kick(schedule_id);
        }
        Ok(told.len() >= store::EXPIRE_BATCH)
    }
}
