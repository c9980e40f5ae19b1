//! Positions only fall, and what is pushed is true.

use super::{Verdict, grouped};
use crate::history::{Compared, End, History, Ms, Via, Visit};

/// The position of somebody WAITING never rises, pushed or polled.
pub(super) fn only_fall(history: &History) -> Verdict {
    let mut verdict = Verdict::new("Positions only fall");
    let mut shown = 0;
    for (fan, visit) in history.visits() {
        shown += usize::try_from(visit.shown).unwrap_or(0);
        verdict.looked_at += usize::try_from(visit.steps).unwrap_or(0);
        // Before the opening places are not drawn yet.
        let opening = history.sales_open_at + history.clock_offset();
        for rise in visit.rises.iter().filter(|rise| rise.at >= opening) {
            verdict.violated(|| {
                let how = if rise.via == Via::Poll { "polled" } else { "pushed" };
                format!("fan {} was {how} {} and then {}", fan.index, rise.from, rise.to)
            });
        }
    }
    verdict.scope = format!(
        "{} of {} positions shown compared with the one before",
        grouped(verdict.looked_at),
        grouped(shown)
    );
    verdict
}

/// A pushed position may be this old.
const FRESH: Ms = 1_000;
/// People who come and go unseen by us while one position is compared.
const SLACK: i64 = 2;
/// Where a time as long as this may explain a difference, the comparison says little.
const WIDE: Ms = 2 * FRESH;
/// Nobody loses the place sooner after they were last there.
const ABSENCE: Ms = 300_000;

/// When people left the line, each within an interval: some know it, of others only the bounds are known.
struct Departures {
    earliest: Vec<Ms>,
    latest: Vec<Ms>,
}

impl Departures {
    fn of(history: &History) -> Self {
        let offset = history.clock_offset();
        let known = history.visits().filter_map(|(_, visit)| departure(visit, offset));
        let (mut earliest, mut latest): (Vec<Ms>, Vec<Ms>) = known.unzip();
        earliest.sort_unstable();
        latest.sort_unstable();
        Self { earliest, latest }
    }

    /// How many may have left between two instants.
    fn between(&self, from: Ms, to: Ms) -> usize {
        let begun = self.earliest.partition_point(|at| *at <= to);
        begun.saturating_sub(self.latest.partition_point(|at| *at <= from))
    }
}

/// By our clock, when this place was no longer in line: at the earliest and at the latest.
fn departure(visit: &Visit, offset: Ms) -> Option<(Ms, Ms)> {
    if let Some(at) = visit.activated_at {
        return Some((at + offset, at + offset));
    }
    let absent = visit.waiting_until + ABSENCE;
    match visit.end {
        // It ended while nobody watched.
        Some(End::Expired) => visit.left_line_at.map(|told| (absent.min(told), told)),
        Some(_) => visit.left_line_at.map(|at| (at, at)),
        // A person who never came back was never told.
        None => Some((absent, Ms::MAX)),
    }
}

