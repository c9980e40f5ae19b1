//! The report as text.

use std::fmt::Write;

use super::{Counts, Report};
use crate::{check::grouped, measure::Spread};

/// The report for a terminal.
pub(crate) fn table(report: &Report) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    _ = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "\n{}\n", report.headline)?;
    for check in &report.checks {
        writeln!(out, "  {:<13} {}  ({})", check.word(), check.name, check.scope)?;
        if check.violations > 0 {
            writeln!(out, "                {} violations, among them:", grouped(check.violations))?;
        }
        for example in &check.examples {
            writeln!(out, "                - {example}")?;
        }
    }
    writeln!(out)?;
    for goal in &report.goals {
        let word = match goal.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "-",
        };
        writeln!(out, "  {word:<13} {}: {} (aim: {})", goal.name, goal.found, goal.aim)?;
    }
    crowd(out, report)?;
    writeln!(
        out,
        "\n  {:<32} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "count", "p50", "p90", "p99", "max"
    )?;
    line(out, "wait until admitted, s", &report.waits)?;
    if report.not_let_in.count > 0 {
        line(out, "waited, not let in, s", &report.not_let_in)?;
    }
    line(out, "admission to push, ms", &report.push)?;
    for operation in &report.figures.operations {
        line(out, &format!("{}, ms", operation.name), &operation.times)?;
        let refused: Vec<_> = operation
            .outcomes
            .iter()
            .filter(|(code, _)| *code != "OK")
            .map(|(code, count)| format!("{code} {count}"))
            .collect();
        if !refused.is_empty() {
            writeln!(out, "    {}", refused.join(", "))?;
        }
    }
    for note in &report.notes {
        writeln!(out, "\n  Note: {note}")?;
    }
    Ok(())
}

fn crowd(out: &mut String, report: &Report) -> std::fmt::Result {
    let Counts { entered, admitted, bought, left, expired, unfinished, away, .. } = report.counts;
    writeln!(
        out,
        "\n  Of {} fans: {} entered, {} let in, {} bought; {} left, {} expired, {} still waited at the end; {} away for a while",
        grouped(report.setting.fans),
        grouped(entered),
        grouped(admitted),
        grouped(bought),
        grouped(left),
        grouped(expired),
        grouped(unfinished),
        grouped(away)
    )?;
    let Counts { crashed, still_playing, .. } = report.counts;
    writeln!(
        out,
        "  Lost from sight: {} crashed, {} still played at curfew",
        grouped(crashed),
        grouped(still_playing)
    )
}

fn line(out: &mut String, name: &str, spread: &Spread) -> std::fmt::Result {
    let Spread { count, p50, p90, p99, max } = spread;
    let count = grouped(usize::try_from(*count).unwrap_or(usize::MAX));
    writeln!(out, "  {name:<32} {count:>9} {p50:>9.1} {p90:>9.1} {p99:>9.1} {max:>9.1}")
}
