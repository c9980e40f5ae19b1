//! Postgres: reached, new enough, with our tables, with connections for all, and as true as we promise to be.

use std::time::{SystemTime, UNIX_EPOCH};

use secrecy::ExposeSecret;

use super::{clock, finding::Finding};
use crate::{
    app::DatabaseArgs,
    cli::database,
    db::{
        self, DatabaseAddress, Db, app_role, migrations,
        standing::{ENCODING, Standing, VERSION_MIN, connections_of_an_instance, standing},
    },
    kernel::Fault,
    tasks::Tasks,
};

const ABOUT: &str = "postgres";

pub(super) async fn look(args: &DatabaseArgs, instances: u32) -> Vec<Finding> {
    if let Err(fault) = DatabaseAddress::parse(args.database_url.expose_secret()) {
        return vec![Finding::wrong(
            ABOUT,
            format!("DATABASE_URL cannot be used, {}", fault.words()),
            "the server does not start without its database",
            "write it as postgres://user:password@host:port/database, where % stands for %25, @ for %40 and / for %2F",
        )];
    }
    let place = database::place(args);
    let place = place.unwrap_or_else(|| "the server that DATABASE_URL names".to_owned());
    let db = match Db::connect(&args.settings(), &Tasks::default()).await {
        Ok(db) => db.for_commands(),
        Err(fault) => return vec![not_reached(&place, &fault)],
    };
    let mut found = Vec::new();
    let before = now_ms();
    match standing(&db).await {
        Ok(standing) => {
            let after = now_ms();
            judge(&place, &standing, &mut found);
            found.push(connections(
                &standing,
                connections_of_an_instance(&args.settings()),
                instances,
            ));
            let ahead = standing.now.timestamp_millis() - i64::midpoint(before, after);
            found.push(clock::compare("Postgres", ahead, (after - before) / 2 + 1));
        }
        Err(fault) => found.push(not_told("what it is", &fault)),
    }
    tables(&db, &mut found).await;
    db.close().await;
    found
}

/// What is said of Postgres, without its name.
fn words(fault: &Fault) -> String {
    let words = fault.report().to_string();
    words.strip_prefix("Postgres: ").unwrap_or(&words).to_owned()
}

fn not_reached(place: &str, fault: &Fault) -> Finding {
    let words = words(fault);
    if words == db::TAKES_NO_WRITES {
        return Finding::wrong(
            ABOUT,
            format!("{place} takes no writes"),
            "it is a standby, or was told so; the server does not start",
            "let DATABASE_URL name the primary",
        );
    }
    Finding::unknown(
        ABOUT,
        format!("{place} is not reachable ({words})"),
        "the server does not start without it",
        "start it, or correct DATABASE_URL",
    )
}

fn not_told(what: &str, fault: &Fault) -> Finding {
    Finding::unknown(
        ABOUT,
        format!("It did not tell {what} ({})", words(fault)),
        "whether it will do is not known",
        "let this role look, or run this again",
    )
}

fn judge(place: &str, standing: &Standing, found: &mut Vec<Finding>) {
    let Standing { version, encoding, .. } = standing;
    found.push(Finding::ok(
        ABOUT,
        format!("{place} is Postgres {version} and takes writes, in {encoding}"),
    ));
    if *version < VERSION_MIN {
        found.push(Finding::wrong(
            ABOUT,
            format!("Postgres {version} is older than {VERSION_MIN}"),
            "it does not know some of our statements",
            format!("bring it to {VERSION_MIN} or newer"),
        ));
    }
    if encoding != ENCODING {
        found.push(Finding::wrong(
            ABOUT,
            format!("The database's encoding is {encoding}"),
            "most people's names do not fit into it; the server does not start",
            "make another one: CREATE DATABASE … ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0",
        ));
    }
    if !standing.commits_are_kept {
        found.push(Finding::wrong(
            ABOUT,
            "synchronous_commit is off",
            "a seat that somebody was told is theirs may be gone after a crash",
            "set synchronous_commit = on",
        ));
    }
    if !standing.disk_is_kept {
        found.push(Finding::wrong(
            ABOUT,
            "fsync or full_page_writes is off",
            "a crash of the machine may destroy the database",
            "set both on",
        ));
    }
    if standing.isolation != "read committed" {
        found.push(Finding::wrong(
            ABOUT,
            format!("default_transaction_isolation is {}", standing.isolation),
            "statements that wait for each other would fail, and be repeated",
            "set it to 'read committed', for this role or for all",
        ));
    }
}

