//! First come, first served.

use super::{Verdict, grouped};
use crate::history::{End, Fan, History, Look, Ms, Visit};

/// A person who was still shown a position at the end may have been admitted this long before without knowing.
const TOLD_LATE: Ms = 2_000;

/// Somebody in line, for comparing.
pub(super) struct Waiter {
    pub(super) fan: u32,
    /// This person precedes everybody who begins after `ends`, and stands behind everybody who ended before `begins`.
    begins: Ms,
    ends: Ms,
    position: u32,
    /// When they were admitted, or until when they certainly were not.
    pub(super) served: Ms,
    admitted: bool,
}

impl Waiter {
    pub(super) fn of(
        fan: &Fan,
        visit: &Visit,
        clock_offset: Ms,
        (begins, ends, position): (Ms, Ms, u32),
    ) -> Self {
        let still_there = visit.waiting_until - clock_offset - TOLD_LATE;
        let (served, admitted) =
            (visit.activated_at.unwrap_or(still_there), visit.activated_at.is_some());
        Self { fan: fan.index, begins, ends, position, served, admitted }
    }
}

/// Whether the order binds this visit. A person who was away may have been passed over. A person who left gave the place up;
/// until then they still came before others, which is not looked into.
pub(super) fn counts(visit: &Visit) -> bool {
    let stayed = visit.activated_at.is_some() || matches!(visit.end, Some(End::Unfinished));
    !visit.away && !visit.leftover && stayed
}

fn waiters(
    history: &History,
    when: impl Fn(&Visit) -> Option<(Ms, Ms, u32)>,
) -> (Vec<Waiter>, usize) {
    let offset = history.clock_offset();
    let mut exempt = 0;
    let mut waiter = |(fan, visit): (&Fan, &Visit)| {
        if !counts(visit) {
            exempt += 1;
            return None;
        }
        Some(Waiter::of(fan, visit, offset, when(visit)?))
    };
    let found = history.visits().filter_map(&mut waiter).collect();
    (found, exempt)
}

/// A person whose entering was acknowledged before another's was sent is admitted no later.
///
/// Before the opening, places are drawn: those who came early are compared only with those who came after it.
pub(super) fn admitted_in_order_of_entering(history: &History) -> Verdict {
    let opening = history.sales_open_at;
    let (mut waiters, exempt) = waiters(history, |visit| {
        let early = visit.entered_at < opening;
        let (begins, ends) = if early { (Ms::MIN, Ms::MIN) } else { (visit.sent, visit.acked) };
        Some((begins, ends, 0))
    });
    let mut verdict = Verdict::new("Admitted in the order of entering");
    let mut by_end: Vec<usize> = (0..waiters.len()).collect();
    by_end.sort_unstable_by_key(|index| waiters[*index].ends);
    let ends: Vec<(Ms, Ms, u32)> = by_end
        .iter()
        .map(|index| (waiters[*index].ends, waiters[*index].served, waiters[*index].fan))
        .collect();
    waiters.sort_unstable_by_key(|waiter| waiter.begins);
    let (mut passed, mut latest) = (0, None::<(Ms, u32)>);
    for waiter in &waiters {
        while let Some((_, served, fan)) = ends.get(passed).filter(|(end, ..)| *end < waiter.begins)
        {
            if latest.is_none_or(|(known, _)| *served > known) {
                latest = Some((*served, *fan));
            }
            passed += 1;
        }
        inspect(&mut verdict, waiter, latest, "entered");
    }
    verdict.scope = format!(
        "{} fans compared, {} exempt (left or away)",
        grouped(verdict.looked_at),
        grouped(exempt)
    );
    verdict
}

pub(super) fn inspect(
    verdict: &mut Verdict,
    waiter: &Waiter,
    before: Option<(Ms, u32)>,
    how: &str,
) {
    if !waiter.admitted {
        return;
    }
    verdict.looked_at += 1;
    if let Some((served, fan)) = before.filter(|(served, _)| *served > waiter.served) {
        verdict.violated(|| {
            format!(
                "fan {} was admitted {} ms before fan {fan}, who {how} first",
                waiter.fan,
                served - waiter.served
            )
        });
    }
}

/// A person who was shown a smaller position, before somebody else asked and was shown a larger one, is admitted no later:
/// positions only fall, so the one stood before the other.
pub(super) fn admitted_in_order_of_position(history: &History) -> Verdict {
    let opening = history.sales_open_at + history.clock_offset();
    let (mut known, exempt) = waiters(history, |visit| {
        let look = visit.looks.iter().find(|look| look.at >= opening)?;
        Some((look.at, look.at, look.position))
    });
    let (mut asking, _) = waiters(history, |visit| {
        let asked = |look: &&Look| look.sent.is_some_and(|sent| sent >= opening);
        let look = visit.looks.iter().find(asked)?;
        Some((look.sent?, look.at, look.position))
    });
    known.sort_unstable_by_key(|waiter| waiter.ends);
    asking.sort_unstable_by_key(|waiter| waiter.begins);
    let index = |waiter: &Waiter| usize::try_from(waiter.position).unwrap_or(0);
    let mut verdict = Verdict::new("Admitted in the order of positions shown");
    let mut latest = PrefixMax::new(known.iter().map(index).max().unwrap_or(0));
    let mut shown = known.iter().peekable();
    for waiter in &asking {
        while let Some(earlier) = shown.next_if(|earlier| earlier.ends < waiter.begins) {
            latest.put(index(earlier), (earlier.served, earlier.fan));
        }
        let before = index(waiter).checked_sub(1).and_then(|ahead| latest.up_to(ahead));
        inspect(&mut verdict, waiter, before, "stood before");
    }
    verdict.scope = format!(
        "{} fans compared, {} exempt (left or away)",
        grouped(verdict.looked_at),
        grouped(exempt)
    );
    verdict
}

