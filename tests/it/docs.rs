//! What the documents say of settings and limits is so: every name exists, and no limit is left out. What is true of every page
//! stands below `docs`.

mod alerts;
mod blocks;
mod data_model;
mod mermaid;
mod pages;

use std::{collections::BTreeSet, fs, path::Path};

use crate::cli::run;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of settings in a text.
fn settings(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.split(|c: char| !word(c))
        .filter(|name| {
            let ours =
                name.starts_with("FRONTROW_") || ["DATABASE_URL", "REDIS_URL"].contains(name);
            // OpenTelemetry's, but for what its library reads by itself.
            ours || name.starts_with("OTEL_") && *name != "OTEL_RESOURCE_ATTRIBUTES"
        })
        .map(str::to_owned)
        .collect()
}

/// The settings of all commands.
async fn known() -> BTreeSet<String> {
    let all = run(&["--help"], &[], "").await.out;
    let (_, all) = all.split_once("Commands:").expect("a list of commands");
    let mut known = BTreeSet::new();
    for command in all.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()) {
        if !["", "help"].contains(&command) {
            known.extend(settings(&run(&[command, "--help"], &[], "").await.out));
        }
    }
    assert!(known.len() > 50, "{known:?}");
    known
}

/// Where variables of the environment are set: by us, for the program or for what stands around it.
const SETTERS: &[&str] = &[
    "dev",
    "docker-compose.yml",
    "Dockerfile",
    ".ci",
    "bench",
    "deploy",
    "mock",
    "scripts",
    "stampede",
    "storm",
    "tests/clients",
    "tests/deploy",
];