/// The position read right after a push differs from it by no more than those who left the line meanwhile: within one second
/// before the push, and until the answer was there.
pub(super) fn pushed_is_true(history: &History) -> Verdict {
    let mut verdict = Verdict::new("Pushed positions are the true ones");
    let departures = Departures::of(history);
    let (mut worst, mut wide) = (0, 0);
    for compared in history.fans.iter().flat_map(|fan| &fan.compared) {
        verdict.looked_at += 1;
        let Compared { fan, pushed_at, pushed, answered_at, truth } = *compared;
        let from = pushed_at - FRESH - history.own_lag.between(pushed_at - FRESH, answered_at);
        wide += usize::from(answered_at - from > WIDE);
        let meanwhile = departures.between(from, answered_at);
        let fallen = i64::from(pushed) - i64::from(truth);
        worst = worst.max(fallen.abs());
        if fallen < -SLACK || fallen > i64::try_from(meanwhile).unwrap_or(i64::MAX) + SLACK {
            verdict.violated(|| {
                format!(
                    "fan {fan} was pushed {pushed} and {} ms later stood at {truth}, while {meanwhile} left the line",
                    answered_at - pushed_at
                )
            });
        }
    }
    verdict.scope = format!(
        "{} pushes compared with queueStatus, at most {worst} apart; {} of them ({} %) within more than {} s",
        grouped(verdict.looked_at),
        grouped(wide),
        (wide * 100).checked_div(verdict.looked_at).unwrap_or(0),
        WIDE / 1_000
    );
    verdict
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{fan, history},
        *,
    };
    use crate::history::{Fan, Look};

    #[test]
    fn a_rise_is_found() {
        let shown = |positions: [u32; 3]| {
            let mut fan = fan(1, 0, None);
            for (at, position) in (0..).zip(positions) {
                fan.visits[0].look(Look { sent: None, at, position, estimate: None }, Via::Push(1));
            }
            only_fall(&history(vec![fan]))
        };
        assert_eq!((shown([9, 9, 3]).word(), shown([9, 9, 3]).looked_at), ("holds", 2));
        assert_eq!(shown([9, 3, 4]).examples, ["fan 1 was pushed 3 and then 4"]);
    }

    #[test]
    fn a_position_that_nothing_was_shown_before_is_no_comparison() {
        let mut fan = fan(1, 0, None);
        fan.visits[0].look(Look { sent: None, at: 0, position: 1, estimate: None }, Via::Push(1));
        assert_eq!(only_fall(&history(vec![fan])).word(), "not exercised");
    }

    fn compared_among(pushed: u32, truth: u32, others: Vec<Fan>) -> History {
        let compared = Compared { fan: 0, pushed_at: 500_000, pushed, answered_at: 500_010, truth };
        let mut fans = vec![Fan { compared: vec![compared], ..Fan::default() }];
        fans.extend(others);
        history(fans)
    }

    fn compared(pushed: u32, truth: u32, departures: u32) -> Verdict {
        let others = (1..=departures).map(|index| fan(index, 0, Some(499_500))).collect();
        pushed_is_true(&compared_among(pushed, truth, others))
    }

    #[test]
    fn what_left_the_line_meanwhile_explains_a_difference() {
        assert_eq!(compared(100, 100, 0).word(), "holds");
        assert_eq!(compared(100, 80, 20).word(), "holds");
    }

    #[test]
    fn a_push_that_is_too_old_or_too_good_is_found() {
        assert_eq!(compared(100, 70, 20).violations, 1);
        assert_eq!(compared(100, 110, 20).violations, 1);
    }
    #[test]
    fn places_that_ended_unseen_explain_a_difference_from_when_they_may_have() {
        let ended = |waiting_until: Ms, told: Option<Ms>| {
            let mut fan = fan(1, 0, None);
            let visit = &mut fan.visits[0];
            (visit.waiting_until, visit.away, visit.left_line_at) = (waiting_until, true, told);
            visit.end = told.map(|_| End::Expired);
            pushed_is_true(&compared_among(103, 100, vec![fan])).violations
        };
        // Told long after it may have happened, told before the comparison, and never told.
        assert_eq!(ended(100_000, Some(900_000)), 0);
        assert_eq!(ended(100_000, Some(498_000)), 1);
        assert_eq!(ended(100_000, None), 0);
        assert_eq!(ended(400_000, None), 1);
    }

    #[test]
    fn only_our_own_lag_at_that_time_widens_the_window() {
        let late = |from: Ms, to: Ms| {
            let mut history = compared_among(103, 100, vec![fan(1, 0, Some(498_500))]);
            history.own_lag.note(from, to, 1_500);
            pushed_is_true(&history)
        };
        assert_eq!(late(100_000, 101_500).violations, 1);
        let wide = late(499_000, 500_500);
        assert_eq!(wide.violations, 0);
        assert!(wide.scope.ends_with("1 of them (100 %) within more than 2 s"), "{}", wide.scope);
    }
}
