//! The program's commands, run as an operator runs them: what they do twice, and one clear sentence when something is wrong.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::spawn_blocking};

use crate::support::{
    client::Client,
    eventually,
    process::Process,
    shop::{self, Setup},
    world::World,
};

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command with nothing but these variables in its environment.
pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontrow"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let ended = spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // Commands that read nothing may be gone by now.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    });
    let output = ended.await.unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    #[track_caller]
    fn went_well(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        &self.out
    }

    /// It failed with one sentence on standard error that has all these parts.
    #[track_caller]
    fn said(&self, parts: &[&str]) {
        assert!(self.code > 0, "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert_eq!(self.err.trim_end().lines().count(), 1, "{self:?}");
        assert!(
            self.err.starts_with("frontrow: ") && self.err.trim_end().ends_with('.'),
            "{self:?}"
        );
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is missing: {self:?}");
        }
    }
}

const SECRET: &str = "a-secret-of-at-least-32-bytes-length";

/// Everything that `serve` needs, for a database.
fn serving(database_url: &str) -> Vec<(&str, &str)> {
    vec![
        ("DATABASE_URL", database_url),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("FRONTROW_JWT_SECRET", SECRET),
        ("FRONTROW_LISTEN", "127.0.0.1:0"),
        ("FRONTROW_LOG", "off"),
    ]
}

/// The same with one variable set to something else, or left out.
fn with<'a>(
    of: &[(&'a str, &'a str)],
    name: &str,
    value: Option<&'a str>,
) -> Vec<(&'a str, &'a str)> {
    of.iter()
        .filter_map(
            |&(known, old)| if known == name { Some((known, value?)) } else { Some((known, old)) },
        )
        .collect()
}

async fn server() -> DatabaseConnection {
    Database::connect(std::env::var("DATABASE_URL").unwrap()).await.unwrap()
}

/// A database without tables, dropped by the caller.
async fn empty_database() -> (String, String) {
    let name = format!("frontrow_test_{}", uuid::Uuid::now_v7().simple());
    server().await.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let url = std::env::var("DATABASE_URL").unwrap();
    let (base, query) =
        url.split_once('?').map_or((url.as_str(), None), |(base, query)| (base, Some(query)));
    let (place, _) = base.rsplit_once('/').unwrap();
    let url = format!("{place}/{name}{}", query.map_or(String::new(), |query| format!("?{query}")));
    (name, url)
}

