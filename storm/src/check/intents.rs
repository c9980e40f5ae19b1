//! The history by intent: what somebody wanted, and what came of it in the end.

use std::collections::BTreeMap;

use stampede::history::Ms;

use crate::history::{Act, Entry, Outcome, Proof};

/// One intent with everything that was heard of it.
#[derive(Debug)]
pub(crate) struct Intent<'a> {
    pub(crate) person: &'a str,
    pub(crate) act: &'a Act,
    pub(crate) done: Option<&'a Proof>,
    pub(crate) refused: Option<&'a str>,
    /// When the acknowledged or refused request was sent.
    pub(crate) sent: Ms,
    /// Requests that failed or were not answered: each may have been done.
    pub(crate) open: usize,
}

impl Intent<'_> {
    /// Whether it was neither done nor refused in the end.
    pub(crate) const fn unsettled(&self) -> bool {
        self.done.is_none() && self.refused.is_none()
    }

    /// How often it may have been done at most, for what has no key.
    pub(crate) fn at_most(&self) -> usize {
        self.open + usize::from(self.done.is_some())
    }
}

/// Puts entries together.
pub(crate) fn gather(entries: &[Entry]) -> Vec<Intent<'_>> {
    let mut intents: BTreeMap<u64, Intent<'_>> = BTreeMap::new();
    for entry in entries {
        let intent = intents.entry(entry.intent).or_insert_with(|| Intent {
            person: &entry.person,
            act: &entry.act,
            done: None,
            refused: None,
            sent: entry.sent,
            open: 0,
        });
        match &entry.outcome {
            Outcome::Done { proof } => {
                intent.done = Some(proof);
                // A hold that was refused to the repetition, and found.
                intent.refused = None;
                intent.sent = entry.sent;
            }
            Outcome::Refused { code } if intent.done.is_none() => {
                intent.refused = Some(code);
                intent.sent = entry.sent;
            }
            Outcome::Refused { .. } => {}
            Outcome::Failed { .. } | Outcome::Unanswered { .. } => intent.open += 1,
        }
    }
    intents.into_values().collect()
}
