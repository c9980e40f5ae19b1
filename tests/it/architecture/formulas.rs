//! What several statements compute is written once, as a function of the database (migration 0013), and not written out again.

use super::{
    Source,
    sql::{self, Statement},
};

/// The functions that say what a statement writes out.
fn written_out(statement: &Statement) -> Vec<&'static str> {
    let mut found = Vec::new();
    for step in &statement.steps {
        let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
        for at in 0..words.len() {
            let rest = &words[at..];
            let compared = |from: usize| {
                rest[from..]
                    .iter()
                    .take(4)
                    .position(|word| *word == "<=")
                    .is_some_and(|sign| rest[from + sign - 1].ends_with("expires_at"))
            };
            if rest.starts_with(&["status", "=", "'AVAILABLE'", "OR"]) {
                found.push("is_free");
            } else if rest.starts_with(&["status", "=", "'HOLD'", "AND"]) && compared(4) {
                found.push("has_lapsed");
            } else if rest.starts_with(&["least", "("]) {
                let inside = &rest[..sql::closing(&step.words[at..], 1)];
                if ["idle_seconds", "active_seconds"].iter().all(|word| inside.contains(word)) {
                    found.push("active_until");
                }
            }
        }
    }
    found
}

/// Formulas that a file writes out.
pub(super) fn faults(source: &Source) -> Vec<String> {
    // An audit that computed with the same functions would find no fault in them.
    let statements = sql::statements(source).into_iter().filter(|_| !source.is_in(&["audit"]));
    statements
        .flat_map(|statement| {
            let name = format!("{}:{}", source.path, statement.line);
            written_out(&statement)
                .into_iter()
                .map(move |formula| format!("{name}: {formula} is written out"))
        })
        .collect()
}

#[test]
fn formulas_are_found_and_nothing_else() {
    for (text, formulas) in [
        (
            "SELECT 1 FROM seat s WHERE s.status = 'AVAILABLE' OR (s.status = 'HOLD' AND s.hold_expires_at <= now())",
            vec!["is_free", "has_lapsed"],
        ),
        (
            "SELECT CASE WHEN status = 'HOLD' AND expires_at <= clock.now THEN 1 END FROM reservation",
            vec!["has_lapsed"],
        ),
        (
            "SELECT least(c.now + make_interval(secs => w.idle_seconds), t.at + make_interval(secs => w.active_seconds))",
            vec!["active_until"],
        ),
        ("SELECT 1 FROM seat WHERE status = 'HOLD' AND expires_at > now()", vec![]),
        (
            "SELECT 1 FROM seat WHERE is_free(status, hold_expires_at, now()) AND status = 'HOLD' AND number <= 3",
            vec![],
        ),
    ] {
        assert_eq!(written_out(&Statement::new(String::new(), 1, text)), formulas, "{text}");
    }
}
