//! Operations that take long say where their time went.

use std::time::Duration;

use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Said;
use crate::support::{eventually, process::Process, shop, world::World};

/// How long a wallet is kept, once somebody waits for it.
const KEPT: Duration = Duration::from_millis(60);

fn slow(said: &Said) -> Vec<Value> {
    said.lines().into_iter().filter(|line| line["message"] == "slow operation").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_operation_tells_where_its_time_went_and_nothing_of_what_it_was_given() {
    let world = World::new().await;
    let office = world.quiet_instance(&[]).await;
    let (said, file) = Said::file();
    let process = Process::start_telling(&world, &file, &["--slow-ms=50"]).await;
    let fan = shop::fan(&world, &office).await.at(process.address);
    assert_eq!(fan.charge(100, "first").await["balance"], 100);

    let lock = world.pool.begin().await.unwrap();
    lock.execute_unprepared("SELECT 1 FROM wallet FOR UPDATE").await.unwrap();
    let charging = {
        let fan = fan.clone();
        tokio::spawn(async move { fan.charge(424_242, "a-key-of-the-client").await })
    };
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("a statement to wait for the wallet", async || {
        (world.number(waiting).await > 0).then_some(())
    })
    .await;
    sleep(KEPT).await;
    lock.rollback().await.unwrap();
    assert_eq!(charging.await.unwrap()["balance"], 424_342);

    let line = eventually("the line", async || {
        slow(&said).into_iter().find(|line| line["sql_us"].as_u64() >= Some(60_000))
    })
    .await;
    assert_eq!((&line["level"], &line["field"]), (&json!("WARN"), &json!("charge")), "{line}");
    assert_eq!((&line["kind"], &line["code"]), (&json!("mutation"), &json!("ok")), "{line}");
    assert!(line["duration_us"].as_u64() >= line["sql_us"].as_u64(), "{line}");
    assert!(line["statements"].as_u64() >= Some(1), "{line}");
    for waited in ["share_us", "place_us", "lane_us", "connection_us"] {
        assert!(line[waited].is_u64(), "{waited}: {line}");
    }
    // No card was charged.
    assert_eq!(line["gateway_us"], Value::Null, "{line}");
    assert_eq!(line["person_id"].as_str(), fan.person_id.as_deref());
    let text = said.text();
    assert!(!text.contains("424242") && !text.contains("a-key-of-the-client"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_slow_where_nobody_wants_to_know() {
    let world = World::new().await;
    let (said, file) = Said::file();
    let process = Process::start_telling(&world, &file, &["--slow-ms=0"]).await;
    // Hashing a password takes longer than any limit that can be set.
    let sign_up =
        "mutation ($input: SignUpInput!) { signUp(input: $input) { userErrors { code } } }";
    let input =
        json!({ "email": "a@post.example", "password": "correct horse battery", "name": "A" });
    process.client().payload(sign_up, json!({ "input": input })).await;
    let done = async || said.lines().iter().any(|line| line["field"] == "signUp").then_some(());
    eventually("the request's line", done).await;
    assert_eq!(slow(&said), Vec::<Value>::new());
}
