//! Charges that arrive while a lane is busy share the next statement, and each has an outcome of its own.

use frontrow::lanes::LANES;
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, TransactionTrait};

use super::{LIMIT, rich, world};
use crate::support::{client::refusal, eventually, shop};

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_group_of_charges_has_an_outcome_of_its_own() {
    let (world, a, _b, _fan) = world().await;
    let fans = shop::fans(&world, &a, 20).await;
    let before = fans[12].charge(10, "again").await;
    fans[13].charge(10, "other").await;
    fans[14].charge(10, "first").await;
    rich(&world, &fans[15], LIMIT - 5).await;
    world
        .sql(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM pg_sleep(1.5); RETURN NEW; END $$;
             CREATE TRIGGER dawdle BEFORE INSERT ON wallet_entry
                 FOR EACH ROW WHEN (NEW.key = 'slow') EXECUTE FUNCTION dawdle()",
        )
        .await;
    let lock = world.pool.begin().await.unwrap();
    let person = fans[14].person_id.as_deref().unwrap();
    let wallet = format!("SELECT 1 FROM wallet WHERE person_id = '{person}' FOR UPDATE");
    lock.execute_unprepared(&wallet).await.unwrap();
    let mut busy = Vec::new();
    for fan in &fans[16..16 + LANES] {
        let fan = fan.clone();
        busy.push(tokio::spawn(async move { fan.charge(10, "slow").await }));
        let asleep = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND wait_event = 'PgSleep'";
        let count = i64::try_from(busy.len()).unwrap();
        eventually("a lane to be busy", async || {
            (world.number(asleep).await == count).then_some(())
        })
        .await;
    }
    let kept = fans[14].clone();
    let kept = tokio::spawn(async move { kept.charge(10, "kept").await });
    let (fresh, again, other, over) = tokio::join!(
        join_all(fans[..12].iter().map(|fan| fan.charge(7, "fresh"))),
        fans[12].charge(10, "again"),
        fans[13].charge(11, "other"),
        fans[15].charge(6, "over"),
    );
    for charged in fresh {
        assert_eq!((refusal(&charged), charged["balance"].as_i64()), (None, Some(7)), "{charged}");
    }
    assert_eq!(again, before);
    assert_eq!(refusal(&other), Some("IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(refusal(&over), Some("BALANCE_LIMIT"));
    assert!(!kept.is_finished(), "whoever meets a lock waits alone");
    lock.rollback().await.unwrap();
    assert_eq!(kept.await.unwrap()["balance"], 20);
    for charged in busy {
        assert_eq!(refusal(&charged.await.unwrap()), None);
    }
    let shared = "SELECT coalesce(max(people), 0)::bigint FROM (
                      SELECT count(*) AS people FROM wallet_entry GROUP BY xmin::text) together";
    assert!(world.number(shared).await > 2, "hardly a group");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crowds_without_wallets_charge_at_two_instances_without_meeting_each_other() {
    let (world, a, b, _fan) = world().await;
    let fans = shop::fans(&world, &a, 200).await;
    // The same people at both, in opposite orders, with keys of their own: their wallets are opened once.
    let here = fans.iter().map(|fan| fan.charge(1, "here"));
    let there = fans.iter().rev().map(|fan| {
        let fan = fan.at(b.address);
        async move { fan.charge(2, "there").await }
    });
    let (here, there) = tokio::join!(join_all(here), join_all(there));
    for charged in here.iter().chain(&there) {
        assert_eq!(refusal(charged), None, "{charged}");
    }
    assert_eq!(world.number("SELECT count(*) FROM wallet WHERE balance = 3").await, 200);
    world.books_are_true().await;
}
