//! A statement that waited for a lock judges by the time at which it had the last one.

use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::{ConnectionTrait, TransactionTrait};

use super::world;
use crate::support::{
    buying::{self, Buyer},
    client::refusal,
    eventually,
    shop::{self, Setup},
    world::World,
};

/// Everything of a reservation that is locked before it changes, in the order of locks.
const LOCKS: [&str; 4] = [
    "SELECT 1 FROM queue_token WHERE id = (SELECT queue_token_id FROM reservation WHERE id = '{id}') FOR UPDATE",
    "SELECT 1 FROM reservation WHERE id = '{id}' FOR UPDATE",
    "SELECT 1 FROM seat WHERE reservation_id = '{id}' FOR UPDATE",
    "SELECT 1 FROM wallet WHERE person_id = (SELECT person_id FROM reservation WHERE id = '{id}') FOR UPDATE",
];

/// Waits until the database says so.
async fn so(world: &World, condition: &str) {
    let sql = format!("SELECT count(*) FROM (SELECT 1) it WHERE {condition}");
    eventually(condition, async || (world.number(&sql).await == 1).then_some(())).await;
}

/// Does `work` while somebody else has what `lock` locks, and keeps it until `condition` holds.
async fn kept_waiting<T>(
    world: &World,
    lock: &str,
    condition: &str,
    work: impl Future<Output = T>,
) -> T {
    let other = world.pool.begin().await.unwrap();
    other.execute_unprepared(lock).await.unwrap();
    let done = AtomicBool::new(false);
    let work = async {
        let result = work.await;
        done.store(true, Ordering::Relaxed);
        result
    };
    let held = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        // A machine that is slow enough gets there when everything is over.
        eventually("somebody to wait for the lock", async || {
            (done.load(Ordering::Relaxed) || world.number(waiting).await > 0).then_some(())
        })
        .await;
        so(world, condition).await;
        other.rollback().await.unwrap();
    };
    tokio::join!(work, held).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_waited_until_the_performance_had_begun_refunds_nothing() {
    let (world, a, b, show) = world(Setup::default()).await;
    let people = buying::buyers(&world, &[&a, &b], &show, LOCKS.len()).await;
    let mut owned = Vec::new();
    for (n, buyer) in people.iter().enumerate() {
        owned.push(buyer.bought(&show, n, 1_000).await);
    }
    let begins = async |when: &str| {
        let sql = format!("UPDATE schedule SET starts_at = clock_timestamp() + interval '{when}'");
        world.sql(&sql).await;
    };
    for ((lock, id), buyer) in LOCKS.into_iter().zip(&owned).zip(&people) {
        begins("1 s").await;
        let begun = "(SELECT starts_at <= clock_timestamp() FROM schedule)";
        let lock = lock.replace("{id}", id);
        let cancelled = kept_waiting(&world, &lock, begun, buyer.client.cancel(id)).await;
        assert_eq!(refusal(&cancelled), Some("CANCELLATION_CLOSED"), "{lock}: {cancelled}");
        assert_eq!(buyer.client.balance().await, 0, "{lock}");
    }
    begins("1 day").await;
    world.books_are_true().await;
}

/// Lets a hold lapse in a moment.
async fn soon_over(world: &World, id: &str) -> String {
    world
        .sql(&format!(
            "WITH r AS (UPDATE reservation SET expires_at = clock_timestamp() + interval '1 s' WHERE id = '{id}'
                        RETURNING id, expires_at)
             UPDATE seat SET hold_expires_at = r.expires_at FROM r WHERE reservation_id = r.id"
        ))
        .await;
    format!("(SELECT expires_at <= clock_timestamp() FROM reservation WHERE id = '{id}')")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_not_given_back_after_it_has_lapsed() {
    let (world, a, b, show) = world(Setup::default()).await;
    let people = buying::buyers(&world, &[&a, &b], &show, 3).await;
    // A hold's cancellation has nothing to do with the wallet.
    for (n, lock) in LOCKS.into_iter().take(3).enumerate() {
        let id = people[n].held(&show, n).await;
        let lapsed = soon_over(&world, &id).await;
        let lock = lock.replace("{id}", &id);
        let cancelled = kept_waiting(&world, &lock, &lapsed, people[n].client.cancel(&id)).await;
        assert_eq!(refusal(&cancelled), Some("RESERVATION_EXPIRED"), "{lock}: {cancelled}");
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_waited_until_its_hold_had_lapsed_pays_nothing_whatever_it_waited_for() {
    let (world, a, b, show) = world(Setup::default()).await;
    let people = buying::buyers(&world, &[&a, &b], &show, LOCKS.len()).await;
    for (n, lock) in LOCKS.into_iter().enumerate() {
        people[n].client.charge(1_000, "charge").await;
        let id = people[n].held(&show, n).await;
        let lapsed = soon_over(&world, &id).await;
        let lock = lock.replace("{id}", &id);
        let paid =
            kept_waiting(&world, &lock, &lapsed, people[n].client.pay(&id, 1_000, "pay")).await;
        assert_eq!(refusal(&paid), Some("HOLD_EXPIRED"), "{lock}: {paid}");
        assert_eq!(people[n].client.balance().await, 1_000, "{lock}");
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_of_seats_is_paid_whole_though_somebody_else_has_locked_one_of_them() {
    let (world, a, _b, show) = world(Setup { max_seats_per_person: 2, ..Setup::default() }).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.client.charge(2_000, "charge").await;
    let held = buyer.hold_seats(&show, &[0, 1]).await;
    let id = held["reservation"]["id"].as_str().unwrap();
    let lock = format!("SELECT 1 FROM seat WHERE id = '{}' FOR UPDATE", show.seats[1]);
    let paid = kept_waiting(&world, &lock, "true", buyer.client.pay(id, 2_000, "pay")).await;
    assert_eq!(refusal(&paid), None, "{paid}");
    assert_eq!(world.number("SELECT count(*) FROM seat WHERE status = 'SOLD_OUT'").await, 2);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_payments_under_one_key_that_waited_together_one_is_made() {
    let (world, a, b, show) = world(Setup::default()).await;
    let other_show = shop::show(&world, &a, Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.client.charge(5_000, "charge").await;
    let there = Buyer { token: buyer.client.admitted(&other_show.id).await, ..buyer.at(&b) };
    let (one, two) = (buyer.held(&show, 0).await, there.held(&other_show, 0).await);
    // Both statements began before the key was used: neither sees the other's payment, and the unique index decides.
    let lock = format!("SELECT 1 FROM wallet WHERE person_id = '{}' FOR UPDATE", buyer.person_id());
    let both = "(SELECT count(*) = 2 FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock')";
    let payments = async {
        tokio::join!(buyer.client.pay(&one, 1_000, "key"), there.client.pay(&two, 1_000, "key"))
    };
    let (first, second) = kept_waiting(&world, &lock, both, payments).await;
    let mut codes = [refusal(&first), refusal(&second)];
    codes.sort_unstable();
    assert_eq!(codes, [None, Some("IDEMPOTENCY_KEY_REUSED")], "{first} {second}");
    assert_eq!(buyer.client.balance().await, 4_000);
    world.books_are_true().await;
}
