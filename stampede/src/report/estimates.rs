//! How good `estimatedWaitSeconds` was: each estimate that was shown against what its fan waited from then on.

use serde::Serialize;

use crate::{
    check::grouped,
    history::{History, Ms},
};

/// Estimates of the first minute are not judged: nobody can know the rate yet.
const FIRST_MINUTE: Ms = 60_000;
/// Waits shorter than this say nothing: an estimate is in whole seconds.
const SHORTEST: Ms = 5_000;
/// Points of the plot.
const POINTS_MAX: usize = 1_500;

/// The errors of estimates.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Estimates {
    /// Estimates judged.
    pub(crate) count: usize,
    /// Median of |estimated - real| / real, after the first minute.
    pub(crate) median: Option<f64>,
    pub(crate) p90: Option<f64>,
    /// Positions that were shown without an estimate, where one would have been judged.
    pub(crate) missing: usize,
    /// Their share of all that would have been judged.
    pub(crate) missing_share: Option<f64>,
    /// Estimated and real seconds, and whether it was after the first minute; a sample of all.
    pub(crate) points: Vec<(f64, f64, bool)>,
    /// Second of the rehearsal and median error around it.
    pub(crate) by_time: Vec<(i64, f64)>,
}

impl Estimates {
    /// In words.
    pub(super) fn told(&self) -> String {
        let Some(missing) = self.missing_share.map(|share| share * 100.0) else {
            return super::none();
        };
        let median = self.median.map_or_else(
            || "no estimate".to_owned(),
            |median| format!("{:.1} % of {} estimates", median * 100.0, grouped(self.count)),
        );
        format!("{median}; {missing:.1} % of positions came without one")
    }
}

/// Judges all estimates of people who stayed until they were admitted.
pub(super) fn estimates(history: &History, started: Ms) -> Estimates {
    const SLOT: i64 = 10;
    let offset = history.clock_offset();
    let Some(first) = history.visits().filter_map(|(_, visit)| visit.activated_at).min() else {
        return Estimates::default();
    };
    let (mut errors, mut points, mut missing) = (Vec::new(), Vec::new(), 0);
    let mut slots: std::collections::BTreeMap<i64, Vec<f64>> = std::collections::BTreeMap::new();
    for (_, visit) in history.visits().filter(|(_, visit)| !visit.away) {
        let Some(activated) = visit.activated_at.map(|at| at + offset) else { continue };
        for look in &visit.looks {
            let real = activated - look.at;
            if real < SHORTEST {
                continue;
            }
            let settled = look.at - offset >= first + FIRST_MINUTE;
            let Some(estimate) = look.estimate else {
                missing += usize::from(settled);
                continue;
            };
            let (estimated, real) = (f64::from(estimate), seconds(real));
            let error = (estimated - real).abs() / real;
            if settled {
                errors.push(error);
            }
            slots.entry((look.at - started) / 1_000 / SLOT).or_default().push(error);
            points.push((estimated, real, settled));
        }
    }
    let every = points.len().div_ceil(POINTS_MAX).max(1);
    Estimates {
        count: errors.len(),
        median: quantile(&mut errors, 50),
        p90: quantile(&mut errors, 90),
        missing,
        missing_share: share(missing, errors.len() + missing),
        points: points.into_iter().step_by(every).collect(),
        by_time: slots
            .into_iter()
            .filter_map(|(slot, mut errors)| Some((slot * SLOT, quantile(&mut errors, 50)?)))
            .collect(),
    }
}

fn seconds(ms: Ms) -> f64 {
    std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64()
}

fn share(part: usize, whole: usize) -> Option<f64> {
    let count = |count| u32::try_from(count).ok().map(f64::from);
    Some(count(part)? / count(whole).filter(|whole| *whole > 0.0)?)
}

fn quantile(values: &mut [f64], percent: usize) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() * percent / 100).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::planted::{fan, history},
        history::Look,
    };

    #[test]
    fn errors_are_relative_to_the_real_wait_and_the_first_minute_is_not_judged() {
        let mut waiter = fan(1, 0, Some(200_000));
        for (at, estimate) in [(10_000, 500), (100_000, 110), (150_000, 40), (198_000, 99)] {
            waiter.visits[0].looks.push(Look {
                sent: None,
                at,
                position: 1,
                estimate: Some(estimate),
            });
        }
        let found = estimates(&history(vec![fan(2, 0, Some(20_000)), waiter]), 0);
        // 110 for 100 and 40 for 50; two seconds before the end nothing is judged.
        assert_eq!(found.count, 2);
        assert!((found.median.unwrap() - 0.2).abs() < 1e-9);
        assert_eq!(found.points.len(), 3);
    }

    #[test]
    fn positions_without_an_estimate_are_counted_where_one_would_be_judged() {
        let mut waiter = fan(1, 0, Some(200_000));
        for (at, estimate) in
            [(10_000, None), (100_000, Some(110)), (150_000, None), (198_000, None)]
        {
            waiter.visits[0].looks.push(Look { sent: None, at, position: 1, estimate });
        }
        let found = estimates(&history(vec![fan(2, 0, Some(20_000)), waiter]), 0);
        assert_eq!((found.count, found.missing, found.missing_share), (1, 1, Some(0.5)));
        assert_eq!(found.told(), "10.0 % of 1 estimates; 50.0 % of positions came without one");
    }

    #[test]
    fn nobody_admitted_is_nothing_to_judge() {
        assert_eq!(estimates(&history(vec![fan(1, 0, None)]), 0).median, None);
    }
}
