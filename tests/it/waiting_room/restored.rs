//! A backup that is restored beside a Redis that knows more: docs/maintenance.md.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::*;
use crate::{
    cli::run,
    support::{client::refusal, database, postgres},
};

/// What one of Postgres's own programs prints; it has to succeed.
async fn postgres_program(name: &str, arguments: &[&str], input: Vec<u8>) -> Vec<u8> {
    let mut command = Command::new(postgres::path_of(name));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // Closed when everything is written.
        child.stdin.take().unwrap().write_all(&input).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = ended.await.unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_line_goes_on_beside_a_redis_that_knows_more() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let fans = shop::fans(&world, &a, 6).await;
    for fan in &fans[..4] {
        entered(fan, &show.id).await;
    }
    poll_until(&fans[0], &show.id, "ACTIVE").await;
    position_is(&fans[3], &show.id, 3).await;
    let dump =
        postgres_program("pg_dump", &["--format=custom", &world.database.url], Vec::new()).await;
    // What comes now is lost by Postgres, and Redis has it.
    assert_eq!(refusal(&fans[1].leave(&show.id).await), None);
    for fan in &fans[4..] {
        entered(fan, &show.id).await;
    }
    position_is(&fans[5], &show.id, 4).await;
    drop(a);
    let name = format!("frontrow_test_{}", Uuid::now_v7().simple());
    world.sql(&format!("CREATE DATABASE {name}")).await;
    let url = database::url_of(&name);
    let into = format!("--dbname={url}");
    let flags = ["--no-owner", "--no-privileges", "--exit-on-error", into.as_str()];
    postgres_program("pg_restore", &flags, dump).await;
    let role = ["migrate", "--app-role", database::APP_ROLE];
    let migrated = run(&role, &[("DATABASE_URL", &url)], "").await;
    assert!(migrated.out.starts_with("The tables are up to date.\n"), "{migrated:?}");
    let mut restored = World::elsewhere(url).await;
    restored.redis_prefix.clone_from(&world.redis_prefix);
    restored.secret.clone_from(&world.secret);
    restored.books_are_true().await;
    // Nobody has emptied Redis.
    let b = restored.instance().await;
    let fans: Vec<_> = fans.iter().map(|fan| fan.at(b.address)).collect();
    for (fan, position) in fans[1..4].iter().zip(1..) {
        position_is(fan, &show.id, position).await;
    }
    assert!(fans[4].queue_status(&show.id).await.is_null(), "this place is gone");
    assert_eq!(entered(&fans[4], &show.id).await["status"], "WAITING");
    position_is(&fans[4], &show.id, 4).await;
    // Who had left is in line again, and is the next.
    assert_eq!(refusal(&fans[0].leave(&show.id).await), None);
    poll_until(&fans[1], &show.id, "ACTIVE").await;
    restored.books_are_true().await;
    drop(b);
    world.sql(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
}
