//! The floors of the house (ARCHITECTURE.md), read out of the source text.
//!
//! A new module goes into `lib.rs` and into [`FLOORS`]; a rule that has to be broken somewhere gets a row with the reason.

mod ends;
mod formulas;
mod locks;
mod planted;
mod reading;
mod sql;
mod tables;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path as FilePath,
};

use reading::{Path, Reading};

/// Modules from the ground up. A module names modules of lower floors, and none beside it.
const FLOORS: &[&[&str]] = &[
    &["kernel"],
    &["db", "kv", "lanes", "rates", "tasks", "telemetry", "turns"],
    &["account", "catalogue", "gateway", "seat_map", "wallet"],
    &["waiting_room"],
    &["reservation"],
    &["payment", "sale", "audit", "desk", "erasure"],
    &["app"],
    &["api", "workers"],
    &["http"],
    &["sandbox"],
    &["cli"],
];

/// Who may name a neighbour on the same floor.
const NEIGHBOURS: &[(&str, &str, &str)] = &[
    (
        "kv",
        "telemetry",
        "counts the calls to Redis that failed, and tells operations what theirs took",
    ),
    ("db", "turns", "connections are given out in turn"),
    ("db", "tasks", "looks after idle connections"),
    ("db", "telemetry", "tells operations what their statements took"),
    ("kv", "tasks", "keeps the connection of pub/sub"),
    ("lanes", "tasks", "keeps the lanes"),
    ("lanes", "turns", "nobody waits beyond their request's deadline"),
    ("lanes", "telemetry", "counts how many requests share a group, and tells each what it took"),
    ("tasks", "telemetry", "counts and logs deaths"),
];

/// Files outside of `tasks` that start something beside themselves.
const SPAWNS: &[(&str, &str)] = &[
    ("account/password.rs", "hashes on a thread of its own; a panic there is its caller's fault"),
    ("seat_map/choose.rs", "looks through large halls on a thread of its own; the same"),
    ("http/graphql.rs", "writes large answers on a thread of its own; the same"),
];

/// Files outside of `workers` and `http` that wait for time to pass in a loop.
const LOOPS: &[(&str, &str)] = &[
    ("db/pool.rs", "asks idle connections whether they live, for as long as there is a pool"),
    ("turns/mod.rs", "looks whether the line moves, while somebody waits in it"),
    (
        "lanes/mod.rs",
        "looks whether the line in front of the lanes moves, while somebody waits in it",
    ),
    ("kv/fan_out.rs", "keeps one connection of the process subscribed, and reconnects it"),
    ("seat_map/watch.rs", "follows one hall for as long as somebody looks at it"),
    ("waiting_room/live/follow.rs", "follows one room for as long as somebody waits in it"),
    ("tasks/mod.rs", "starts again what died, after a pause"),
    (
        "telemetry/traces/export.rs",
        "sends again what the collector could not take; its worker is the loop",
    ),
    ("waiting_room/index/rebuild.rs", "looks twice before it rebuilds; its worker is the loop"),
];

const LINES_MAX: usize = 500;

/// A file of `src`, by its path from there.
struct Source {
    path: String,
    text: String,
    /// What is in it, of Rust.
    reading: Reading,
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let reading = if path.ends_with(".rs") { Reading::of(&text) } else { Reading::default() };
        Self { path, text, reading }
    }

    /// The file's module, from the root down: `http/websocket/mod.rs` is `http::websocket`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let mut steps: Vec<&str> = path.split('/').collect();
        if matches!(steps.last(), Some(&("mod" | "lib" | "main"))) {
            steps.pop();
        }
        steps
    }

    fn is_store(&self) -> bool {
        self.path.ends_with("/store.rs") || self.path.contains("/store/")
    }

    fn is_in(&self, modules: &[&str]) -> bool {
        self.module().first().is_some_and(|module| modules.contains(module))
    }
}

