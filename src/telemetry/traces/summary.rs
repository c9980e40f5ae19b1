//! What a statement is called in a trace: its verbs and tables. Nothing else of its text is told, and parameters are not in it.

/// Longer names are cut after a table.
const BYTES_MAX: usize = 100;

/// The verbs and tables of a statement, writes only where it writes: `UPDATE queue_token INSERT reservation UPDATE seat`. Of what is
/// read the outermost table is told, and the first of those.
pub(super) fn summary(sql: &str) -> String {
    let words = words(sql);
    let mut read: Option<(usize, (&str, &str))> = None;
    let mut writes = Vec::new();
    let mut depth = 0_usize;
    // Names of steps are no tables.
    let steps: Vec<&str> = words
        .windows(2)
        .filter(|two| two[1].eq_ignore_ascii_case("AS"))
        .map(|two| two[0])
        .filter(|name| follows_with(&words, name))
        .collect();
    for (at, word) in words.iter().enumerate() {
        let next = |offset: usize| words.get(at + offset).copied().unwrap_or_default();
        let is = |offset: usize, other: &str| next(offset).eq_ignore_ascii_case(other);
        let locks =
            at > 0 && ["FOR", "KEY", "DO"].iter().any(|it| words[at - 1].eq_ignore_ascii_case(it));
        let (verb, table) = match word.to_ascii_uppercase().as_str() {
            "INSERT" if is(1, "INTO") => ("INSERT", next(2)),
            "UPDATE" if !locks => ("UPDATE", next(1)),
            "DELETE" if is(1, "FROM") => ("DELETE", next(2)),
            "FROM" if at > 0 && !is_no_clause(&words[..at]) => ("SELECT", next(1)),
            "(" => {
                depth += 1;
                continue;
            }
            ")" => {
                depth = depth.saturating_sub(1);
                continue;
            }
            _ => continue,
        };
        let table = table.trim_matches('"');
        if !is_name(table) || steps.contains(&table) {
            continue;
        }
        let told = (verb, table);
        if verb != "SELECT" {
            if !writes.contains(&told) {
                writes.push(told);
            }
        } else if !words[at - 1].eq_ignore_ascii_case("DELETE")
            && read.is_none_or(|(outer, _)| depth < outer)
        {
            read = Some((depth, told));
        }
    }
    let first = words.first().map_or_else(String::new, |word| word.to_ascii_uppercase());
    if writes.is_empty() {
        writes.extend(read.map(|(_, told)| told));
    }
    let mut name = String::new();
    for (verb, table) in writes {
        if name.len() + verb.len() + table.len() + 2 > BYTES_MAX {
            break;
        }
        let blank = if name.is_empty() { "" } else { " " };
        name = format!("{name}{blank}{verb} {table}");
    }
    if name.is_empty() { if is_name(&first) { first } else { "SQL".to_owned() } } else { name }
}

/// Whether a FROM after these words names no table: `IS DISTINCT FROM x`, `extract(epoch FROM x)`.
fn is_no_clause(before: &[&str]) -> bool {
    match before {
        [.., open, _] if *open == "(" => true,
        [.., last] => last.eq_ignore_ascii_case("DISTINCT"),
        [] => true,
    }
}

/// Whether a word is the name of a step: `name AS (`, or `name AS MATERIALIZED (`, after WITH or a comma.
fn follows_with(words: &[&str], name: &str) -> bool {
    words.windows(3).any(|three| {
        three[0] == name
            && three[1].eq_ignore_ascii_case("AS")
            && (three[2] == "("
                || three[2].eq_ignore_ascii_case("MATERIALIZED")
                || three[2].eq_ignore_ascii_case("NOT"))
    })
}

/// Words and parentheses, without comments and texts.
fn words(sql: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let end = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if c == '\'' {
            rest[1..].find('\'').map_or(rest.len(), |end| end + 2)
        } else if is_of_word(c) {
            let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
            found.push(&rest[..end]);
            end
        } else {
            if matches!(c, '(' | ')') {
                found.push(&rest[..1]);
            }
            c.len_utf8()
        };
        rest = &rest[end..];
    }
    found
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '"'
}

fn is_name(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_called_by_its_verbs_and_tables() {
        for (sql, name) in [
            ("SELECT balance FROM wallet WHERE person_id = $1", "SELECT wallet"),
            ("INSERT INTO wallet (person_id) VALUES ($1) ON CONFLICT DO UPDATE SET x = 1", "INSERT wallet"),
            ("SELECT 1 FROM seat WHERE id = 'FROM person' FOR NO KEY UPDATE", "SELECT seat"),
            (r#"SELECT "person"."id" FROM "person" WHERE "person"."id" = $1"#, "SELECT person"),
            ("DELETE FROM session WHERE family = $1", "DELETE session"),
            (
                "-- FROM nowhere\nWITH held AS (SELECT id FROM seat FOR UPDATE), gone AS MATERIALIZED (
                    UPDATE reservation SET x = 1 FROM held RETURNING id)
                 UPDATE seat SET status = 'SOLD' FROM gone WHERE true",
                "UPDATE reservation UPDATE seat",
            ),
            (
                "WITH all_of_it AS (SELECT c.id, (SELECT s.id FROM schedule s LIMIT 1) AS first FROM concert c) SELECT * FROM all_of_it",
                "SELECT concert",
            ),
            ("SELECT extract(epoch FROM at) FROM seat WHERE at IS DISTINCT FROM $1", "SELECT seat"),
            ("BEGIN", "BEGIN"),
            ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "BEGIN"),
            ("SET TRANSACTION SNAPSHOT '00000003-0000001B-1'", "SET"),
            ("SELECT clock_timestamp() AS now", "SELECT"),
            ("", "SQL"),
            ("'secret'", "SQL"),
        ] {
            assert_eq!(summary(sql), name, "{sql}");
        }
    }

    #[test]
    fn our_largest_statements_have_short_names() {
        for sql in [
            include_str!("../../reservation/store/hold.sql"),
            include_str!("../../payment/store/pay.sql"),
            include_str!("../../waiting_room/store/enter.sql"),
            include_str!("../../waiting_room/store/admit.sql"),
            include_str!("../../payment/store/cancel.sql"),
        ] {
            let name = summary(sql);
            assert!(name.len() <= BYTES_MAX && name.contains(' '), "{name}");
        }
        let hold = summary(include_str!("../../reservation/store/hold.sql"));
        assert!(hold.contains("INSERT reservation") && hold.contains("UPDATE seat"), "{hold}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_there_is_read_to_its_end(sql in ".{0,200}") {
            proptest::prop_assert!(summary(&sql).len() <= 200);
        }
    }
}
