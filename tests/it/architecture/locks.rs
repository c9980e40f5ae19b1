//! What statements that lock and then decide have to keep to (docs/adr/0003).
//!
//! Postgres reads a statement's rows as of its start, and a lock may have been waited for. So, of each statement that waits:
//!
//! - **Gentle**: it locks `FOR NO KEY UPDATE`. Everything else contests the key-share locks of foreign keys.
//! - **In order**: a lock that may take several rows has an ORDER BY, unless it skips those of others; and an UPDATE of several
//!   rows writes rows that are locked already.
//! - **Late**: "this has passed" stays true during a wait. "This has not passed yet" does not: it is asked, or asked again, by a
//!   clock that was read after the last lock.
//! - **Seen is held**: what it counts, or looks for, in rows that it does not lock is older than the lock. The version that the
//!   snapshot saw has to be the one that is held.
//!
//! What breaks one of these and is right all the same is listed with its reason.

use super::{
    Source,
    sql::{self, Statement, Step},
    tables,
};

/// Statement, what is said of it, and why that is right.
const RIGHT: &[(&str, &str, &str)] = &[
    (
        "reservation/store/expire.sql",
        "payment is looked at before the lock",
        "whoever decides a payment has the reservation's lock, and locked reservations are skipped",
    ),
    (
        "waiting_room/store/close_draw.sql",
        "held locks in no order",
        "queue_counter has one row for a performance, and this is about one",
    ),
    (
        "waiting_room/store/drain.sql",
        "queue_token is looked at before the lock",
        "an empty room is looked at for a minute more",
    ),
    (
        "waiting_room/store/drain.sql",
        "reservation is looked at before the lock",
        "a hold raises its token's version, and whoever's version has changed is left (seen = held)",
    ),
    (
        "waiting_room/store/enter.rs::settle",
        "reservation is looked at before the lock",
        "it only tells which tokens to wait for; the statement after it sees what was waited for",
    ),
    (
        "waiting_room/store/enter.sql",
        "queue_token is looked at before the lock",
        "queue_token_live_unique and queue_token_number_unique decide",
    ),
    (
        "waiting_room/store/enter.sql",
        "reservation is looked at before the lock",
        "a newcomer who holds a seat is looked at again once the place is theirs (settle in enter.rs)",
    ),
    (
        "waiting_room/store/journal.rs::leave",
        "the main part updates queue_token in no order",
        "queue_token_live_unique: a person has one place that is live",
    ),
];

/// Everything that is listed.
fn listed() -> impl Iterator<Item = (&'static str, &'static str)> {
    RIGHT.iter().map(|(name, what, _)| (*name, *what))
}

/// What a row of each table is found by; several rows never have the same.
const KEYS: &[(&str, &str)] = &[
    ("waiting_room", "schedule_id"),
    ("queue_counter", "schedule_id"),
    ("admission", "schedule_id"),
    ("wallet", "person_id"),
    ("session", "family"),
];

/// What is wrong with the statements of a file.
pub(super) fn faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for statement in sql::statements(source) {
        for wrong in wrong(&statement) {
            if !listed().any(|row| row == (statement.name.as_str(), wrong.as_str())) {
                let Statement { name, line, .. } = &statement;
                faults.push(format!("{}:{line}: {name}: {wrong}", source.path));
            }
        }
    }
    faults
}

/// Exceptions that nothing needs any more.
pub(super) fn unneeded(house: &[Source]) -> impl Iterator<Item = String> {
    let found: Vec<(String, String)> = house
        .iter()
        .flat_map(sql::statements)
        .flat_map(|it| wrong(&it).into_iter().map(move |wrong| (it.name.clone(), wrong)))
        .collect();
    listed().filter_map(move |(name, what)| {
        let needed = found.iter().any(|(a, b)| a == name && b == what);
        (!needed).then(|| format!("{name} needs no exception any more for: {what}"))
    })
}

