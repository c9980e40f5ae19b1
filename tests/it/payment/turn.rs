//! Whoever owns as many seats as they may is done: their turn ends, whichever token they paid under.

use futures_util::future::join_all;
use serde_json::json;

use super::{token_status, world};
use crate::support::{
    buying::{self, Buyer},
    client::refusal,
    eventually,
    shop::{self, Setup, Show},
    world::{Instance, World},
};

/// The same person with a new place: they hold one seat by the first, have left, and are in line again.
async fn again(buyer: &Buyer, show: &Show) -> Buyer {
    buyer.client.leave(&show.id).await;
    let entered = buyer.client.enter(&show.id).await;
    let token = entered["queueToken"]["token"].as_str().unwrap_or_else(|| panic!("{entered}"));
    Buyer { token: token.to_owned(), ..buyer.clone() }
}

/// Waits until the person is in.
async fn let_in(world: &World, buyer: &Buyer) {
    eventually("to be in", async || (token_status(world, buyer).await == "ACTIVE").then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_under_an_earlier_token_ends_the_current_turn() {
    let (world, a, b, show) = world(Setup::default()).await;
    let first = buying::buyer(&world, &a, &show).await;
    first.client.charge(1_000, "charge").await;
    let id = first.held(&show, 0).await;
    let now = again(&first, &show).await;
    let_in(&world, &now).await;
    let mut watch = now.at(&b).client.watch_queue(&show.id).await;
    assert_eq!(watch.field().await["status"], "ACTIVE");
    assert_eq!(refusal(&now.client.pay(&id, 1_000, "pay").await), None);
    assert_eq!(token_status(&world, &now).await, "USED");
    watch.until("USED", |token| token["status"] == "USED").await;
    assert_eq!(refusal(&now.hold(&show, 1).await), Some("QUEUE_ENDED"));
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_under_an_earlier_token_takes_who_waits_out_of_the_line() {
    let waiting_room = json!({ "maxActive": 1, "admitPerRound": 1, "roundSeconds": 0.1 });
    let (world, a, b, show) = world(Setup { waiting_room, ..Setup::default() }).await;
    let first = buying::buyer(&world, &a, &show).await;
    first.client.charge(1_000, "charge").await;
    let id = first.held(&show, 0).await;
    first.client.leave(&show.id).await;
    let _inside = buying::buyer(&world, &a, &show).await;
    let now = again(&first, &show).await;
    let behind = shop::fan(&world, &a).await;
    behind.enter(&show.id).await;
    assert_eq!(token_status(&world, &now).await, "WAITING");
    let mut watch = behind.at(b.address).watch_queue(&show.id).await;
    watch.until("second in line", |token| token["position"] == 2).await;
    assert_eq!(refusal(&now.client.pay(&id, 1_000, "pay").await), None);
    assert_eq!(token_status(&world, &now).await, "USED");
    watch.until("first in line", |token| token["position"] == 1).await;
    assert_eq!(now.client.queue_status(&show.id).await["status"], "USED");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_turn_goes_on_while_there_are_seats_to_be_had() {
    let (world, a, b, show) = world(Setup { max_seats_per_person: 2, ..Setup::default() }).await;
    let first = buying::buyer(&world, &a, &show).await;
    first.client.charge(2_000, "charge").await;
    let old = first.held(&show, 0).await;
    let now = again(&first, &show).await;
    let_in(&world, &now).await;
    assert_eq!(refusal(&now.at(&b).client.pay(&old, 1_000, "old").await), None);
    assert_eq!(token_status(&world, &now).await, "ACTIVE");
    let new = now.held(&show, 1).await;
    assert_eq!(refusal(&now.client.pay(&new, 1_000, "new").await), None);
    assert_eq!(token_status(&world, &now).await, "USED");
    world.books_are_true().await;
}

/// Two seats of one person are paid at once, under tokens of theirs as `tokens` tells from the bottom up.
async fn at_once(
    world: &World,
    (a, b): (&Instance, &Instance),
    show: &Show,
    seats: usize,
    left: bool,
) {
    let first = buying::buyer(world, a, show).await;
    first.client.charge(2_000, "charge").await;
    let one = first.held(show, seats).await;
    let now = again(&first, show).await;
    let_in(world, &now).await;
    let two = now.held(show, seats + 1).await;
    // Under the current and an earlier token, or under two earlier ones.
    let now = if left { again(&now, show).await } else { now };
    let there = now.at(b);
    let (first, second) =
        tokio::join!(now.client.pay(&one, 1_000, "one"), there.client.pay(&two, 1_000, "two"));
    assert_eq!((refusal(&first), refusal(&second)), (None, None), "{first} {second}");
    assert_eq!(token_status(world, &now).await, "USED");
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_under_two_tokens_at_once_end_the_turn() {
    let setup = Setup { seats_per_row: 80, max_seats_per_person: 2, ..Setup::default() };
    let (world, a, b, show) = world(setup).await;
    for round in 0..5 {
        let races =
            (0..8).map(|n| at_once(&world, (&a, &b), &show, round * 16 + n * 2, n % 2 == 0));
        join_all(races).await;
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_waited_for_another_counts_it() {
    let (world, a, b, show) = world(Setup { max_seats_per_person: 2, ..Setup::default() }).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.client.charge(2_000, "charge").await;
    let (one, two) = (buyer.held(&show, 0).await, buyer.held(&show, 1).await);
    world
        .sql(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM pg_sleep(1.2); RETURN NEW; END $$;
             CREATE TRIGGER dawdle BEFORE INSERT ON payment
                 FOR EACH ROW WHEN (NEW.idempotency_key = 'slow') EXECUTE FUNCTION dawdle()",
        )
        .await;
    let there = buyer.at(&b);
    let (first, second) = tokio::join!(buyer.client.pay(&one, 1_000, "slow"), async {
        let asleep = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND wait_event = 'PgSleep'";
        eventually("the first to be under way", async || {
            (world.number(asleep).await == 1).then_some(())
        })
        .await;
        // It began before the first is committed, and sees nothing of it but its locks.
        there.client.pay(&two, 1_000, "quick").await
    });
    assert_eq!((refusal(&first), refusal(&second)), (None, None), "{first} {second}");
    assert_eq!(token_status(&world, &buyer).await, "USED");
    world.books_are_true().await;
}
