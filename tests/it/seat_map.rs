//! The seat map, its changes, the changes of one's reservations, and what is left of a performance.

mod passes;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    buying::{self, Buyer},
    eventually,
    redis::PrivateRedis,
    shop::{self, Setup, Show},
    socket::{Pushed, Subscription},
    world::{Instance, World},
};

async fn world(setup: Setup) -> (World, Instance, Instance, Show) {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup).await;
    (world, a, b, show)
}

const SEAT_CHANGES: &str = "subscription ($id: ID!, $token: String!) {
    seatChanges(scheduleId: $id, queueToken: $token) { id section row number grade price status version } }";
const RESERVATION_CHANGES: &str =
    "subscription { reservationChanges { id status remainingSeconds seats { id status } } }";

/// Watches a hall. The seat is held and given back until the watch has seen it, so that nothing is missed from now on.
async fn watch_seats(watcher: &Buyer, show: &Show, helper: &Buyer, seat: usize) -> Subscription {
    let variables = json!({ "id": show.id, "token": watcher.token });
    let mut watch = watcher.client.subscribe(SEAT_CHANGES, variables).await;
    loop {
        let id = helper.held(show, seat).await;
        helper.client.cancel(&id).await;
        let version = helper.seat(show, seat).await.1;
        let seen = async {
            watch.until("the helper's seat", |batch| batch[0]["version"] == version).await
        };
        if tokio::time::timeout(Duration::from_millis(500), seen).await.is_ok() {
            return watch;
        }
    }
}

