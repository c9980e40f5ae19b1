//! The scan finds what it is there for: faults planted into a small house, and decoys that are none.

use super::{FLOORS, Source, faults, reading::Reading};

/// A house of one empty file per module that stands, with files replaced or added.
fn with(files: &[(&str, &str)]) -> Vec<String> {
    let mut lib = String::new();
    let mut house = vec![Source::new("main.rs".to_owned(), String::new())];
    for (floor, modules) in FLOORS.iter().enumerate() {
        lib.push_str(&format!("// Floor {floor}: words.\n"));
        for module in *modules {
            lib.push_str(&format!("pub mod {module};\n"));
            house.push(Source::new(format!("{module}/mod.rs"), String::new()));
        }
    }
    house.push(Source::new("lib.rs".to_owned(), lib));
    for (path, text) in files {
        house.retain(|source| source.path != *path);
        house.push(Source::new((*path).to_owned(), (*text).to_owned()));
    }
    faults(&house)
}

#[track_caller]
fn reported(files: &[(&str, &str)], part: &str) {
    let faults = with(files);
    assert!(faults.len() == 1 && faults[0].contains(part), "{part:?} expected, got {faults:?}");
}

#[track_caller]
fn stands(files: &[(&str, &str)]) {
    assert_eq!(with(files), Vec::<String>::new());
}

#[test]
fn an_empty_house_stands() {
    stands(&[]);
}

#[test]
fn a_higher_floor_or_a_neighbour_is_reported() {
    for (path, text, part) in [
        ("kernel/mod.rs", "use crate::db::Db;", "kernel (floor 0) names db (floor 1)"),
        ("account/mod.rs", "use crate::{kernel::X, wallet};", "account (floor 2) names wallet"),
        ("wallet/mod.rs", "fn f() { crate::api::sdl(); }", "wallet (floor 2) names api"),
        ("wallet/mod.rs", "use super::payment::pay;", "wallet (floor 2) names payment"),
        ("api/mod.rs", "use crate::workers;", "api (floor 7) names workers"),
        ("db/mod.rs", "#[cfg(test)] mod tests { use crate::http; }", "db (floor 1) names http"),
        ("db/mod.rs", "mod inner { use super::super::http; }", "db (floor 1) names http"),
    ] {
        reported(&[(path, text)], part);
    }
    let deep = "use super::super::{kernel, payment::{Pay, X}};";
    let files = [("reservation/mod.rs", "mod hold;"), ("reservation/hold.rs", deep)];
    // Two ends of one group, both of payment.
    assert_eq!(with(&files).len(), 2);
    let deeper = "use super::{super::{super::app::App, other}, x};";
    let files = [
        ("reservation/mod.rs", "mod store;"),
        ("reservation/store/mod.rs", "mod hold;"),
        ("reservation/store/hold.rs", deeper),
    ];
    reported(&files, "reservation (floor 4) names app (floor 6)");
}

#[test]
fn lower_floors_and_ones_own_house_are_fine() {
    stands(&[
        ("http/mod.rs", "mod ws; use crate::{api::X, kernel::{self, Y}, http::z}; use super::app;"),
        ("http/ws.rs", "use super::super::kernel; use super::db; mod t { use super::super::cli; }"),
        ("kv/mod.rs", "use crate::{tasks::Tasks, telemetry::Metrics};"),
        ("tasks/mod.rs", "use crate::telemetry::Metrics;"),
    ]);
}

#[test]
fn comments_and_texts_are_not_read() {
    stands(&[(
        "kernel/mod.rs",
        r##"//! Not `crate::db`.
            /* use crate::db; /* nested */ use crate::kv; */
            /// As [`crate::http`] says.
            const A: &str = "use crate::db; \" use crate::kv;";
            const B: &str = r#"crate::db::"x" redis::cmd"#;
            const C: (char, &[u8]) = ('"', b"crate::db");
            fn f<'a>(x: &'a str) -> char { '\'' }"##,
    )]);
}

#[test]
fn a_module_without_a_floor_or_a_place_in_the_map_is_reported() {
    let faults = with(&[("gossip/mod.rs", "")]);
    assert!(faults.contains(&"gossip: is not in lib.rs".to_owned()), "{faults:?}");
    let mut lib: String = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, modules)| {
            modules.iter().map(move |module| format!("// Floor {floor}: x\npub mod {module};\n"))
        })
        .collect();
    let told =
        lib.replace("// Floor 3: x\npub mod waiting_room", "// Floor 4: x\npub mod waiting_room");
    reported(&[("lib.rs", &told)], "waiting_room: floor Some(4) in lib.rs, Some(3) here");
    lib.push_str("pub mod gossip;\n");
    reported(&[("lib.rs", &lib), ("gossip.rs", "")], "gossip: has no floor");
    reported(&[("lib.rs", &lib)], "gossip: has no source");
}

