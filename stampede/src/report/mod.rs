//! What a rehearsal has shown: computed once, told three ways.

mod estimates;
mod headline;
mod html;
mod notes;
mod series;
mod terminal;

use serde::Serialize;

pub(crate) use html::page;
pub(crate) use terminal::table;

use crate::{
    check::{self, Verdict},
    history::{End, History, Ms},
    measure::{Figures, Spread, Times, is_fault},
};

/// How the rehearsal was set up.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    pub(crate) schedule: String,
    pub(crate) urls: Vec<String>,
    pub(crate) fans: usize,
    pub(crate) seed: u64,
    pub(crate) seats: i64,
    pub(crate) admit_per_round: i64,
    pub(crate) round_seconds: f64,
    pub(crate) command: String,
    /// RFC 3339.
    pub(crate) began: String,
    pub(crate) seconds: i64,
    /// Seconds from the start to the opening.
    pub(crate) opening: i64,
    /// A check that found nothing to look at is a failure too.
    pub(crate) require_all: bool,
    /// So is a goal that was missed.
    pub(crate) require_goals: bool,
}

/// What a rehearsal comes to, at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// It has passed, and no goal was missed.
    Good,
    /// It has passed, and a goal was missed.
    Goals,
    Bad,
}

/// Something to aim at; missing it is no failure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) aim: &'static str,
    pub(crate) found: String,
    /// Nothing when it could not be measured.
    pub(crate) met: Option<bool>,
}

/// How many fans came how far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) entered: usize,
    pub(crate) admitted: usize,
    pub(crate) bought: usize,
    pub(crate) left: usize,
    pub(crate) expired: usize,
    pub(crate) unfinished: usize,
    pub(crate) away: usize,
    /// Fans of whom nothing else is in here.
    pub(crate) crashed: usize,
    pub(crate) still_playing: usize,
}

/// The whole report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) passed: bool,
    pub(crate) grade: Grade,
    pub(crate) headline: String,
    pub(crate) setting: Setting,
    pub(crate) counts: Counts,
    pub(crate) checks: Vec<Verdict>,
    /// Names of the checks that found nothing to look at: they neither held nor were violated.
    pub(crate) not_exercised: Vec<&'static str>,
    pub(crate) goals: Vec<Goal>,
    /// Seconds from entering to admission, of those who stayed.
    pub(crate) waits: Spread,
    /// Seconds that those waited who stayed and were not let in: until they went, or until the end.
    pub(crate) not_let_in: Spread,
    pub(crate) waits_curve: Vec<(f64, f64)>,
    /// Milliseconds from admission to the push that tells it.
    pub(crate) push: Spread,
    pub(crate) push_curve: Vec<(f64, f64)>,
    pub(crate) estimates: estimates::Estimates,
    pub(crate) series: series::Series,
    pub(crate) figures: Figures,
    pub(crate) own_lag_ms: Ms,
    pub(crate) notes: Vec<String>,
}

/// Makes the report.
pub(crate) fn make(
    setting: Setting,
    history: &History,
    figures: Figures,
    started: Ms,
    last_sale: Option<Ms>,
) -> Report {
    let checks = check::all(history);
    let failed: Vec<&Verdict> = checks.iter().filter(|check| check.violations > 0).collect();
    let idle = checks.iter().filter(|check| check.looked_at == 0 && check.violations == 0);
    let not_exercised: Vec<&'static str> = idle.map(|check| check.name).collect();
    let complete = not_exercised.is_empty();
    let tested = not_exercised.len() < checks.len() && (complete || !setting.require_all);
    let (mut waits, mut not_let_in, mut push) = (Times::new(), Times::new(), Times::new());
    let offset = history.clock_offset();
    for (_, visit) in history.visits() {
        let stayed = !visit.away && !visit.leftover;
        let Some(activated) = visit.activated_at else {
            if stayed {
                let until = visit.left_line_at.unwrap_or(visit.waiting_until);
                not_let_in.record(span(until - visit.acked));
            }
            continue;
        };
        if stayed {
            waits.record(span(activated - visit.entered_at));
        }
        if let Some(told) = visit.pushed_active_at {
            push.record(span(told - offset - activated));
        }
    }
    let estimates = estimates::estimates(history, started);
    let goals = goals(&push.spread(), &estimates, &figures, history, last_sale);
    let missed = goals.iter().filter(|goal| goal.met == Some(false)).count();
    let reached = missed == 0 || !setting.require_goals;
    let passed = failed.is_empty() && tested && history.crashed == 0 && reached;
    let grade = match (passed, missed) {
        (true, 0) => Grade::Good,
        (true, _) => Grade::Goals,
        (false, _) => Grade::Bad,
    };
    let counts = counts(history);
    let headline = headline::Headline {
        failed: &failed,
        idle: not_exercised.len(),
        all: checks.len(),
        missed,
        goals: goals.len(),
        setting: &setting,
        counts: &counts,
    }
    .text();
    let notes = notes::notes(history, &figures, &not_exercised);
    Report {
        passed,
        grade,
        headline,
        counts,
        checks,
        not_exercised,
        goals,
        waits: in_seconds(waits.spread()),
        not_let_in: in_seconds(not_let_in.spread()),
        waits_curve: waits.curve().into_iter().map(|(at, ms)| (at, ms / 1e3)).collect(),
        push: push.spread(),
        push_curve: push.curve(),
        estimates,
        series: series::series(history, started),
        figures,
        own_lag_ms: history.own_lag.worst(),
        notes,
        setting,
    }
}

