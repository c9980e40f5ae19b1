//! Positions only fall, and what is pushed is true.

use super::{Verdict, grouped};
use crate::history::{Compared, History, Ms, Via};

/// The position of somebody WAITING never rises, pushed or polled.
pub(super) fn only_fall(history: &History) -> Verdict {
    let mut verdict = Verdict::new("Positions only fall");
    for (fan, visit) in history.visits() {
        verdict.looked_at += usize::try_from(visit.shown).unwrap_or(0);
        // Before the opening places are not drawn yet.
        let opening = history.sales_open_at + history.clock_offset();
        for rise in visit.rises.iter().filter(|rise| rise.at >= opening) {
            verdict.violated(|| {
                let how = if rise.via == Via::Poll { "polled" } else { "pushed" };
                format!("fan {} was {how} {} and then {}", fan.index, rise.from, rise.to)
            });
        }
    }
    verdict.scope = format!("{} positions shown", grouped(verdict.looked_at));
    verdict
}

/// A pushed position may be this old.
const FRESH: Ms = 1_000;
/// People who come and go unseen by us while one position is compared.
const SLACK: i64 = 2;

/// The position read right after a push differs from it by no more than those who left the line meanwhile: within one second
/// before the push, and until the answer was there.
pub(super) fn pushed_is_true(history: &History) -> Verdict {
    let mut verdict = Verdict::new("Pushed positions are the true ones");
    let offset = history.clock_offset();
    let mut departures: Vec<Ms> = history
        .visits()
        .filter_map(|(_, visit)| visit.activated_at.map(|at| at + offset).or(visit.left_line_at))
        .collect();
    departures.sort_unstable();
    let until = |at: Ms| departures.partition_point(|departure| *departure <= at);
    let mut worst = 0;
    for compared in history.fans.iter().flat_map(|fan| &fan.compared) {
        verdict.looked_at += 1;
        let Compared { fan, pushed_at, pushed, answered_at, truth } = *compared;
        let meanwhile =
            until(answered_at).saturating_sub(until(pushed_at - FRESH - history.own_lag));
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
        "{} pushes compared with queueStatus, at most {worst} apart",
        grouped(verdict.looked_at)
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
        assert_eq!(shown([9, 9, 3]).word(), "holds");
        assert_eq!(shown([9, 3, 4]).examples, ["fan 1 was pushed 3 and then 4"]);
    }

    fn compared(pushed: u32, truth: u32, departures: u32) -> Verdict {
        let compared = Compared { fan: 0, pushed_at: 5_000, pushed, answered_at: 5_010, truth };
        let mut fans = vec![Fan { compared: vec![compared], ..Fan::default() }];
        fans.extend((1..=departures).map(|index| fan(index, 0, Some(4_500))));
        pushed_is_true(&history(fans))
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
}