/// Everything that a statement does not keep to.
fn wrong(statement: &Statement) -> Vec<String> {
    let mut wrong = Vec::new();
    for step in &statement.steps {
        if let Some(lock) = step.lock() {
            if !lock.gentle {
                wrong.push("contests foreign keys".to_owned());
            }
            if lock.waits && !lock.ordered && !by_key(step) {
                wrong.push(format!("{} locks in no order", named(step)));
            }
        }
        for (at, table) in step.writes() {
            let update = step.words.get(at).is_some_and(|word| word == "UPDATE");
            if update
                && tables::owner(table).is_some()
                && !writes_locked(statement, step, at, table)
            {
                wrong.push(format!("{} updates {table} in no order", named(step)));
            }
        }
    }
    late(statement, &mut wrong);
    seen(statement, &mut wrong);
    wrong.sort();
    wrong.dedup();
    wrong
}

fn named(step: &Step) -> &str {
    if step.name.is_empty() { "the main part" } else { &step.name }
}

/// Whether one row is asked for, by a parameter: `id = $1`.
fn by_key(step: &Step) -> bool {
    step.words.windows(3).any(|three| {
        let key = three[0] == "id" || KEYS.iter().any(|(_, key)| three[0] == *key);
        key && three[1] == "=" && three[2].starts_with('$')
    })
}

/// Whether an UPDATE writes one row, or rows that some step has locked.
fn writes_locked(statement: &Statement, step: &Step, at: usize, table: &str) -> bool {
    let key = KEYS.iter().find(|(name, _)| *name == table).map_or("id", |(_, key)| *key);
    let words: Vec<&str> = step.words[at..].iter().map(String::as_str).collect();
    let locked = |name: &str| {
        statement.step(name).is_some_and(|from| {
            let behind = from.behind.iter().filter_map(|name| statement.step(name));
            std::iter::once(from).chain(behind).any(|step| step.lock().is_some())
        })
    };
    // A subquery of this name that reads what is locked.
    let subquery = |name: &str| {
        (1..words.len()).any(|end| {
            let open = (0..end).rev().find(|&open| {
                words[open] == "(" && sql::closing(&step.words[at..], open) == end - 1
            });
            words[end] == name
                && open.is_some_and(|open| words[open..end].iter().any(|word| locked(word)))
        })
    };
    let one = words
        .windows(3)
        .any(|three| three[0] == key && three[1] == "=" && three[2].starts_with('$'));
    let several = words.windows(5).any(|five| match five {
        [by, "=", from, ".", _] if *by == key => locked(from) || subquery(from),
        [by, "=", "ANY", "(", "ARRAY"] if *by == key => {
            words.windows(2).any(|two| two[0] == "FROM" && locked(two[1]))
        }
        _ => false,
    });
    one || several
}

/// A comparison that says that an instant has not passed yet.
#[derive(Debug)]
struct NotYet {
    column: String,
    late: bool,
}

/// Finds what has not passed by a clock that was read too early.
fn late(statement: &Statement, wrong: &mut Vec<String>) {
    let waiting: Vec<&str> = statement
        .steps
        .iter()
        .filter(|step| step.lock().is_some_and(|lock| lock.waits))
        .map(|step| step.name.as_str())
        .collect();
    if waiting.is_empty() {
        return;
    }
    let after_all = |step: &Step| {
        step.lock().is_none() && waiting.iter().all(|lock| step.behind.iter().any(|it| it == lock))
    };
    let asked: Vec<NotYet> =
        statement.steps.iter().flat_map(|step| not_yet(statement, step, &after_all)).collect();
    for early in asked.iter().filter(|it| !it.late) {
        if !asked.iter().any(|it| it.late && it.column == early.column) {
            wrong.push(format!("{} may have passed during a wait", early.column));
        }
    }
}

