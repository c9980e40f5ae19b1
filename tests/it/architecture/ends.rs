//! A place that ends without a purchase has a reason, which its person is told: every statement that ends one writes it down.

use super::{
    Source,
    sql::{self, Statement},
};

/// The steps of a statement that end places and say nothing of why.
fn without_reason(statement: &Statement) -> usize {
    let ends = |words: &[String]| {
        words
            .windows(3)
            .any(|three| three[0].ends_with("status") && three[1..] == ["=", "'EXPIRED'"])
    };
    let silent = statement.steps.iter().filter(|step| {
        let writes = step.writes().iter().any(|(_, table)| *table == "queue_token");
        writes && ends(&step.words) && !step.words.iter().any(|word| word == "ended_because")
    });
    silent.count()
}

/// Statements of a file that end places for no reason.
pub(super) fn faults(source: &Source) -> Vec<String> {
    let silent =
        sql::statements(source).into_iter().filter(|statement| without_reason(statement) > 0);
    silent
        .map(|statement| {
            format!("{}:{}: a place ends and nobody knows why", source.path, statement.line)
        })
        .collect()
}

#[test]
fn a_place_that_ends_for_no_reason_is_found() {
    for (text, found) in [
        ("UPDATE queue_token SET status = 'EXPIRED', ended_at = now() WHERE id = $1", 1),
        ("UPDATE queue_token SET status = 'EXPIRED', ended_because = 'LEFT' WHERE id = $1", 0),
        (
            "WITH gone AS (UPDATE queue_token t SET status = 'EXPIRED' FROM x WHERE t.id = x.id) SELECT ended_because FROM gone",
            1,
        ),
        ("UPDATE queue_token SET version = version + 1 WHERE status <> 'EXPIRED'", 0),
        ("UPDATE reservation SET status = 'EXPIRED' WHERE id = $1", 0),
    ] {
        assert_eq!(without_reason(&Statement::new(String::new(), 1, text)), found, "{text}");
    }
}
