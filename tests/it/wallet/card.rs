//! Charging points to a card: every outcome, once per key, and never beside a gift under the same key.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    cards::{CardShop, RETURN_URL, answer},
    client::{Client, refusal},
    eventually,
    shop::{self, Setup},
    trials,
    world::World,
};

async fn shop(flags: &[&str]) -> CardShop {
    let setup = Setup { open_sale: false, ..Setup::default() };
    CardShop::open(setup, flags, &[]).await
}

async fn fans(shop: &CardShop, count: usize) -> Vec<Client> {
    shop::fans(&shop.world, &shop.a, count).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_has_its_outcome() {
    let shop = shop(&["--gateway-timeout-ms=1500"]).await;
    for (token, code) in [
        ("tok_ok", None),
        ("tok_slow", None),
        ("tok_timeout", None),
        ("tok_500", None),
        ("tok_webhook_twice", None),
        ("tok_declined", Some("CARD_DECLINED")),
    ] {
        let fan = fans(&shop, 1).await.remove(0);
        let mut charged = fan.charge_card("key", token).await;
        if charged["status"] == "PENDING" {
            assert_eq!((&charged["entry"], &charged["balance"]), (&Value::Null, &Value::Null));
            shop.all_decided().await;
            charged = fan.at(shop.b.address).charge_card("key", token).await;
        }
        assert_eq!(refusal(&charged), code, "{token}: {charged}");
        let fine = code.is_none();
        assert_eq!(charged["status"], if fine { "APPROVED" } else { "FAILED" }, "{charged}");
        assert_eq!(charged["balance"], if fine { json!(500) } else { Value::Null }, "{charged}");
        assert_eq!(fan.balance().await, if fine { 500 } else { 0 });
        // Later, elsewhere, the same.
        assert_eq!(fan.at(shop.b.address).charge_card("key", token).await, charged, "{token}");
        let ledger = "{ walletEntries { nodes { kind delta payment { id } } } }";
        let ledger = fan.data(ledger, json!({})).await["walletEntries"]["nodes"].clone();
        let line = json!([{ "kind": "CHARGE", "delta": 500, "payment": null }]);
        assert_eq!(ledger, if fine { line } else { json!([]) }, "{token}");
    }
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_passed_failed_or_abandoned() {
    let shop = shop(&["--card-action-seconds=2", "--gateway-timeout-ms=1000"]).await;
    for (outcome, code) in
        [("pass", None), ("fail", Some("CARD_ACTION_FAILED")), ("", Some("CARD_ACTION_FAILED"))]
    {
        let fan = fans(&shop, 1).await.remove(0);
        let charged = fan.charge_card("key", "tok_challenge").await;
        assert_eq!(charged["status"], "PENDING", "{charged}");
        if !outcome.is_empty() {
            let url = charged["action"]["redirectUrl"].as_str().expect("an address");
            assert_eq!(answer(url, outcome).await, RETURN_URL);
        }
        shop.all_decided().await;
        let told = fan.charge_card("key", "tok_challenge").await;
        assert_eq!(refusal(&told), code, "{told}");
        assert_eq!(told["action"], Value::Null);
        assert_eq!(fan.balance().await, if code.is_none() { 500 } else { 0 });
    }
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_not_to_charge_has_its_code_and_asks_nobody() {
    let shop = shop(&[]).await;
    let fan = fans(&shop, 1).await.remove(0);
    let with = |name: &str, value: Value| {
        let mut input = json!({ "amount": 500, "idempotencyKey": "key", "cardToken": "tok_ok", "returnUrl": RETURN_URL });
        input[name] = value;
        input
    };
    for (name, value, code) in [
        ("amount", json!(0), "AMOUNT_INVALID"),
        ("amount", json!(10_000_001), "AMOUNT_INVALID"),
        ("idempotencyKey", json!(""), "IDEMPOTENCY_KEY_INVALID"),
        ("cardToken", json!("x".repeat(501)), "CARD_TOKEN_MISSING"),
        ("returnUrl", json!("https://evil.example/"), "RETURN_URL_INVALID"),
    ] {
        let refused = fan.charge_as(with(name, value)).await;
        assert_eq!(refusal(&refused), Some(code), "{refused}");
        assert_eq!((&refused["status"], &refused["entry"]), (&Value::Null, &Value::Null));
    }
    fan.charge(1, "open").await;
    shop.world
        .sql(
            "WITH filled AS (UPDATE wallet SET balance = 9007199254740991 RETURNING person_id)
             INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, created_at)
             SELECT gen_random_uuid(), person_id, 'CHARGE', 9007199254740990, 9007199254740991, 'CHARGE', 'much', now() FROM filled",
        )
        .await;
    assert_eq!(refusal(&fan.charge_card("key", "tok_ok").await), Some("BALANCE_LIMIT"));
    assert_eq!(shop.sandbox.list().await, Vec::<Value>::new());
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_are_a_gift_only_where_that_is_said_or_nothing_else_is_there() {
    let world = World::new().await;
    for (flags, with_card, without) in [
        (vec![], Some("GATEWAY_UNAVAILABLE"), None),
        (vec!["--free-charge=false"], Some("GATEWAY_UNAVAILABLE"), Some("CARD_TOKEN_MISSING")),
        (
            vec![
                "--card-gateway=sandbox",
                "--sandbox-url=http://127.0.0.1:9",
                "--sandbox-secret=x",
            ],
            Some("GATEWAY_UNAVAILABLE"),
            Some("CARD_TOKEN_MISSING"),
        ),
    ] {
        let instance = world.quiet_instance(&flags).await;
        let fan = shop::fan(&world, &instance).await;
        assert_eq!(refusal(&fan.charge(100, "gift").await), without, "{flags:?}");
        let input = json!({ "amount": 500, "idempotencyKey": "card", "cardToken": "tok_ok" });
        assert_eq!(refusal(&fan.charge_as(input).await), with_card, "{flags:?}");
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_for_a_gift_or_for_a_card_and_for_one_card() {
    let shop = shop(&[]).await;
    let fan = fans(&shop, 1).await.remove(0);
    let there = fan.at(shop.b.address);
    assert_eq!(refusal(&fan.charge(500, "gift").await), None);
    assert_eq!(refusal(&there.charge_card("gift", "tok_ok").await), Some("IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(refusal(&fan.charge_card("card", "tok_ok").await), None);
    assert_eq!(refusal(&there.charge(500, "card").await), Some("IDEMPOTENCY_KEY_REUSED"));
    let other = there.charge_card("card", "tok_webhook_twice").await;
    assert_eq!(refusal(&other), Some("IDEMPOTENCY_KEY_REUSED"), "{other}");
    assert_eq!(refusal(&fan.charge_card("declined", "tok_declined").await), Some("CARD_DECLINED"));
    assert_eq!(refusal(&there.charge(500, "declined").await), Some("IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(fan.balance().await, 1_000);
    // A payment for seats is another purpose.
    assert_eq!(shop.sandbox.list().await.len(), 2);
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gift_and_a_card_under_one_key_at_once_add_points_once() {
    let shop = shop(&[]).await;
    let people = fans(&shop, trials(12)).await;
    join_all(people.iter().map(async |fan| {
        let there = fan.at(shop.b.address);
        let (gift, card) = tokio::join!(fan.charge(500, "key"), there.charge_card("key", "tok_ok"));
        let legal =
            |answer: &Value| matches!(refusal(answer), None | Some("IDEMPOTENCY_KEY_REUSED"));
        assert!(legal(&gift) && legal(&card), "{gift} {card}");
        assert!(refusal(&gift).is_none() || refusal(&card).is_none(), "{gift} {card}");
        assert_eq!(fan.balance().await, 500, "{gift} {card}");
    }))
    .await;
    shop.all_decided().await;
    // A card that was charged for nothing gets its money back.
    let kept =
        "SELECT count(*) FROM payment p WHERE p.status = 'APPROVED' AND p.refund_status IS NULL
                  AND NOT EXISTS (SELECT 1 FROM wallet_entry e WHERE e.payment_id = p.id)";
    assert_eq!(shop.world.number(kept).await, 0);
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_is_full_by_then_has_the_money_go_back() {
    let shop = shop(&[]).await;
    let fan = fans(&shop, 1).await.remove(0);
    let charged = fan.charge_card("key", "tok_challenge").await;
    assert_eq!(charged["status"], "PENDING", "{charged}");
    shop.world
        .sql(
            "WITH filled AS (UPDATE wallet SET balance = 9007199254740991 RETURNING person_id)
             INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, created_at)
             SELECT gen_random_uuid(), person_id, 'CHARGE', 9007199254740991, 9007199254740991, 'CHARGE', 'much', now() FROM filled",
        )
        .await;
    answer(charged["action"]["redirectUrl"].as_str().expect("an address"), "pass").await;
    let told = eventually("the card to be charged", async || {
        let told = fan.charge_card("key", "tok_challenge").await;
        (told["status"] != "PENDING").then_some(told)
    })
    .await;
    assert_eq!(refusal(&told), Some("BALANCE_LIMIT"), "{told}");
    assert_eq!((&told["entry"], &told["balance"]), (&Value::Null, &Value::Null));
    let asked = "SELECT count(*) FROM payment WHERE refund_id IS NOT NULL";
    assert_eq!(shop.world.number(asked).await, 1);
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_equal_charges_over_two_instances_charge_the_card_once() {
    let shop = shop(&[]).await;
    let fan = fans(&shop, 1).await.remove(0);
    let clients = [fan.clone(), fan.at(shop.b.address)];
    let answers = join_all((0..40).map(|n| clients[n % 2].charge_card("key", "tok_ok"))).await;
    for answer in &answers {
        assert_eq!(refusal(answer), None, "{answer}");
        assert!(answer["status"] == "APPROVED" || answer["status"] == "PENDING", "{answer}");
    }
    shop.all_decided().await;
    assert_eq!(fan.balance().await, 500);
    assert_eq!(shop.sandbox.list().await.len(), 1);
    shop.books_agree().await;
}

/// Leaves a charge as it is where its wallet was full when the card was charged, and its refund given up.
async fn give_up(world: &World, fan: &Client) -> String {
    let person = fan.person_id.as_deref().expect("a person");
    world
        .sql(&format!(
            "ALTER TABLE wallet_entry DISABLE TRIGGER wallet_entry_append_only;
             DELETE FROM wallet_entry WHERE person_id = '{person}';
             UPDATE wallet SET balance = 0 WHERE person_id = '{person}';
             ALTER TABLE wallet_entry ENABLE TRIGGER wallet_entry_append_only;
             UPDATE payment SET refund_status = 'FAILED', refund_id = gen_random_uuid(), refund_asked_at = clock_timestamp()
             WHERE person_id = '{person}'"
        ))
        .await;
    let sql = format!("SELECT id::text FROM payment WHERE person_id = '{person}'");
    world.texts(&sql).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_whose_refund_was_given_up_is_tried_anew_by_a_command() {
    let shop = shop(&["--refund-seconds=1"]).await;
    let people = fans(&shop, 2).await;
    let database = [("DATABASE_URL", shop.world.database.url.as_str())];
    let retry =
        async |payment: &str| crate::cli::run(&["retry-refund", payment], &database, "").await;
    let refused = async |payment: &str, words: &str| {
        let refused = retry(payment).await;
        assert!(refused.code > 0 && refused.err.contains(words), "{refused:?}");
    };
    let charged = people[0].charge_card("key", "tok_ok").await;
    assert_eq!(charged["status"], "APPROVED", "{charged}");
    let payment = shop.world.texts("SELECT id::text FROM payment").await.remove(0);
    refused(&payment, "Nobody has asked").await;
    refused("00000000-0000-7000-8000-000000000000", "There is no payment").await;
    refused("no id", "PAYMENT").await;
    // The cause is gone: its money goes back.
    assert_eq!(give_up(&shop.world, &people[0]).await, payment);
    let tried = retry(&payment).await;
    assert_eq!((tried.code, tried.err.as_str()), (0, ""), "{tried:?}");
    assert!(tried.out.contains(&payment), "{tried:?}");
    let back = "SELECT count(*) FROM payment WHERE status = 'REFUNDED'";
    eventually("the money to be back", async || (shop.world.number(back).await == 1).then_some(()))
        .await;
    refused(&payment, "is back already").await;
    // It is not: it is given up once more.
    people[1].charge_card("key", "tok_refund_fails").await;
    let payment = give_up(&shop.world, &people[1]).await;
    let tried = retry(&payment).await;
    assert_eq!(tried.code, 0, "{tried:?}");
    let again = format!(
        "SELECT count(*) FROM payment WHERE id = '{payment}' AND refund_status = 'FAILED' AND refund_attempt > 1"
    );
    eventually("it to be given up again", async || {
        (shop.world.number(&again).await == 1).then_some(())
    })
    .await;
    shop.books_agree().await;
}
