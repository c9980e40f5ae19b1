//! What is printed in the end.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    check::Check,
    fault::{deck::Turn, kind::Kind, weather::Spell},
    history::Tally,
};

/// How many rows at fault are shown of each check; the rest is counted.
const SHOWN: usize = 20;

/// All that came of a storm.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) spells: Vec<(Turn, Spell)>,
    /// What cannot be had on this machine, and why.
    pub(crate) skipped: Vec<(Kind, String)>,
    pub(crate) checks: Vec<Check>,
    /// Of everything, calm and storm.
    pub(crate) total: Tally,
    /// What does not belong to one fault or one check.
    pub(crate) faults: Vec<String>,
}

impl Report {
    /// Whether everything held.
    pub(crate) fn holds(&self) -> bool {
        self.faults.is_empty()
            && self.checks.iter().all(|check| check.faults.is_empty())
            && self.spells.iter().all(|(_, spell)| spell.faults.is_empty())
    }

    /// The table of faults, the checks, and the verdict.
    pub(crate) fn text(&self) -> String {
        let mut text = if self.spells.is_empty() && self.skipped.is_empty() {
            String::new()
        } else {
            self.table()
        };
        for (kind, fault) in self.of_spells(|spell| &spell.faults) {
            line(&mut text, &format!("  violated  {kind}: {fault}"));
        }
        for (kind, note) in self.of_spells(|spell| &spell.notes) {
            line(&mut text, &format!("  note      {kind}: {note}"));
        }
        line(&mut text, "");
        for check in &self.checks {
            let verdict = match (check.faults.is_empty(), check.looked_at) {
                (false, _) => "VIOLATED",
                (true, 0) => "nothing ",
                (true, _) => "held    ",
            };
            line(
                &mut text,
                &format!("  {verdict}  {} ({} looked at)", check.name, check.looked_at),
            );
            for fault in check.faults.iter().take(SHOWN) {
                line(&mut text, &format!("            {fault}"));
            }
            let more = check.faults.len().saturating_sub(SHOWN);
            if more > 0 {
                line(&mut text, &format!("            and {more} more"));
            }
        }
        for fault in &self.faults {
            line(&mut text, &format!("  VIOLATED  {fault}"));
        }
        let Tally { done, refused, failed, unanswered } = self.total;
        line(
            &mut text,
            &format!(
                "\n  {done} requests acknowledged, {refused} refused, {failed} failed, {unanswered} not answered."
            ),
        );
        line(&mut text, if self.holds() { "  Everything held." } else { "  Not everything held." });
        text
    }

    fn of_spells<'a>(
        &'a self,
        part: impl Fn(&'a Spell) -> &'a Vec<String>,
    ) -> Vec<(String, &'a String)> {
        let lines = self.spells.iter().flat_map(|(turn, spell)| {
            part(spell).iter().map(|line| (turn.kind.name(), line)).collect::<Vec<_>>()
        });
        lines.collect()
    }

    fn table(&self) -> String {
        let mut rows: BTreeMap<Kind, Row> = BTreeMap::new();
        for (turn, spell) in &self.spells {
            rows.entry(turn.kind).or_default().add(spell);
        }
        let mut text = String::new();
        line(
            &mut text,
            "| fault | times | well again, s at most | limit | done | refused | failed | unanswered | verdict |",
        );
        line(&mut text, "|---|---|---|---|---|---|---|---|---|");
        for (kind, row) in rows {
            let name = kind.name();
            let Tally { done, refused, failed, unanswered } = row.tally;
            let recovered = row
                .recovered
                .map_or_else(|| "never".to_owned(), |took| format!("{:.1}", took.as_secs_f64()));
            let verdict = if row.faults == 0 {
                "held".to_owned()
            } else {
                format!("VIOLATED {} times", row.faults)
            };
            line(
                &mut text,
                &format!(
                    "| {name} | {} | {recovered} | {} | {done} | {refused} | {failed} | {unanswered} | {verdict} |",
                    row.times,
                    kind.sheet().recovers.as_secs()
                ),
            );
        }
        for (kind, why) in &self.skipped {
            line(&mut text, &format!("| {} | 0 | | | | | | | skipped: {why} |", kind.name()));
        }
        text
    }
}

/// A kind in the table.
#[derive(Debug, Default)]
struct Row {
    times: usize,
    /// The longest; nothing when it was never well again by itself.
    recovered: Option<Duration>,
    stuck: bool,
    tally: Tally,
    faults: usize,
}

impl Row {
    fn add(&mut self, spell: &Spell) {
        self.times += 1;
        self.stuck |= spell.recovered.is_none();
        self.recovered = if self.stuck { None } else { self.recovered.max(spell.recovered) };
        self.tally.add(spell.tally);
        self.faults += usize::from(!spell.faults.is_empty());
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spell(seconds: Option<u64>, faults: &[&str]) -> Spell {
        Spell {
            recovered: seconds.map(Duration::from_secs),
            faults: faults.iter().map(ToString::to_string).collect(),
            ..Spell::default()
        }
    }

    fn turn(kind: Kind) -> Turn {
        Turn { kind, victim: 0, spares: false, calm: Duration::ZERO }
    }

    #[test]
    fn a_kind_is_a_row_with_its_longest_recovery() {
        let spells = vec![
            (turn(Kind::KillOne), spell(Some(1), &[])),
            (turn(Kind::KillOne), spell(Some(3), &[])),
            (turn(Kind::SilenceOne), spell(None, &["not well"])),
            (turn(Kind::SilenceOne), spell(Some(2), &[])),
        ];
        let skipped = vec![(Kind::DiskFull, "no root".to_owned())];
        let report = Report { spells, skipped, ..Report::default() };
        let text = report.text();
        assert!(text.contains("| kill-one | 2 | 3.0 | 10 | 0 | 0 | 0 | 0 | held |"), "{text}");
        assert!(
            text.contains("| silence-one | 2 | never | 5 | 0 | 0 | 0 | 0 | VIOLATED 1 times |"),
            "{text}"
        );
        assert!(text.contains("| disk-full | 0 | | | | | | | skipped: no root |"), "{text}");
        assert!(!report.holds());
    }

    #[test]
    fn it_holds_only_when_checks_and_faults_do() {
        let mut report = Report::default();
        assert!(report.holds() && report.text().contains("Everything held."));
        let fault = Check { name: "x", looked_at: 1, faults: vec!["row 7".to_owned()] };
        report.checks.push(fault);
        assert!(!report.holds() && report.text().contains("row 7"));
    }
}
