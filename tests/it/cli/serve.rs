//! `frontrow serve` as a process, and `frontrow health` beside it.

use std::process::Command;

use serde_json::json;

use super::run;
use crate::support::{process::Process, world::World};

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