async fn log_in(client: &Client, email: &str, password: &str) -> Value {
    client
        .payload(
            "mutation ($input: LogInInput!) { logIn(input: $input) {
                session { accessToken user { role name } } userErrors { code } } }",
            json!({ "input": { "email": email, "password": password } }),
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_wrong_setting_is_said_in_a_sentence() {
    let all = serving("postgres://127.0.0.1:1/frontrow");
    let serve =
        async |name: &str, value: Option<&str>| run(&["serve"], &with(&all, name, value), "").await;
    for name in ["DATABASE_URL", "REDIS_URL", "FRONTROW_JWT_SECRET"] {
        serve(name, None).await.said(&[name, "is not set"]);
    }
    serve("FRONTROW_JWT_SECRET", None).await.said(&["openssl rand -hex 32"]);
    let nothing = run(&["serve"], &[], "").await;
    nothing.said(&["DATABASE_URL", "REDIS_URL", "FRONTROW_JWT_SECRET", "are not set"]);
    for arguments in
        [&["migrate"][..], &["seed"], &["add-organizer", "--email", "a@b.c", "--name", "A"]]
    {
        run(arguments, &[], "").await.said(&["DATABASE_URL", "is not set"]);
    }
    for url in ["", "mysql://root@localhost/x", "localhost:5432"] {
        serve("DATABASE_URL", Some(url))
            .await
            .said(&["DATABASE_URL", "postgres://user:password@host:port/database"]);
    }
    for (name, value, why) in [
        ("FRONTROW_JWT_SECRET", "31 bytes are not long enough...", "at least 32 bytes"),
        ("FRONTROW_JWT_SECRET", "", "at least 32 bytes"),
        ("FRONTROW_LISTEN", "everywhere", "invalid socket address"),
        ("FRONTROW_LISTEN", "127.0.0.1:70000", "invalid socket address"),
    ] {
        let ended = serve(name, Some(value)).await;
        ended.said(&[name, why]);
        let secret = name == "FRONTROW_JWT_SECRET" && !value.is_empty();
        assert!(!secret || !ended.err.contains(value), "a secret is shown: {ended:?}");
    }
    let more = [all.as_slice(), &[("FRONTROW_HOLD_SECONDS", "0")]].concat();
    run(&["serve"], &more, "").await.said(&["FRONTROW_HOLD_SECONDS cannot be '0'", "1..=86400"]);
    let more = [all.as_slice(), &[("FRONTROW_LOG_FORMAT", "maybe")]].concat();
    run(&["serve"], &more, "")
        .await
        .said(&["FRONTROW_LOG_FORMAT cannot be 'maybe'", "json or text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_postgres_is_named_without_its_password() {
    let url = "postgres://me:hunter2secret@127.0.0.1:1/frontrow";
    for arguments in [&["serve"][..], &["migrate"], &["seed"]] {
        let ended = run(arguments, &serving(url), "").await;
        assert!(ended.code > 0 && ended.out.is_empty(), "{ended:?}");
        assert!(
            ended.err.starts_with("frontrow: Postgres is not reachable at 127.0.0.1:1/frontrow;"),
            "{ended:?}"
        );
        assert!(!ended.err.contains("hunter2") && !ended.err.contains("panicked"), "{ended:?}");
        assert_eq!(ended.err.trim_end().lines().count(), 1, "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_an_address_that_is_none_of_redis_are_said() {
    let world = World::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let all = serving(&world.database.url);
    let ended = run(&["serve"], &with(&all, "FRONTROW_LISTEN", Some(&address)), "").await;
    ended.said(&[&address, "cannot be listened on", "FRONTROW_LISTEN"]);
    let ended =
        run(&["serve"], &with(&all, "REDIS_URL", Some("http://me:hunter2@localhost")), "").await;
    ended.said(&["REDIS_URL"]);
    assert!(!ended.err.contains("hunter2"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_by_migrate_once() {
    let (name, url) = empty_database().await;
    let all = serving(&url);
    for arguments in
        [&["serve"][..], &["seed"], &["add-organizer", "--email", "a@b.c", "--name", "A"]]
    {
        run(arguments, &all, "password-1\n")
            .await
            .said(&["tables are missing", "`frontrow migrate`"]);
    }
    // Several at once, as a deployment of several instances would.
    let (one, two, three) = tokio::join!(
        run(&["migrate"], &all, ""),
        run(&["migrate"], &all, ""),
        run(&["migrate"], &all, "")
    );
    let told = [one.went_well(), two.went_well(), three.went_well()];
    assert_eq!(
        told.iter().filter(|out| out.starts_with("Migrated: 0001_account")).count(),
        1,
        "{told:?}"
    );
    assert_eq!(run(&["migrate"], &all, "").await.went_well(), "The tables are up to date.\n");
    run(&["seed"], &all, "").await.went_well();
    server().await.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_makes_the_demo_once() {
    let world = World::new().await;
    let all = serving(&world.database.url);
    let (one, two) = tokio::join!(run(&["seed"], &all, ""), run(&["seed"], &all, ""));
    let told = [one.went_well(), two.went_well()];
    assert_eq!(told.iter().filter(|out| out.starts_with("Made demo data")).count(), 1, "{told:?}");
    let counts =
        "SELECT (SELECT count(*) FROM person) * 1000000 + (SELECT count(*) FROM schedule) * 100
                       + (SELECT count(*) FROM concert)";
    let made = world.number(counts).await;
    assert!(
        run(&["seed"], &all, "").await.went_well().starts_with("The demo data are there already.")
    );
    assert_eq!(world.number(counts).await, made);
    // Performances that are over are followed by new ones.
    world
        .sql("UPDATE schedule SET sales_open_at = now() - interval '2 days', sales_close_at = now() - interval '1 day'")
        .await;
    assert!(run(&["seed"], &all, "").await.went_well().starts_with("Made demo data"));

    let instance = world.instance().await;
    let told = told.concat();
    for (email, role) in
        [("organizer@frontrow.example", "ORGANIZER"), ("fan@frontrow.example", "FAN")]
    {
        assert!(told.contains(email) && told.contains("front-row-demo"), "{told}");
        let logged_in = log_in(&instance.client(), email, "front-row-demo").await;
        assert_eq!(logged_in["session"]["user"]["role"], role, "{logged_in}");
    }
    let query = "{ concerts { nodes { title schedules { seatCount grades { grade } } } } }";
    let concerts = instance.client().data(query, json!({})).await["concerts"]["nodes"].take();
    assert_eq!(concerts.as_array().unwrap().len(), 4);
    let halls: Vec<i64> = concerts
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|concert| concert["schedules"].as_array().unwrap())
        .map(|schedule| schedule["seatCount"].as_i64().unwrap())
        .collect();
    assert!(
        halls.iter().all(|seats| [50, 20_000].contains(seats)) && halls.contains(&20_000),
        "{halls:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fans_for_rehearsals_have_sessions_that_work() {
    let world = World::new().await;
    let all = serving(&world.database.url);
    let same_secret = with(&all, "FRONTROW_JWT_SECRET", Some(&world.secret));
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.jsonl", uuid::Uuid::now_v7()));
    let file = path.to_str().unwrap();
    let seed = async |count: &str| -> Vec<Value> {
        let ended = run(&["seed", "--fans", count, "--sessions", file], &same_secret, "").await;
        assert!(ended.went_well().contains(&format!("{count} fans")), "{ended:?}");
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let first = seed("3").await;
    let again = seed("5").await;
    assert_eq!((first.len(), again.len()), (3, 5));
    let ids = |of: &[Value]| -> Vec<String> {
        of.iter().map(|line| line["personId"].to_string()).collect()
    };
    assert_eq!(ids(&first), ids(&again[..3]), "those that are there are used again");
    let instance = world.instance().await;
    for line in first.iter().chain(&again) {
        assert_eq!(line.as_object().unwrap().len(), 2, "{line}");
        let fan = instance.client().with_token(line["accessToken"].as_str().unwrap());
        let me = fan.data("{ me { id role } }", json!({})).await;
        assert_eq!(me["me"], json!({ "id": line["personId"], "role": "FAN" }));
    }
    std::fs::remove_file(file).unwrap();

    let no_secret = with(&all, "FRONTROW_JWT_SECRET", None);
    run(&["seed", "--fans", "1", "--sessions", file], &no_secret, "")
        .await
        .said(&["FRONTROW_JWT_SECRET is not set"]);
    let nowhere = ["seed", "--fans", "1", "--sessions", "/nowhere/at/all"];
    let ended = run(&nowhere, &all, "").await;
    assert!(
        ended.code > 0 && ended.err.contains("cannot be written to /nowhere/at/all"),
        "{ended:?}"
    );
    for arguments in [
        &["seed", "--fans", "1"][..],
        &["seed", "--sessions", file],
        &["seed", "--fans", "0", "--sessions", file],
    ] {
        assert!(run(arguments, &all, "").await.code > 0, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn organizers_are_added_with_a_password_from_standard_input() {
    let world = World::new().await;
    let all = serving(&world.database.url);
    let add = async |email: &str, name: &str, input: &str| {
        run(&["add-organizer", "--email", email, "--name", name], &all, input).await
    };
    let ended = add("Org@Example.com", "Orga", "correct horse\r\nnot this line\n").await;
    assert!(ended.went_well().contains("Org@Example.com is an organizer now"), "{ended:?}");
    let instance = world.instance().await;
    let logged_in = log_in(&instance.client(), "org@example.com", "correct horse").await;
    assert_eq!(
        logged_in["session"]["user"],
        json!({ "role": "ORGANIZER", "name": "Orga" }),
        "{logged_in}"
    );
    let organizer =
        instance.client().with_token(logged_in["session"]["accessToken"].as_str().unwrap());
    let create = "mutation { createConcert(input: { title: \"T\", artist: \"A\", venue: \"V\", description: \"\",
                                                    timeZone: \"UTC\" }) { userErrors { code } } }";
    assert_eq!(organizer.payload(create, json!({})).await["userErrors"], json!([]));

    add("ORG@example.com", "Again", "correct horse\n").await.said(&["There is an account"]);
    add("nobody", "A", "correct horse\n").await.said(&["--email"]);
    add("a@b.c", " ", "correct horse\n").await.said(&["--name"]);
    for password in ["", "short\n", "aaaaaaaaaa\n"] {
        add("a@b.c", "A", password).await.said(&["password", "8 to 128 characters"]);
    }
    assert_eq!(world.number("SELECT count(*) FROM person").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn help_names_every_setting() {
    let help = run(&["serve", "--help"], &[("FRONTROW_JWT_SECRET", SECRET)], "").await;
    for name in [
        "DATABASE_URL",
        "REDIS_URL",
        "FRONTROW_LISTEN",
        "FRONTROW_JWT_SECRET",
        "FRONTROW_JWT_SECRET_PREVIOUS",
        "FRONTROW_SESSION_SECONDS",
        "FRONTROW_HOLD_SECONDS",
        "FRONTROW_DATABASE_POOL",
        "FRONTROW_REDIS_PREFIX",
        "FRONTROW_ALLOWED_ORIGINS",
    ] {
        assert!(help.went_well().contains(name), "{name}: {help:?}");
    }
    assert!(!help.out.contains(SECRET), "{help:?}");
    for command in ["serve", "migrate", "seed", "schema", "audit", "health", "add-organizer"] {
        assert!(run(&["--help"], &[], "").await.went_well().contains(command), "{command}");
    }
    assert!(run(&["--version"], &[], "").await.went_well().starts_with("frontrow "));
    for wrong in [&["fly"][..], &["serve", "--fly"], &[]] {
        assert!(run(wrong, &[], "").await.code > 0, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_instance_ends_well_when_asked_to() {
    let world = World::new().await;
    let mut process = Process::start(&world, &[]).await;
    assert_eq!(process.client().data("{ __typename }", json!({})).await["__typename"], "Query");
    process.terminate();
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_asks_the_server_that_listens_there() {
    let world = World::new().await;
    let mut process = Process::start(&world, &[]).await;
    let health = async |listen: &str, flags: &[&str]| {
        let arguments = [&["health"], flags].concat();
        run(&arguments, &[("FRONTROW_LISTEN", listen)], "").await
    };
    let port = process.address.port();
    let address = process.address.to_string();
    for listen in [&address, &format!("0.0.0.0:{port}")] {
        assert_eq!(health(listen, &[]).await.went_well(), "ready\n");
        assert_eq!(health(listen, &["--live"]).await.went_well(), "live\n");
    }
    // One that hangs, one that is something else, and nobody.
    let suspend = |signal: &str| {
        let sent = Command::new("kill").args([signal, &process.id().to_string()]).status();
        assert!(sent.unwrap().success());
    };
    suspend("-STOP");
    health(&address, &[]).await.said(&[&address, "did not answer in time"]);
    suspend("-CONT");
    let other = world.instance().await;
    world.sql("DELETE FROM seaql_migrations").await;
    let unready = other.address.to_string();
    health(&unready, &[]).await.said(&[&unready, "cannot serve", "migrations"]);
    process.kill();
    let ended = health(&address, &[]).await;
    ended.said(&[&address, "does not answer"]);
    assert_eq!(ended.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_is_published_as_a_roster_and_verified_by_anybody() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup { opens_in: 3_600, ..Setup::default() }).await;
    let fans = shop::fans(&world, &a, 8).await;
    for fan in &fans {
        assert_eq!(fan.enter(&show.id).await["userErrors"], json!([]));
    }
    let url = [("DATABASE_URL", world.database.url.as_str())];
    let roster = ["roster", "--schedule", &show.id];
    let file = std::env::temp_dir().join(format!("roster-{}.jsonl", show.id));
    let path = file.to_str().unwrap();

    // Before the draw it names people, and neither secret nor numbers.
    let sealed = run(&roster, &url, "").await.went_well().to_owned();
    assert_eq!(sealed.lines().count(), 9, "{sealed}");
    assert!(sealed.contains(r#""drawSecret":null"#) && !sealed.contains("number"), "{sealed}");
    let header: Value = serde_json::from_str(sealed.lines().next().unwrap()).unwrap();
    let commitment = header["drawCommitment"].as_str().unwrap();
    std::fs::write(&file, &sealed).unwrap();
    run(&["verify-draw", path], &[], "").await.said(&["not over"]);

    world.sql("UPDATE schedule SET sales_open_at = clock_timestamp()").await;
    let drawn = eventually("the draw to be over", async || {
        let drawn = run(&roster, &url, "").await.went_well().to_owned();
        drawn.contains("number").then_some(drawn)
    })
    .await;
    std::fs::write(&file, &drawn).unwrap();
    // No database, no secret of the operator: the file is enough.
    let verified = run(&["verify-draw", path, "--commitment", commitment], &[], "").await;
    let holds = format!("The draw holds: 8 places, commitment {commitment}.\n");
    assert_eq!(verified.went_well(), holds);
    let mut places: Vec<String> = Vec::new();
    for fan in &fans {
        let out =
            run(&["verify-draw", path, "--person", fan.person_id.as_deref().unwrap()], &[], "")
                .await;
        places.push(out.went_well().split("drew place ").nth(1).unwrap().to_owned());
    }
    places.sort();
    let all: Vec<String> = (1..=8).map(|place| format!("{place} of 8.\n")).collect();
    assert_eq!(places, all);

    let tampered =
        |what: &str, into: &str| std::fs::write(&file, drawn.replacen(what, into, 1)).unwrap();
    tampered(r#""number":-"#, r#""number":-1"#);
    let found = run(&["verify-draw", path], &[], "").await;
    assert!(found.code == 1 && found.out.contains("The draw does not hold."), "{found:?}");
    let left_out: String = drawn.lines().take(8).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, left_out).unwrap();
    let found = run(&["verify-draw", path], &[], "").await;
    assert!(
        found.code == 1 && found.out.contains("8 places were announced, 7 are listed"),
        "{found:?}"
    );
    let other = "0".repeat(64);
    std::fs::write(&file, &drawn).unwrap();
    let found = run(&["verify-draw", path, "--commitment", &other], &[], "").await;
    assert!(found.code == 1 && found.out.contains("not the one of commitment 0000"), "{found:?}");

    run(&["verify-draw", path, "--commitment", "0x12"], &[], "")
        .await
        .said(&["--commitment", "64 hexadecimal digits"]);
    tampered(r#"{"personId""#, r#"{"person""#);
    run(&["verify-draw", path], &[], "").await.said(&["Line 2", "personId"]);
    std::fs::write(&file, "").unwrap();
    run(&["verify-draw", path], &[], "").await.said(&["Line 1", "empty"]);
    std::fs::remove_file(&file).unwrap();
    run(&["verify-draw", path], &[], "").await.said(&["cannot be read"]);
    let nowhere = ["roster", "--schedule", "00000000-0000-7000-8000-000000000000"];
    run(&nowhere, &url, "").await.said(&["There is no performance"]);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_served_instance_may_open_as_many_files_as_the_system_lets_it() {
    let world = World::new().await;
    let process = Process::start(&world, &[]).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let [soft, hard, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{line}")
    };
    assert_eq!(soft, hard);
}
