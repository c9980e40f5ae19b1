//! Addresses and secrets as the places give them out where programs run: sockets, IPv6, files with a line end; and a database that
//! cannot keep people's names.

use std::{fs, net::TcpListener, path::PathBuf};

use super::{SECRET, run, serving, with};
use crate::support::{postgres::PrivatePostgres, strict_postgres::StrictPostgres, world::World};

/// A file with a text, as a secret is mounted; gone with this value.
struct Mounted(PathBuf);

impl Mounted {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("frontrow-{}", uuid::Uuid::now_v7()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_reached_however_its_place_is_written() {
    let server = StrictPostgres::start("hunter2secret").await;
    let (port, folder) = (server.port(), server.socket().display().to_string());
    let user = "postgres://postgres:hunter2secret@";
    let encoded = folder.replace('/', "%2F");
    let mut urls = vec![
        format!("{user}127.0.0.1:{port}/postgres\n"),
        format!("{user}/postgres?host={folder}&port={port}"),
        format!("{user}/postgres?port={port}&host={encoded}"),
        format!("{user}{encoded}:{port}/postgres"),
        format!("{user}127.0.0.1:1,127.0.0.1:{port}/postgres?target_session_attrs=read-write"),
    ];
    if TcpListener::bind("[::1]:0").is_ok() {
        urls.push(format!("{user}[::1]:{port}/postgres"));
        urls.push(format!("{user}127.0.0.1:1,[::1]:{port}/postgres"));
    }
    for url in &urls {
        let ended = run(&["migrate"], &[("DATABASE_URL", url)], "").await;
        ended.went_well();
    }
    for (url, words) in [
        (format!("{user}/postgres"), "names a user and no host"),
        (format!("{user}a,b/postgres?target_session_attrs=any"), "write read-write"),
        (format!("{user}/postgres?host=a,b"), "host:port,host:port"),
    ] {
        for command in ["migrate", "serve"] {
            let ended = run(&[command], &serving(&url), "").await;
            ended.said(&["DATABASE_URL", words]);
            assert!(!ended.err.contains("hunter2"), "{ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_from_files_too() {
    let world = World::new().await;
    let redis = std::env::var("REDIS_URL").unwrap();
    let (database, redis) = (
        Mounted::new(&format!("{}\n", world.database.app_url)),
        Mounted::new(&format!("{redis}\r\n")),
    );
    let same = Mounted::new(SECRET);
    let (secret, short) = (Mounted::new(&format!("{SECRET}\n")), Mounted::new("too short\n"));
    let files = [
        ("DATABASE_URL_FILE", database.path()),
        ("REDIS_URL_FILE", redis.path()),
        ("FRONTROW_JWT_SECRET_FILE", secret.path()),
        ("FRONTROW_REDIS_PREFIX", world.redis_prefix.as_str()),
        ("FRONTROW_DATABASE_POOL", "6"),
        ("FRONTROW_LISTEN", "127.0.0.1:0"),
    ];
    let ended = run(&["check"], &files, "").await;
    assert_eq!(ended.code, 0, "{ended:?}");
    // A secret is the same with a line end behind it and without.
    let more = [files.as_slice(), &[("FRONTROW_SANDBOX_SECRET_FILE", same.path())]].concat();
    let ended = run(&["check"], &more, "").await;
    assert!(
        ended.out.contains("FRONTROW_SANDBOX_SECRET is the same as FRONTROW_JWT_SECRET"),
        "{ended:?}"
    );

    let serve =
        async |name: &str, value: &str| run(&["serve"], &with(&files, name, Some(value)), "").await;
    serve("FRONTROW_JWT_SECRET_FILE", short.path())
        .await
        .said(&["FRONTROW_JWT_SECRET", "at least 32 bytes"]);
    for name in ["FRONTROW_JWT_SECRET_FILE", "DATABASE_URL_FILE", "REDIS_URL_FILE"] {
        let ended = serve(name, "/nowhere/hunter2").await;
        ended.said(&[name, "cannot be read"]);
        assert!(!ended.err.contains("hunter2"), "{ended:?}");
    }
    let both = [files.as_slice(), &[("DATABASE_URL", "postgres://hunter2@h/d")]].concat();
    let ended = run(&["serve"], &both, "").await;
    ended.said(&["DATABASE_URL and DATABASE_URL_FILE are both set"]);
    assert!(!ended.err.contains("hunter2"), "{ended:?}");
    // Nothing else is read from a file, and who thinks so is told.
    let others = [files.as_slice(), &[("FRONTROW_LISTEN_FILE", "x")]].concat();
    run(&["serve"], &others, "").await.said(&["FRONTROW_LISTEN_FILE", "is no setting"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn help_names_the_file_of_every_secret() {
    let help = run(&["serve", "--help"], &[], "").await;
    let words = help.went_well().split_whitespace().collect::<Vec<_>>().join(" ");
    for name in [
        "DATABASE_URL",
        "REDIS_URL",
        "FRONTROW_JWT_SECRET",
        "FRONTROW_JWT_SECRET_PREVIOUS",
        "FRONTROW_JWT_SECRET_NEXT",
        "FRONTROW_SANDBOX_SECRET",
        "FRONTROW_STRIPE_SECRET_KEY",
        "FRONTROW_STRIPE_WEBHOOK_SECRET",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ] {
        assert!(words.contains(&format!("Or name its file in {name}_FILE")), "{name}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_has_no_room_for_names_is_refused() {
    let server = PrivatePostgres::start().await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = encoding.to_lowercase();
        server
            .sql(&format!("CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"))
            .await;
        let url = server.url(&name);
        for command in ["serve", "migrate"] {
            let ended = run(&[command], &serving(&url), "").await;
            ended.said(&[
                &format!("keeps text in {encoding}"),
                "CREATE DATABASE",
                "ENCODING 'UTF8'",
            ]);
        }
        let ended = run(&["check"], &serving(&url), "").await;
        assert_ne!(ended.code, 0, "{ended:?}");
        assert!(ended.out.contains(&format!("encoding is {encoding}")), "{ended:?}");
    }
    run(&["migrate"], &serving(&server.url("frontrow")), "").await.went_well();
}
