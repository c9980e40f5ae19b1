//! Settings that are missing, wrong or not known: one clear sentence before anything is done.

use tokio::net::TcpListener;

use super::{run, serving, with};
use crate::support::world::World;

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
async fn a_variable_that_nobody_knows_is_refused_by_every_command() {
    let all = serving("postgres://127.0.0.1:1/frontrow");
    let with_one = |name: &'static str| [all.as_slice(), &[(name, "60")]].concat();
    for command in [
        &["serve"][..],
        &["migrate"],
        &["seed"],
        &["schema"],
        &["audit"],
        &["health"],
        &["check"],
        &["export", "--schedule", "00000000-0000-7000-8000-000000000000"],
        &["roster", "--schedule", "00000000-0000-7000-8000-000000000000"],
        &["verify-draw", "/nowhere"],
        &["retry-refund", "00000000-0000-7000-8000-000000000000"],
        &["sandbox-gateway", "--secret", "s"],
        &["add-organizer", "--email", "a@b.c", "--name", "A"],
    ] {
        let ended = run(command, &with_one("FRONTROW_HOLD_SECS"), "").await;
        ended.said(&[
            "FRONTROW_HOLD_SECS (is FRONTROW_HOLD_SECONDS meant?)",
            "no setting",
            "unset it",
        ]);
        assert_eq!(ended.code, 2, "{command:?}: {ended:?}");
    }
    // What is missing may be what was misspelt, so that is told first.
    let misspelt = with(&with_one("FRONTROW_JWT_SECERT"), "FRONTROW_JWT_SECRET", None);
    run(&["serve"], &misspelt, "").await.said(&["is FRONTROW_JWT_SECRET meant?"]);
    // A setting of another command is known.
    run(&["schema"], &with_one("FRONTROW_HOLD_SECONDS"), "").await.went_well();
    for help in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        run(help, &with_one("FRONTROW_HOLD_SECS"), "").await.went_well();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_of_others_are_let_be() {
    for (name, value) in [
        ("FRONTROW_TEST_SEED", "1"),
        ("FRONTROW_MOCK_LISTEN", "127.0.0.1:8040"),
        ("FRONTROW_COMPOSE_PORT", "8443"),
        ("FRONTROW_SERVICE_HOST", "10.0.0.1"),
        ("FRONTROW_PORT", "tcp://10.0.0.1:80"),
        ("FRONTROW_PORT_80_TCP_ADDR", "10.0.0.1"),
    ] {
        run(&["schema"], &[(name, value)], "").await.went_well();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_log_nothing_and_origins_that_match_nobody_are_refused_with_what_to_write() {
    let all = serving("postgres://127.0.0.1:1/frontrow");
    for (name, value, why) in [
        ("FRONTROW_LOG", "inof", &["is no level", "info,frontrow=debug"][..]),
        ("FRONTROW_LOG", "frontrow", &["info,frontrow=debug"]),
        ("FRONTROW_LOG", "", &["it is empty", "off, error, warn"]),
        (
            "FRONTROW_ALLOWED_ORIGINS",
            "shop.example",
            &["its scheme is missing", "https://shop.example"],
        ),
        ("FRONTROW_ALLOWED_ORIGINS", "https://a.example,b.example", &["its scheme is missing"]),
        ("FRONTROW_ALLOWED_ORIGINS", "https://shop.example/shop", &["more than an origin has"]),
        (
            "FRONTROW_ALLOWED_ORIGINS",
            "https://*.shop.example",
            &["no pattern is understood", "list each origin, or * alone for all"],
        ),
        ("FRONTROW_RETURN_ORIGINS", "shop.example", &["an origin is https://host"]),
        ("FRONTROW_RETURN_ORIGINS", "https://shop.example/back", &["an origin has no path"]),
    ] {
        let ended =
            run(&["serve"], &[with(&all, name, None), vec![(name, value)]].concat(), "").await;
        ended.said(&[&[name], why].concat());
        assert_eq!(ended.code, 2, "{ended:?}");
    }
    let sandbox = ["sandbox-gateway", "--secret", "s"];
    run(&sandbox, &[("FRONTROW_LOG", "inof")], "").await.said(&["FRONTROW_LOG", "is no level"]);
    // A flag that only one command has is called by its own name, and not by another command's variable.
    run(&[&sandbox[..], &["--listen", "everywhere"]].concat(), &[], "").await.said(&["--listen"]);
}
