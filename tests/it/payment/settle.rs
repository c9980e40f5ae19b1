//! Who decides a payment by card: whoever hears of it first. Answers, webhooks, workers and other orders at once have one of the
//! legal outcomes, and the books agree with the gateway's.

use std::time::Duration;

use futures_util::{
    StreamExt,
    future::{join_all, join3},
    stream,
};
use serde_json::{Value, json};

use crate::support::{
    cards::{CardShop, answer, redirect},
    client::refusal,
    random::Random,
    shop::Setup,
    trials,
};

const CANCEL: &str = "mutation ($id: ID!) { cancelReservation(id: $id) {
    reservation { status } userErrors { code } } }";

/// Races that are under way at once: more would meet their own crowd, and be refused.
const AT_ONCE: usize = 32;

async fn shop(seats: usize, flags: &[&str]) -> CardShop {
    let rows = i32::try_from(seats.div_ceil(10)).expect("rows");
    // The last of a thousand comes when the first is long done.
    let room = json!({ "maxActive": 100_000, "admitPerRound": 1_000, "roundSeconds": 0.1,
                       "idleSeconds": 1_800, "activeSeconds": 3_600 });
    let setup = Setup { rows, max_seats_per_person: 2, waiting_room: room, ..Setup::default() };
    CardShop::open(setup, flags, &[]).await
}

fn status(payload: &Value) -> Option<&str> {
    payload["payment"]["status"].as_str()
}

/// Has all payments looked into now. Two of these at once must not wait for each other.
const DUE: &str = "UPDATE payment SET look_at = now() WHERE id IN (
    SELECT id FROM payment WHERE status = 'PENDING' FOR NO KEY UPDATE SKIP LOCKED)";

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_answers_and_workers_of_two_instances_approve_once() {
    let shop = shop(trials(12), &[]).await;
    let people = shop.buyers(trials(12)).await;
    let races = people.iter().enumerate().map(async |(seat, buyer)| {
        let id = buyer.held(&shop.show, seat).await;
        let token = ["tok_ok", "tok_webhook_twice", "tok_500"][seat % 3];
        let look = async {
            for instance in [&shop.a, &shop.b] {
                shop.world.sql(DUE).await;
                instance.app.payments.settle_due().await.expect("a look");
            }
        };
        let (here, there) = (buyer.at(&shop.a), buyer.at(&shop.b));
        let (one, two, ()) = join3(
            here.client.pay_card(&id, "pay", token),
            there.client.pay_card(&id, "pay", token),
            look,
        )
        .await;
        for answer in [&one, &two] {
            assert!(matches!(status(answer), Some("APPROVED" | "PENDING")), "{answer}");
            assert_eq!(refusal(answer), None, "{answer}");
        }
        id
    });
    let paid: Vec<String> = stream::iter(races).buffer_unordered(AT_ONCE).collect().await;
    shop.all_decided().await;
    for id in paid {
        assert_eq!(shop.status_of(&id).await, "APPROVED");
    }
    assert_eq!(shop.sandbox.list().await.len(), trials(12));
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_cards_for_one_reservation_one_is_charged() {
    let shop = shop(trials(12), &[]).await;
    let people = shop.buyers(trials(12)).await;
    let races = people.iter().enumerate().map(async |(seat, buyer)| {
        let id = buyer.held(&shop.show, seat).await;
        let there = buyer.at(if seat % 2 == 0 { &shop.a } else { &shop.b });
        let answers = tokio::join!(
            buyer.client.pay_card(&id, "one", "tok_ok"),
            there.client.pay_card(&id, "two", "tok_webhook_twice")
        );
        let mut approved = 0;
        for answer in [answers.0, answers.1] {
            match (status(&answer), refusal(&answer)) {
                (Some("APPROVED"), None) => approved += 1,
                (None, Some("PAYMENT_IN_PROGRESS" | "RESERVATION_NOT_PAYABLE")) => {}
                other => panic!("{other:?}: {answer}"),
            }
        }
        assert_eq!(approved, 1);
    });
    stream::iter(races).buffer_unordered(AT_ONCE).collect::<()>().await;
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_against_an_approval_has_one_of_the_legal_outcomes() {
    let mut random = Random::seeded();
    let shop = shop(trials(12), &[]).await;
    let people = shop.buyers(trials(12)).await;
    let pauses: Vec<usize> = people.iter().map(|_| random.below(600)).collect();
    let races = people.iter().zip(pauses).enumerate().map(async |(seat, (buyer, pause))| {
        let id = buyer.held(&shop.show, seat).await;
        let paid = buyer.client.pay_card(&id, "pay", "tok_challenge").await;
        let there = buyer.at(if seat % 2 == 0 { &shop.a } else { &shop.b });
        let challenge = redirect(&paid);
        let pause = Duration::from_millis(u64::try_from(pause).expect("a pause"));
        let (cancelled, _) = tokio::join!(
            async {
                tokio::time::sleep(pause).await;
                there.client.send(CANCEL, json!({ "id": id })).await
            },
            answer(&challenge, "pass"),
        );
        let payload = &cancelled["data"]["cancelReservation"];
        let code = payload["userErrors"][0]["code"].as_str();
        match (code, payload["reservation"]["status"].as_str()) {
            // Before it was decided; and after, with the money on its way back.
            (Some("PAYMENT_IN_PROGRESS"), None) | (None, Some("CANCELLED")) => {}
            other => panic!("{other:?}: {cancelled}"),
        }
    });
    stream::iter(races).buffer_unordered(AT_ONCE).collect::<()>().await;
    shop.all_decided().await;
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_by_card_against_the_lapse_pays_or_asks_nobody() {
    let mut random = Random::seeded();
    let shop = shop(trials(12), &["--hold-seconds=2"]).await;
    let people = shop.buyers(trials(12)).await;
    let pauses: Vec<u64> =
        people.iter().map(|_| 1_500 + u64::try_from(random.below(700)).expect("a pause")).collect();
    let races = people.iter().zip(pauses).enumerate().map(async |(seat, (buyer, pause))| {
        let id = buyer.held(&shop.show, seat).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        buyer.client.pay_card(&id, "pay", "tok_ok").await
    });
    let answers: Vec<Value> = stream::iter(races).buffer_unordered(AT_ONCE).collect().await;
    let mut paid = 0;
    for answer in &answers {
        match (status(answer), refusal(answer)) {
            (Some("APPROVED"), None) => paid += 1,
            (None, Some("HOLD_EXPIRED")) => {}
            other => panic!("{other:?}: {answer}"),
        }
    }
    assert_eq!(shop.sandbox.list().await.len(), paid);
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_order_twenty_times_at_once_charges_once() {
    let shop = shop(10, &["--gateway-timeout-ms=15000"]).await;
    let buyer = shop.buyer().await;
    for (seat, token) in [(0, "tok_ok"), (1, "tok_slow")] {
        let id = buyer.held(&shop.show, seat).await;
        let instances = [&shop.a, &shop.b];
        let answers = join_all((0..20).map(|n| {
            let there = buyer.at(instances[n % 2]);
            let (id, key) = (id.clone(), format!("pay {seat}"));
            async move { there.client.pay_card(&id, &key, token).await }
        }))
        .await;
        for answer in &answers {
            assert!(matches!(status(answer), Some("APPROVED" | "PENDING")), "{answer}");
        }
        shop.all_decided().await;
        assert_eq!(shop.status_of(&id).await, "APPROVED");
    }
    assert_eq!(shop.sandbox.list().await.len(), 2);
    shop.books_agree().await;
}