fn span(ms: Ms) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn in_seconds(spread: Spread) -> Spread {
    let Spread { count, p50, p90, p99, max } = spread;
    Spread { count, p50: p50 / 1e3, p90: p90 / 1e3, p99: p99 / 1e3, max: max / 1e3 }
}

fn counts(history: &History) -> Counts {
    let mut counts = Counts {
        crashed: history.crashed,
        still_playing: history.still_playing,
        ..Counts::default()
    };
    for (_, visit) in history.visits() {
        counts.entered += 1;
        counts.admitted += usize::from(visit.activated_at.is_some());
        counts.away += usize::from(visit.away);
        match visit.end {
            Some(End::Left) => counts.left += 1,
            Some(End::Expired) => counts.expired += 1,
            Some(End::Unfinished) => counts.unfinished += 1,
            Some(End::Used) | None => {}
        }
    }
    let bought = |fan: &&crate::history::Fan| fan.holdings.iter().any(|holding| holding.paid);
    counts.bought = history.fans.iter().filter(bought).count();
    counts
}

fn goals(
    push: &Spread,
    estimates: &estimates::Estimates,
    figures: &Figures,
    history: &History,
    last_sale: Option<Ms>,
) -> Vec<Goal> {
    let faults: u64 = figures
        .operations
        .iter()
        .flat_map(|operation| &operation.outcomes)
        .filter_map(|(code, count)| is_fault(code).then_some(count))
        .sum();
    let told_after = last_sale.and_then(|last| sold_out_after(history, last));
    vec![
        Goal {
            name: "Admission reaches its person",
            aim: "p99 under 1 s",
            found: if push.count == 0 { none() } else { format!("p99 {:.0} ms", push.p99) },
            met: (push.count > 0).then_some(push.p99 < 1_000.0),
        },
        Goal {
            name: "estimatedWaitSeconds after the first minute",
            aim: "median error under 15 %",
            found: estimates.told(),
            met: estimates.median.map(|median| median < 0.15),
        },
        Goal {
            name: "The room says SOLD_OUT",
            aim: "within 1 s of the last sale, and 0.5 s between our looks",
            found: told_after.map_or_else(none, |ms| format!("{ms} ms")),
            met: told_after.map(|ms| ms <= 1_500),
        },
        Goal {
            name: "No request fails",
            aim: "no internal error, time-out or lost connection",
            found: format!("{faults} failed"),
            met: Some(faults == 0),
        },
    ]
}

/// How long after the last sale the room was first seen to be SOLD_OUT. Before it, it may have been so for a while: seats
/// that were held come back.
fn sold_out_after(history: &History, last_sale: Ms) -> Option<Ms> {
    let mut later = history.room.iter().filter(|sample| sample.at >= last_sale);
    later.find(|sample| sample.status == "SOLD_OUT").map(|sample| sample.at - last_sale)
}

