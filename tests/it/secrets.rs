//! No output holds a password or a secret: addresses written wrongly, servers that refuse, command lines that are none.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    cli::{Ended, run},
    support::{client::Client, eventually, strict_postgres::StrictPostgres, world::World},
};

const SECRET: &str = "S3cr3t-pass";
const ENCODED: &str = "S3cr3t%2Dpass";
/// Signs sessions; a secret as well.
const SIGNING: &str = "S3cr3t-of-at-least-thirty-two-bytes";

/// What must be in no output, of whatever secret: none of it is a word that we say.
#[track_caller]
fn tells_nothing(output: &str, told: &dyn std::fmt::Debug) {
    for part in ["S3cr3t", "3t-pass", "%2Dpass", "thirty-two-bytes"] {
        assert!(!output.contains(part), "{part} is shown: {told:?}: {output}");
    }
}

/// Addresses of Postgres with a mistake in them; `$s` stands for the password, `$p` for host and port of a server that runs.
const MISTAKES: &[&str] = &[
    // Forms that other programs understand.
    "postgres://user:$s@/db?host=/tmp",
    "postgres://user:$s@/db?host=127.0.0.1&port=5432",
    "postgres://user:$s@h1:5432,h2:5432/db",
    "postgres://user:$s@h1,h2/db",
    "host=h user=u password=$s dbname=d",
    "jdbc:postgresql://h/db?user=u&password=$s",
    // Unencoded characters in the password.
    "postgres://user:x/$s@h:5432/db",
    "postgres://user:1/$s@h:5432/db",
    "postgres://user:x#$s@h:5432/db",
    "postgres://user:1#$s@h:5432/db",
    "postgres://user:x?$s@h:5432/db",
    "postgres://user:1?$s@h:5432/db",
    "postgres://user:1?password=$s@h:5432/db",
    "postgres://user:$s @h:5432/db",
    "postgres://user:$s\n@h:5432/db",
    "postgres://user:$s[@h:5432]/db",
    // Parts that are missing, doubled or in another's place.
    "postgres://user:$s",
    "postgres://user:$s@",
    "postgres://user:$s@:5432/db",
    "postgres://user:$s@h:port/db",
    "postgres://user:$s@h:99999/db",
    "postgres://user:$s@h:5432:5433/db",
    "postgres://user:$s@h/db/$s@h",
    "postgres://h:5432/db?user=u&pasword=$s",
    "postgres://h:5432/db?$s",
    "postgres://user:$s@h/db#$s",
    "postgres:user:$s@h/db",
    "postgre://user:$s@h/db",
    "mysql://user:$s@h/db",
    "user:$s@h/db",
    "$s",
    // Well-formed, and refused by the server: it repeats who asks and for what.
    "postgres://$s@$p/db",
    "postgres://$s:$s@$p/db",
    "postgres://frontrow:$s@$p/frontrow?sslmode=$s",
    "postgres://frontrow:$s@$p/frontrow?options=-c%20$s=1",
    "postgres://frontrow:$s@$p/frontrow?sslmode=require",
];

fn of(mistake: &str, secret: &str) -> String {
    let url = std::env::var("DATABASE_URL").unwrap();
    let server = url.split_once("://").unwrap().1.split(['/', '?']).next().unwrap();
    let place = server.rsplit_once('@').map_or(server, |(_, place)| place);
    mistake.replace("$s", secret).replace("$p", place)
}

const COMMANDS: &[&[&str]] = &[
    &["serve"],
    &["migrate"],
    &["seed"],
    &["audit"],
    &["roster", "--schedule", "00000000-0000-7000-8000-000000000000"],
    &["add-organizer", "--email", "a@b.c", "--name", "A"],
];

