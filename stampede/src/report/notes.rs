//! What a reader should know besides: about the rehearsal itself, and who refused.

use std::collections::BTreeMap;

use crate::{check::grouped, history::History, measure::Figures};

/// A line each.
pub(super) fn notes(history: &History, figures: &Figures, not_exercised: &[&str]) -> Vec<String> {
    let mut notes = Vec::new();
    if !not_exercised.is_empty() {
        notes.push(format!(
            "Not exercised, so neither held nor violated: {}.",
            not_exercised.join("; ")
        ));
    }
    if history.crashed > 0 {
        notes.push(format!(
            "{} of our fans crashed: what they saw is missing here. The fault is stampede's; their last words stand above.",
            history.crashed
        ));
    }
    if history.still_playing > 0 {
        notes.push(format!(
            "{} of our fans still played when all should have been home: what they saw is missing here.",
            history.still_playing
        ));
    }
    let own_lag = history.own_lag.worst();
    if own_lag > 200 {
        notes.push(format!(
            "This load generator itself was late by up to {own_lag} ms: it needs more of the machine. Latencies include that."
        ));
    }
    if figures.queued.p99 > 50.0 {
        notes.push(format!(
            "Requests waited for one of our connections (p99 {:.0} ms, not part of the latencies): raise --connections.",
            figures.queued.p99
        ));
    }
    notes.extend(refusers(figures));
    let offset = history.clock_offset();
    if offset != 0 {
        notes
            .push(format!("The server's clock is {} ms behind ours; that is allowed for.", offset));
    }
    let leftover = history.visits().filter(|(_, visit)| visit.leftover).count();
    if leftover > 0 {
        notes.push(format!(
            "{leftover} fans stood in this line before the rehearsal began, and are not compared with others."
        ));
    }
    notes
}

/// Who refused how much, and what to do about it: by the beginning of an outcome.
const REFUSERS: &[(&str, &str)] = &[
    (
        "RATE_LIMITED by ",
        "it limits requests by address, and all of these come from a few; exempt this machine (limits.conf of our nginx), or use more addresses",
    ),
    (
        "RATE_LIMITED",
        "the server limits requests by person and by address (docs/limits.md); where all fans come from one machine start it with \
         FRONTROW_REQUESTS_PER_ADDRESS=0 and FRONTROW_CONNECTIONS_PER_ADDRESS=100000",
    ),
    (
        "OVERLOADED by ",
        "no instance behind it took the request, or none answered in time; see its log",
    ),
    (
        "OVERLOADED",
        "the server had more under way than it lets in at once; that is what a larger crowd would meet",
    ),
    ("HTTP ", "something in front of the server answered by itself; see its log"),
    ("TLS failed", "no TLS came about; --ca names the authority of a certificate of one's own"),
    ("CONNECTION refused", "nobody listens there, or the system's line of connections is full"),
    (
        "CONNECTION reset",
        "the server or something in front cut connections off; see its limits of connections",
    ),
    (
        "CONNECTION closed",
        "connections were closed before they were answered; see the limits of connections",
    ),
    ("CLOSED ", "WebSockets were closed by the server; docs/clients.md tells what each code means"),
    ("TIMEOUT", "answers did not come within --timeout-seconds"),
];

fn refusers(figures: &Figures) -> Vec<String> {
    let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
    for (outcome, count) in figures.operations.iter().flat_map(|it| &it.outcomes) {
        *counted.entry(outcome).or_default() += count;
    }
    let note = |(outcome, count): (&str, u64)| {
        let (_, why) = REFUSERS.iter().find(|(start, _)| outcome.starts_with(start))?;
        let count = grouped(usize::try_from(count).unwrap_or(usize::MAX));
        Some(format!("{outcome}, {count} times: {why}."))
    };
    counted.into_iter().filter_map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::Clock,
        measure::{Op, Recorder},
    };

    #[test]
    fn who_refused_is_named_with_what_to_do() {
        let recorder = Recorder::new(Clock::start());
        for outcome in [
            "RATE_LIMITED by nginx",
            "RATE_LIMITED by nginx",
            "HTTP 502 by nginx",
            "SEAT_HELD",
            "OK",
        ] {
            recorder.ended(Op::Hold, outcome);
        }
        recorder.ended(Op::Subscribe, "TLS failed");
        let notes = refusers(&recorder.figures());
        let starts = [
            "HTTP 502 by nginx, 1 times: ",
            "RATE_LIMITED by nginx, 2 times: it limits",
            "TLS failed, 1 times: ",
        ];
        assert_eq!(notes.len(), starts.len(), "{notes:?}");
        for (note, start) in notes.iter().zip(starts) {
            assert!(note.starts_with(start), "{note}");
        }
    }
}