/// The source, read from the checkout.
fn house() -> Vec<Source> {
    fn read(folder: &FilePath, root: &FilePath, found: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, root, found);
            } else if path.extension().is_some_and(|it| it == "rs" || it == "sql") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(Source::new(path, text));
            }
        }
    }
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    read(&root, &root, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Everything that is wrong with a house, a line each.
fn faults(house: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    let tests = reachable(house, &mut faults);
    modules_agree(house, &mut faults);
    for source in house {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines, more than {LINES_MAX}", source.path));
        }
        for (index, line) in source.text.lines().enumerate() {
            if ["TODO", "FIXME", "XXX"].iter().any(|word| line.contains(word)) {
                faults.push(format!("{}:{}: a note to ourselves", source.path, index + 1));
            }
        }
        for path in &source.reading.paths {
            floors(source, path, &mut faults);
        }
        if !tests.contains(&source.path) {
            rules(source, &mut faults);
            faults.extend(tables::faults(source));
            faults.extend(locks::faults(source));
            faults.extend(formulas::faults(source));
            faults.extend(ends::faults(source));
        }
    }
    faults
}

/// Floors hold for tests too.
fn floors(source: &Source, path: &Path, faults: &mut Vec<String>) {
    let module = source.module();
    let ups = path.steps.iter().take_while(|step| *step == "super").count();
    let named = match path.steps.first().map(String::as_str) {
        Some("crate") => path.steps.get(1),
        // Only those that climb up to the root name a module of the house.
        Some("super") if ups >= module.len() + path.inline => path.steps.get(ups),
        _ => None,
    };
    let (Some(own), Some(named)) = (module.first(), named) else { return };
    if named == own || NEIGHBOURS.iter().any(|(from, to, _)| from == own && to == named) {
        return;
    }
    match (floor(own), floor(named)) {
        (Some(from), Some(to)) if to < from => {}
        (Some(from), Some(to)) => faults.push(format!(
            "{}:{}: {own} (floor {from}) names {named} (floor {to})",
            source.path, path.line
        )),
        _ => faults.push(format!("{}:{}: {named} has no floor", source.path, path.line)),
    }
}

/// What only some files may do, outside of tests.
fn rules(source: &Source, faults: &mut Vec<String>) {
    let mut fault = |line: usize, text: &str| {
        faults.push(format!("{}:{line}: {text}", source.path));
    };
    let starts = |path: &Path, steps: &[&str]| {
        path.steps.len() >= steps.len() && path.steps.iter().zip(steps).all(|(a, b)| a == b)
    };
    for path in source.reading.working_paths() {
        let first = path.steps[0].as_str();
        let deep = path.steps.len() > 1;
        if first == "async_graphql" && !source.is_in(&["api", "http"]) {
            fault(path.line, "async_graphql belongs to api and http");
        }
        if first == "sea_orm" && !source.is_in(&["db"]) && !source.is_store() {
            fault(path.line, "sea_orm belongs to db and stores");
        }
        if first == "migration" && deep && !source.is_in(&["db"]) {
            fault(path.line, "migrations are db's");
        }
        if first.starts_with("opentelemetry") && !source.is_in(&["telemetry"]) {
            fault(path.line, "spans are telemetry's");
        }
        if first == "redis" && deep && !source.is_in(&["kv"]) && !source.is_store() {
            fault(path.line, "redis belongs to kv and stores");
        }
        if starts(path, &["std", "env"])
            && source.path != "app/config.rs"
            && !source.is_in(&["cli"])
        {
            fault(path.line, "the environment is read by app/config.rs and cli only");
        }
    }
    for word in source.reading.working_words() {
        if word.method && (word.text == "expect" || word.text == "unwrap") {
            fault(word.line, "a fault is returned, not unwrapped");
        }
    }
    waits(source, &mut fault);
    starts_tasks(source, &mut fault);
    if matches!(source.path.rsplit('/').next(), Some("rules.rs" | "positions.rs")) {
        pure(source, &mut fault);
    }
    if source.is_in(&["kernel"]) {
        ground(source, &mut fault);
    }
}

