//! What was found: a line each, for people or as JSON.

use std::fmt;

use serde::Serialize;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Note,
    /// It would go wrong.
    Wrong,
    /// Nobody could look.
    Unknown,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What it is about, in a word.
    about: &'static str,
    /// What is so.
    what: String,
    /// Why that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

impl Finding {
    pub(super) fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Ok, about, what: what.into(), why: None, todo: None }
    }

    pub(super) fn note(
        about: &'static str,
        what: impl Into<String>,
        why: &'static str,
        todo: impl Into<String>,
    ) -> Self {
        let (why, todo) = (Some(why), Some(todo.into()));
        Self { level: Level::Note, about, what: what.into(), why, todo }
    }

    pub(super) fn wrong(
        about: &'static str,
        what: impl Into<String>,
        why: &'static str,
        todo: impl Into<String>,
    ) -> Self {
        Self { level: Level::Wrong, ..Self::note(about, what, why, todo) }
    }

    pub(super) fn unknown(
        about: &'static str,
        what: impl Into<String>,
        why: &'static str,
        todo: impl Into<String>,
    ) -> Self {
        Self { level: Level::Unknown, ..Self::note(about, what, why, todo) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Wrong => "WRONG",
            Level::Unknown => "UNKNOWN",
        };
        write!(f, "{word:<8} {:<14} {}", self.about, self.what)?;
        if let Some(why) = self.why {
            write!(f, ": {why}")?;
        }
        match &self.todo {
            Some(todo) => write!(f, "; {todo}."),
            None => f.write_str("."),
        }
    }
}

/// What all findings come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    verdict: Level,
    findings: Vec<Finding>,
}

impl Verdict {
    pub(super) fn of(findings: Vec<Finding>) -> Self {
        let any = |level: Level| findings.iter().any(|finding| finding.level == level);
        // What is known to be wrong is so, whatever else could not be looked at.
        let verdict = match (any(Level::Wrong), any(Level::Unknown)) {
            (true, _) => Level::Wrong,
            (false, true) => Level::Unknown,
            (false, false) => Level::Ok,
        };
        Self { verdict, findings }
    }

    pub(super) const fn level(&self) -> Level {
        self.verdict
    }

    /// In one sentence.
    fn sentence(&self) -> String {
        let count = |level: Level| self.findings.iter().filter(|it| it.level == level).count();
        let mut parts = vec![match count(Level::Wrong) {
            0 => "Nothing that was looked at would go wrong".to_owned(),
            1 => "1 thing would go wrong".to_owned(),
            many => format!("{many} things would go wrong"),
        }];
        match count(Level::Unknown) {
            0 => {}
            many => parts.push(format!("{many} could not be looked at")),
        }
        match count(Level::Note) {
            0 => {}
            1 => parts.push("1 note".to_owned()),
            many => parts.push(format!("{many} notes")),
        }
        format!("{}.", parts.join(", "))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        f.write_str(&self.sentence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(levels: &[Level]) -> (Level, String) {
        let finding =
            |level: &Level| Finding { level: *level, ..Finding::note("x", "a", "b", "c") };
        let verdict = Verdict::of(levels.iter().map(finding).collect());
        (verdict.level(), verdict.sentence())
    }

    #[test]
    fn what_is_wrong_outweighs_what_is_not_known_and_notes_are_no_fault() {
        use Level::{Note, Ok, Unknown, Wrong};
        let told = |level: Level, text: &str| (level, text.to_owned());
        assert_eq!(verdict(&[Ok]), told(Ok, "Nothing that was looked at would go wrong."));
        assert_eq!(
            verdict(&[Ok, Note]),
            told(Ok, "Nothing that was looked at would go wrong, 1 note.")
        );
        assert_eq!(
            verdict(&[Note, Note, Unknown]),
            told(
                Unknown,
                "Nothing that was looked at would go wrong, 1 could not be looked at, 2 notes."
            )
        );
        assert_eq!(
            verdict(&[Wrong, Unknown, Ok]),
            told(Wrong, "1 thing would go wrong, 1 could not be looked at.")
        );
    }

    #[test]
    fn a_finding_is_one_line() {
        let line = Finding::wrong("postgres", "fsync is off", "a crash loses it", "set it on");
        assert_eq!(
            line.to_string(),
            "WRONG    postgres       fsync is off: a crash loses it; set it on."
        );
        assert_eq!(Finding::ok("redis", "7.2").to_string(), "ok       redis          7.2.");
    }
}
