//! Every request that shall change something, and what came of it: kept in memory, and written down a line of JSON each.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::Serialize;
use stampede::history::Ms;

use crate::Result;

/// What somebody wants. One such wish is one intent, however often it has to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "act", rename_all = "camelCase")]
pub(crate) enum Act {
    Enter {
        schedule: String,
    },
    Leave {
        schedule: String,
    },
    /// Without a seat the server chooses one.
    Hold {
        schedule: String,
        seat: Option<String>,
    },
    Charge {
        amount: i64,
        key: String,
    },
    Pay {
        reservation: String,
        amount: i64,
        key: String,
    },
    Cancel {
        reservation: String,
    },
}

impl Act {
    /// As the API calls it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Enter { .. } => "enterQueue",
            Self::Leave { .. } => "leaveQueue",
            Self::Hold { .. } => "holdSeat",
            Self::Charge { .. } => "charge",
            Self::Pay { .. } => "pay",
            Self::Cancel { .. } => "cancelReservation",
        }
    }
}

/// What an acknowledgement says, as far as it can be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "proof", rename_all = "camelCase")]
pub(crate) enum Proof {
    /// The place's instant of entering.
    Place {
        entered_at: Ms,
    },
    Reservation {
        id: String,
        seats: Vec<String>,
        price: i64,
    },
    /// Nothing more than that it was done.
    Done,
}

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// Acknowledged: from here on it must be true.
    Done { proof: Proof },
    /// A final no: nothing may have been done.
    Refused { code: String },
    /// The server could not serve it and said so. Whether something was done is open.
    Failed { code: String },
    /// No answer: whether something was done is open.
    Unanswered { code: String },
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) intent: u64,
    pub(crate) attempt: u32,
    pub(crate) person: String,
    /// 1 or 2.
    pub(crate) instance: usize,
    /// Milliseconds since 1970, by the storm's clock.
    pub(crate) sent: Ms,
    pub(crate) ended: Ms,
    #[serde(flatten)]
    pub(crate) act: Act,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// Takes entries in. It grows with the storm, whose length is bounded: some 200 bytes a request.
#[derive(Debug)]
pub(crate) struct History {
    kept: Mutex<Kept>,
    intents: AtomicU64,
    settled: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    entries: Vec<Entry>,
    file: BufWriter<File>,
}

impl History {
    /// One that is written to this file as well.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn write_to(path: &Path) -> Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        let kept = Mutex::new(Kept { entries: Vec::new(), file });
        Ok(Self { kept, intents: AtomicU64::new(0), settled: AtomicU64::new(0) })
    }

    /// The number of a new intent.
    pub(crate) fn intend(&self) -> u64 {
        self.intents.fetch_add(1, Ordering::Relaxed)
    }

    /// Nothing more will come of an intent.
    pub(crate) fn settle(&self) {
        self.settled.fetch_add(1, Ordering::Relaxed);
    }

    /// How many intents are under way.
    pub(crate) fn under_way(&self) -> u64 {
        let settled = self.settled.load(Ordering::Relaxed);
        self.intents.load(Ordering::Relaxed).saturating_sub(settled)
    }

    /// Takes an entry in. What cannot be written down is kept in memory all the same.
    pub(crate) fn note(&self, entry: Entry) {
        let mut kept = self.kept();
        if let Ok(line) = serde_json::to_string(&entry) {
            drop(writeln!(kept.file, "{line}"));
        }
        kept.entries.push(entry);
    }

    /// Everything so far.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut kept = self.kept();
        drop(kept.file.flush());
        kept.entries.clone()
    }

    /// How requests ended that came to an end within this time.
    pub(crate) fn tally(&self, from: Ms, to: Ms) -> Tally {
        let kept = self.kept();
        // Entries come in the order of their ends, but for some milliseconds.
        let recent = kept.entries.iter().rev().take_while(|entry| entry.ended >= from - 1_000);
        let mut tally = Tally::default();
        for entry in recent.filter(|entry| (from..=to).contains(&entry.ended)) {
            tally.count(&entry.outcome);
        }
        tally
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many requests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) done: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) unanswered: u64,
}

impl Tally {
    pub(crate) const fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done { .. } => self.done += 1,
            Outcome::Refused { .. } => self.refused += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Unanswered { .. } => self.unanswered += 1,
        }
    }

    pub(crate) const fn add(&mut self, other: Self) {
        self.done += other.done;
        self.refused += other.refused;
        self.failed += other.failed;
        self.unanswered += other.unanswered;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_line_that_tells_all() {
        let path = std::env::temp_dir().join(format!("storm-history-{}", std::process::id()));
        let history = History::write_to(&path).unwrap();
        let entry = |ended, outcome| Entry {
            intent: history.intend(),
            attempt: 0,
            person: "p".to_owned(),
            instance: 1,
            sent: 5,
            ended,
            act: Act::Charge { amount: 7, key: "k".to_owned() },
            outcome,
        };
        history.note(entry(10_000, Outcome::Unanswered { code: "TIMEOUT".to_owned() }));
        history.note(entry(20_000, Outcome::Done { proof: Proof::Done }));
        assert_eq!(history.entries().len(), 2);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.lines().next().unwrap(),
            r#"{"intent":0,"attempt":0,"person":"p","instance":1,"sent":5,"ended":10000,"act":"charge","amount":7,"key":"k","outcome":"unanswered","code":"TIMEOUT"}"#
        );
        let tally = history.tally(15_000, 30_000);
        assert_eq!(tally, Tally { done: 1, ..Tally::default() });
        std::fs::remove_file(path).unwrap();
    }
}
