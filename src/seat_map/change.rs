//! How changes of seats are told, after Postgres has them.

use serde::{Deserialize, Serialize};

use crate::kernel::{ScheduleId, SeatId, Timestamp, text_enum};

text_enum! {
    /// Where a seat stands.
    pub enum SeatStatus {
        /// Anybody admitted may hold it.
        Available = "AVAILABLE",
        /// Somebody holds it; it may come back.
        Hold = "HOLD",
        /// Somebody owns it.
        SoldOut = "SOLD_OUT",
    }
}

/// A seat's new state. Of two changes the one with the larger version holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatChange {
    /// The seat.
    pub seat_id: SeatId,
    /// Its status.
    pub status: SeatStatus,
    /// Its version.
    pub version: i32,
    /// When its hold lapses.
    #[serde(with = "chrono::serde::ts_milliseconds_option", default)]
    pub hold_expires_at: Option<Timestamp>,
}

/// Where changes of a performance's seats are told: a JSON array of [`SeatChange`].
pub fn seat_channel(schedule_id: ScheduleId) -> String {
    format!("seats:{{{schedule_id}}}")
}
