//! Never more people in than may be.

use super::{Verdict, grouped};
use crate::history::{History, Ms};

/// At no instant are more fans ACTIVE without doubt than the room allows, nor does the room itself ever count more.
pub(super) fn never_above_max_active(history: &History) -> Verdict {
    let mut verdict = Verdict::new("Never above maxActive");
    let Some(allowed) = history.room.iter().map(|sample| sample.max_active).max() else {
        return verdict;
    };
    let changed = history.room.iter().any(|sample| sample.max_active != allowed);
    let (peak, admitted) = peak(history, allowed, &mut verdict);
    verdict.looked_at = admitted;
    let mut told = 0;
    for sample in &history.room {
        told = told.max(sample.active);
        // A sample may be a second older than its own maxActive.
        if sample.active > allowed {
            verdict.violated(|| {
                format!("the room itself counted {} ACTIVE of {allowed}", sample.active)
            });
        }
    }
    verdict.scope = format!(
        "{} admissions, {peak} fans in at once at most (the room says {told}) of {allowed}{}",
        grouped(admitted),
        if changed { ", the most it was set to" } else { "" }
    );
    verdict
}

fn peak(history: &History, allowed: i64, verdict: &mut Verdict) -> (i64, usize) {
    let offset = history.clock_offset();
    let mut steps: Vec<(Ms, i64, u32)> = Vec::new();
    let mut admitted = 0;
    for (fan, visit) in history.visits() {
        let Some(from) = visit.activated_at else { continue };
        admitted += 1;
        let until = visit.lapsed_at.unwrap_or(Ms::MIN).max(visit.active_until - offset);
        if until > from {
            steps.push((from, 1, fan.index));
            steps.push((until, -1, fan.index));
        }
    }
    // Where one leaves and another comes in the same instant, the place was free.
    steps.sort_unstable();
    let (mut inside, mut peak) = (0, 0);
    for (at, step, fan) in steps {
        inside += step;
        peak = peak.max(inside);
        if step > 0 && inside > allowed {
            verdict.violated(|| {
                format!("with fan {fan}, {inside} fans were ACTIVE of {allowed} (at {at} ms)")
            });
        }
    }
    (peak, admitted)
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{fan, history},
        *,
    };
    use crate::history::RoomSample;

    fn room(active: i64) -> RoomSample {
        RoomSample {
            at: 0,
            status: "OPEN".to_owned(),
            waiting: 0,
            active,
            max_active: 2,
            remaining_seats: 1,
            estimate: None,
        }
    }

    fn violations(starts: &[i64], counted: i64) -> usize {
        let fans = (0..).zip(starts).map(|(index, start)| fan(index, 0, Some(*start))).collect();
        let history = History { room: vec![room(counted)], ..history(fans) };
        never_above_max_active(&history).violations
    }

    #[test]
    fn one_too_many_is_found() {
        // Everybody stays for 1,000 ms.
        assert_eq!(violations(&[0, 100, 1_000], 2), 0);
        assert_eq!(violations(&[0, 100, 999], 2), 1);
    }

    #[test]
    fn the_rooms_own_count_is_checked_too() {
        assert_eq!(violations(&[0], 2), 0);
        assert_eq!(violations(&[0], 3), 1);
    }

    #[test]
    fn nothing_seen_is_not_a_pass() {
        assert_eq!(never_above_max_active(&History::default()).word(), "not exercised");
    }
}
