//! Compares what was acknowledged with what is in the database. Pure, but for reading the books.

pub(crate) mod books;
mod intents;
mod money;
mod once;
pub(crate) mod plant;
mod stands;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use books::Books;
use intents::{Intent, gather};

use crate::history::{Act, Entry, Outcome};

/// One check, and what it found.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// What there was to look at; with nothing the check says nothing.
    pub(crate) looked_at: usize,
    /// What does not hold, a line each.
    pub(crate) faults: Vec<String>,
}

impl Check {
    const fn new(name: &'static str) -> Self {
        Self { name, looked_at: 0, faults: Vec::new() }
    }

    /// Looks at one thing; `wrong` says what is wrong with it.
    fn look(&mut self, wrong: Option<String>) {
        self.looked_at += 1;
        self.faults.extend(wrong);
    }
}

/// Everything that checks look at.
struct Evidence<'a> {
    entries: &'a [Entry],
    intents: Vec<Intent<'a>>,
    books: &'a Books,
    /// Entries of the ledger by person, purpose and key.
    moved: BTreeMap<(&'a str, &'a str, &'a str), Vec<i64>>,
}

/// Every check, of a history and the books after it.
pub(crate) fn examine(entries: &[Entry], books: &Books) -> Vec<Check> {
    let mut moved: BTreeMap<(&str, &str, &str), Vec<i64>> = BTreeMap::new();
    for entry in &books.ledger {
        let name = (entry.person.as_str(), entry.purpose.as_str(), entry.key.as_str());
        moved.entry(name).or_default().push(entry.delta);
    }
    let evidence = Evidence { entries, intents: gather(entries), books, moved };
    vec![
        stands::places(&evidence),
        stands::holds(&evidence),
        stands::cancellations(&evidence),
        stands::leaves(&evidence),
        money::charges(&evidence),
        money::payments(&evidence),
        money::balances(&evidence),
        once::nothing_twice(&evidence),
        once::refused_is_not_done(&evidence),
        once::one_owner(&evidence),
        settled(&evidence),
        answers(&evidence),
    ]
}

fn settled(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("Every request was settled by repeating it");
    for intent in &evidence.intents {
        check.look(intent.unsettled().then(|| {
            format!(
                "{} of person {} after {} requests",
                intent.act.name(),
                intent.person,
                intent.open
            )
        }));
    }
    check
}

/// Refusals that a well-behaved client can meet.
fn may_be_refused(act: &Act, code: &str) -> bool {
    match act {
        Act::Enter { .. } => matches!(code, "SEAT_LIMIT_REACHED" | "SOLD_OUT" | "SALE_CLOSED"),
        Act::Leave { .. } | Act::Charge { .. } => false,
        Act::Hold { .. } => matches!(
            code,
            "SEAT_HELD"
                | "SEAT_SOLD"
                | "SEAT_LIMIT_REACHED"
                | "NO_ADJACENT_SEATS"
                | "QUEUE_ENDED"
                | "QUEUE_NOT_ACTIVE"
                | "SALE_CLOSED"
        ),
        Act::Pay { .. } => matches!(code, "HOLD_EXPIRED"),
        Act::Cancel { .. } => matches!(code, "RESERVATION_EXPIRED"),
    }
}

fn answers(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("No answer was INTERNAL, malformed, or a refusal without a reason");
    for entry in evidence.entries {
        let code = match &entry.outcome {
            Outcome::Done { .. } => None,
            Outcome::Refused { code } => (!may_be_refused(&entry.act, code)).then_some(code),
            Outcome::Failed { code } | Outcome::Unanswered { code } => {
                matches!(code.as_str(), "INTERNAL" | "MALFORMED").then_some(code)
            }
        };
        check.look(code.map(|code| {
            format!(
                "{} at instance {} was answered with {code} at {}",
                entry.act.name(),
                entry.instance,
                entry.ended
            )
        }));
    }
    check
}