fn connections(standing: &Standing, of_one: u32, instances: u32) -> Finding {
    let Standing { connections, in_use, connections_of_us, .. } = standing;
    let (one, wanted) = (i64::from(of_one), i64::from(of_one) * i64::from(instances));
    let wants = match instances {
        1 => format!("An instance opens up to {one} connections"),
        many => format!("{many} instances open up to {wanted} connections, {one} each"),
    };
    let why = "requests and payments are refused as soon as there are none left";
    if let Some(limit) = connections_of_us.filter(|limit| *limit < wanted) {
        let what = format!("{wants}, and this role or database may have {limit}");
        return Finding::wrong(
            ABOUT,
            what,
            why,
            "raise CONNECTION LIMIT, or lower FRONTROW_DATABASE_POOL",
        );
    }
    let free = connections - in_use;
    if wanted > free {
        let what = format!("{wants}, and of {connections} are {in_use} in use by others");
        return Finding::wrong(
            ABOUT,
            what,
            why,
            "raise max_connections, or lower FRONTROW_DATABASE_POOL",
        );
    }
    if wanted + one > free {
        let what = format!("{wants}, of {free} that are free");
        let why = "while one is replaced there is one more, and not enough for it";
        return Finding::note(
            ABOUT,
            what,
            why,
            "raise max_connections, or lower FRONTROW_DATABASE_POOL",
        );
    }
    Finding::ok(ABOUT, format!("{wants}, of {free} that are free"))
}

async fn tables(db: &Db, found: &mut Vec<Finding>) {
    let migrations = match migrations::standing(db).await {
        Ok(migrations) => migrations,
        Err(fault) => return found.push(not_told("which migrations it has", &fault)),
    };
    if !migrations.unknown.is_empty() {
        return found.push(Finding::wrong(
            ABOUT,
            format!("The tables are newer than this program ({})", migrations.unknown.join(", ")),
            "the server does not start",
            "run the version that made them, or restore",
        ));
    }
    if !migrations.missing.is_empty() {
        return found.push(Finding::wrong(
            ABOUT,
            format!(
                "{} migrations are missing, from {} on",
                migrations.missing.len(),
                migrations.missing[0]
            ),
            "the server does not start",
            "run `frontrow migrate`",
        ));
    }
    found.push(Finding::ok(ABOUT, "All tables are there, of this version"));
    match app_role::lacks(db).await {
        Ok(lacks) if lacks.is_empty() => {}
        Ok(lacks) => found.push(Finding::wrong(
            ABOUT,
            format!("The role lacks rights ({})", lacks.join("; ")),
            "what needs them answers INTERNAL",
            "as the owner of the tables, run `frontrow migrate --app-role ROLE`",
        )),
        Err(fault) => found.push(not_told("what the role may do", &fault)),
    }
    match app_role::own_rights(db).await {
        Ok(rights) if rights.changes_ledger || rights.makes_tables => found.push(Finding::note(
            ABOUT,
            "The role may change the ledger, or make tables",
            "whoever takes the server over could rewrite who paid what",
            "serve as a role that `frontrow migrate --app-role` was given",
        )),
        Ok(_) => {}
        Err(fault) => found.push(not_told("what the role may do", &fault)),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::finding::Level;

    fn good() -> Standing {
        Standing {
            version: 17,
            encoding: "UTF8".to_owned(),
            now: chrono::DateTime::UNIX_EPOCH,
            connections: 97,
            in_use: 10,
            connections_of_us: None,
            commits_are_kept: true,
            disk_is_kept: true,
            isolation: "read committed".to_owned(),
        }
    }

    #[test]
    fn a_server_that_does_not_do_is_told_for_each_reason() {
        let wrong = |standing: &Standing| {
            let mut found = Vec::new();
            judge("h:1/d", standing, &mut found);
            assert_eq!(found.remove(0).level, Level::Ok);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(wrong(&good()), [""; 0]);
        for (standing, word) in [
            (Standing { version: 14, ..good() }, "Postgres 14 is older"),
            (Standing { encoding: "SQL_ASCII".to_owned(), ..good() }, "encoding is SQL_ASCII"),
            (Standing { commits_are_kept: false, ..good() }, "synchronous_commit is off"),
            (Standing { disk_is_kept: false, ..good() }, "fsync or full_page_writes"),
            (
                Standing { isolation: "serializable".to_owned(), ..good() },
                "isolation is serializable",
            ),
        ] {
            let told = wrong(&standing);
            assert!(
                told.len() == 1 && told[0].starts_with("WRONG") && told[0].contains(word),
                "{told:?}"
            );
        }
    }

    #[test]
    fn connections_are_counted_for_all_instances_and_beside_others() {
        let level =
            |standing: &Standing, instances: u32| connections(standing, 23, instances).level;
        assert_eq!(level(&good(), 1), Level::Ok);
        assert_eq!(level(&good(), 2), Level::Ok);
        assert_eq!(level(&good(), 3), Level::Note, "one more may start");
        assert_eq!(level(&good(), 4), Level::Wrong);
        assert_eq!(level(&Standing { in_use: 90, ..good() }, 1), Level::Wrong);
        assert_eq!(level(&Standing { connections_of_us: Some(22), ..good() }, 1), Level::Wrong);
        assert_eq!(level(&Standing { connections_of_us: Some(23), ..good() }, 1), Level::Ok);
    }
}