/// Loops that wait live in workers and in the edge.
fn waits(source: &Source, fault: &mut impl FnMut(usize, &str)) {
    if source.is_in(&["workers", "http"]) || LOOPS.iter().any(|(path, _)| *path == source.path) {
        return;
    }
    let words = || source.reading.working_words();
    let loops = words().any(|word| word.text == "loop" || word.text == "while");
    for word in words() {
        match word.text.as_str() {
            "interval" | "interval_at" => fault(word.line, "intervals live in workers and http"),
            "sleep" | "sleep_until" if loops => {
                fault(word.line, "loops that wait live in workers and http");
            }
            _ => {}
        }
    }
}

/// Tasks are started by name, so that none dies without being seen.
fn starts_tasks(source: &Source, fault: &mut impl FnMut(usize, &str)) {
    const STARTS: &[&str] = &[
        "spawn",
        "spawn_on",
        "spawn_blocking",
        "spawn_blocking_on",
        "spawn_local",
        "spawn_local_on",
    ];
    if source.is_in(&["tasks"]) || SPAWNS.iter().any(|(path, _)| *path == source.path) {
        return;
    }
    for word in source.reading.working_words() {
        let by_name = word.receiver.as_deref() == Some("tasks");
        if STARTS.contains(&word.text.as_str()) && !by_name {
            fault(word.line, "tasks are started by name, through `tasks`");
        }
    }
}

/// Rules get facts and return decisions.
fn pure(source: &Source, fault: &mut impl FnMut(usize, &str)) {
    const IMPURE: &[&str] = &[
        "async",
        "await",
        "tokio",
        "tracing",
        "Instant",
        "SystemTime",
        "Utc",
        "Local",
        "rand",
        "now_v7",
        "new_v4",
        "thread",
        "env",
        "fs",
        "net",
        "Mutex",
        "Db",
        "Kv",
        "Metrics",
    ];
    for word in source.reading.working_words() {
        if IMPURE.contains(&word.text.as_str()) {
            fault(word.line, &format!("rules are pure, and `{}` is not", word.text));
        }
    }
}

/// The kernel waits for nothing and knows no framework.
fn ground(source: &Source, fault: &mut impl FnMut(usize, &str)) {
    for word in source.reading.working_words() {
        if word.text == "async" || word.text == "await" {
            fault(word.line, "nothing in the kernel is async");
        }
    }
    for path in source.reading.working_paths() {
        let first = path.steps[0].as_str();
        if path.steps.len() > 1 && ["tokio", "axum", "tracing", "clap"].contains(&first) {
            fault(path.line, "the kernel knows no framework");
        }
    }
}

/// The floor table, `lib.rs` with its comments, and the folder say the same.
fn modules_agree(house: &[Source], faults: &mut Vec<String>) {
    let on_disk: BTreeSet<&str> =
        house.iter().filter_map(|source| source.module().first().copied()).collect();
    let in_table: BTreeSet<&str> = FLOORS.iter().copied().flatten().copied().collect();
    let lib = house.iter().find(|source| source.path == "lib.rs").map_or("", |lib| &lib.text);
    let mut in_lib: BTreeMap<&str, Option<usize>> = BTreeMap::new();
    let mut current = None;
    for line in lib.lines() {
        if let Some(rest) = line.strip_prefix("// Floor ") {
            current = rest.split(':').next().and_then(|number| number.parse().ok());
        } else if let Some(name) = line.strip_prefix("pub mod ") {
            in_lib.insert(name.trim_end_matches(';'), current);
        }
    }
    for module in on_disk.iter().chain(&in_table).chain(in_lib.keys()).collect::<BTreeSet<_>>() {
        let told = in_lib.get(module).copied().flatten();
        if !on_disk.contains(module) {
            faults.push(format!("{module}: has no source"));
        } else if !in_lib.contains_key(module) {
            faults.push(format!("{module}: is not in lib.rs"));
        } else if floor(module).is_none() {
            faults.push(format!("{module}: has no floor"));
        } else if told != floor(module) {
            faults.push(format!("{module}: floor {told:?} in lib.rs, {:?} here", floor(module)));
        }
    }
}

