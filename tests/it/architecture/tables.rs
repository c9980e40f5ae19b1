//! Each table has one feature that writes it.
//!
//! A statement that has to write several tables for one commit lives in the highest feature that it serves. So it may write
//! tables of features below its own, as long as it writes one of its own too; [`BELOW`] says which, and why.

use std::{collections::BTreeSet, fs, path::Path as FilePath};

use super::{
    Source, floor,
    sql::{self, Statement},
};

/// Tables and the feature that writes them.
const TABLES: &[(&str, &str)] = &[
    ("person", "account"),
    ("session", "account"),
    ("ended_session", "account"),
    ("external_identity", "account"),
    ("concert", "catalogue"),
    ("schedule", "catalogue"),
    ("waiting_room", "waiting_room"),
    ("queue_counter", "waiting_room"),
    ("admission", "waiting_room"),
    ("queue_token", "waiting_room"),
    ("reservation", "reservation"),
    ("reservation_seat", "reservation"),
    ("seat", "reservation"),
    ("wallet", "wallet"),
    ("wallet_entry", "wallet"),
    ("payment", "payment"),
    ("audit_run", "audit"),
];

/// Which features write tables of features below them, in statements that write a table of their own.
const BELOW: &[(&str, &str, &str)] = &[
    (
        "reservation",
        "queue_token",
        "holding and giving back extend the ACTIVE time, with the seats or not at all",
    ),
    ("payment", "queue_token", "a purchase uses the turn up, or extends it"),
    ("payment", "reservation", "a hold becomes a purchase with the payment or not at all"),
    ("payment", "seat", "as its reservation"),
    ("payment", "wallet", "the points leave with the payment or not at all"),
    ("payment", "wallet_entry", "as the balance"),
];

/// The feature that writes a table.
pub(super) fn owner(table: &str) -> Option<&'static str> {
    TABLES.iter().find(|(name, _)| *name == table).map(|(_, owner)| *owner)
}

/// What a statement writes that is not its feature's: the table, and what is wrong with that unless it is listed.
fn strange<'a>(source: &'a Source, statement: &'a Statement) -> Vec<(&'a str, String)> {
    let feature = source.module().first().map_or("", |module| *module);
    let own = statement.written().any(|table| owner(table) == Some(feature));
    let wrong = |table| match owner(table) {
        None => Some(format!("{table} is no table that anybody owns")),
        Some(owner) if owner == feature => None,
        Some(owner) if floor(owner) >= floor(feature) => {
            Some(format!("{table} is {owner}'s, which is not below {feature}"))
        }
        Some(owner) if !own => {
            Some(format!("{table} is {owner}'s, and nothing of {feature}'s is written with it"))
        }
        Some(owner) => BELOW
            .iter()
            .all(|(from, to, _)| (*from, *to) != (feature, table))
            .then(|| format!("{table} is {owner}'s")),
    };
    let tables: BTreeSet<&str> = statement.written().collect();
    tables.into_iter().filter_map(|table| Some((table, wrong(table)?))).collect()
}

/// What is wrong with the writes of a file.
pub(super) fn faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for statement in sql::statements(source) {
        let at = format!("{}:{}", source.path, statement.line);
        if !source.is_store() && statement.written().any(|table| owner(table).is_some()) {
            faults.push(format!("{at}: statements that write live in stores"));
        }
        for (table, wrong) in strange(source, &statement) {
            if source.is_store() || owner(table).is_some() {
                faults.push(format!("{at}: {} writes {table}: {wrong}", statement.name));
            }
        }
    }
    for path in source.reading.working_paths().filter(|_| source.is_store()) {
        let changes = [
            "insert",
            "insert_many",
            "update",
            "update_many",
            "delete",
            "delete_many",
            "delete_by_id",
        ];
        let entity = path.steps.iter().rev().nth(1).is_some_and(|step| step == "Entity");
        if entity && path.steps.last().is_some_and(|last| changes.contains(&last.as_str())) {
            faults.push(format!("{}:{}: what writes is written in SQL", source.path, path.line));
        }
    }
    faults
}

/// Exceptions that nothing needs any more.
pub(super) fn unneeded(house: &[Source]) -> impl Iterator<Item = String> {
    let mut below: BTreeSet<(&str, &str)> = BELOW.iter().map(|row| (row.0, row.1)).collect();
    for source in house.iter().filter(|source| source.is_store()) {
        let feature = source.module().first().map_or("", |module| *module);
        for statement in sql::statements(source) {
            let own = statement.written().any(|table| owner(table) == Some(feature));
            below.retain(|(from, to)| {
                !(own && *from == feature && statement.written().any(|table| table == *to))
            });
        }
    }
    below.into_iter().map(|(who, what)| format!("{who} does not write {what} any more"))
}

#[test]
fn every_table_has_an_owner() {
    let folder = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("migration/src/sql");
    let mut made = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let words = sql::words(&fs::read_to_string(file.unwrap().path()).unwrap());
        for three in words.windows(3) {
            match (three[0].as_str(), three[1].as_str()) {
                ("CREATE", "TABLE") => drop(made.insert(three[2].clone())),
                ("DROP", "TABLE") => drop(made.remove(&three[2])),
                _ => {}
            }
        }
    }
    let owned: BTreeSet<String> = TABLES.iter().map(|(table, _)| (*table).to_owned()).collect();
    assert_eq!(made, owned);
}

#[test]
fn exceptions_are_for_tables_of_lower_floors() {
    for (from, to, _) in BELOW {
        assert!(owner(to).and_then(floor) < floor(from), "{from} may not write {to}");
    }
}

#[test]
fn writes_are_found_and_nothing_else() {
    for (text, tables) in [
        ("INSERT INTO seat AS s (id) VALUES ($1)", vec!["seat"]),
        ("UPDATE ONLY seat SET a = 1", vec!["seat"]),
        (
            "WITH a AS (DELETE FROM wallet w), b AS (MERGE INTO person USING a ON true) SELECT 1",
            vec!["wallet", "person"],
        ),
        ("COPY seat FROM STDIN", vec!["seat"]),
        ("TRUNCATE TABLE seat", vec!["seat"]),
        ("SELECT 1 FROM seat FOR UPDATE OF seat", vec![]),
        ("SELECT 1 FROM seat FOR NO KEY UPDATE OF seat", vec![]),
        ("INSERT INTO wallet (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", vec!["wallet"]),
        ("SELECT 'UPDATE seat' -- DELETE FROM seat\n FROM person", vec![]),
    ] {
        let statement = Statement::new(String::new(), 1, text);
        assert_eq!(statement.written().collect::<Vec<_>>(), tables, "{text}");
    }
}
