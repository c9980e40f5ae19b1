//! Alerts, their runbooks, and the names of metrics and tests in pages. promtool runs the alerts' own tests.

use std::{collections::BTreeSet, fs};

use super::pages;
use crate::schema::METRICS;

fn read(path: &str) -> String {
    fs::read_to_string(pages::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names of metrics in a text, as they stand on the page or in a query.
fn metrics(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // What looks like one and is a role, a prefix or a name of a database.
    let others = ["frontrow_app", "frontrow_restored"];
    let names = text.split(|c: char| !word(c)).filter(|name| name.starts_with("frontrow_"));
    names.filter(|name| !others.contains(name)).collect()
}

/// Whether there is such a series.
fn is_served(name: &str) -> bool {
    METRICS.iter().any(|(metric, kind)| match (*kind, name.strip_prefix(metric)) {
        // By itself in prose, with its ending in queries.
        (_, Some("")) | ("counter", Some("_total")) => true,
        ("histogram", Some(part)) => ["_bucket", "_sum", "_count"].contains(&part),
        _ => false,
    })
}

#[test]
fn alerts_go_by_what_is_served() {
    let rules = read("deploy/prometheus/alerts.yml");
    let queried: Vec<&str> =
        metrics(&rules).into_iter().filter(|name| *name != "frontrow_").collect();
    assert!(queried.len() > 12, "{queried:?}");
    for name in queried {
        let bare = METRICS.iter().any(|(metric, kind)| metric == &name && *kind != "gauge");
        assert!(is_served(name) && !bare, "alerts.yml: no series is called {name}");
    }
}

#[test]
fn pages_name_metrics_that_are_served() {
    for page in pages::all() {
        let text = fs::read_to_string(pages::root().join(&page.path)).unwrap();
        let unknown: Vec<&str> =
            metrics(&text).into_iter().filter(|name| !is_served(name)).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", page.path.display());
    }
}

#[test]
fn every_alert_has_a_runbook_and_a_test_and_every_runbook_of_one_its_alert() {
    let rules = read("deploy/prometheus/alerts.yml");
    let tests = read("deploy/prometheus/alerts_test.yml");
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    let pages = pages::all();
    let runbooks = pages.iter().find(|page| page.path.ends_with("docs/runbooks.md")).unwrap();
    let headings = runbooks.headings();
    for alert in &alerts {
        assert!(headings.iter().any(|heading| heading == alert), "docs/runbooks.md lacks {alert}");
        let link = format!("runbook: docs/runbooks.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&link), "{alert}: no {link}");
        assert!(tests.contains(&link), "alerts_test.yml: {alert} never fires");
        let quiet = format!("alertname: {alert}, exp_alerts: []");
        let never = ["PushesLate", "RedisLosesLines"];
        assert!(
            tests.contains(&quiet) || never.contains(alert),
            "alerts_test.yml: {alert} is never quiet"
        );
    }
    let one_word =
        headings.iter().filter(|heading| !heading.contains([' ', '-']) && *heading != "Runbooks");
    for heading in one_word {
        assert!(
            alerts.contains(&heading.as_str()),
            "docs/runbooks.md: there is no alert {heading}"
        );
    }
}

/// All code of ours, and the names of checks.
fn sources() -> String {
    let (mut text, mut folders) = (
        String::new(),
        vec!["src", "tests"].into_iter().map(|it| pages::root().join(it)).collect::<Vec<_>>(),
    );
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text += &fs::read_to_string(path).unwrap();
            }
        }
    }
    text
}

#[test]
fn tests_that_are_named_are_there() {
    let sources = sources();
    let page = read("SECURITY.md");
    // The last column of the tables of threats.
    let cells = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .filter_map(|line| line.rsplit(" | ").next());
    let names: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(names.len() > 60, "{}", names.len());
    for name in names {
        assert!(sources.contains(&format!("fn {name}(")), "SECURITY.md: there is no test {name}");
    }
}
