//! Charging points, and the ledger.

mod card;
mod group;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    buying,
    client::{Client, refusal},
    shop::{self, Setup},
    world::{Instance, World},
};

async fn world() -> (World, Instance, Instance, Client) {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let fan = shop::fan(&world, &a).await;
    (world, a, b, fan)
}

/// 2^53 - 1, the most that a wallet can hold.
const LIMIT: i64 = 9_007_199_254_740_991;

/// A wallet with many points, and true books: nobody could charge so much by hand.
async fn rich(world: &World, fan: &Client, balance: i64) {
    let person = fan.person_id.as_deref().unwrap();
    world
        .sql(&format!(
            "INSERT INTO wallet VALUES ('{person}', {balance});
             INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, created_at)
             VALUES (gen_random_uuid(), '{person}', 'CHARGE', {balance}, {balance}, 'CHARGE', 'rich', now())"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_is_one_to_ten_million_points() {
    let (world, _a, _b, fan) = world().await;
    assert_eq!(fan.balance().await, 0);
    let charged = fan.charge(1, "one").await;
    assert_eq!(charged["balance"], 1);
    assert_eq!(
        (&charged["entry"]["kind"], &charged["entry"]["delta"]),
        (&json!("CHARGE"), &json!(1))
    );
    assert_eq!(fan.charge(10_000_000, "much").await["entry"]["balanceAfter"], 10_000_001);
    for amount in [0, 10_000_001, LIMIT] {
        let refused = fan.charge(amount, "wrong").await;
        assert_eq!(refusal(&refused), Some("AMOUNT_INVALID"));
        assert_eq!((&refused["entry"], &refused["balance"]), (&Value::Null, &Value::Null));
        assert_eq!(refused["userErrors"][0]["path"], json!(["input", "amount"]));
    }
    let query = "mutation ($input: ChargeInput!) { charge(input: $input) { balance } }";
    for amount in [json!(-1), json!(LIMIT + 1), json!(1.5), json!("1")] {
        let input = json!({ "input": { "amount": amount, "idempotencyKey": "wrong" } });
        assert_eq!(fan.error_code(query, input).await, "BAD_REQUEST", "{amount}");
    }
    assert_eq!(fan.balance().await, 10_000_001);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_1_to_255_characters() {
    let (world, _a, _b, fan) = world().await;
    for key in ["k", &"k".repeat(255), &"열".repeat(255), "  ", "'; --"] {
        assert_eq!(refusal(&fan.charge(10, key).await), None, "{key}");
    }
    for key in ["", &"k".repeat(256), &"열".repeat(256), "a\0b"] {
        let refused = fan.charge(10, key).await;
        assert_eq!(refusal(&refused), Some("IDEMPOTENCY_KEY_INVALID"), "{key}");
        assert_eq!(refused["userErrors"][0]["path"], json!(["input", "idempotencyKey"]));
    }
    assert_eq!(fan.balance().await, 50);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_equal_charges_over_two_instances_are_one() {
    let (world, _a, b, fan) = world().await;
    let clients = [fan.clone(), fan.at(b.address)];
    let answers = join_all((0..40).map(|n| clients[n % 2].charge(700, "charge"))).await;
    for answer in &answers {
        assert_eq!(refusal(answer), None);
        assert_eq!(answer, &answers[0]);
    }
    assert_eq!(answers[0]["balance"], 700);
    assert_eq!(fan.balance().await, 700);
    assert_eq!(world.number("SELECT count(*) FROM wallet_entry").await, 1);
    // Long after, when the balance is another one: the same answer still.
    fan.charge(1, "other").await;
    assert_eq!(fan.charge(700, "charge").await, answers[0]);
    assert_eq!(refusal(&fan.charge(701, "charge").await), Some("IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(fan.balance().await, 701);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_different_charges_at_once_all_count() {
    let (world, _a, b, fan) = world().await;
    let clients = [fan.clone(), fan.at(b.address)];
    let keys: Vec<String> = (0..40).map(|n| format!("charge {n}")).collect();
    let answers =
        join_all(keys.iter().enumerate().map(|(n, key)| clients[n % 2].charge(10, key))).await;
    let mut balances: Vec<i64> =
        answers.iter().map(|answer| answer["balance"].as_i64().unwrap()).collect();
    balances.sort_unstable();
    assert_eq!(balances, (1..=40).map(|n| n * 10).collect::<Vec<_>>());
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_two_amounts_at_once_adds_one_of_them() {
    let (world, _a, b, fan) = world().await;
    let there = fan.at(b.address);
    for round in 0..10 {
        let key = format!("round {round}");
        let before = fan.balance().await;
        let (one, two) = tokio::join!(fan.charge(1, &key), there.charge(2, &key));
        let mut codes = [refusal(&one), refusal(&two)];
        codes.sort_unstable();
        assert_eq!(codes, [None, Some("IDEMPOTENCY_KEY_REUSED")]);
        assert!((1..=2).contains(&(fan.balance().await - before)));
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_two_people_do_not_collide() {
    let (world, a, _b, fan) = world().await;
    let other = shop::fan(&world, &a).await;
    fan.charge(10, "key").await;
    assert_eq!(other.charge(20, "key").await["balance"], 20);
    assert_eq!((fan.balance().await, other.balance().await), (10, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_holds_no_more_than_javascript_can_count() {
    let (world, _a, b, fan) = world().await;
    rich(&world, &fan, LIMIT - 10).await;
    assert_eq!(refusal(&fan.charge(11, "too much").await), Some("BALANCE_LIMIT"));
    let clients = [fan.clone(), fan.at(b.address)];
    let keys: Vec<String> = (0..10).map(|n| format!("charge {n}")).collect();
    let answers =
        join_all(keys.iter().enumerate().map(|(n, key)| clients[n % 2].charge(4, key))).await;
    let refused = answers.iter().filter(|answer| refusal(answer) == Some("BALANCE_LIMIT")).count();
    assert_eq!(refused, 8);
    assert_eq!(fan.charge(2, "rest").await["balance"], LIMIT);
    assert_eq!(fan.balance().await, LIMIT);
    // A key that was used answers as before, though the wallet is full.
    assert_eq!(fan.charge(2, "rest").await["balance"], LIMIT);
    assert_eq!(refusal(&fan.charge(3, "rest").await), Some("IDEMPOTENCY_KEY_REUSED"));
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_read_newest_first_a_page_at_a_time() {
    let (world, a, _b, fan) = world().await;
    for n in 1..=5 {
        fan.charge(n, &format!("charge {n}")).await;
    }
    let query =
        "query ($first: Int, $after: String) { walletEntries(first: $first, after: $after) {
        nodes { kind delta balanceAfter payment { id } } pageInfo { hasNextPage endCursor } } }";
    let mut after = Value::Null;
    let mut deltas = Vec::new();
    for pages in [true, true, false] {
        let page =
            fan.data(query, json!({ "first": 2, "after": after })).await["walletEntries"].take();
        assert_eq!(page["pageInfo"]["hasNextPage"], pages);
        after = page["pageInfo"]["endCursor"].clone();
        // What is added in between is on no later page.
        fan.charge(100, &format!("between {after}")).await;
        deltas.extend(
            page["nodes"].as_array().unwrap().iter().map(|node| node["delta"].as_i64().unwrap()),
        );
    }
    assert_eq!(deltas, [5, 4, 3, 2, 1]);
    for first in [-1, 101] {
        assert_eq!(fan.error_code(query, json!({ "first": first })).await, "BAD_REQUEST");
    }
    assert_eq!(fan.error_code(query, json!({ "after": "no cursor" })).await, "BAD_REQUEST");
    let nothing = fan.data(query, json!({ "first": 0 })).await;
    assert_eq!(nothing["walletEntries"]["nodes"], json!([]));
    let stranger = shop::fan(&world, &a).await.data(query, json!({})).await;
    assert_eq!(stranger["walletEntries"]["nodes"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_can_only_grow() {
    let (world, _a, _b, fan) = world().await;
    fan.charge(10, "charge").await;
    let attempts = [
        "UPDATE wallet_entry SET delta = 20",
        "UPDATE wallet_entry SET delta = 20 WHERE false",
        "DELETE FROM wallet_entry",
        "TRUNCATE wallet_entry",
        "TRUNCATE wallet CASCADE",
    ];
    for attempt in attempts {
        assert_eq!(world.refused(attempt).await, "wallet_entry_append_only", "{attempt}");
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_itself_refuses_money_that_contradicts_itself() {
    let (world, a, _b, _) = world().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.bought(&show, 0, 1_000).await;
    let entry = |kind: &str, delta: i64, after: i64, purpose: &str, key: &str, payment: &str| {
        format!(
            "INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, payment_id, created_at)
             SELECT gen_random_uuid(), person_id, '{kind}', {delta}, {after}, '{purpose}', {key}, {payment}, now() FROM wallet"
        )
    };
    let payment = "(SELECT id FROM payment)";
    let cases = [
        ("UPDATE wallet SET balance = -1".to_owned(), "wallet_balance_range"),
        (format!("UPDATE wallet SET balance = {}", LIMIT + 1), "wallet_balance_range"),
        ("INSERT INTO wallet SELECT person_id, 0 FROM wallet".to_owned(), "wallet_pkey"),
        ("INSERT INTO wallet VALUES (gen_random_uuid(), 0)".to_owned(), "wallet_person_fkey"),
        (entry("CHARGE", 1, -1, "CHARGE", "'k'", "NULL"), "wallet_entry_balance_range"),
        (entry("CHARGE", 1, LIMIT + 1, "CHARGE", "'k'", "NULL"), "wallet_entry_balance_range"),
        (entry("CHARGE", 0, 1, "CHARGE", "'k'", "NULL"), "wallet_entry_kind_agrees"),
        (entry("CHARGE", 1, 1, "PAYMENT", "'k'", "NULL"), "wallet_entry_kind_agrees"),
        (entry("DEDUCT", 1, 1, "PAYMENT", "'k'", payment), "wallet_entry_kind_agrees"),
        (entry("DEDUCT", -1, 1, "PAYMENT", "'k'", "NULL"), "wallet_entry_kind_agrees"),
        (entry("ROLLBACK", -1, 1, "REFUND", "'k'", payment), "wallet_entry_kind_agrees"),
        (entry("GIFT", 1, 1, "CHARGE", "'k'", "NULL"), "wallet_entry_kind_agrees"),
        (entry("CHARGE", 1, 1, "CHARGE", "''", "NULL"), "wallet_entry_key_length"),
        (entry("CHARGE", 1, 1, "CHARGE", "repeat('k', 256)", "NULL"), "wallet_entry_key_length"),
        (
            entry("DEDUCT", -1, 1, "PAYMENT", "(SELECT id::text FROM payment)", payment),
            "wallet_entry_purpose_unique",
        ),
        (
            entry("DEDUCT", -1, 1, "PAYMENT", "'k'", "gen_random_uuid()"),
            "wallet_entry_payment_fkey",
        ),
    ];
    for (sql, constraint) in cases {
        assert_eq!(world.refused(&sql).await, constraint, "{sql}");
    }
    world.books_are_true().await;
}
