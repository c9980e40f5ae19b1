//! What happened when: counts by second.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::history::{History, Ms, RoomSample};

/// Everything over time; seconds count from the start.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Series {
    /// The room as it told of itself.
    pub(crate) room: Vec<(f64, RoomSample)>,
    pub(crate) arrivals: BTreeMap<i64, u64>,
    pub(crate) admissions: BTreeMap<i64, u64>,
    /// Median wait, in seconds, of those admitted in a second.
    pub(crate) waits: Vec<(i64, f64)>,
}

/// Counts by second.
pub(super) fn series(history: &History, started: Ms) -> Series {
    let offset = history.clock_offset();
    let second = |at: Ms| (at - started).div_euclid(1_000);
    let mut series = Series::default();
    let mut waits: BTreeMap<i64, Vec<Ms>> = BTreeMap::new();
    for (_, visit) in history.visits().filter(|(_, visit)| !visit.leftover) {
        *series.arrivals.entry(second(visit.acked)).or_default() += 1;
        if let Some(activated) = visit.activated_at {
            let at = second(activated + offset);
            *series.admissions.entry(at).or_default() += 1;
            if !visit.away {
                waits.entry(at).or_default().push(activated - visit.entered_at);
            }
        }
    }
    series.waits = waits
        .into_iter()
        .filter_map(|(at, mut waits)| {
            waits.sort_unstable();
            Some((at, in_seconds(*waits.get(waits.len() / 2)?)))
        })
        .collect();
    series.room = history
        .room
        .iter()
        .map(|sample| (in_seconds(sample.at - started), sample.clone()))
        .collect();
    series
}

fn in_seconds(ms: Ms) -> f64 {
    std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::planted::{fan, history};

    #[test]
    fn arrivals_and_admissions_are_counted_by_second() {
        let fans =
            vec![fan(1, 1_000, Some(2_500)), fan(2, 1_500, Some(2_600)), fan(3, 9_000, None)];
        let series = series(&history(fans), 1_000);
        assert_eq!(series.arrivals, BTreeMap::from([(0, 2), (8, 1)]));
        assert_eq!(series.admissions, BTreeMap::from([(1, 2)]));
        assert_eq!(series.waits, [(1, 1.495)]);
    }
}