/// Follows `mod` from the roots. What is not found is a fault; returned are the files that are compiled for tests only.
fn reachable(house: &[Source], faults: &mut Vec<String>) -> BTreeSet<String> {
    let by_path: BTreeMap<&str, &Source> =
        house.iter().map(|source| (source.path.as_str(), source)).collect();
    let mut seen: BTreeMap<String, bool> = BTreeMap::new();
    let mut next: Vec<(String, bool)> =
        vec![("lib.rs".to_owned(), false), ("main.rs".to_owned(), false)];
    while let Some((path, test)) = next.pop() {
        let Some(source) = by_path.get(path.as_str()) else { continue };
        if seen.insert(path, test).is_none() {
            next.extend(children(source).into_iter().map(|(child, own)| (child, test || own)));
        }
    }
    for source in house.iter().filter(|source| source.path.ends_with(".rs")) {
        if !seen.contains_key(&source.path) {
            faults.push(format!("{}: is part of no module", source.path));
        }
    }
    seen.into_iter().filter(|(_, test)| *test).map(|(path, _)| path).collect()
}

/// The files that a file's `mod name;` may mean, and whether for tests only.
fn children(source: &Source) -> Vec<(String, bool)> {
    let module = source.module();
    let folder = |steps: &[&str]| steps.iter().map(|step| format!("{step}/")).collect::<String>();
    let beside =
        source.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let mut found = Vec::new();
    for reading::Declared { name, path, test } in &source.reading.modules {
        match path {
            Some(path) => found.push((format!("{beside}{path}"), *test)),
            None => {
                found.push((format!("{}{name}.rs", folder(&module)), *test));
                found.push((format!("{}{name}/mod.rs", folder(&module)), *test));
            }
        }
    }
    found
}

#[test]
fn the_house_stands() {
    let faults = faults(&house());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_exception_is_needed() {
    let house = house();
    for (path, _) in LOOPS {
        let source = house.iter().find(|source| source.path == *path);
        let reading = &source.unwrap_or_else(|| panic!("{path} is gone")).reading;
        let waits = ["interval", "sleep", "sleep_until"];
        assert!(
            reading.working_words().any(|word| waits.contains(&word.text.as_str())),
            "{path} does not wait any more"
        );
    }
    for (path, _) in SPAWNS {
        let source = house.iter().find(|source| source.path == *path);
        let text = &source.unwrap_or_else(|| panic!("{path} is gone")).text;
        assert!(text.contains("spawn"), "{path} starts nothing any more");
    }
    let unneeded: Vec<String> = tables::unneeded(&house).chain(locks::unneeded(&house)).collect();
    assert!(unneeded.is_empty(), "\n{}\n", unneeded.join("\n"));
}

#[test]
fn migrations_do_not_know_the_server() {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("migration");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
    assert!(!dependencies.contains("frontrow") && !dependencies.contains("path"), "{manifest}");
    let source = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    assert!(!Reading::of(&source).words.iter().any(|word| word.text == "frontrow"));
}

#[test]
fn every_dependency_says_why_it_is_here() {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let (server, migration) = (read("Cargo.toml"), read("migration/Cargo.toml"));
    let named = |manifest: &str, section: &str| -> BTreeSet<String> {
        let after = manifest.split_once(&format!("\n[{section}]\n")).unwrap().1;
        let lines = after.lines().take_while(|line| !line.starts_with('['));
        lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_owned()).collect()
    };
    let text = read("docs/dependencies.md");
    let told = |heading: &str| -> BTreeSet<String> {
        let after = text.split_once(&format!("\n## {heading}\n")).unwrap().1;
        let lines = after.lines().take_while(|line| !line.starts_with("## "));
        lines
            .filter_map(|line| line.strip_prefix("- **")?.split_once("**: "))
            .map(|(name, _)| name.to_owned())
            .collect()
    };
    assert_eq!(named(&server, "dependencies"), told("Of the server"));
    assert_eq!(named(&migration, "dependencies"), told("Of the migrations"));
    assert_eq!(named(&server, "dev-dependencies"), told("Of the tests"));
}
