//! Holding seats, giving them back, and reading reservations.

mod best;
mod extend;

use chrono::{DateTime, TimeDelta};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    buying::{self, Buyer},
    client::{Client, refusal},
    eventually,
    process::Process,
    shop::{self, Setup, Show},
    world::{Instance, World},
};

async fn world(setup: Setup) -> (World, Instance, Instance, Show) {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup).await;
    (world, a, b, show)
}

fn id(payload: &Value) -> String {
    payload["reservation"]["id"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_lasts_five_minutes_and_says_so() {
    let (_world, a, b, show) = world(Setup::default()).await;
    let buyer = buying::buyer(&_world, &a, &show).await;
    let held = buyer.client.held(&show.id, &show.seats[3], &buyer.token).await;
    assert_eq!(held["status"], "HOLD");
    assert_eq!(held["totalPrice"], 1_000);
    assert_eq!(held["remainingSeconds"], 300);
    assert_eq!(held["seats"], json!([{ "id": show.seats[3], "status": "HOLD", "version": 2 }]));
    let instant = |name: &str| DateTime::parse_from_rfc3339(held[name].as_str().unwrap()).unwrap();
    assert_eq!(instant("expiresAt") - instant("heldAt"), TimeDelta::seconds(300));
    let read = buyer.at(&b).client.reservation(held["id"].as_str().unwrap()).await;
    assert!([299, 298].contains(&read["remainingSeconds"].as_i64().unwrap()), "{read}");
    assert_eq!(read["expiresAt"], held["expiresAt"]);
    assert_eq!((&read["payment"], &read["confirmedAt"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_seats_are_held_all_of_them_or_none() {
    let setup = Setup { max_seats_per_person: 4, ..Setup::default() };
    let (world, a, b, show) = world(setup).await;
    let two = buying::buyers(&world, &[&a, &b], &show, 2).await;
    let held = two[0].hold_seats(&show, &[1, 2, 3]).await;
    assert_eq!(held["reservation"]["totalPrice"], 3_000, "{held}");
    assert_eq!(held["reservation"]["seats"].as_array().unwrap().len(), 3);
    let refused = two[1].hold_seats(&show, &[0, 3, 4]).await;
    assert_eq!(refusal(&refused), Some("SEAT_HELD"));
    assert_eq!(refused["userErrors"][0]["seatIds"], json!([show.seats[3]]));
    assert_eq!(refused["reservation"], Value::Null);
    for seat in [0, 4] {
        assert_eq!(two[1].seat(&show, seat).await, ("AVAILABLE".to_owned(), 1));
    }
    // A seat that is named twice is held once.
    let twice = two[1].hold_seats(&show, &[5, 5, 6]).await;
    assert_eq!(twice["reservation"]["totalPrice"], 2_000, "{twice}");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_no_seats_or_too_many_are_bad_requests() {
    let (world, a, _b, show) = world(Setup { seats_per_row: 21, ..Setup::default() }).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let everything: Vec<&str> = show.seats.iter().map(String::as_str).collect();
    let lists: [&[&str]; 2] = [&[], &everything];
    for seats in lists {
        let input = json!({ "scheduleId": show.id, "seatIds": seats, "queueToken": buyer.token });
        let variables = json!({ "input": input });
        assert_eq!(buyer.client.error_code(buying::HOLD_SEATS, variables).await, "BAD_REQUEST");
    }
    for count in [0, -1, 21, i32::MAX] {
        let input = json!({ "scheduleId": show.id, "grade": "R", "count": count, "queueToken": buyer.token });
        let variables = json!({ "input": input });
        assert_eq!(
            buyer.client.error_code(buying::HOLD_BEST_SEATS, variables).await,
            "BAD_REQUEST"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_not_to_hold_has_its_code() {
    let (world, a, _b, show) = world(Setup::default()).await;
    let other_show = shop::show(&world, &a, Setup::default()).await;
    let people = buying::buyers(&world, &[&a], &show, 5).await;
    let buyer = people[0].clone();

    // Not this person's, not this performance's, not a token at all.
    let foreign = Buyer { token: people[1].token.clone(), ..buyer.clone() };
    assert_eq!(refusal(&foreign.hold(&show, 0).await), Some("QUEUE_TOKEN_INVALID"));
    assert_eq!(refusal(&buyer.hold(&other_show, 0).await), Some("QUEUE_TOKEN_INVALID"));
    let session = buyer.client.token.clone().unwrap();
    for token in ["", "x", &session, &format!("{}x", buyer.token)] {
        let nobody = Buyer { token: token.to_owned(), ..buyer.clone() };
        assert_eq!(refusal(&nobody.hold(&show, 0).await), Some("QUEUE_TOKEN_INVALID"), "{token}");
        let best = nobody.hold_best(&show, "R", 1).await;
        assert_eq!(refusal(&best), Some("QUEUE_TOKEN_INVALID"));
    }

    for unknown in ["00000000-0000-7000-8000-000000000000", "no id", &other_show.seats[0]] {
        let refused = buyer.hold_ids(&show, &[unknown]).await;
        assert_eq!(refusal(&refused), Some("SEAT_NOT_FOUND"), "{refused}");
        assert_eq!(refused["userErrors"][0]["seatIds"], json!([unknown]), "as it was given");
        assert_eq!(refused["userErrors"][0]["path"], json!(["input", "seatIds"]));
    }
    let twice = buyer.hold_ids(&show, &["no id", "no id"]).await;
    assert_eq!(twice["userErrors"][0]["seatIds"], json!(["no id"]));
    people[1].held(&show, 0).await;
    let refused = buyer.hold(&show, 0).await;
    assert_eq!(refusal(&refused), Some("SEAT_HELD"));
    assert_eq!(refused["userErrors"][0]["seatIds"], json!([show.seats[0]]));
    assert_eq!(refused["userErrors"][0]["path"], json!(["input", "seatId"]));
    people[2].bought(&show, 1, 1_000).await;
    assert_eq!(refusal(&buyer.hold(&show, 1).await), Some("SEAT_SOLD"));
    assert_eq!(refusal(&buyer.hold_best(&show, "R", 9).await), Some("SEAT_LIMIT_REACHED"));
    assert_eq!(refusal(&buyer.hold_best(&show, "VIP", 1).await), Some("NO_ADJACENT_SEATS"));
    assert_eq!(refusal(&buyer.hold_seats(&show, &[2, 3]).await), Some("SEAT_LIMIT_REACHED"));
    assert_eq!(refusal(&people[1].hold(&show, 4).await), Some("SEAT_LIMIT_REACHED"));

    // USED by paying, EXPIRED by leaving and by time, WAITING again.
    assert_eq!(refusal(&people[2].hold(&show, 4).await), Some("QUEUE_ENDED"));
    people[3].client.leave(&show.id).await;
    assert_eq!(refusal(&people[3].hold(&show, 4).await), Some("QUEUE_ENDED"));
    let person = people[4].person_id();
    world
        .sql(&format!(
            "UPDATE queue_token SET expires_at = clock_timestamp() WHERE person_id = '{person}'"
        ))
        .await;
    assert_eq!(refusal(&people[4].hold(&show, 4).await), Some("QUEUE_ENDED"));
    world.sql("UPDATE waiting_room SET paused = true").await;
    let entered = people[3].client.enter(&show.id).await;
    let token = entered["queueToken"]["token"].as_str().unwrap().to_owned();
    let waiting = Buyer { token, client: people[3].client.clone() };
    let refused = waiting.hold(&show, 4).await;
    assert_eq!(refusal(&refused), Some("QUEUE_NOT_ACTIVE"));
    assert_eq!(refused["userErrors"][0]["path"], json!(["input", "queueToken"]));
    assert_eq!(refusal(&waiting.hold_best(&show, "R", 1).await), Some("QUEUE_NOT_ACTIVE"));

    for closed in ["sales_close_at = clock_timestamp()", "status = 'CLOSED'"] {
        // A live hold keeps its person's turn alive, so that the sale's end is what they are told.
        world.sql(&format!("UPDATE schedule SET {closed} WHERE id = '{}'", show.id)).await;
        let refused = people[1].hold(&show, 4).await;
        assert_eq!(refusal(&refused), Some("SALE_CLOSED"), "{closed}");
        assert_eq!(refused["userErrors"][0]["path"], json!(["input", "scheduleId"]));
        assert_eq!(refusal(&people[1].hold_best(&show, "R", 1).await), Some("SALE_CLOSED"));
    }
    world.books_are_true().await;
}

/// A hall of two rows with five seats each, of which the middle of the first row is best.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_given_back_and_its_seat_held_by_somebody_else() {
    let (world, a, b, show) = world(Setup::default()).await;
    let two = buying::buyers(&world, &[&a, &b], &show, 2).await;
    let held = two[0].held(&show, 0).await;
    assert_eq!(refusal(&two[1].client.cancel(&held).await), Some("RESERVATION_NOT_FOUND"));
    let cancelled = two[0].at(&b).client.cancel(&held).await;
    assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "{cancelled}");
    assert_eq!(cancelled["reservation"]["seats"][0]["status"], "AVAILABLE");
    assert_eq!(cancelled["reservation"]["payment"], Value::Null);
    // Safe to repeat, and the limit counts it no more.
    let again = two[0].client.cancel(&held).await;
    assert_eq!(again["reservation"]["cancelledAt"], cancelled["reservation"]["cancelledAt"]);
    two[1].held(&show, 0).await;
    two[0].held(&show, 1).await;
    assert_eq!(two[1].seat(&show, 0).await, ("HOLD".to_owned(), 4));
    for unknown in ["00000000-0000-7000-8000-000000000000", "no id"] {
        let refused = two[0].client.cancel(unknown).await;
        assert_eq!(refusal(&refused), Some("RESERVATION_NOT_FOUND"));
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_refunded_to_points_and_its_seat_sold_again() {
    let (world, a, b, show) = world(Setup::default()).await;
    let two = buying::buyers(&world, &[&a, &b], &show, 2).await;
    let bought = two[0].bought(&show, 0, 1_000).await;
    assert_eq!(two[0].client.balance().await, 0);
    assert_eq!(refusal(&two[1].client.cancel(&bought).await), Some("RESERVATION_NOT_FOUND"));
    let clients = [&two[0].client, &two[0].at(&b).client];
    let cancels = (0..20).map(|n| clients[n % 2].cancel(&bought));
    for cancelled in join_all(cancels).await {
        assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "{cancelled}");
        assert_eq!(cancelled["reservation"]["payment"]["status"], "REFUNDED");
        assert!(cancelled["reservation"]["payment"]["refundedAt"].is_string());
    }
    assert_eq!(two[0].client.balance().await, 1_000);
    let rollbacks = "SELECT count(*) FROM wallet_entry WHERE kind = 'ROLLBACK' AND delta = 1000";
    assert_eq!(world.number(rollbacks).await, 1);
    two[1].bought(&show, 0, 1_000).await;
    let old = two[0].client.reservation(&bought).await;
    assert_eq!(
        (&old["status"], &old["seats"][0]["status"]),
        (&json!("CANCELLED"), &json!("SOLD_OUT"))
    );
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_cancelled_once_the_performance_has_begun() {
    let (world, a, _b, show) = world(Setup::default()).await;
    let two = buying::buyers(&world, &[&a], &show, 2).await;
    let bought = two[0].bought(&show, 0, 1_000).await;
    let held = two[1].held(&show, 1).await;
    world
        .sql(
            "UPDATE schedule SET starts_at = clock_timestamp(), sales_close_at = clock_timestamp()",
        )
        .await;
    assert_eq!(refusal(&two[0].client.cancel(&bought).await), Some("CANCELLATION_CLOSED"));
    assert_eq!(two[0].client.balance().await, 0);
    // Nothing was paid for a hold: it can be given back.
    assert_eq!(refusal(&two[1].client.cancel(&held).await), None);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_is_being_paid_is_not_cancelled() {
    let (world, a, _b, show) = world(Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let held = buyer.held(&show, 0).await;
    world.sql(&pending(&held)).await;
    assert_eq!(refusal(&buyer.client.cancel(&held).await), Some("PAYMENT_IN_PROGRESS"));
    world.books_are_true().await;
}

fn pending(reservation_id: &str) -> String {
    format!(
        "INSERT INTO payment (id, person_id, reservation_id, method, amount, status, idempotency_key, fingerprint, created_at,
                              look_at, call_off_at)
         SELECT gen_random_uuid(), person_id, id, 'CARD', total_price, 'PENDING', 'card', '', clock_timestamp(),
                clock_timestamp() + interval '1 hour', expires_at
         FROM reservation WHERE id = '{reservation_id}'"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_lapses_is_over_at_that_very_moment_though_nobody_has_tidied() {
    let world = World::new().await;
    // The payment that a crash left undecided keeps the sweepers away from this hold.
    let (a, b) = (world.instance_with(&["--hold-seconds=1"]).await, world.instance().await);
    let show = shop::show(&world, &a, Setup::default()).await;
    let two = buying::buyers(&world, &[&a, &b], &show, 2).await;
    let held = two[0].held(&show, 0).await;
    two[0].client.charge(1_000, "charge").await;
    assert_eq!(two[1].seat(&show, 0).await, ("HOLD".to_owned(), 2));
    world.sql(&pending(&held)).await;
    world.lapsed(&held).await;
    let untidied =
        format!("SELECT count(*) FROM reservation WHERE id = '{held}' AND status = 'HOLD'");
    assert_eq!(world.number(&untidied).await, 1);
    eventually("the map to show it free", async || {
        (two[1].seat(&show, 0).await == ("AVAILABLE".to_owned(), 3)).then_some(())
    })
    .await;
    assert_eq!(two[0].client.reservation(&held).await["status"], "EXPIRED");
    assert_eq!(two[0].client.reservation(&held).await["remainingSeconds"], 0);
    assert_eq!(refusal(&two[0].client.pay(&held, 1_000, "pay").await), Some("HOLD_EXPIRED"));
    assert_eq!(refusal(&two[0].client.cancel(&held).await), Some("RESERVATION_EXPIRED"));
    two[1].held(&show, 0).await;
    assert_eq!(
        two[1].seat(&show, 0).await,
        ("HOLD".to_owned(), 4),
        "one for the lapse, one for the hold"
    );
    assert_eq!(refusal(&two[0].client.pay(&held, 1_000, "pay").await), Some("HOLD_EXPIRED"));
    assert_eq!(two[0].client.balance().await, 1_000);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_lapses_though_the_instance_that_made_it_was_killed() {
    let world = World::new().await;
    let b = world.instance().await;
    let mut killed = Process::start(&world, &["--hold-seconds=2"]).await;
    let show = shop::show(&world, &b, Setup::default()).await;
    let two = buying::buyers(&world, &[&b], &show, 2).await;
    two[0].client.charge(1_000, "charge").await;
    let there = two[0].client.at(killed.address);
    let held = there.held(&show.id, &show.seats[0], &two[0].token).await;
    let held = held["id"].as_str().unwrap();
    killed.kill();
    assert_eq!(refusal(&two[1].hold(&show, 0).await), Some("SEAT_HELD"));
    world.lapsed(held).await;
    // At the first attempt, whether somebody has tidied or not.
    two[1].held(&show, 0).await;
    assert_eq!(refusal(&two[0].client.pay(held, 1_000, "pay").await), Some("HOLD_EXPIRED"));
    assert_eq!(two[0].client.reservation(held).await["status"], "EXPIRED");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lapsed_holds_are_tidied_soon() {
    let world = World::new().await;
    let a = world.instance_with(&["--hold-seconds=1"]).await;
    let show = shop::show(&world, &a, Setup { max_seats_per_person: 3, ..Setup::default() }).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let held = buyer.hold_seats(&show, &[0, 1, 2]).await;
    eventually("the sweeper", async || {
        let sql = "SELECT count(*) FROM seat WHERE status = 'AVAILABLE' AND version = 3";
        (world.number(sql).await == 3).then_some(())
    })
    .await;
    let status = format!("SELECT status FROM reservation WHERE id = '{}'", id(&held));
    assert_eq!(world.texts(&status).await, ["EXPIRED"]);
    assert_eq!(refusal(&buyer.client.cancel(&id(&held)).await), Some("RESERVATION_EXPIRED"));
    world.books_are_true().await;
}

async fn list(client: &Client, variables: Value) -> Value {
    let query = "query ($first: Int = 20, $after: String, $status: [ReservationStatus!]) {
        reservations(first: $first, after: $after, status: $status) {
            nodes { id status } edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } }";
    client.data(query, variables).await["reservations"].take()
}

fn ids(list: &Value) -> Vec<String> {
    let nodes = list["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_are_listed_newest_first_by_status_and_page_and_to_their_owner_only() {
    let setup = Setup { max_seats_per_person: 5, ..Setup::default() };
    let (world, a, b, show) = world(setup).await;
    let two = buying::buyers(&world, &[&a, &b], &show, 2).await;
    let (me, client) = (&two[0], &two[0].client);
    let lapsed = me.held(&show, 0).await;
    world.sql(&pending(&lapsed)).await;
    world.lapse(&lapsed).await;
    let cancelled = me.held(&show, 1).await;
    client.cancel(&cancelled).await;
    let bought = me.bought(&show, 2, 1_000).await;
    let held = me.held(&show, 3).await;
    let all = list(client, json!({})).await;
    assert_eq!(ids(&all), [&*held, &*bought, &*cancelled, &*lapsed]);
    assert_eq!(all["pageInfo"]["hasNextPage"], false);
    for (status, expected) in
        [("HOLD", &held), ("CONFIRMED", &bought), ("CANCELLED", &cancelled), ("EXPIRED", &lapsed)]
    {
        let found = list(client, json!({ "status": [status] })).await;
        assert_eq!(ids(&found), [&**expected], "{status}");
        assert_eq!(found["nodes"][0]["status"], status);
    }
    let both = list(client, json!({ "status": ["HOLD", "CONFIRMED"] })).await;
    assert_eq!(ids(&both), [&*held, &*bought]);
    assert_eq!(ids(&list(client, json!({ "status": [] })).await), Vec::<String>::new());

    let mut after = Value::Null;
    let mut paged = Vec::new();
    for page in 0.. {
        let found = list(client, json!({ "first": 3, "after": after })).await;
        assert_eq!(found["pageInfo"]["hasPreviousPage"], page > 0);
        paged.extend(ids(&found));
        after = found["pageInfo"]["endCursor"].clone();
        if found["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(paged, ids(&all));

    assert_eq!(ids(&list(&two[1].client, json!({})).await), Vec::<String>::new());
    for unknown in [&*held, "no id", "00000000-0000-7000-8000-000000000000"] {
        assert_eq!(two[1].client.reservation(unknown).await, Value::Null);
    }
    assert_eq!(client.reservation(&held).await["schedule"]["id"], show.id);
    let paid = client.reservation(&bought).await;
    assert_eq!(paid["payment"]["status"], "APPROVED");
    assert!(paid["confirmedAt"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_itself_refuses_seats_and_reservations_that_contradict_themselves() {
    let (world, a, _b, show) = world(Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let held = buyer.held(&show, 0).await;
    let cases = [
        ("UPDATE seat SET status = 'AVAILABLE' WHERE status = 'HOLD'", "seat_status_agrees"),
        ("UPDATE seat SET status = 'SOLD_OUT' WHERE status = 'HOLD'", "seat_status_agrees"),
        ("UPDATE seat SET hold_expires_at = NULL WHERE status = 'HOLD'", "seat_status_agrees"),
        ("UPDATE seat SET reservation_id = NULL WHERE status = 'HOLD'", "seat_status_agrees"),
        ("UPDATE seat SET status = 'SOLD_OUT' WHERE status = 'AVAILABLE'", "seat_status_agrees"),
        ("UPDATE seat SET status = 'GONE'", "seat_status_agrees"),
        (
            "UPDATE seat SET reservation_id = gen_random_uuid() WHERE status = 'HOLD'",
            "seat_reservation_fkey",
        ),
        ("UPDATE seat SET version = 0", "seat_version_positive"),
        ("UPDATE seat SET price = -1", "seat_price_range"),
        ("UPDATE seat SET price = 9007199254740992", "seat_price_range"),
        ("UPDATE seat SET number = 1", "seat_place_unique"),
        ("UPDATE reservation SET status = 'CONFIRMED'", "reservation_status_agrees"),
        ("UPDATE reservation SET status = 'CANCELLED'", "reservation_status_agrees"),
        ("UPDATE reservation SET confirmed_at = now()", "reservation_status_agrees"),
        ("UPDATE reservation SET status = 'GONE'", "reservation_status_agrees"),
        ("UPDATE reservation SET total_price = -1", "reservation_price_range"),
        ("UPDATE reservation SET total_price = 9007199254740992", "reservation_price_range"),
        ("UPDATE reservation SET seat_count = 0", "reservation_seat_count"),
        ("UPDATE reservation_seat SET price = -1", "reservation_seat_price_range"),
        ("INSERT INTO reservation_seat SELECT * FROM reservation_seat", "reservation_seat_pkey"),
        ("UPDATE schedule SET max_seats_per_person = 0", "schedule_seat_limit"),
    ];
    for (sql, constraint) in cases {
        assert_eq!(world.refused(sql).await, constraint, "{sql}");
    }
    assert_eq!(buyer.client.reservation(&held).await["status"], "HOLD");
    world.books_are_true().await;
}