fn none() -> String {
    "not measured".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::planted::{fan, history},
        history::Clock,
        measure::Recorder,
    };

    fn setting() -> Setting {
        Setting {
            schedule: "s".to_owned(),
            urls: vec![],
            fans: 2,
            seed: 1,
            seats: 1,
            admit_per_round: 1,
            round_seconds: 1.0,
            command: "stampede </script>".to_owned(),
            began: String::new(),
            seconds: 1,
            opening: 0,
            require_all: false,
            require_goals: false,
        }
    }

    fn report(fans: Vec<crate::history::Fan>) -> Report {
        let figures = Recorder::new(Clock::start()).figures();
        make(setting(), &history(fans), figures, 0, None)
    }

    #[test]
    fn a_violation_makes_the_headline() {
        let report = report(vec![fan(1, 100, Some(950)), fan(2, 200, Some(900))]);
        assert!(!report.passed);
        assert!(report.headline.starts_with("FAILED: Admitted in the order of entering."));
        assert!(table(&report).contains("fan 2 was admitted 50 ms before fan 1"));
    }

    #[test]
    fn what_was_not_exercised_is_told_and_fails_where_all_is_required() {
        let made = |require_all| {
            let figures = Recorder::new(Clock::start()).figures();
            let fair = history(vec![fan(1, 100, Some(900))]);
            make(Setting { require_all, ..setting() }, &fair, figures, 0, None)
        };
        let report = made(false);
        assert!(report.passed && report.not_exercised.contains(&"No seat with two owners"));
        assert!(table(&report).contains("Not exercised, so neither held nor violated: "));
        let required = made(true);
        assert!(!required.passed && required.headline.starts_with("FAILED: "));
    }

    #[test]
    fn fans_that_vanished_are_told_and_a_crash_fails() {
        let made = |crashed, still_playing| {
            let figures = Recorder::new(Clock::start()).figures();
            let fair = history(vec![fan(1, 100, Some(900))]);
            let history = crate::history::History { crashed, still_playing, ..fair };
            make(setting(), &history, figures, 0, None)
        };
        assert!(!made(1, 0).passed);
        assert!(made(0, 2).passed);
        assert!(table(&made(0, 2)).contains("2 still played at curfew"));
        assert!(table(&made(1, 0)).contains("FAILED: 1 of our fans crashed"));
    }

    #[test]
    fn sold_out_is_timed_from_the_last_sale_and_not_from_an_earlier_time_without_seats() {
        let sample = |at, status: &str| crate::history::RoomSample {
            at,
            status: status.to_owned(),
            waiting: 0,
            active: 0,
            max_active: 1,
            remaining_seats: 0,
            estimate: None,
        };
        let room =
            vec![sample(1_000, "SOLD_OUT"), sample(2_000, "OPEN"), sample(3_400, "SOLD_OUT")];
        let history = crate::history::History { room, ..history(vec![]) };
        assert_eq!(sold_out_after(&history, 3_000), Some(400));
        assert_eq!(sold_out_after(&history, 900), Some(100));
        assert_eq!(sold_out_after(&history, 4_000), None);
    }

    #[test]
    fn a_missed_goal_is_no_failure_and_not_green() {
        let made = |failures: u32, require_goals| {
            let recorder = Recorder::new(Clock::start());
            for _ in 0..failures {
                recorder.ended(crate::measure::Op::Enter, "INTERNAL");
            }
            let fair = history(vec![fan(1, 100, Some(900))]);
            make(Setting { require_goals, ..setting() }, &fair, recorder.figures(), 0, None)
        };
        let good = made(0, true);
        assert!(good.passed && good.grade == Grade::Good, "{}", good.headline);
        let missed = made(1, false);
        assert!(missed.passed && missed.grade == Grade::Goals, "{}", missed.headline);
        assert!(missed.headline.starts_with("Goals missed: 1 of 4; "), "{}", missed.headline);
        assert!(page(&missed).contains(r#""grade":"goals""#));
        let required = made(1, true);
        assert!(!required.passed && required.grade == Grade::Bad);
        assert!(
            required.headline.starts_with("FAILED: 1 of 4 goals are missed"),
            "{}",
            required.headline
        );
    }

    #[test]
    fn who_was_not_let_in_is_told_beside_the_median() {
        let mut waiting = fan(2, 100, None);
        waiting.visits[0].waiting_until = 5_110;
        let mut away = fan(3, 100, None);
        away.visits[0].away = true;
        let report = report(vec![fan(1, 95, Some(2_100)), waiting, away]);
        assert_eq!((report.waits.count, report.not_let_in.count), (1, 1));
        assert!((report.not_let_in.p50 - 5.0).abs() < 0.01, "{:?}", report.not_let_in);
        assert!(table(&report).contains("waited, not let in, s"));
    }

    #[test]
    fn a_rehearsal_that_tested_nothing_has_not_passed() {
        assert!(!report(vec![]).passed);
    }

    #[test]
    fn waits_are_in_seconds_and_of_those_who_stayed() {
        let mut away = fan(2, 200, Some(99_999));
        away.visits[0].away = true;
        let report = report(vec![fan(1, 95, Some(2_100)), away]);
        assert!(report.passed, "{:?}", report.checks);
        assert_eq!(report.waits.count, 1);
        assert!((report.waits.p50 - 2.0).abs() < 0.01);
    }

    #[test]
    fn the_page_is_whole_and_safe() {
        let page = page(&report(vec![fan(1, 100, Some(950))]));
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert!(!page.contains("stampede </script>"), "data cannot end the script");
        assert!(!page.contains("http://") || !page.contains("src="), "nothing is loaded");
    }
}