/// Runs a command that must fail, and looks at all that it wrote.
async fn fails(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let ended = run(arguments, environment, "password-1\n").await;
    let told = (arguments, environment, &ended);
    assert!(ended.code > 0, "{told:?}");
    tells_nothing(&ended.out, &told);
    tells_nothing(&ended.err, &told);
    let last = ended.err.trim_end().lines().last().unwrap_or_default();
    // A server whose log has begun says it there.
    let logged = serde_json::from_str::<Value>(last).ok().map(|line| line["why"].clone());
    let sentence = match &logged {
        Some(why) => why.as_str(),
        None => last.strip_prefix("frontrow: "),
    };
    assert!(sentence.is_some_and(|sentence| sentence.ends_with('.')), "{told:?}");
    assert!(!ended.err.contains("panicked"), "{told:?}");
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_database_url_is_shown_by_no_command() {
    let mut tries = Vec::new();
    for mistake in MISTAKES {
        for secret in [SECRET, ENCODED] {
            for command in COMMANDS {
                tries.push((*command, of(mistake, secret)));
            }
        }
    }
    let tried = stream::iter(tries).map(async |(command, url)| {
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("REDIS_URL", "redis://127.0.0.1:1"),
            ("FRONTROW_JWT_SECRET", SIGNING),
            ("FRONTROW_LISTEN", "127.0.0.1:0"),
            // Libraries are most talkative so.
            ("FRONTROW_LOG", "trace"),
        ];
        let ended = fails(command, &environment).await;
        assert!(ended.err.contains("DATABASE_URL"), "{url}: {ended:?}");
    });
    tried.buffer_unordered(4).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_redis_url_is_not_shown() {
    let world = World::new().await;
    for mistake in [
        "http://user:$s@h",
        "rediss://:$s@h",
        "redis://:x/$s@h",
        "redis://:1/$s@h",
        "redis://:x#$s@h",
        "redis://:1?$s@h",
        "redis://:$s,x@h",
        "redis://:$s @h",
        "redis://:$s@",
        "redis://:$s@:6379",
        "redis://:$s@h:port",
        "redis://:$s@h:99999",
        "redis://:$s@h/$s",
        "redis://h?pasword=$s",
        "redis://h?protocol=$s",
        "redis+cluster://:$s@h:1,:::",
        "redis+cluster://:$s@h:1,h:$s",
        ":$s@h:6379",
        "$s",
    ] {
        for secret in [SECRET, ENCODED] {
            let url = mistake.replace("$s", secret);
            let environment = [
                ("DATABASE_URL", world.database.url.as_str()),
                ("REDIS_URL", url.as_str()),
                ("FRONTROW_JWT_SECRET", SIGNING),
                ("FRONTROW_LISTEN", "127.0.0.1:0"),
                ("FRONTROW_LOG", "trace"),
            ];
            let ended = fails(&["serve"], &environment).await;
            assert!(ended.err.contains("REDIS_URL has to look like"), "{url}: {ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_in_the_wrong_place_is_not_repeated() {
    let url = format!("postgres://user:{SECRET}@h/db");
    let (flag, misspelt) = (format!("--database-url={url}"), format!("--databaseurl={url}"));
    let signing = format!("--jwt-secret={SIGNING}");
    let short = format!("--jwt-secret={SECRET}");
    for command in COMMANDS {
        for more in [&[url.as_str()][..], &[&misspelt], &["--database-urls", &url], &[&flag, &flag]]
        {
            let arguments = [*command, more].concat();
            let ended = fails(&arguments, &[]).await;
            assert_eq!(ended.err.trim_end().lines().count(), 1, "{ended:?}");
        }
    }
    for arguments in [
        &[url.as_str()][..],
        &["serve", "--jwtsecret", SIGNING],
        &["serve", &signing, SIGNING],
        &["serve", &short],
        &["seed", &short],
        &["serve", "--jwt-secret-previous", SECRET],
        &["serve", "--jwt-secret-next", SECRET],
        &["serve", "--oidc-jwks-url", &url],
        &["serve", "--listen", &url],
        &["serve", "--log-format", &url],
        &["serve", "--hold-seconds", &url],
        &["serve", "--database-pool", SIGNING],
        &["verify-draw", &url],
        &["seed", "--fans", "1", "--sessions", &url],
    ] {
        fails(arguments, &[]).await;
    }
    let suggestion = fails(&["migrate", &misspelt], &[]).await;
    assert!(suggestion.err.contains("--database-url"), "it helps all the same: {suggestion:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn help_shows_nothing_that_stands_in_the_environment() {
    let url = format!("postgres://user:{SECRET}@h/db");
    let names = [
        "DATABASE_URL",
        "REDIS_URL",
        "FRONTROW_JWT_SECRET",
        "FRONTROW_JWT_SECRET_PREVIOUS",
        "FRONTROW_JWT_SECRET_NEXT",
        // Somebody has mixed them up.
        "FRONTROW_REDIS_PREFIX",
        "FRONTROW_ALLOWED_ORIGINS",
        "FRONTROW_LOG",
    ];
    let environment = names.map(|name| (name, url.as_str()));
    for command in COMMANDS.iter().map(|command| command[0]).chain(["schema", "verify-draw"]) {
        for help in ["--help", "-h"] {
            let ended = run(&[command, help], &environment, "").await;
            assert_eq!(ended.code, 0, "{ended:?}");
            tells_nothing(&ended.out, &ended);
            tells_nothing(&ended.err, &ended);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_refused_by_postgres_and_redis_logs_neither_password() {
    let postgres = StrictPostgres::start(SECRET).await;
    let redis = std::env::var("REDIS_URL").unwrap();
    // This Redis has no such user, and says so.
    let redis = redis.replacen("redis://", &format!("redis://user:{SECRET}@"), 1);
    let url = postgres.url(ENCODED);
    let wrong = postgres.url("S3cr3t-past");
    let ended = fails(&["migrate"], &[("DATABASE_URL", &wrong)]).await;
    assert!(ended.err.contains("it refuses the password (SQLSTATE 28P01)"), "{ended:?}");
    assert_eq!(run(&["migrate"], &[("DATABASE_URL", &url)], "").await.code, 0);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let path = std::env::temp_dir().join(format!("frontrow-log-{}", Uuid::now_v7().simple()));
    let mut server = Command::new(env!("CARGO_BIN_EXE_frontrow"))
        .arg("serve")
        .env_clear()
        .envs([
            ("DATABASE_URL", url.as_str()),
            ("REDIS_URL", &redis),
            ("FRONTROW_JWT_SECRET", SIGNING),
        ])
        .envs([("FRONTROW_LISTEN", address.to_string().as_str()), ("FRONTROW_LOG", "trace")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&path).unwrap())
        .spawn()
        .unwrap();
    let health = async || {
        let answer = reqwest::get(format!("http://{address}/health/ready")).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    let (_, ready) =
        eventually("to be ready", async || health().await.filter(|it| it.0 == 200)).await;
    assert!(ready.contains("away"), "{ready}");

    postgres.execute(SECRET, "ALTER ROLE postgres PASSWORD 'another'").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'postgres'";
    postgres.execute("another", end).await;
    let (_, unready) =
        eventually("to be unready", async || health().await.filter(|it| it.0 == 503)).await;
    tells_nothing(&unready, &unready);
    let answer = Client::new(address).send("{ concerts { nodes { id } } }", json!({})).await;
    tells_nothing(&answer.to_string(), &answer);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "OVERLOADED", "{answer}");
    let log = eventually("the log to say why", async || {
        let log = std::fs::read_to_string(&path).unwrap();
        log.contains("it refuses the password (SQLSTATE 28P01)").then_some(log)
    })
    .await;
    drop(server.kill());
    drop(server.wait());
    assert!(
        log.contains("Redis: it refuses user or password") && log.lines().count() > 10,
        "{log}"
    );
    tells_nothing(&log, &"the log");
    std::fs::remove_file(&path).unwrap();
}
