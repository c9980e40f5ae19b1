//! Redis: reached, new enough, and allowed to do what lines need of it.

use super::{clock, finding::Finding};
use crate::{
    app::Settings,
    kernel::Fault,
    kv::{
        Kv,
        standing::{Standing, VERSION_MIN},
    },
    tasks::Tasks,
    telemetry::Metrics,
};

const ABOUT: &str = "redis";
/// Memory that is fuller than this is soon full.
const FULL_PERCENT: u64 = 80;

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let kv = match Kv::connect(&settings.kv(), &Metrics::new(), &Tasks::default()) {
        Ok(kv) => kv,
        Err(fault) => {
            return vec![Finding::wrong(
                ABOUT,
                "REDIS_URL cannot be used",
                "the server does not start",
                fault.report().to_string(),
            )];
        }
    };
    let mut found = Vec::new();
    let mut answered = false;
    for asked in kv.standing().await {
        let place = asked.place.unwrap_or_else(|| "the server that REDIS_URL names".to_owned());
        match asked.said {
            Ok(standing) => {
                answered = true;
                judge(&place, &standing, kv.is_cluster(), &mut found);
                let (ahead, around) = standing.ahead_ms;
                found.push(clock::compare("Redis", ahead, around));
            }
            Err(fault) => found.push(Finding::unknown(
                ABOUT,
                format!("{place} is not reachable ({})", words(&fault)),
                "the server does without, more slowly: positions are up to 2 s old, and nobody counts as away",
                "start it, or correct REDIS_URL",
            )),
        }
    }
    if answered {
        tried("run scripts under our prefix", kv.try_script().await, &mut found);
        tried("hear what is published", kv.try_message().await, &mut found);
    }
    found
}

/// What is said of Redis, without its name.
fn words(fault: &Fault) -> String {
    let words = fault.report().to_string();
    words.strip_prefix("Redis: ").unwrap_or(&words).to_owned()
}

fn tried(what: &str, result: Result<(), Fault>, found: &mut Vec<Finding>) {
    found.push(match result {
        Ok(()) => Finding::ok(ABOUT, format!("We may {what}")),
        Err(fault) => Finding::wrong(
            ABOUT,
            format!("We cannot {what} ({})", words(&fault)),
            "lines are read from Postgres, and changes are seen late by other instances",
            "allow this user +@all, all keys and all channels that begin with FRONTROW_REDIS_PREFIX",
        ),
    });
}

fn judge(place: &str, standing: &Standing, clustered: bool, found: &mut Vec<Finding>) {
    found.push(Finding::ok(ABOUT, format!("{place} is Redis {}", standing.version())));
    if standing.major().is_some_and(|major| major < VERSION_MIN) {
        found.push(Finding::wrong(
            ABOUT,
            format!("Redis {} is older than {VERSION_MIN}", standing.version()),
            "it does not know some of our commands",
            format!("bring it to {VERSION_MIN} or newer"),
        ));
    }
    if standing.is_replica() {
        found.push(Finding::wrong(
            ABOUT,
            format!("{place} is a replica"),
            "it takes no writes, so every line is read from Postgres",
            "let REDIS_URL name the primary",
        ));
    }
    if standing.is_clustered() && !clustered {
        found.push(Finding::wrong(
            ABOUT,
            format!("{place} is a node of a cluster, and REDIS_URL names a single server"),
            "most keys live on other nodes, where nobody would look",
            "write redis+cluster://host:port,host:port",
        ));
    }
    memory(standing, found);
    if standing.could_not_save() {
        found.push(Finding::wrong(
            ABOUT,
            "It could not write its own file",
            "it refuses every write until it can (MISCONF)",
            "switch persistence off (appendonly no, save \"\"): nothing here needs it",
        ));
    }
    if standing.writes_a_log() {
        found.push(Finding::note(
            ABOUT,
            "appendonly is on",
            "whenever its disk is busy everybody who enters waits, and no line needs the log",
            "set appendonly no and save \"\"",
        ));
    }
}

fn memory(standing: &Standing, found: &mut Vec<Finding>) {
    let Some(policy) = standing.when_full() else {
        return found.push(Finding::unknown(
            ABOUT,
            "It does not tell what it does when its memory is full",
            "it might throw lines away",
            "allow this user INFO, and set maxmemory-policy noeviction",
        ));
    };
    let full = standing.full_percent();
    if policy != "noeviction" {
        let what = format!("maxmemory-policy is {policy}");
        let why =
            "it throws lines away when its memory is full, and everybody's presence with them";
        let todo = "set maxmemory-policy noeviction";
        found.push(match full {
            Some(_) => Finding::wrong(ABOUT, what, why, todo),
            // Nothing limits its memory yet.
            None => Finding::note(ABOUT, what, why, todo),
        });
    }
    if let Some(percent) = full.filter(|percent| *percent >= FULL_PERCENT) {
        found.push(Finding::wrong(
            ABOUT,
            format!("{percent} % of its memory is in use"),
            "when it is full, lines are read from Postgres",
            "raise maxmemory: 300 bytes for each person in line, twice that to be safe",
        ));
    }
}