#[test]
fn a_file_that_nothing_declares_is_reported() {
    reported(&[("wallet/lost.rs", "")], "wallet/lost.rs: is part of no module");
    stands(&[
        ("wallet/mod.rs", "mod charge; #[cfg(test)] #[path = \"odd_tests.rs\"] mod tests;"),
        ("wallet/charge.rs", "mod inner;"),
        ("wallet/charge/inner.rs", ""),
        ("wallet/odd_tests.rs", "fn f() { x.unwrap(); }"),
    ]);
}

#[test]
fn what_is_compiled_for_tests_and_fuzzers_alone_is_no_part_of_the_program() {
    let unwraps = ("wallet/odd.rs", "fn f() { x.unwrap(); }");
    stands(&[("wallet/mod.rs", "#[cfg(any(test, fuzzing))] mod odd;"), unwraps]);
    for condition in ["any(test, unix)", "not(test)", "any(fuzzing, feature = \"x\")", "unix"] {
        let text = format!("#[cfg({condition})] mod odd;");
        reported(&[("wallet/mod.rs", &text), unwraps], "a fault is returned");
    }
}

#[test]
fn doors_are_kept() {
    let store = ("wallet/store.rs", "use sea_orm::Value; use redis::Script;");
    stands(&[("wallet/mod.rs", "mod store;"), store, ("db/mod.rs", "use migration::Migrator;")]);
    for (path, text, part) in [
        ("api/mod.rs", "use sea_orm::Value;", "sea_orm belongs"),
        ("wallet/mod.rs", "#[sea_orm(nested)] struct X;", "sea_orm belongs"),
        ("wallet/mod.rs", "use async_graphql::Object;", "async_graphql belongs"),
        ("workers/mod.rs", "async fn f() { redis::cmd(x); }", "redis belongs"),
        ("http/mod.rs", "use migration::Migrator;", "migrations are db's"),
        ("api/mod.rs", "use std::{env, fmt};", "the environment"),
        ("db/mod.rs", "fn f() { std::env::var(x); }", "the environment"),
    ] {
        reported(&[(path, text)], part);
    }
    stands(&[("cli/mod.rs", "use std::env;"), ("http/mod.rs", "fn f(redis: bool) { redis; }")]);
}

#[test]
fn rules_stay_pure() {
    for (text, part) in [
        ("async fn f() {}", "`async`"),
        ("fn f() { chrono::Utc::now(); }", "`Utc`"),
        ("use std::time::Instant;", "`Instant`"),
        ("fn f() { tracing::info!(x); }", "`tracing`"),
    ] {
        reported(&[("wallet/mod.rs", "mod rules;"), ("wallet/rules.rs", text)], part);
    }
    let tested =
        "fn f() {} #[cfg(test)] mod tests { use std::time::Instant; fn g() { x.unwrap() } }";
    stands(&[("wallet/mod.rs", "mod rules;"), ("wallet/rules.rs", tested)]);
    reported(&[("kernel/mod.rs", "async fn f() {}")], "nothing in the kernel is async");
}

#[test]
fn waiting_in_loops_is_for_workers() {
    for (text, part) in [
        ("use tokio::time::interval;", "intervals live"),
        ("async fn f() { loop { tokio::time::sleep(X).await; } }", "loops that wait"),
    ] {
        reported(&[("wallet/mod.rs", text)], part);
        stands(&[("workers/mod.rs", text)]);
    }
    stands(&[("wallet/mod.rs", "async fn f() { tokio::time::sleep(X).await; loop_back(); }")]);
}

#[test]
fn tasks_are_started_by_name() {
    for text in [
        "fn f() { tokio::spawn(x); }",
        "fn f() { tokio::task::spawn(x); }",
        "use tokio::spawn;",
        "use tokio::{spawn as start};",
        "fn f() { tracker.spawn(x); }",
        "fn f() { self.work.spawn_on(x, y); }",
        "fn f() { handle.spawn_blocking(x); }",
        "fn f() { std::thread::spawn(x); }",
    ] {
        reported(&[("wallet/mod.rs", text)], "tasks are started by name");
        stands(&[("tasks/mod.rs", text)]);
    }
    stands(&[(
        "wallet/mod.rs",
        "fn f() { self.tasks.spawn(\"x\", y); tasks.spawn(\"x\", y); respawn(z); }
         #[cfg(test)] mod tests { fn g() { tokio::spawn(x); } }",
    )]);
}

