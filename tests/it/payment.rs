//! Paying a hold: once per key, whole or not at all.

mod card;
mod group;
mod holders;
mod late;
mod lookups;
mod races;
mod refunds;
mod settle;
mod turn;
mod waits;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    buying::{self, Buyer},
    client::refusal,
    shop::{self, Setup, Show},
    world::{Instance, World},
};

async fn world(setup: Setup) -> (World, Instance, Instance, Show) {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup).await;
    (world, a, b, show)
}

/// The person's queue token, as the database has it.
async fn token_status(world: &World, buyer: &Buyer) -> String {
    let sql = format!(
        "SELECT status FROM queue_token WHERE person_id = '{}' ORDER BY entered_at DESC LIMIT 1",
        buyer.person_id()
    );
    world.texts(&sql).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_confirms_the_reservation_sells_the_seats_and_writes_the_ledger() {
    let (world, a, b, show) = world(Setup { max_seats_per_person: 2, ..Setup::default() }).await;
    let two = buying::buyers(&world, &[&a, &b], &show, 2).await;
    let buyer = &two[0];
    buyer.client.charge(5_000, "charge").await;
    let held = buyer.hold_seats(&show, &[0, 1]).await;
    let id = held["reservation"]["id"].as_str().unwrap();
    let paid = buyer.at(&b).client.pay(id, 2_000, "pay").await;
    let payment = &paid["payment"];
    assert_eq!((&payment["status"], &payment["method"]), (&json!("APPROVED"), &json!("POINT")));
    assert_eq!(payment["amount"], 2_000);
    assert!(payment["approvedAt"].is_string() && payment["refundedAt"].is_null(), "{paid}");
    assert_eq!(payment["reservation"]["status"], "CONFIRMED");
    for seat in payment["reservation"]["seats"].as_array().unwrap() {
        assert_eq!(seat["status"], "SOLD_OUT");
    }
    assert_eq!(buyer.client.balance().await, 3_000);
    for seat in [0, 1] {
        assert_eq!(two[1].seat(&show, seat).await, ("SOLD_OUT".to_owned(), 3));
    }
    let query =
        "{ walletEntries { nodes { kind delta balanceAfter payment { id reservation { id } } } } }";
    let ledger = buyer.client.data(query, json!({})).await;
    let last = &ledger["walletEntries"]["nodes"][0];
    assert_eq!(
        *last,
        json!({ "kind": "DEDUCT", "delta": -2_000, "balanceAfter": 3_000,
                "payment": { "id": payment["id"], "reservation": { "id": id } } })
    );
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_equal_payments_over_two_instances_are_one() {
    let (world, a, b, show) = world(Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.client.charge(5_000, "charge").await;
    let id = buyer.held(&show, 0).await;
    let clients = [buyer.client.clone(), buyer.at(&b).client];
    let answers = join_all((0..40).map(|n| clients[n % 2].pay(&id, 1_000, "pay"))).await;
    let paid: Vec<&Value> = answers
        .iter()
        .filter(|answer| refusal(answer) != Some("PAYMENT_IN_PROGRESS"))
        .map(|answer| &answer["payment"])
        .collect();
    assert!(!paid.is_empty());
    for payment in &paid {
        assert_eq!(payment["status"], "APPROVED", "{answers:?}");
        assert_eq!(*payment, paid[0]);
    }
    assert_eq!(buyer.client.balance().await, 4_000);
    assert_eq!(world.number("SELECT count(*) FROM payment").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM wallet_entry WHERE kind = 'DEDUCT'").await, 1);
    // Later too, and after a refund: the payment as it stands.
    assert_eq!(clients[0].pay(&id, 1_000, "pay").await["payment"], *paid[0]);
    clients[1].cancel(&id).await;
    let later = clients[0].pay(&id, 1_000, "pay").await;
    assert_eq!(later["payment"]["status"], "REFUNDED", "{later}");
    assert_eq!(buyer.client.balance().await, 5_000);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_input_of_one_person() {
    let (world, a, b, show) = world(Setup { max_seats_per_person: 2, ..Setup::default() }).await;
    let two = buying::buyers(&world, &[&a, &b], &show, 2).await;
    let buyer = &two[0];
    buyer.client.charge(5_000, "key").await;
    let (first, second) = (buyer.held(&show, 0).await, buyer.held(&show, 1).await);
    let paid = buyer.client.pay(&first, 1_000, "key").await;
    assert_eq!(refusal(&paid), None, "a charge and a payment may share a key: {paid}");
    let others = [
        json!({ "reservationId": first, "method": "POINT", "amount": 999, "idempotencyKey": "key" }),
        json!({ "reservationId": second, "method": "POINT", "amount": 1_000, "idempotencyKey": "key" }),
        json!({ "reservationId": first, "method": "CARD", "amount": 1_000, "idempotencyKey": "key", "cardToken": "tok" }),
        json!({ "reservationId": first, "method": "CARD", "amount": 1_000, "idempotencyKey": "key" }),
    ];
    for input in others {
        let answer = buyer.at(&b).client.pay_as(input).await;
        assert_eq!(refusal(&answer), Some("IDEMPOTENCY_KEY_REUSED"), "{answer}");
        assert_eq!(answer["payment"], Value::Null);
    }
    assert_eq!(buyer.client.balance().await, 4_000);
    // Somebody else's key of the same name is another key.
    two[1].client.charge(1_000, "key").await;
    let theirs = two[1].held(&show, 2).await;
    assert_eq!(refusal(&two[1].client.pay(&theirs, 1_000, "key").await), None);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_for_two_reservations_at_once_pays_one_of_them() {
    let (world, a, b, show) = world(Setup::default()).await;
    let other_show = shop::show(&world, &a, Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.client.charge(5_000, "charge").await;
    // Under two queue tokens, so that only the key's constraint stands between them.
    let there = Buyer { token: buyer.client.admitted(&other_show.id).await, ..buyer.at(&b) };
    let (one, two) = (buyer.held(&show, 0).await, there.held(&other_show, 0).await);
    let (first, second) =
        tokio::join!(buyer.client.pay(&one, 1_000, "key"), there.client.pay(&two, 1_000, "key"));
    let mut codes = [refusal(&first), refusal(&second)];
    codes.sort_unstable();
    assert_eq!(codes, [None, Some("IDEMPOTENCY_KEY_REUSED")]);
    assert_eq!(buyer.client.balance().await, 4_000);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_payments_for_one_reservation_with_keys_of_their_own_one_wins() {
    let (world, a, b, show) = world(Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.client.charge(50_000, "charge").await;
    let id = buyer.held(&show, 0).await;
    let clients = [buyer.client.clone(), buyer.at(&b).client];
    let keys: Vec<String> = (0..20).map(|n| format!("pay {n}")).collect();
    let answers =
        join_all(keys.iter().enumerate().map(|(n, key)| clients[n % 2].pay(&id, 1_000, key))).await;
    let won = answers.iter().filter(|answer| answer["payment"]["status"] == "APPROVED").count();
    assert_eq!(won, 1);
    for answer in &answers {
        let code = refusal(answer);
        assert!(
            matches!(code, None | Some("RESERVATION_NOT_PAYABLE" | "PAYMENT_IN_PROGRESS")),
            "{answer}"
        );
    }
    assert_eq!(buyer.client.balance().await, 49_000);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_not_to_pay_has_its_code() {
    let (world, a, _b, show) = world(Setup { max_seats_per_person: 5, ..Setup::default() }).await;
    let two = buying::buyers(&world, &[&a], &show, 2).await;
    let (buyer, client) = (&two[0], &two[0].client);
    let id = buyer.held(&show, 0).await;

    for unknown in ["no id", "00000000-0000-7000-8000-000000000000"] {
        let refused = client.pay(unknown, 1_000, "k").await;
        assert_eq!(refusal(&refused), Some("RESERVATION_NOT_FOUND"));
        assert_eq!(refused["userErrors"][0]["path"], json!(["input", "reservationId"]));
    }
    assert_eq!(refusal(&two[1].client.pay(&id, 1_000, "k").await), Some("RESERVATION_NOT_FOUND"));
    assert_eq!(refusal(&client.pay(&id, 1_000, "none").await), Some("INSUFFICIENT_BALANCE"));
    client.charge(999, "almost").await;
    assert_eq!(refusal(&client.pay(&id, 1_000, "few").await), Some("INSUFFICIENT_BALANCE"));
    client.charge(9_001, "enough").await;
    for amount in [0, 999, 1_001, 9_007_199_254_740_991] {
        assert_eq!(refusal(&client.pay(&id, amount, "k").await), Some("AMOUNT_MISMATCH"));
    }
    for key in ["", &"k".repeat(256)] {
        assert_eq!(refusal(&client.pay(&id, 1_000, key).await), Some("IDEMPOTENCY_KEY_INVALID"));
    }
    let card = |token: Value| json!({ "reservationId": id, "method": "CARD", "amount": 1_000, "idempotencyKey": "card", "cardToken": token });
    for missing in [Value::Null, json!("")] {
        assert_eq!(refusal(&client.pay_as(card(missing)).await), Some("CARD_TOKEN_MISSING"));
    }
    assert_eq!(refusal(&client.pay_as(card(json!("tok"))).await), Some("GATEWAY_UNAVAILABLE"));

    // A refusal of which there is no record leaves its key free.
    assert_eq!(refusal(&client.pay(&id, 1_000, &"k".repeat(255)).await), None);
    assert_eq!(refusal(&client.pay(&id, 1_000, "k").await), Some("RESERVATION_NOT_PAYABLE"));
    let cancelled = buyer.held(&show, 1).await;
    client.cancel(&cancelled).await;
    assert_eq!(refusal(&client.pay(&cancelled, 1_000, "k").await), Some("RESERVATION_NOT_PAYABLE"));
    let lapsed = buyer.held(&show, 2).await;
    world.lapse(&lapsed).await;
    assert_eq!(refusal(&client.pay(&lapsed, 1_000, "k").await), Some("HOLD_EXPIRED"));
    let pending = buyer.held(&show, 3).await;
    world
        .sql(&format!(
            "INSERT INTO payment (id, person_id, reservation_id, method, amount, status, idempotency_key, fingerprint, created_at,
                                  look_at, call_off_at)
             SELECT gen_random_uuid(), person_id, id, 'CARD', total_price, 'PENDING', 'other', '', now(),
                    now() + interval '1 hour', expires_at
             FROM reservation WHERE id = '{pending}'"
        ))
        .await;
    assert_eq!(refusal(&client.pay(&pending, 1_000, "k").await), Some("PAYMENT_IN_PROGRESS"));
    assert_eq!(client.balance().await, 9_000);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_points_are_a_record_and_another_key_pays() {
    let (world, a, b, show) = world(Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let id = buyer.held(&show, 0).await;
    let clients = [buyer.client.clone(), buyer.at(&b).client];
    let answers = join_all((0..10).map(|n| clients[n % 2].pay(&id, 1_000, "first"))).await;
    for answer in &answers {
        assert_eq!(refusal(answer), Some("INSUFFICIENT_BALANCE"), "{answer}");
        assert_eq!(answer["payment"]["status"], "FAILED", "{answer}");
        assert_eq!(answer["payment"]["failureCode"], "INSUFFICIENT_BALANCE");
        assert_eq!(answer["payment"]["reservation"]["status"], "HOLD");
    }
    assert_eq!(world.number("SELECT count(*) FROM payment").await, 1);
    assert_eq!(clients[1].reservation(&id).await["payment"]["status"], "FAILED");
    buyer.client.charge(5_000, "charge").await;
    // The key is used up, and says what it said.
    assert_eq!(clients[1].pay(&id, 1_000, "first").await, answers[0]);
    assert_eq!(refusal(&clients[1].pay(&id, 999, "first").await), Some("IDEMPOTENCY_KEY_REUSED"));
    let paid = clients[1].pay(&id, 1_000, "second").await;
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    assert_eq!(clients[0].reservation(&id).await["payment"]["status"], "APPROVED");
    assert_eq!(buyer.client.balance().await, 4_000);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_uses_the_queue_token_up_when_one_seat_is_all_a_person_may_have() {
    let (world, a, b, show) = world(Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.at(&b).bought(&show, 0, 1_000).await;
    assert_eq!(token_status(&world, &buyer).await, "USED");
    assert_eq!(buyer.client.queue_status(&show.id).await["status"], "USED");
    assert_eq!(
        buyer
            .client
            .error_code(buying::SEATS, json!({ "id": show.id, "token": buyer.token }))
            .await,
        "QUEUE_ENDED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_uses_the_queue_token_up_only_with_the_last_seat_a_person_may_have() {
    let (world, a, b, show) = world(Setup { max_seats_per_person: 2, ..Setup::default() }).await;
    let people = buying::buyers(&world, &[&a, &b], &show, 3).await;
    people[0].bought(&show, 0, 1_000).await;
    assert_eq!(token_status(&world, &people[0]).await, "ACTIVE");
    people[0].bought(&show, 1, 1_000).await;
    assert_eq!(token_status(&world, &people[0]).await, "USED");
    // A hold that is not paid does not count, a purchase that was refunded neither.
    people[1].client.charge(9_000, "charge").await;
    let (one, two) = (people[1].held(&show, 2).await, people[1].held(&show, 3).await);
    people[1].client.pay(&one, 1_000, "one").await;
    people[1].client.cancel(&one).await;
    people[1].client.pay(&two, 1_000, "two").await;
    assert_eq!(token_status(&world, &people[1]).await, "ACTIVE");
    // Both at once: whoever is second finds both.
    people[2].client.charge(9_000, "charge").await;
    let (one, two) = (people[2].held(&show, 4).await, people[2].held(&show, 5).await);
    let there = people[2].at(&a);
    tokio::join!(people[2].client.pay(&one, 1_000, "one"), there.client.pay(&two, 1_000, "two"));
    assert_eq!(token_status(&world, &people[2]).await, "USED");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_paid_though_its_queue_token_has_ended() {
    let (world, a, _b, show) = world(Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.client.charge(1_000, "charge").await;
    let id = buyer.held(&show, 0).await;
    buyer.client.leave(&show.id).await;
    world.sql("UPDATE schedule SET status = 'CLOSED'").await;
    assert_eq!(refusal(&buyer.client.pay(&id, 1_000, "pay").await), None);
    assert_eq!(token_status(&world, &buyer).await, "EXPIRED");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_costs_nothing_is_paid_with_an_empty_wallet() {
    let (world, a, _b, show) = world(Setup { price: 0, ..Setup::default() }).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let id = buyer.held(&show, 0).await;
    assert_eq!(world.number("SELECT count(*) FROM wallet").await, 0, "nothing was ever charged");
    let paid = buyer.client.pay(&id, 0, "pay").await;
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    let cancelled = buyer.client.cancel(&id).await;
    assert_eq!(cancelled["reservation"]["payment"]["status"], "REFUNDED", "{cancelled}");
    assert_eq!(buyer.client.balance().await, 0);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enough_points_for_one_of_two_reservations_pay_one_of_them() {
    let (world, a, b, show) = world(Setup { max_seats_per_person: 2, ..Setup::default() }).await;
    let other_show =
        shop::show(&world, &a, Setup { max_seats_per_person: 2, ..Setup::default() }).await;
    for round in 0..10 {
        let buyer = buying::buyer(&world, &a, &show).await;
        buyer.client.charge(1_500, "charge").await;
        // Under one queue token in one round, under two in the next.
        let one = buyer.held(&show, round).await;
        let two = if round % 2 == 0 {
            let there =
                Buyer { token: buyer.client.admitted(&other_show.id).await, ..buyer.clone() };
            there.held(&other_show, round).await
        } else {
            buyer.held(&show, (round + 9) % 10).await
        };
        let there = buyer.at(&b);
        let (first, second) = tokio::join!(
            buyer.client.pay(&one, 1_000, "one"),
            there.client.pay(&two, 1_000, "two")
        );
        let mut codes = [refusal(&first), refusal(&second)];
        codes.sort_unstable();
        assert_eq!(codes, [None, Some("INSUFFICIENT_BALANCE")], "{first} {second}");
        assert_eq!(buyer.client.balance().await, 500);
        for id in [one, two] {
            buyer.client.cancel(&id).await;
        }
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_itself_refuses_payments_that_contradict_themselves() {
    let (world, a, _b, show) = world(Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let id = buyer.bought(&show, 0, 1_000).await;
    let again = |key: &str, status: &str, times: &str| {
        format!(
            "INSERT INTO payment (id, person_id, reservation_id, method, amount, status, idempotency_key, fingerprint,
                                  created_at, approved_at)
             SELECT gen_random_uuid(), person_id, id, 'POINT', 1000, '{status}', {key}, '', now(), {times}
             FROM reservation WHERE id = '{id}'"
        )
    };
    let used = format!("'pay {id}'");
    let cases = [
        (again("'new'", "APPROVED", "now()"), "payment_live_unique"),
        (again("'new'", "PENDING", "NULL"), "payment_pending_agrees"),
        (
            again("'new'", "PENDING", "NULL")
                .replace("'POINT'", "'CARD'")
                .replace("approved_at)", "approved_at, look_at, call_off_at)")
                .replace("NULL\n", "NULL, now(), now()\n"),
            "payment_live_unique",
        ),
        ("UPDATE payment SET look_at = now()".to_owned(), "payment_pending_agrees"),
        ("UPDATE payment SET action_secret = 'x'".to_owned(), "payment_pending_agrees"),
        ("UPDATE payment SET purpose = 'CHARGE'".to_owned(), "payment_purpose_agrees"),
        ("UPDATE payment SET reservation_id = NULL".to_owned(), "payment_purpose_agrees"),
        ("UPDATE payment SET refund_status = 'PENDING'".to_owned(), "payment_refund_agrees"),
        ("UPDATE payment SET refund_try_at = now()".to_owned(), "payment_refund_agrees"),
        (
            again(&used, "FAILED", "'CARD_DECLINED'").replace("approved_at)", "failure_code)"),
            "payment_key_unique",
        ),
        (again("''", "APPROVED", "now()"), "payment_key_length"),
        (again("repeat('k', 256)", "APPROVED", "now()"), "payment_key_length"),
        (again("'new'", "APPROVED", "NULL"), "payment_status_agrees"),
        ("UPDATE payment SET status = 'FAILED'".to_owned(), "payment_status_agrees"),
        ("UPDATE payment SET status = 'REFUNDED'".to_owned(), "payment_status_agrees"),
        ("UPDATE payment SET refunded_at = now()".to_owned(), "payment_status_agrees"),
        ("UPDATE payment SET method = 'CASH'".to_owned(), "payment_method_known"),
        ("UPDATE payment SET amount = -1".to_owned(), "payment_amount_range"),
        ("UPDATE payment SET amount = 9007199254740992".to_owned(), "payment_amount_range"),
        (
            "UPDATE payment SET reservation_id = gen_random_uuid()".to_owned(),
            "payment_reservation_fkey",
        ),
    ];
    for (sql, constraint) in cases {
        assert_eq!(world.refused(&sql).await, constraint, "{sql}");
    }
    world.books_are_true().await;
}