/// Every "not yet" of a step.
fn not_yet(statement: &Statement, step: &Step, after_all: &impl Fn(&Step) -> bool) -> Vec<NotYet> {
    let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
    let word = |at: usize| words.get(at).copied().unwrap_or("");
    // A clock is `clock_timestamp()`, or the column of a step that says `clock_timestamp() AS` this.
    let clock = |at: usize| -> Option<(usize, bool)> {
        if ["clock_timestamp", "statement_timestamp", "now"].contains(&word(at))
            && word(at + 1) == "("
        {
            return Some((3, word(at) == "clock_timestamp" && after_all(step)));
        }
        let from = statement.step(word(at)).filter(|_| word(at + 1) == ".")?;
        let reads = ["clock_timestamp", "(", ")", "AS", word(at + 2)];
        from.says(&reads).then(|| (3, after_all(from)))
    };
    let mut found = Vec::new();
    for at in 0..words.len() {
        let column = |at: usize| sql::is_name(word(at)).then(|| word(at).to_owned());
        let says = match word(at) {
            // column > clock
            ">" | ">=" => {
                clock(at + 1).and_then(|(_, late)| Some((column(at.checked_sub(1)?)?, late)))
            }
            // clock < column
            "<" | "<=" => {
                let before = at.checked_sub(3).and_then(clock).filter(|(length, _)| *length == 3);
                let name = if word(at + 2) == "." { at + 3 } else { at + 1 };
                before.and_then(|(_, late)| Some((column(name)?, late)))
            }
            // NOT has_lapsed(status, column, clock)
            "has_lapsed" if word(at.wrapping_sub(1)) == "NOT" => {
                let close = sql::closing(&step.words, at + 1);
                let late = (at..close).find_map(clock).map(|(_, late)| late);
                let second = words[at..close]
                    .iter()
                    .position(|word| *word == ",")
                    .map(|comma| at + comma + 1);
                let name = second.map(|at| if word(at + 1) == "." { at + 2 } else { at });
                late.and_then(|late| Some((column(name?)?, late)))
            }
            _ => None,
        };
        found.extend(says.map(|(column, late)| NotYet { column, late }));
    }
    found
}