#[test]
fn loose_ends_are_reported() {
    reported(&[("wallet/mod.rs", "// TODO: more")], "a note to ourselves");
    reported(&[("wallet/mod.rs", "fn f() { x.unwrap(); }")], "not unwrapped");
    reported(&[("wallet/mod.rs", "fn f() { x\n.expect(\"y\"); }")], "wallet/mod.rs:2");
    stands(&[("wallet/mod.rs", "#[expect(unused)] fn f() { x.unwrap_or(1); }")]);
    reported(&[("wallet/mod.rs", &"\n".repeat(501))], "501 lines");
}

#[test]
fn lines_are_those_of_the_file() {
    let text = "/* a\n*/ const A: &str = \"x\ny\"; fn b() {}\n// c\nfn d() { e!(f, \"g\") }";
    let reading = Reading::of(text);
    let lines: Vec<(&str, usize)> =
        reading.words.iter().map(|word| (word.text.as_str(), word.line)).collect();
    assert_eq!(lines, [("A", 2), ("str", 2), ("b", 3), ("d", 5), ("e", 5), ("f", 5)]);
    let texts: Vec<(&str, usize, &str)> = reading
        .texts
        .iter()
        .map(|text| (text.text.as_str(), text.line, text.function.as_str()))
        .collect();
    assert_eq!(texts, [("x\ny", 2, ""), ("g", 5, "d")]);
}

#[test]
fn macros_are_read_too() {
    for (text, part) in [
        ("fn f() { vec![crate::http::X]; }", "wallet (floor 2) names http"),
        ("fn f() { tokio::select! { _ = tokio::spawn(x) => {} } }", "tasks are started by name"),
        ("fn f() { assert!(x.unwrap()); }", "not unwrapped"),
    ] {
        reported(&[("wallet/mod.rs", text)], part);
    }
    stands(&[("wallet/mod.rs", "fn f() { select! { _ = self.tasks.spawn(\"x\", y) => {} } }")]);
}

#[test]
fn a_second_writer_of_a_table_is_reported() {
    let beside = ("wallet/mod.rs", "mod store;");
    let store = |sql: &str| {
        format!("fn f(db: &Db) {{ const SQL: &str = \"{sql}\"; db.run(SQL, vec![]); }}")
    };
    for (sql, part) in [
        ("UPDATE seat SET version = 2 WHERE id = $1", "seat is reservation's"),
        ("INSERT INTO person (id) VALUES ($1)", "person is account's"),
        (
            "WITH w AS (UPDATE wallet SET balance = 1 WHERE person_id = $1) DELETE FROM payment",
            "payment is payment's",
        ),
        ("COPY nothing FROM STDIN", "nothing is no table"),
    ] {
        reported(&[beside, ("wallet/store.rs", &store(sql))], part);
    }
    stands(&[
        beside,
        ("wallet/store.rs", &store("UPDATE wallet SET balance = 1 WHERE person_id = $1")),
    ]);
    // A file of SQL, and a statement that serves two features, one of them above.
    let files =
        ("reservation/store/planted.sql", "UPDATE queue_token SET version = 1 WHERE id = $1");
    reported(
        &[files],
        "queue_token is waiting_room's, and nothing of reservation's is written with it",
    );
    let both = "WITH t AS (UPDATE queue_token SET version = 1 WHERE id = $1) UPDATE seat SET version = 1 WHERE id = $2";
    stands(&[("reservation/store/planted.sql", both)]);
    reported(
        &[("waiting_room/store/planted.sql", both)],
        "seat is reservation's, which is not below waiting_room",
    );
    reported(
        &[("wallet/mod.rs", &store("UPDATE wallet SET balance = 1 WHERE person_id = $1"))],
        "live in stores",
    );
    let entity = "fn f(db: &Db) { wallet::Entity::update_many().exec(db); }";
    reported(&[beside, ("wallet/store.rs", entity)], "written in SQL");
}

#[test]
fn a_statement_that_decides_by_what_is_older_than_its_lock_is_reported() {
    let sql = "SELECT 1 FROM queue_token WHERE id = $1 AND expires_at > clock_timestamp() FOR NO KEY UPDATE";
    reported(&[("reservation/store/planted.sql", sql)], "expires_at may have passed during a wait");
}
