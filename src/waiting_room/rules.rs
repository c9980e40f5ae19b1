//! The arithmetic of the waiting room: what is shown, to whom, how often. Pure.

use std::time::Duration;

use super::RoomStatus;
use crate::kernel::Timestamp;

/// Present for so long after entering or polling.
pub(super) const POLL_PRESENCE: Duration = Duration::from_secs(60);
/// Present for so long after a sign of life of a subscription; renewed every [`PRESENCE_RENEWAL`]. So whoever loses the
/// connection is held to be present for ten seconds at least.
pub(super) const ACTIVE_PRESENCE: Duration = Duration::from_secs(18);
/// How often the presence of subscribers is renewed.
pub(super) const PRESENCE_RENEWAL: Duration = Duration::from_secs(8);
/// Who was passed over and stays away for so long loses the place.
pub(super) const AWAY_LIMIT: Duration = Duration::from_secs(300);

/// Everybody this near to the front sees each change.
const NEAR_FRONT: i64 = 1_000;
/// Further back a change is shown after this time even when it is small.
const SHOW_AT_LEAST_EVERY: Duration = Duration::from_secs(30);

/// What a room's status follows from.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoomFacts {
    pub now: Timestamp,
    /// The schedule's status is ON_SALE.
    pub on_sale: bool,
    pub sales_open_at: Timestamp,
    pub sales_close_at: Timestamp,
    pub paused: bool,
    /// Every seat is SOLD_OUT.
    pub sold_out: bool,
}

/// What a room does, by the clock and its schedule.
pub(super) fn room_status(facts: &RoomFacts) -> RoomStatus {
    if !facts.on_sale || facts.now >= facts.sales_close_at {
        RoomStatus::Closed
    } else if facts.now < facts.sales_open_at {
        RoomStatus::Prequeue
    } else if facts.sold_out {
        RoomStatus::SoldOut
    } else if facts.paused {
        RoomStatus::Paused
    } else {
        RoomStatus::Open
    }
}

/// How fast a line moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Line {
    /// People admitted within `window_ms`.
    pub admitted: i64,
    /// Milliseconds over which `admitted` were counted; 0 when nobody has been admitted yet.
    pub window_ms: i64,
}

impl Line {
    /// Seconds until the person at `position` is admitted, rounded up; `None` while nobody has been admitted of late.
    pub fn wait_seconds(self, position: i64) -> Option<i32> {
        if self.admitted <= 0 || self.window_ms <= 0 {
            return None;
        }
        let ms = i128::from(position) * i128::from(self.window_ms) / i128::from(self.admitted);
        Some(i32::try_from((ms + 999) / 1_000).unwrap_or(i32::MAX))
    }
}

/// When a client that polls should ask again, in seconds: often near the front, else about 1 % of the wait.
pub(super) fn poll_after_seconds(position: Option<i64>, wait_seconds: Option<i32>) -> i32 {
    match (position, wait_seconds) {
        (Some(position), _) if position <= 50 => 1,
        (_, Some(wait)) => (wait / 100).clamp(2, 30),
        (Some(position), None) if position <= NEAR_FRONT => 3,
        _ => 10,
    }
}

/// Whether a changed position is worth a push: always near the front, else a change of 1 %, or any after half a minute.
pub(super) fn worth_showing(shown: i64, position: i64, since_shown: Duration) -> bool {
    let change = (shown - position).abs();
    change > 0
        && (position <= NEAR_FRONT
            || change.saturating_mul(100) >= shown
            || since_shown >= SHOW_AT_LEAST_EVERY)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn facts() -> RoomFacts {
        let open = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        RoomFacts {
            now: open,
            on_sale: true,
            sales_open_at: open,
            sales_close_at: open + TimeDelta::hours(1),
            paused: false,
            sold_out: false,
        }
    }

    #[test]
    fn a_room_is_open_from_the_opening_to_the_instant_of_closing() {
        let at =
            |offset| room_status(&RoomFacts { now: facts().sales_open_at + offset, ..facts() });
        assert_eq!(at(TimeDelta::milliseconds(-1)), RoomStatus::Prequeue);
        assert_eq!(at(TimeDelta::zero()), RoomStatus::Open);
        assert_eq!(at(TimeDelta::milliseconds(3_599_999)), RoomStatus::Open);
        assert_eq!(at(TimeDelta::hours(1)), RoomStatus::Closed);
    }

    #[test]
    fn sold_out_outranks_paused_and_closed_outranks_both() {
        let both = RoomFacts { paused: true, sold_out: true, ..facts() };
        assert_eq!(room_status(&both), RoomStatus::SoldOut);
        assert_eq!(room_status(&RoomFacts { sold_out: false, ..both }), RoomStatus::Paused);
        assert_eq!(room_status(&RoomFacts { on_sale: false, ..both }), RoomStatus::Closed);
    }

    #[test]
    fn the_wait_is_the_position_over_the_measured_rate() {
        let line = Line { admitted: 30, window_ms: 60_000 };
        assert_eq!(line.wait_seconds(1), Some(2));
        assert_eq!(line.wait_seconds(100), Some(200));
        assert_eq!(Line::default().wait_seconds(1), None);
        assert_eq!(Line { admitted: 1, window_ms: 60_000 }.wait_seconds(i64::MAX), Some(i32::MAX));
    }

    #[test]
    fn near_the_front_everything_is_shown_and_far_back_only_what_matters() {
        let just_now = Duration::ZERO;
        assert!(worth_showing(1_001, 1_000, just_now));
        assert!(!worth_showing(50_000, 49_999, just_now));
        assert!(worth_showing(50_000, 49_500, just_now));
        assert!(worth_showing(50_000, 49_999, SHOW_AT_LEAST_EVERY));
        assert!(!worth_showing(7, 7, SHOW_AT_LEAST_EVERY), "nothing changed");
    }

    #[test]
    fn pollers_come_often_near_the_front_and_never_slower_than_every_half_minute() {
        assert_eq!(poll_after_seconds(Some(1), Some(5)), 1);
        assert_eq!(poll_after_seconds(Some(5_000), Some(600)), 6);
        assert_eq!(poll_after_seconds(Some(500_000), Some(36_000)), 30);
        assert_eq!(poll_after_seconds(None, None), 10);
    }
}
