//! The arithmetic of the waiting room: what is shown, to whom, how often. Pure.

use std::time::Duration;

use super::RoomStatus;
use crate::kernel::Timestamp;

/// Present for this long after entering or polling.
pub(super) const POLL_PRESENCE: Duration = Duration::from_secs(60);
/// Present for this long after a sign of life of a subscription; renewed every [`PRESENCE_RENEWAL`]. So a person who loses
/// the connection counts as present for ten seconds at least.
pub(super) const ACTIVE_PRESENCE: Duration = Duration::from_secs(18);
/// How often the presence of subscribers is renewed.
pub(super) const PRESENCE_RENEWAL: Duration = Duration::from_secs(8);
/// A person who was passed over and stays away for this long loses the place.
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
    /// No seat can be held at this instant.
    pub none_free: bool,
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

/// Whether nobody is admitted because every seat that is not sold is held, and may come back.
pub(super) fn everything_held(facts: &RoomFacts) -> bool {
    facts.none_free && matches!(room_status(facts), RoomStatus::Open | RoomStatus::Paused)
}

/// Where a number stands in a line, 1 for the front; `line` is in order.
pub(super) fn position_in(line: &[i64], number: i64) -> i64 {
    let ahead = line.partition_point(|other| *other < number);
    i64::try_from(ahead).unwrap_or(i64::MAX).saturating_add(1)
}

/// How far back the movement of a line is measured.
pub(super) const LINE_WINDOW: Duration = Duration::from_secs(60);

/// How a line moved within the last minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Line {
    /// People admitted.
    pub admitted: i64,
    /// People passed over, and away since.
    pub passed_over: i64,
    /// Everybody who was passed over and is away now, whenever that was: they stand before the people whose turn is next.
    pub absent: i64,
    /// People who gave up while they waited.
    pub gave_up: i64,
    /// Places that became free: people who were in and left, paid, or ran out of time.
    pub freed: i64,
    /// Milliseconds that people were in, all of them together.
    pub active_ms: i64,
}

/// What a wait follows from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub line: Line,
    /// Everybody WAITING.
    pub waiting: i64,
    /// Everybody ACTIVE.
    pub active: i64,
    pub max_active: i32,
    pub admit_per_round: i32,
    pub round_ms: i32,
}

/// Seconds until the person at `position` is admitted, rounded up; `None` while that cannot be known.
///
/// Not the position over the rate of admissions: absent people take no place, the burst that fills an empty room does not
/// come again, and a crowd that gives up makes way. With the names of [`Line`] and [`Pace`]:
///
/// ```text
/// ahead  = position - 1 - absent                              people whose turn comes first
/// places = 1 + ahead * admitted / (admitted + passed_over)    what they and this person take: no-shows take none
/// rounds = places * round_ms / admit_per_round                no faster than rounds allow
/// stay   = active_ms / freed                                  how long somebody keeps a place
/// turns  = (places - (max_active - active)) * stay / max_active   the places free now are taken first
/// wait   = max(rounds, turns)
/// ```
///
/// While people wait, each gives up with the measured rate g = gave_up / (window * waiting), so that a line which would
/// take `wait` takes ln(1 + g * wait) / g. `stay` is known when the first have left: until then those who find no free
/// place are told nothing. With few stays measured it tends to be too long rather than too short, and so does the wait.
/// A person who was passed over and comes back takes a place that nobody has foreseen.
pub(super) fn wait_seconds(position: i64, pace: &Pace) -> Option<i32> {
    let line = &pace.line;
    let ahead = float(position.saturating_sub(line.absent).saturating_sub(1).max(0));
    let turns = line.admitted + line.passed_over;
    let show_up = if turns > 0 { float(line.admitted) / float(turns) } else { 1.0 };
    let places = ahead * show_up + 1.0;
    let mut wait = places * f64::from(pace.round_ms) / f64::from(pace.admit_per_round.max(1));
    let beyond = places - float(i64::from(pace.max_active) - pace.active).max(0.0);
    if beyond > 0.0 {
        if line.freed <= 0 {
            return None;
        }
        let stay = float(line.active_ms) / float(line.freed);
        wait = wait.max(beyond * stay / f64::from(pace.max_active.max(1)));
    }
    let window = LINE_WINDOW.as_secs_f64() * 1_000.0;
    let giving_up = float(line.gave_up) / (window * float(pace.waiting.max(1))) * wait;
    if giving_up > 0.0 {
        wait *= giving_up.ln_1p() / giving_up;
    }
    Some(whole_seconds(wait))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
const fn float(count: i64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and it is an estimate")]
const fn whole_seconds(ms: f64) -> i32 {
    (ms / 1_000.0).ceil() as i32
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
#[path = "rules_tests.rs"]
mod tests;