/// The next change of a seat: status and version.
async fn change(watch: &mut Subscription, show: &Show, seat: usize) -> (String, i64) {
    let id = &show.seats[seat];
    let found = |batch: &Value| {
        batch.as_array().unwrap().iter().find(|seat| seat["id"] == id.as_str()).cloned()
    };
    let batch = watch.until("the seat", |batch| found(batch).is_some()).await;
    let seat = found(&batch).unwrap();
    (seat["status"].as_str().unwrap().to_owned(), seat["version"].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_seat_is_pushed_on_the_other_instance_with_a_growing_version() {
    let (world, a, b, show) = world(Setup::default()).await;
    let people = buying::buyers(&world, &[&a], &show, 4).await;
    let mut watch = watch_seats(&people[0].at(&b), &show, &people[1], 9).await;
    let next = async |watch: &mut Subscription| change(watch, &show, 0).await;
    let held = people[2].held(&show, 0).await;
    assert_eq!(next(&mut watch).await, ("HOLD".to_owned(), 2));
    people[2].client.charge(1_000, "charge").await;
    people[2].client.pay(&held, 1_000, "pay").await;
    assert_eq!(next(&mut watch).await, ("SOLD_OUT".to_owned(), 3));
    people[2].client.cancel(&held).await;
    assert_eq!(next(&mut watch).await, ("AVAILABLE".to_owned(), 4));
    let lapsing = people[3].held(&show, 0).await;
    assert_eq!(next(&mut watch).await, ("HOLD".to_owned(), 5));
    world.lapse(&lapsing).await;
    assert_eq!(next(&mut watch).await, ("AVAILABLE".to_owned(), 6));
    world.books_are_true().await;
}

/// An instance that shares the world's database, and whose Redis is away: nobody is told what it does.
async fn mute_instance(world: &World) -> (PrivateRedis, Instance) {
    let nowhere = PrivateRedis::stopped().await;
    let mute = world.quiet_instance(&[&nowhere.flag()]).await;
    (nowhere, mute)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_never_told_is_found_by_comparing_with_the_truth() {
    let (world, a, b, show) = world(Setup::default()).await;
    let (_nowhere, mute) = mute_instance(&world).await;
    let people = buying::buyers(&world, &[&a], &show, 4).await;
    let viewer = people[0].at(&b);
    let mut watch = watch_seats(&viewer, &show, &people[1], 9).await;
    assert_eq!(people[0].seat(&show, 0).await, ("AVAILABLE".to_owned(), 1));
    people[2].at(&mute).held(&show, 0).await;
    assert_eq!(change(&mut watch, &show, 0).await, ("HOLD".to_owned(), 2), "subscribers are told");
    eventually("the other board to know", async || {
        (people[0].seat(&show, 0).await.0 == "HOLD").then_some(())
    })
    .await;
    // Nobody looks for a while. Whoever comes then sees the truth at once.
    tokio::time::sleep(Duration::from_secs(12)).await;
    people[3].at(&mute).held(&show, 1).await;
    assert_eq!(people[0].seat(&show, 1).await.0, "HOLD");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_reservation_that_could_not_be_read_is_shown_later() {
    let (world, a, b, show) = world(Setup::default()).await;
    let (_nowhere, mute) = mute_instance(&world).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let mut watch = buyer.at(&b).client.subscribe(RESERVATION_CHANGES, json!({})).await;
    let channel = format!("person:{{{}}}", buyer.person_id());
    eventually("the subscription", async || listeners(&a, &channel).await.eq(&1).then_some(()))
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let held = buyer.at(&mute).held(&show, 0).await;
    world.sql("ALTER TABLE reservation RENAME TO away").await;
    a.app.kv.publish(&channel, held.clone().into_bytes()).await.expect("published");
    assert_eq!(watch.soon().await, None);
    world.sql("ALTER TABLE away RENAME TO reservation").await;
    assert_eq!(watch.field().await["id"], held.as_str());
}

/// How many connections listen on a channel.
async fn listeners(instance: &Instance, channel: &str) -> i64 {
    let name = instance.app.kv.name(channel);
    let count: (String, i64) = instance
        .app
        .kv
        .call("", async move |mut connection| {
            redis::cmd("PUBSUB").arg("NUMSUB").arg(name).query_async(&mut connection).await
        })
        .await
        .expect("an answer");
    count.1
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_change_together_are_pushed_together() {
    let (world, a, b, show) = world(Setup { max_seats_per_person: 4, ..Setup::default() }).await;
    let people = buying::buyers(&world, &[&a], &show, 3).await;
    let mut watch = watch_seats(&people[0].at(&b), &show, &people[1], 9).await;
    people[2].hold_seats(&show, &[0, 1, 2, 3]).await;
    let batch = watch.field().await;
    assert_eq!(batch.as_array().unwrap().len(), 4, "{batch}");
    let seat = &batch[0];
    assert_eq!(
        (&seat["section"], &seat["row"], &seat["grade"]),
        (&json!("Floor"), &json!("A"), &json!("R"))
    );
    assert_eq!(seat["price"], 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_seats_ends_with_the_queue_token() {
    let (world, a, b, show) = world(Setup::default()).await;
    let people = buying::buyers(&world, &[&a], &show, 4).await;
    let mut paying = watch_seats(&people[0].at(&b), &show, &people[3], 9).await;
    let mut leaving = watch_seats(&people[1].at(&b), &show, &people[3], 9).await;
    let mut idle = watch_seats(&people[2].at(&b), &show, &people[3], 9).await;
    people[0].bought(&show, 0, 1_000).await;
    people[1].client.leave(&show.id).await;
    world
        .sql(&format!(
            "UPDATE queue_token SET expires_at = clock_timestamp() WHERE person_id = '{}'",
            people[2].person_id()
        ))
        .await;
    for watch in [&mut paying, &mut leaving, &mut idle] {
        loop {
            match watch.next().await {
                Pushed::Next(_) => {}
                other => {
                    assert_eq!(other, Pushed::Complete);
                    break;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_shown_to_those_only_whose_turn_it_is() {
    let (world, a, b, show) = world(Setup::default()).await;
    let other_show = shop::show(&world, &a, Setup::default()).await;
    let people = buying::buyers(&world, &[&a], &show, 3).await;
    people[1].client.leave(&show.id).await;
    world.sql("UPDATE waiting_room SET paused = true").await;
    let waiting = shop::fan(&world, &a).await;
    let entered = waiting.enter(&show.id).await;
    let waiting_token = entered["queueToken"]["token"].as_str().unwrap();
    let session = people[0].client.token.as_deref().unwrap();
    let cases = [
        (&people[0].client, &show, people[2].token.as_str(), "QUEUE_TOKEN_INVALID"),
        (&people[0].client, &other_show, people[0].token.as_str(), "QUEUE_TOKEN_INVALID"),
        (&people[0].client, &show, session, "QUEUE_TOKEN_INVALID"),
        (&people[0].client, &show, "", "QUEUE_TOKEN_INVALID"),
        (&people[1].client, &show, people[1].token.as_str(), "QUEUE_ENDED"),
        (&waiting, &show, waiting_token, "QUEUE_NOT_ACTIVE"),
    ];
    for (client, show, token, code) in cases {
        let variables = json!({ "id": show.id, "token": token });
        assert_eq!(client.error_code(buying::SEATS, variables.clone()).await, code);
        let mut watch = client.at(b.address).subscribe(SEAT_CHANGES, variables).await;
        let (Pushed::Error(errors) | Pushed::Next(errors)) = watch.next().await else {
            panic!("expected {code}")
        };
        assert_eq!(errors[0]["extensions"]["code"], code, "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_filtered_by_section_grade_and_status() {
    let (world, a, b, show) = world(Setup { rows: 2, ..Setup::default() }).await;
    world
        .sql("UPDATE seat SET section = 'Balcony', grade = 'VIP', price = 5000 WHERE row_label = 'B' AND number <= 4")
        .await;
    let people = buying::buyers(&world, &[&a, &b], &show, 3).await;
    people[0].held(&show, 0).await;
    people[1].bought(&show, 1, 1_000).await;
    let viewer = people[2].at(&b);
    let count = async |filter: Value| viewer.seats(&show, filter).await.len();
    eventually("the board to know", async || {
        (count(json!({ "status": ["SOLD_OUT"] })).await == 1).then_some(())
    })
    .await;
    assert_eq!(count(json!({})).await, 20);
    assert_eq!(count(json!({ "section": "Balcony" })).await, 4);
    assert_eq!(count(json!({ "section": "Floor" })).await, 16);
    assert_eq!(count(json!({ "grade": "VIP" })).await, 4);
    assert_eq!(count(json!({ "grade": "vip" })).await, 0);
    assert_eq!(count(json!({ "section": "Floor", "grade": "VIP" })).await, 0);
    assert_eq!(count(json!({ "status": ["AVAILABLE"] })).await, 18);
    assert_eq!(count(json!({ "status": ["HOLD", "SOLD_OUT"] })).await, 2);
    assert_eq!(count(json!({ "status": [], "grade": "R" })).await, 0);
    assert_eq!(count(json!({ "status": ["HOLD"], "section": "Balcony" })).await, 0);
    let seats = viewer.seats(&show, json!({ "section": "Floor" })).await;
    let places: Vec<(&str, i64)> = seats
        .iter()
        .map(|seat| (seat["row"].as_str().unwrap(), seat["number"].as_i64().unwrap()))
        .collect();
    assert!(places.is_sorted(), "in the order of the hall: {places:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_performance_follows_within_a_second_or_so() {
    let (world, a, b, show) = world(Setup { max_seats_per_person: 4, ..Setup::default() }).await;
    world.sql("UPDATE seat SET grade = 'VIP', price = 5000 WHERE number <= 4").await;
    let people = buying::buyers(&world, &[&a], &show, 2).await;
    let guest = b.client();
    let left = async || {
        let query = "query ($id: ID!) { schedule(id: $id) {
            seatCount remainingSeats grades { grade price total remaining } } }";
        guest.data(query, json!({ "id": show.id })).await["schedule"].take()
    };
    let becomes = async |remaining: [i64; 3]| {
        let start = Instant::now();
        let expected = json!({
            "seatCount": 10, "remainingSeats": remaining[0],
            "grades": [{ "grade": "VIP", "price": 5_000, "total": 4, "remaining": remaining[1] },
                       { "grade": "R", "price": 1_000, "total": 6, "remaining": remaining[2] }],
        });
        eventually("the count", async || (left().await == expected).then_some(())).await;
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    };
    becomes([10, 4, 6]).await;
    let held = people[0].hold_seats(&show, &[0, 1, 5]).await;
    becomes([7, 2, 5]).await;
    let id = held["reservation"]["id"].as_str().unwrap();
    people[0].client.charge(20_000, "charge").await;
    people[0].client.pay(id, 11_000, "pay").await;
    people[1].held(&show, 6).await;
    becomes([6, 2, 4]).await;
    people[0].client.cancel(id).await;
    becomes([9, 4, 5]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_reservation_is_pushed_to_its_owner_on_both_instances() {
    let (world, a, b, show) = world(Setup { max_seats_per_person: 4, ..Setup::default() }).await;
    let two = buying::buyers(&world, &[&a], &show, 2).await;
    let buyer = &two[0];
    let mut here = buyer.client.subscribe(RESERVATION_CHANGES, json!({})).await;
    let mut there = buyer.at(&b).client.subscribe(RESERVATION_CHANGES, json!({})).await;
    let mut stranger = two[1].client.subscribe(RESERVATION_CHANGES, json!({})).await;
    // Until both have seen one, a subscription may not have begun.
    for watch in [&mut here, &mut there] {
        loop {
            let id = buyer.held(&show, 9).await;
            buyer.client.cancel(&id).await;
            let seen = async {
                watch
                    .until("a cancellation", |change| {
                        change["id"] == id && change["status"] == "CANCELLED"
                    })
                    .await
            };
            if tokio::time::timeout(Duration::from_millis(500), seen).await.is_ok() {
                break;
            }
        }
    }
    buyer.client.charge(5_000, "charge").await;
    let bought = buyer.held(&show, 0).await;
    let status = async |watch: &mut Subscription, id: &str, status: &str| {
        let change = watch.until(status, |change| change["id"] == id).await;
        assert_eq!(change["status"], status, "{change}");
        change
    };
    let mut both = [here, there];
    for watch in &mut both {
        let change = status(watch, &bought, "HOLD").await;
        assert!((298..=300).contains(&change["remainingSeconds"].as_i64().unwrap()));
    }
    buyer.client.pay(&bought, 1_000, "pay").await;
    for watch in &mut both {
        let change = status(watch, &bought, "CONFIRMED").await;
        assert_eq!(change["seats"], json!([{ "id": show.seats[0], "status": "SOLD_OUT" }]));
    }
    buyer.at(&b).client.cancel(&bought).await;
    for watch in &mut both {
        status(watch, &bought, "CANCELLED").await;
    }
    let lapsing = buyer.held(&show, 1).await;
    for watch in &mut both {
        status(watch, &lapsing, "HOLD").await;
    }
    world.lapse(&lapsing).await;
    for watch in &mut both {
        status(watch, &lapsing, "EXPIRED").await;
    }
    // The stranger has heard of nothing but their own.
    let own = two[1].held(&show, 2).await;
    assert_eq!(stranger.field().await["id"], own);
    world.books_are_true().await;
}
