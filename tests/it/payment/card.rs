//! Paying by card: every outcome, the bank's challenge, keys, and what is refused.

use serde_json::{Value, json};

use crate::support::{
    cards::{CardShop, RETURN_URL, answer, card_input, redirect},
    client::refusal,
    eventually,
    sandbox::flags_for,
    shop::{self, Setup},
    world::World,
};

const QUICK: &[&str] = &["--gateway-timeout-ms=1500"];

async fn shop(flags: &[&str]) -> CardShop {
    CardShop::open(Setup { max_seats_per_person: 4, ..Setup::default() }, flags, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_has_its_outcome() {
    let shop = shop(QUICK).await;
    let tokens = [
        ("tok_ok", None),
        ("tok_webhook_twice", None),
        ("tok_refund_late", None),
        ("tok_500", None),
        ("tok_timeout", None),
        ("tok_declined", Some("CARD_DECLINED")),
        ("tok_nonsense", Some("CARD_DECLINED")),
    ];
    let people = shop.buyers(tokens.len()).await;
    for (seat, (token, code)) in tokens.into_iter().enumerate() {
        let buyer = &people[seat];
        let id = buyer.held(&shop.show, seat).await;
        let mut paid = buyer.client.pay_card(&id, "pay", token).await;
        if paid["payment"]["status"] == "PENDING" {
            // The look after a lost answer had little time: the same order tells.
            shop.all_decided().await;
            paid = buyer.client.pay_card(&id, "pay", token).await;
        }
        assert_eq!(refusal(&paid), code, "{token}: {paid}");
        let (payment, fine) = (&paid["payment"], code.is_none());
        assert_eq!(payment["status"], if fine { "APPROVED" } else { "FAILED" }, "{token}: {paid}");
        assert_eq!(payment["failureCode"], json!(code), "{token}: {paid}");
        assert_eq!((&payment["method"], &payment["amount"]), (&json!("CARD"), &json!(1_000)));
        let reservation = &payment["reservation"];
        assert_eq!(reservation["status"], if fine { "CONFIRMED" } else { "HOLD" }, "{token}");
        let seats = if fine { "SOLD_OUT" } else { "HOLD" };
        assert_eq!(reservation["seats"][0]["status"], seats, "{token}");
        // At the other instance, and later, the same.
        for instance in [&shop.a, &shop.b] {
            let again = buyer.at(instance).client.pay_card(&id, "pay", token).await;
            assert_eq!(again, paid, "{token}");
        }
        let told = buyer.client.reservation(&id).await;
        assert_eq!(told["payment"]["status"], payment["status"], "{token}");
    }
    assert_eq!(shop.sandbox.list().await.len(), tokens.len());
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_card_is_waited_for_or_looked_into() {
    for (timeout, at_once) in [("--gateway-timeout-ms=15000", "APPROVED"), (QUICK[0], "PENDING")] {
        let shop = shop(&[timeout]).await;
        let buyer = shop.buyer().await;
        let id = buyer.held(&shop.show, 0).await;
        let paid = buyer.client.pay_card(&id, "pay", "tok_slow").await;
        assert_eq!(paid["payment"]["status"], at_once, "{paid}");
        assert_eq!(refusal(&paid), None);
        shop.all_decided().await;
        let paid = buyer.client.pay_card(&id, "pay", "tok_slow").await;
        assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
        shop.books_agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_payment_leaves_the_hold_and_another_key_pays_it() {
    let shop = shop(&[]).await;
    let buyer = shop.buyer().await;
    let id = buyer.held(&shop.show, 0).await;
    let before = buyer.client.reservation(&id).await;
    let failed = buyer.client.pay_card(&id, "one", "tok_declined").await;
    assert_eq!(refusal(&failed), Some("CARD_DECLINED"), "{failed}");
    let after = buyer.client.reservation(&id).await;
    assert_eq!(after["expiresAt"], before["expiresAt"], "it lapses when it would have lapsed");
    assert_eq!(after["payment"]["status"], "FAILED");
    let paid = buyer.client.pay_card(&id, "two", "tok_ok").await;
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    // The failed one stays a record, and is told for its key.
    assert_eq!(
        refusal(&buyer.client.pay_card(&id, "one", "tok_declined").await),
        Some("CARD_DECLINED")
    );
    assert_eq!(buyer.client.reservation(&id).await["payment"]["status"], "APPROVED");
    // What is paid is not paid again, with whatever.
    let more = buyer.client.pay_card(&id, "three", "tok_ok").await;
    assert_eq!(refusal(&more), Some("RESERVATION_NOT_PAYABLE"));
    assert_eq!(more["payment"], Value::Null);
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_passed_or_failed_as_in_a_browser() {
    let shop = shop(&[]).await;
    let buyer = shop.buyer().await;
    for (seat, outcome, code) in [(0, "pass", None), (1, "fail", Some("CARD_ACTION_FAILED"))] {
        let id = buyer.held(&shop.show, seat).await;
        let held = buyer.client.reservation(&id).await;
        let mut changes = buyer.at(&shop.b).client.watch_reservations().await;
        let paid = buyer.client.pay_card(&id, outcome, "tok_challenge").await;
        let payment = &paid["payment"];
        assert_eq!((&payment["status"], refusal(&paid)), (&json!("PENDING"), None), "{paid}");
        assert!(payment["action"]["expiresAt"].is_string(), "{paid}");
        // The seats are kept for as long as the buyer has.
        let kept = &payment["reservation"];
        assert_eq!(kept["status"], "HOLD");
        assert!(kept["expiresAt"].as_str() > held["expiresAt"].as_str(), "{paid}");
        assert!(kept["expiresAt"].as_str() > payment["action"]["expiresAt"].as_str(), "{paid}");
        // The same order tells the same.
        let again = buyer.at(&shop.b).client.pay_card(&id, outcome, "tok_challenge").await;
        assert_eq!(again, paid);
        assert_eq!(answer(&redirect(&paid), outcome).await, RETURN_URL);
        // Whoever watches is told without asking, here of what was decided at whichever instance.
        let status = if outcome == "pass" { "CONFIRMED" } else { "HOLD" };
        let payment = if outcome == "pass" { "APPROVED" } else { "FAILED" };
        changes
            .until("the decision", |told| {
                told["id"] == id.as_str()
                    && told["status"] == status
                    && told["payment"]["status"] == payment
            })
            .await;
        let mut input = card_input(&id, outcome, "tok_challenge");
        input["actionResult"] = json!("whatever the window said");
        input["returnUrl"] = json!("https://shop.example/elsewhere");
        let told = buyer.client.pay_as(input).await;
        assert_eq!(refusal(&told), code, "{told}");
        assert_eq!(told["payment"]["status"], payment, "{told}");
        assert_eq!(told["payment"]["action"], Value::Null);
    }
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_that_is_abandoned_fails_by_itself() {
    // By the gateway's time, or by ours, whichever is over first.
    for (ours, theirs) in [("--card-action-seconds=60", "1"), ("--card-action-seconds=1", "60")] {
        let flags = &[ours, "--gateway-timeout-ms=1000"];
        let of_sandbox = &["--challenge-seconds", theirs];
        let shop = CardShop::open(Setup::default(), flags, of_sandbox).await;
        let buyer = shop.buyer().await;
        let id = buyer.held(&shop.show, 0).await;
        let before = buyer.client.reservation(&id).await;
        let paid = buyer.client.pay_card(&id, "pay", "tok_challenge").await;
        assert_eq!(paid["payment"]["status"], "PENDING", "{paid}");
        let challenge = redirect(&paid);
        shop.all_decided().await;
        let told = buyer.client.pay_card(&id, "pay", "tok_challenge").await;
        assert_eq!(refusal(&told), Some("CARD_ACTION_FAILED"), "{told}");
        assert_eq!(told["payment"]["reservation"]["expiresAt"], before["expiresAt"]);
        // Too late to be charged by it.
        let late = reqwest::Client::new().post(&challenge).body("outcome=pass").send().await;
        drop(late);
        assert_eq!(shop.sandbox.list().await[0]["charged"], 0);
        assert_eq!(
            buyer.client.pay_card(&id, "other", "tok_ok").await["payment"]["status"],
            "APPROVED"
        );
        shop.books_agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_payment_is_decided_nothing_else_is_done_with_the_reservation() {
    let shop = shop(&[]).await;
    let two = shop.buyers(2).await;
    let (buyer, there) = (&two[0], two[0].at(&shop.b));
    buyer.client.charge(5_000, "points").await;
    let id = buyer.held(&shop.show, 0).await;
    let paid = buyer.client.pay_card(&id, "card", "tok_challenge").await;
    assert_eq!(paid["payment"]["status"], "PENDING", "{paid}");
    let other = there.client.pay_card(&id, "other", "tok_ok").await;
    assert_eq!(refusal(&other), Some("PAYMENT_IN_PROGRESS"), "{other}");
    assert_eq!(refusal(&there.client.pay(&id, 1_000, "points").await), Some("PAYMENT_IN_PROGRESS"));
    assert_eq!(refusal(&there.client.cancel(&id).await), Some("PAYMENT_IN_PROGRESS"));
    let reused = there.client.pay_card(&id, "card", "tok_ok").await;
    assert_eq!(refusal(&reused), Some("IDEMPOTENCY_KEY_REUSED"), "{reused}");
    // A stranger is told nothing of it.
    assert_eq!(
        refusal(&two[1].client.pay_card(&id, "card", "tok_challenge").await),
        Some("RESERVATION_NOT_FOUND")
    );
    assert_eq!(refusal(&two[1].hold(&shop.show, 0).await), Some("SEAT_HELD"));
    answer(&redirect(&paid), "pass").await;
    shop.all_decided().await;
    assert_eq!(shop.status_of(&id).await, "APPROVED");
    assert_eq!(buyer.client.balance().await, 5_000);
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_not_to_begin_has_its_code_and_asks_nobody() {
    let shop = shop(&[]).await;
    let two = shop.buyers(2).await;
    let buyer = &two[0];
    let id = buyer.held(&shop.show, 0).await;
    let with = |name: &str, value: Value| {
        let mut input = card_input(&id, "key", "tok_ok");
        input[name] = value;
        input
    };
    for (name, value, code) in [
        ("cardToken", json!(null), "CARD_TOKEN_MISSING"),
        ("cardToken", json!(""), "CARD_TOKEN_MISSING"),
        ("cardToken", json!("x".repeat(501)), "CARD_TOKEN_MISSING"),
        ("returnUrl", json!(""), "RETURN_URL_INVALID"),
        ("returnUrl", json!("https://evil.example/"), "RETURN_URL_INVALID"),
        ("returnUrl", json!("http://shop.example/"), "RETURN_URL_INVALID"),
        ("returnUrl", json!("javascript:alert(1)"), "RETURN_URL_INVALID"),
        ("amount", json!(999), "AMOUNT_MISMATCH"),
        ("idempotencyKey", json!(""), "IDEMPOTENCY_KEY_INVALID"),
        ("reservationId", json!("no id"), "RESERVATION_NOT_FOUND"),
        ("reservationId", json!(shop.show.id), "RESERVATION_NOT_FOUND"),
    ] {
        let refused = buyer.client.pay_as(with(name, value.clone())).await;
        assert_eq!(refusal(&refused), Some(code), "{name}={value}: {refused}");
        assert_eq!(refused["payment"], Value::Null);
    }
    let lapsed = buyer.held(&shop.show, 1).await;
    shop.world.lapse(&lapsed).await;
    assert_eq!(refusal(&buyer.client.pay_card(&lapsed, "l", "tok_ok").await), Some("HOLD_EXPIRED"));
    let cancelled = buyer.held(&shop.show, 2).await;
    buyer.client.cancel(&cancelled).await;
    let refused = buyer.client.pay_card(&cancelled, "c", "tok_ok").await;
    assert_eq!(refusal(&refused), Some("RESERVATION_NOT_PAYABLE"));
    assert_eq!(shop.sandbox.list().await, Vec::<Value>::new());
    assert_eq!(shop.world.number("SELECT count(*) FROM payment").await, 0);
    // Without a way back, too: not every card needs one.
    let paid = buyer.client.pay_as(with("returnUrl", Value::Null)).await;
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_collects_twenty_failures_and_no_more() {
    let shop = shop(&[]).await;
    let buyer = shop.buyer().await;
    let id = buyer.held(&shop.show, 0).await;
    for n in 0..20 {
        let key = format!("key {n}");
        let failed = if n % 2 == 0 {
            buyer.client.pay_card(&id, &key, "tok_declined").await
        } else {
            buyer.client.pay(&id, 1_000, &key).await
        };
        assert_eq!(failed["payment"]["status"], "FAILED", "{failed}");
    }
    let refused = buyer.client.pay_card(&id, "one more", "tok_ok").await;
    assert_eq!((refusal(&refused), &refused["payment"]), (Some("CARD_DECLINED"), &Value::Null));
    let refused = buyer.client.pay(&id, 1_000, "one more").await;
    assert_eq!(
        (refusal(&refused), &refused["payment"]),
        (Some("INSUFFICIENT_BALANCE"), &Value::Null)
    );
    assert_eq!(shop.world.number("SELECT count(*) FROM payment").await, 20);
    // Points still pay, and under a key of which there is no record.
    buyer.client.charge(1_000, "points").await;
    assert_eq!(refusal(&buyer.client.pay(&id, 1_000, "one more").await), None);
    assert_eq!(buyer.client.reservation(&id).await["payment"]["status"], "APPROVED");
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_away_is_told_so_and_nothing_stays_behind() {
    let world = World::new().await;
    let none = world.instance().await;
    // Nobody listens there.
    let flags = flags_for("http://127.0.0.1:9");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let away = world.instance_with(&flags).await;
    let show = shop::show(&world, &none, Setup::default()).await;
    let buyer = crate::support::buying::buyer(&world, &none, &show).await;
    let id = buyer.held(&show, 0).await;
    let mut input = card_input(&id, "none", "tok_ok");
    input["returnUrl"] = Value::Null;
    let refused = buyer.client.pay_as(input).await;
    assert_eq!(
        (refusal(&refused), &refused["payment"]),
        (Some("GATEWAY_UNAVAILABLE"), &Value::Null)
    );
    let there = buyer.at(&away);
    let failed = there.client.pay_card(&id, "away", "tok_ok").await;
    assert_eq!(refusal(&failed), Some("GATEWAY_UNAVAILABLE"), "{failed}");
    assert_eq!(failed["payment"]["status"], "FAILED");
    assert_eq!(there.client.pay_card(&id, "away", "tok_ok").await, failed);
    // With points at once.
    buyer.client.charge(1_000, "points").await;
    assert_eq!(refusal(&there.client.pay(&id, 1_000, "points").await), None);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_in_trouble_did_not_do_is_begun_again_or_called_off() {
    for again in [true, false] {
        let shop = shop(QUICK).await;
        let buyer = shop.buyer().await;
        let id = buyer.held(&shop.show, 0).await;
        shop.sandbox.trouble(600, false).await;
        let paid = buyer.client.pay_card(&id, "pay", "tok_ok").await;
        assert_eq!(
            (&paid["payment"]["status"], refusal(&paid)),
            (&json!("PENDING"), None),
            "{paid}"
        );
        if again {
            // Nobody else looks before the same order comes again.
            shop.world.sql("UPDATE payment SET look_at = look_at + interval '1 hour'").await;
        }
        shop.sandbox.trouble(0, false).await;
        if !again {
            shop.all_decided().await;
        }
        let told = buyer.at(&shop.b).client.pay_card(&id, "pay", "tok_ok").await;
        if again {
            assert_eq!(told["payment"]["status"], "APPROVED", "{told}");
        } else {
            assert_eq!(refusal(&told), Some("GATEWAY_UNAVAILABLE"), "{told}");
            assert_eq!(told["payment"]["status"], "FAILED", "{told}");
        }
        shop.books_agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_buyer_has_to_do_is_the_buyers_business() {
    let shop = shop(&[]).await;
    let two = shop.buyers(2).await;
    let id = two[0].held(&shop.show, 0).await;
    let paid = two[0].client.pay_card(&id, "pay", "tok_challenge").await;
    let query = "query ($id: ID!) { reservation(id: $id) { payment { action { redirectUrl } } } }";
    let mine = two[0].client.data(query, json!({ "id": id })).await;
    assert_eq!(mine["reservation"]["payment"]["action"]["redirectUrl"], json!(redirect(&paid)));
    assert_eq!(two[1].client.data(query, json!({ "id": id })).await["reservation"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_the_last_seat_by_card_uses_the_turn_up_and_the_next_one_comes_in() {
    let room = json!({ "maxActive": 1, "admitPerRound": 1, "roundSeconds": 0.1 });
    let shop = CardShop::open(Setup { waiting_room: room, ..Setup::default() }, &[], &[]).await;
    let buyer = shop.buyer().await;
    let next = shop::fan(&shop.world, &shop.b).await;
    assert_eq!(refusal(&next.enter(&shop.show.id).await), None);
    let id = buyer.held(&shop.show, 0).await;
    let paid = buyer.client.pay_card(&id, "pay", "tok_challenge").await;
    // Whose payment is decided stays in for as long.
    let token = buyer.client.queue_status(&shop.show.id).await;
    assert_eq!(token["expiresAt"], paid["payment"]["reservation"]["expiresAt"]);
    answer(&redirect(&paid), "pass").await;
    eventually("the turn to be used up", async || {
        let token = buyer.client.queue_status(&shop.show.id).await;
        (token["status"] == "USED").then_some(())
    })
    .await;
    eventually("the next one to come in", async || {
        (next.queue_status(&shop.show.id).await["status"] == "ACTIVE").then_some(())
    })
    .await;
    shop.books_agree().await;
}