/// Finds what is counted, or looked for, in rows that may be older than the lock.
fn seen(statement: &Statement, wrong: &mut Vec<String>) {
    if !statement.steps.iter().any(|step| step.lock().is_some()) {
        return;
    }
    let compared = statement.steps.iter().any(|step| {
        step.words.windows(7).any(|words| {
            let version = |at: usize| words[at] == "." && words[at + 1] == "version";
            version(1) && words[3] == "=" && version(5) && words[0] != words[4]
        })
    });
    if compared {
        return;
    }
    for step in &statement.steps {
        let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
        for at in 0..words.len() {
            let asks = match words[at] {
                "EXISTS" => words.get(at + 1) == Some(&"("),
                "count" | "sum" | "max" | "min" => words.get(at + 1) == Some(&"("),
                _ => false,
            };
            let from = words[at..].windows(2).find(|two| two[0] == "FROM").map(|two| two[1]);
            if let Some(table) = from.filter(|table| asks && tables::owner(table).is_some()) {
                wrong.push(format!("{table} is looked at before the lock"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(sql: &str, expected: &[&str]) {
        let found = wrong(&Statement::new("planted".to_owned(), 1, sql));
        assert_eq!(found, expected, "{sql}");
    }

    #[test]
    fn locks_that_foreign_keys_contest_are_named() {
        for lock in ["UPDATE", "SHARE", "KEY SHARE"] {
            says(
                &format!("SELECT 1 FROM seat WHERE id = $1 FOR {lock}"),
                &["contests foreign keys"],
            );
        }
        says("SELECT 1 FROM seat WHERE id = $1 FOR NO KEY UPDATE", &[]);
    }

    #[test]
    fn locks_in_no_order_are_named() {
        says(
            "WITH l AS (SELECT id FROM seat WHERE schedule_id = $1 FOR NO KEY UPDATE)
             UPDATE seat SET version = 2 FROM l WHERE seat.id = l.id",
            &[],
        );
        says(
            "WITH l AS (SELECT id FROM seat WHERE id = ANY($1) FOR NO KEY UPDATE)
             UPDATE seat SET version = 2 FROM l WHERE seat.id = l.id",
            &["l locks in no order"],
        );
        says(
            "UPDATE seat SET version = 2 WHERE grade = $1",
            &["the main part updates seat in no order"],
        );
        says(
            "WITH l AS (SELECT id FROM queue_token WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE),
             passed AS (UPDATE queue_token t SET version = 2 WHERE t.person_id = ANY($2)
                        AND t.number < (SELECT max(number) FROM l))
             UPDATE queue_token t SET version = 3 WHERE t.id = ANY (ARRAY(SELECT id FROM l))",
            &["passed updates queue_token in no order"],
        );
    }

    #[test]
    fn rows_that_were_locked_may_be_written_through_a_subquery() {
        let hold = |from: &str| {
            format!(
                "WITH l AS (SELECT id FROM seat WHERE id = ANY($1) FOR NO KEY UPDATE SKIP LOCKED),
                 other AS (SELECT id FROM seat)
                 UPDATE seat SET version = 2 FROM (SELECT a.id FROM {from} a JOIN other USING (id)) place
                 WHERE seat.id = place.id"
            )
        };
        says(&hold("l"), &[]);
        says(&hold("seat"), &["the main part updates seat in no order"]);
    }

    #[test]
    fn a_clock_that_was_read_before_the_lock_is_named_where_it_matters() {
        let cancel = |start: &str| {
            format!(
                "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
                 token AS MATERIALIZED (SELECT id FROM queue_token WHERE id = $1 FOR NO KEY UPDATE),
                 late AS MATERIALIZED (SELECT clock_timestamp() AS now FROM token)
                 SELECT 1 FROM clock, token, late, schedule s WHERE {start}"
            )
        };
        says(&cancel("s.starts_at > clock.now"), &["starts_at may have passed during a wait"]);
        says(&cancel("clock.now < s.starts_at"), &["starts_at may have passed during a wait"]);
        says(
            &cancel("NOT has_lapsed('HOLD', s.starts_at, clock.now)"),
            &["starts_at may have passed during a wait"],
        );
        says(&cancel("s.starts_at > now()"), &["starts_at may have passed during a wait"]);
        says(&cancel("s.starts_at > late.now"), &[]);
        says(&cancel("s.starts_at > clock_timestamp()"), &[]);
        says(&cancel("s.starts_at > clock.now AND s.starts_at > late.now"), &[]);
        // What has passed stays so, and what is written decides nothing.
        says(&cancel("s.starts_at <= clock.now"), &[]);
        says(&cancel("clock.now >= s.starts_at"), &[]);
        // The lock's own conditions are looked at before it is there.
        says(
            "SELECT 1 FROM queue_token WHERE id = $1 AND expires_at > clock_timestamp() FOR NO KEY UPDATE",
            &["expires_at may have passed during a wait"],
        );
        says(
            "SELECT 1 FROM queue_token WHERE id = $1 AND expires_at > clock_timestamp() FOR NO KEY UPDATE SKIP LOCKED",
            &[],
        );
    }

    #[test]
    fn what_is_older_than_the_lock_is_named() {
        let drain = |compared: &str| {
            format!(
                "WITH seen AS (SELECT version FROM queue_token WHERE id = $1),
                 held AS (SELECT t.id, t.version FROM queue_token t WHERE t.id = $1
                          AND NOT EXISTS (SELECT 1 FROM reservation r WHERE r.queue_token_id = t.id) FOR NO KEY UPDATE)
                 UPDATE queue_token t SET status = 'EXPIRED' FROM held, seen WHERE t.id = held.id {compared}"
            )
        };
        says(&drain(""), &["reservation is looked at before the lock"]);
        says(&drain("AND held.version = seen.version"), &[]);
        says(
            "WITH l AS (SELECT id FROM seat WHERE id = $1 FOR NO KEY UPDATE) SELECT count(*) FROM l",
            &[],
        );
    }
}