/// The text of every file below a path, by its own.
fn texts(path: &Path) -> Vec<(String, String)> {
    let name = path.file_name().unwrap_or_default();
    if name == "node_modules" {
        return Vec::new();
    }
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        return entries.flat_map(|entry| texts(&entry.unwrap().path())).collect();
    }
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    vec![(path.display().to_string(), text)]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_around_the_program_is_known_to_it_or_has_a_name_of_others() {
    let known = known().await;
    let of_others = |name: &str| {
        ["FRONTROW_COMPOSE_", "FRONTROW_MOCK_", "FRONTROW_TEST_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let (mut found, mut unknown) = (0, Vec::new());
    for setter in SETTERS {
        for (path, text) in texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join(setter)) {
            for name in settings(&text) {
                found += 1;
                // What ends so is the beginning of names.
                if !name.ends_with('_') && !known.contains(&name) && !of_others(&name) {
                    unknown.push(format!("{name} in {path}"));
                }
            }
        }
    }
    assert!(found > 60, "{found}");
    assert!(unknown.is_empty(), "a server that inherits these refuses to start: {unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_documented_and_those_documented_exist() {
    let known = known().await;
    let (readme, limits) = (read("README.md"), read("docs/limits.md"));
    let documented = settings(&(readme.clone() + &limits));
    let missing: Vec<_> = known.difference(&documented).collect();
    assert!(missing.is_empty(), "in neither README.md nor docs/limits.md: {missing:?}");
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "docs/limits.md",
        "docs/operating.md",
        "docs/deployment.md",
        "docs/fairness.md",
        "docs/payments.md",
        "docs/runbooks.md",
        "docs/on-sale.md",
        "docs/maintenance.md",
        "docs/diagrams.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
    ] {
        let named = settings(&read(document));
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{document} names what does not exist: {unknown:?}");
    }
}

#[test]
fn every_token_of_the_sandbox_is_documented() {
    let text = read("docs/payments.md");
    let tokens: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `tok_")?.split_once('`'))
        .map(|(token, _)| token)
        .collect();
    let known = frontrow::sandbox::Token::ALL.iter().map(|token| &token.as_str()["tok_".len()..]);
    assert_eq!(tokens, known.collect());
}

/// The rows of docs/limits.md: the limit, its default, and where it is changed.
fn rows(text: &str) -> Vec<(String, String, String)> {
    let cells = |line: &str| line.split(" | ").map(str::to_owned).collect::<Vec<_>>();
    // Tables of limits begin so; others tell what things cost.
    let tables = text.split("| limit | default | reason | change |\n").skip(1);
    tables
        .flat_map(|table| table.lines().skip(1).take_while(|line| line.starts_with("| ")))
        .map(|line| {
            let cells = cells(line.trim_matches(['|', ' ']));
            assert_eq!(cells.len(), 4, "{line}");
            (cells[0].clone(), cells[1].clone(), cells[3].clone())
        })
        .collect()
}

/// Files that a cell names, and the names in front of each.
fn places(cell: &str) -> Vec<(Vec<String>, String)> {
    let (mut found, mut names) = (Vec::new(), Vec::new());
    for part in cell.split([' ', ',', ';']).filter(|part| !part.is_empty()) {
        if let Some(name) = part.strip_prefix('`').and_then(|part| part.strip_suffix('`')) {
            // After a file a new list of names begins, unless another file follows.
            if found.last().is_some_and(|(owners, _): &(Vec<String>, String)| *owners == names) {
                names.clear();
            }
            names.push(name.to_owned());
        } else if part.ends_with(".rs") || part.ends_with(".lua") {
            found.push((names.clone(), part.to_owned()));
        }
    }
    found
}

#[test]
fn limits_are_where_the_document_says() {
    let rows = rows(&read("docs/limits.md"));
    assert!(rows.len() > 50, "{}", rows.len());
    let (mut compared, mut wrong) = (0, Vec::new());
    for (limit, default, change) in rows {
        let places = places(&change);
        let setting = change.contains("setting") || change.contains("input");
        assert!(!places.is_empty() || setting || change.contains(".sql"), "{limit}: {change}");
        for (names, file) in places {
            let source = read(&format!("src/{file}"));
            for name in names.iter().filter(|name| !name.starts_with("FRONTROW_")) {
                let input = name.starts_with(char::is_lowercase) && change.contains("input");
                let there = [":", " ", "(", "\n"]
                    .iter()
                    .any(|end| source.contains(&format!("{name}{end}")));
                let there = there || source.contains(&format!("{name}<"));
                assert!(input || there, "{limit}: there is no {name} in src/{file}");
                let written = written(&source, name);
                compared += usize::from(!written.is_empty());
                if !written.is_empty() && !written.iter().any(|value| says(&default, value)) {
                    wrong.push(format!(
                        "{limit}: {name} in src/{file} is {written:?}, not {default:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 80, "{compared}");
}

/// Whether a cell has a value that is not a part of a larger one.
fn says(cell: &str, value: &str) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit() || c == ',');
    cell.match_indices(value).any(|(at, _)| {
        let (before, after) = (&cell[..at], &cell[at + value.len()..]);
        let goes_on = after.strip_prefix(',').unwrap_or(after).chars().next();
        !digit(before.chars().next_back()) && !goes_on.is_some_and(|c| c.is_ascii_digit())
    })
}

/// The ways in which the value of a constant, or of a field's default, may be written; none where it is no plain number or time.
fn written(source: &str, name: &str) -> Vec<String> {
    let constant = source.split_once(&format!("const {name}: "));
    let constant = constant.and_then(|(_, rest)| rest.split_once(" = "));
    // In an `impl Default`.
    let field = || {
        let (_, defaults) = source.split_once("fn default() -> Self {")?;
        Some(defaults.split_once(&format!("\n            {name}: "))?.1.split_once(",\n")?.0)
    };
    let value = constant.and_then(|(_, value)| value.split(';').next()).or_else(field);
    let Some(value) = value.map(str::trim) else { return Vec::new() };
    let number = |text: &str| -> Option<u128> {
        text.split(" * ").try_fold(1, |product, part| {
            Some(product * part.replace('_', "").parse::<u128>().ok()?)
        })
    };
    let time = |unit: &str| {
        number(value.strip_prefix(&format!("Duration::from_{unit}("))?.strip_suffix(')')?)
    };
    if let Some(seconds) = time("secs") {
        return vec![format!("{seconds} s")];
    }
    if let Some(millis) = time("millis") {
        return vec![format!("{millis} ms")];
    }
    let value = value.split_once("..=").map_or(value, |(_, most)| most);
    let Some(number) = number(value) else { return Vec::new() };
    let mut ways = vec![number.to_string(), grouped(number)];
    for (unit, size) in [("KiB", 1024), ("MiB", 1024 * 1024)] {
        if number % size == 0 {
            ways.push(format!("{} {unit}", number / size));
        }
    }
    ways
}

/// 1,234,567
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn a_value_is_read_and_found_as_a_whole() {
    let source = "const A_MAX: usize = 64 * 1024;\nconst B: Duration = Duration::from_millis(1_500);\n\
                  const C: RangeInclusive<i32> = 1..=100_000;\nconst D: usize = A + 5;";
    assert_eq!(written(source, "A_MAX"), ["65536", "65,536", "64 KiB"]);
    assert_eq!(written(source, "B"), ["1500 ms"]);
    assert_eq!(written(source, "C"), ["100000", "100,000"]);
    assert!(written(source, "D").is_empty() && written(source, "E").is_empty());
    let source = "fn default() -> Self {\n        Self {\n            a: 5,\n            b: Duration::from_secs(3),\n";
    assert_eq!(
        (written(source, "a"), written(source, "b")),
        (vec!["5".into(), "5".into()], vec!["3 s".into()])
    );
    assert!(says("20, 60 s", "20") && says("1 to 100,000", "100,000"));
    assert!(!says("120", "20") && !says("20,000", "20") && !says("2000", "20"));
}

/// Constants that end so are limits.
const ENDINGS: &[&str] = &["_MAX", "_TIMEOUT", "_AT_ONCE"];

/// Not limits of the product.
const NO_LIMITS: &[(&str, &str)] = &[("api/page.rs", "COST_MAX")];

#[test]
fn no_limit_is_left_out() {
    let text = read("docs/limits.md");
    let mut left_out = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let root = folders[0].clone();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            for line in fs::read_to_string(&path).unwrap().lines() {
                let Some((_, rest)) = line.split_once("const ") else { continue };
                let Some((name, _)) = rest.split_once(": ") else { continue };
                let limit = ENDINGS.iter().any(|ending| name.ends_with(ending));
                let no_limit = NO_LIMITS.contains(&(file.as_str(), name));
                if limit && !no_limit && !text.contains(&format!("`{name}`")) {
                    left_out.push(format!("{name} in src/{file}"));
                }
            }
        }
    }
    assert!(left_out.is_empty(), "docs/limits.md lacks {left_out:?}");
}