/// The greatest value at or below an index, with insertions in between.
struct PrefixMax(Vec<Option<(Ms, u32)>>);

impl PrefixMax {
    fn new(last: usize) -> Self {
        Self(vec![None; last + 2])
    }

    fn put(&mut self, index: usize, value: (Ms, u32)) {
        let mut at = index + 1;
        while let Some(slot) = self.0.get_mut(at) {
            *slot = (*slot).max(Some(value));
            at += at & at.wrapping_neg();
        }
    }

    fn up_to(&self, index: usize) -> Option<(Ms, u32)> {
        let (mut at, mut best) = ((index + 1).min(self.0.len() - 1), None);
        while at > 0 {
            best = best.max(self.0.get(at).copied().flatten());
            at -= at & at.wrapping_neg();
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{fan, history, seen},
        *,
    };

    fn entering(fans: Vec<Fan>) -> Verdict {
        admitted_in_order_of_entering(&history(fans))
    }

    #[test]
    fn an_inversion_is_found() {
        let fair = vec![fan(1, 100, Some(900)), fan(2, 200, Some(900)), fan(3, 300, Some(901))];
        assert_eq!(entering(fair).word(), "holds");
        let verdict = entering(vec![fan(1, 100, Some(950)), fan(2, 200, Some(900))]);
        assert_eq!(verdict.violations, 1);
        assert_eq!(verdict.examples, ["fan 2 was admitted 50 ms before fan 1, who entered first"]);
    }

    #[test]
    fn those_whose_entering_overlaps_have_no_order() {
        assert_eq!(entering(vec![fan(1, 100, Some(950)), fan(2, 105, Some(900))]).violations, 0);
    }

    #[test]
    fn whoever_is_left_waiting_while_others_pass_is_found() {
        let mut forgotten = fan(1, 100, None);
        forgotten.visits[0].end = Some(End::Unfinished);
        forgotten.visits[0].waiting_until = 5_000;
        assert_eq!(entering(vec![forgotten.clone(), fan(2, 200, Some(900))]).violations, 1);
        forgotten.visits[0].end = Some(End::Left);
        assert_eq!(entering(vec![forgotten, fan(2, 200, Some(900))]).violations, 0);
    }

    #[test]
    fn the_away_are_exempt() {
        let mut away = fan(1, 100, Some(950));
        away.visits[0].away = true;
        assert_eq!(entering(vec![away, fan(2, 200, Some(900))]).violations, 0);
    }

    #[test]
    fn early_fans_are_drawn_but_stand_before_late_ones() {
        let drawn = |fans| {
            let history = History { sales_open_at: 1_000, ..history(fans) };
            admitted_in_order_of_entering(&history).violations
        };
        assert_eq!(drawn(vec![fan(1, 100, Some(2_000)), fan(2, 200, Some(1_900))]), 0);
        assert_eq!(drawn(vec![fan(1, 100, Some(2_000)), fan(2, 1_200, Some(1_900))]), 1);
    }

    #[test]
    fn an_inversion_of_positions_is_found() {
        let shown = |first: i64, second: i64| {
            let one = seen(fan(1, 100, Some(first)), 110, 5);
            let other = seen(fan(2, 100, Some(second)), 120, 6);
            admitted_in_order_of_position(&history(vec![one, other]))
        };
        assert_eq!(shown(900, 900).word(), "holds");
        assert_eq!(shown(950, 900).violations, 1);
        // The other asked before the one's position was shown, and may have stood before them then.
        let one = seen(fan(1, 100, Some(950)), 110, 5);
        let other = seen(fan(2, 100, Some(900)), 115, 6);
        assert_eq!(admitted_in_order_of_position(&history(vec![one, other])).violations, 0);
    }

    #[test]
    fn the_greatest_of_a_prefix_agrees_with_a_search() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut tree, mut plain) = (PrefixMax::new(50), Vec::new());
        for _ in 0..500 {
            let (index, value) = (rng.usize(..=50), (rng.i64(0..1_000), 0));
            tree.put(index, value);
            plain.push((index, value));
            let up_to = rng.usize(..=50);
            let expected =
                plain.iter().filter(|(at, _)| *at <= up_to).map(|(_, value)| *value).max();
            assert_eq!(tree.up_to(up_to), expected);
        }
    }
}
