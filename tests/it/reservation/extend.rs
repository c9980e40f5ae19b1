//! Holds that are kept for longer.

use std::time::Duration;

use super::*;
use crate::support::random::Random;

const EXTEND: &str = "mutation ($id: ID!) { extendHold(reservationId: $id) {
    reservation { id status heldAt expiresAt extendableUntil remainingSeconds seats { id status version } }
    userErrors { code message path } } }";

async fn extend(client: &Client, id: &str) -> Value {
    client.payload(EXTEND, json!({ "id": id })).await
}

#[track_caller]
fn instant(value: &Value) -> DateTime<chrono::FixedOffset> {
    DateTime::parse_from_rfc3339(value.as_str().unwrap_or_else(|| panic!("{value}"))).unwrap()
}

impl World {
    /// Moves the ends of a hold: as if so many seconds had gone by since it was made.
    async fn wait_with(&self, id: &str, seconds: u32) {
        let past = format!("- interval '{seconds} s'");
        self.sql(&format!(
            "UPDATE reservation SET expires_at = expires_at {past}, extendable_until = extendable_until {past}
             WHERE id = '{id}';
             UPDATE seat SET hold_expires_at = hold_expires_at {past} WHERE reservation_id = '{id}'"
        ))
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_lasts_its_full_time_from_now_and_twice_that_in_all() {
    let (world, a, b, show) = world(Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let held = buyer.held(&show, 0).await;
    let extended = extend(&buyer.client, &held).await;
    let reservation = &extended["reservation"];
    let held_at = instant(&reservation["heldAt"]);
    assert_eq!(instant(&reservation["extendableUntil"]) - held_at, TimeDelta::seconds(600));
    world.wait_with(&held, 200).await;
    let extended = extend(&buyer.at(&b).client, &held).await;
    let reservation = &extended["reservation"];
    assert_eq!((refusal(&extended), &reservation["status"]), (None, &json!("HOLD")), "{extended}");
    let lasts = instant(&reservation["expiresAt"]) - held_at;
    assert!((300..320).contains(&lasts.num_seconds()), "{lasts}");
    // Another 200 seconds later the limit is what counts.
    world.wait_with(&held, 200).await;
    let extended = extend(&buyer.client, &held).await;
    let reservation = &extended["reservation"];
    assert_eq!(reservation["expiresAt"], reservation["extendableUntil"], "{extended}");
    assert!((180..=200).contains(&reservation["remainingSeconds"].as_i64().unwrap()));
    let refused = extend(&buyer.client, &held).await;
    assert_eq!(refusal(&refused), Some("EXTENSION_LIMIT"), "{refused}");
    assert_eq!(refused["reservation"], Value::Null);
    assert_eq!(refused["userErrors"][0]["path"], json!(["reservationId"]));
    // What it is for.
    buyer.client.charge(1_000, "charge").await;
    let paid = buyer.client.pay(&held, 1_000, "pay").await;
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seat_map_changes_turn_and_sweeper_follow() {
    let setup = Setup { max_seats_per_person: 2, ..Setup::default() };
    let (world, a, b, show) = world(setup).await;
    let people = buying::buyers(&world, &[&a], &show, 2).await;
    let (buyer, viewer) = (&people[0], people[1].at(&b));
    let held = buyer.hold_seats(&show, &[0, 1]).await;
    let held = held["reservation"]["id"].as_str().unwrap().to_owned();
    assert_eq!(viewer.seat(&show, 0).await, ("HOLD".to_owned(), 2));
    let changes = "subscription { reservationChanges { id status remainingSeconds } }";
    let mut watch = buyer.at(&b).client.subscribe(changes, json!({})).await;
    // Watched from here on: the subscription has told something.
    loop {
        let other = people[1].held(&show, 9).await;
        people[1].client.cancel(&other).await;
        extend(&buyer.client, &held).await;
        if watch.soon().await.is_some() {
            break;
        }
    }
    let before = viewer.seat(&show, 0).await.1;
    world.wait_with(&held, 290).await;
    let extended = extend(&buyer.client, &held).await;
    assert_eq!(refusal(&extended), None, "{extended}");
    let told = watch
        .until("the new end", |it| it["remainingSeconds"].as_i64().is_some_and(|left| left > 290))
        .await;
    assert_eq!((&told["id"], &told["status"]), (&json!(held), &json!("HOLD")));
    // The other instance knows the new end: it would show a lapsed hold as a free seat within ten seconds.
    let version = extended["reservation"]["seats"][0]["version"].as_i64().unwrap();
    assert!(version > before);
    eventually("the other board to know", async || {
        (viewer.seat(&show, 0).await == ("HOLD".to_owned(), version)).then_some(())
    })
    .await;
    let ends = "SELECT count(DISTINCT s.hold_expires_at)::bigint FROM seat s JOIN reservation r ON r.id = s.reservation_id
                WHERE s.hold_expires_at = r.expires_at AND s.status = 'HOLD'";
    assert_eq!(world.number(ends).await, 1);
    let turn = buyer.client.queue_status(&show.id).await;
    assert!(
        instant(&turn["expiresAt"]) >= instant(&extended["reservation"]["expiresAt"]),
        "{turn}"
    );
    world.lapse(&held).await;
    eventually("the sweeper", async || {
        (buyer.client.reservation(&held).await["status"] == "EXPIRED").then_some(())
    })
    .await;
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_hold_nothing_new_any_more_may_keep_what_they_hold() {
    let room = json!({ "maxActive": 1000, "admitPerRound": 1000, "roundSeconds": 0.1, "activeSeconds": 5,
                       "idleSeconds": 5 });
    let setup = Setup { waiting_room: room, max_seats_per_person: 2, ..Setup::default() };
    let (world, a, _b, show) = world(setup).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let held = buyer.held(&show, 0).await;
    eventually("the ACTIVE time to be over", async || {
        let refused = buyer.hold(&show, 0).await;
        (refusal(&refused) == Some("QUEUE_ENDED")).then_some(())
    })
    .await;
    let extended = extend(&buyer.client, &held).await;
    assert_eq!(refusal(&extended), None, "{extended}");
    let turn = buyer.client.queue_status(&show.id).await;
    assert_eq!(turn["status"], "ACTIVE");
    assert_eq!(turn["expiresAt"], extended["reservation"]["expiresAt"], "the turn lasts as long");
    // The sale is closed: nothing new is held, and what is held may be kept.
    let close = "mutation ($id: ID!) { closeSale(scheduleId: $id) { userErrors { code } } }";
    show.organizer.payload(close, json!({ "id": show.id })).await;
    world.wait_with(&held, 100).await;
    let extended = extend(&buyer.client, &held).await;
    assert_eq!(refusal(&extended), None, "{extended}");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_hold_of_the_callers_is_not_extended() {
    let setup = Setup { max_seats_per_person: 4, ..Setup::default() };
    let (world, a, b, show) = world(setup).await;
    let people = buying::buyers(&world, &[&a, &b], &show, 2).await;
    let held = people[0].held(&show, 0).await;
    for (client, id) in [
        (&people[1].client, held.as_str()),
        (&show.organizer, held.as_str()),
        (&people[0].client, "00000000-0000-0000-0000-000000000000"),
        (&people[0].client, "no id"),
    ] {
        let refused = extend(client, id).await;
        assert_eq!(refusal(&refused), Some("RESERVATION_NOT_FOUND"), "{refused}");
    }
    let bought = people[0].bought(&show, 1, 1_000).await;
    let given_back = people[0].held(&show, 2).await;
    people[0].client.cancel(&given_back).await;
    let lapsed = people[0].held(&show, 3).await;
    world.lapse(&lapsed).await;
    for id in [&bought, &given_back, &lapsed] {
        let refused = extend(&people[0].client, id).await;
        assert_eq!(refusal(&refused), Some("HOLD_EXPIRED"), "{refused}");
    }
    // A hold of an earlier version ends when it ends.
    world.sql(&format!("UPDATE reservation SET extendable_until = NULL WHERE id = '{held}'")).await;
    let read = people[0]
        .client
        .data(
            "query ($id: ID!) { reservation(id: $id) { expiresAt extendableUntil } }",
            json!({ "id": held }),
        )
        .await;
    assert_eq!(read["reservation"]["expiresAt"], read["reservation"]["extendableUntil"]);
    assert_eq!(refusal(&extend(&people[0].client, &held).await), Some("EXTENSION_LIMIT"));
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_being_decided_keeps_the_seats_by_itself() {
    let (world, a, b, show) = world(Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let held = buyer.held(&show, 0).await;
    let before = buyer.client.reservation(&held).await;
    world
        .sql(&format!(
            "INSERT INTO payment (id, person_id, reservation_id, method, amount, status, idempotency_key, fingerprint, created_at,
                                  held_until, look_at, call_off_at)
             SELECT gen_random_uuid(), person_id, id, 'CARD', total_price, 'PENDING', 'k', '', now(), expires_at,
                    now() + interval '1 hour', now() + interval '1 hour' FROM reservation WHERE id = '{held}'"
        ))
        .await;
    for client in [&buyer.client, &buyer.at(&b).client] {
        let stands = extend(client, &held).await;
        assert_eq!(refusal(&stands), None, "{stands}");
        assert_eq!(stands["reservation"]["expiresAt"], before["expiresAt"]);
    }
    let failed =
        "UPDATE payment SET status = 'FAILED', failure_code = 'CARD_DECLINED', look_at = NULL";
    world.sql(failed).await;
    let extended = extend(&buyer.client, &held).await;
    assert!(instant(&extended["reservation"]["expiresAt"]) > instant(&before["expiresAt"]));
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_at_once_at_two_instances_extends_once_and_hurts_nobody() {
    let setup = Setup { max_seats_per_person: 4, ..Setup::default() };
    let (world, a, b, show) = world(setup).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let held = buyer.held(&show, 0).await;
    let at = [buyer.at(&a), buyer.at(&b)];
    for round in 0..10 {
        let (one, two, other) = tokio::join!(
            extend(&at[0].client, &held),
            extend(&at[1].client, &held),
            at[round % 2].hold(&show, 1),
        );
        assert_eq!((refusal(&one), refusal(&two), refusal(&other)), (None, None, None));
        let other = other["reservation"]["id"].as_str().unwrap();
        let (given_back, three) =
            tokio::join!(at[0].client.cancel(other), extend(&at[1].client, &held));
        assert_eq!((refusal(&given_back), refusal(&three)), (None, None));
    }
    world.books_are_true().await;
}

/// So many races; a thousand when it is run for the record.
fn races() -> usize {
    std::env::var("FRONTROW_TEST_RACES").ok().and_then(|it| it.parse().ok()).unwrap_or(40)
}

#[tokio::test(flavor = "multi_thread")]
async fn extending_against_the_lapse_has_one_winner() {
    let (world, a, b, show) = world(Setup::default()).await;
    let people = buying::buyers(&world, &[&a, &b], &show, 2).await;
    let mut random = Random::seeded();
    let (mut extended, mut taken) = (0, 0);
    for round in 0..races() {
        let (owner, rival) = (&people[round % 2], people[(round + 1) % 2].clone());
        let held = owner.held(&show, 0).await;
        world
            .sql(&format!(
                "WITH soon AS (UPDATE reservation SET expires_at = clock_timestamp() + interval '100 ms' WHERE id = '{held}'
                               RETURNING id, expires_at)
                 UPDATE seat SET hold_expires_at = soon.expires_at FROM soon WHERE reservation_id = soon.id"
            ))
            .await;
        let (first, second) = (random.below(200), random.below(200));
        let later = async |milliseconds: usize| {
            let milliseconds = u64::try_from(milliseconds).unwrap();
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        };
        let (kept, won) = tokio::join!(
            async {
                later(first).await;
                extend(&owner.client, &held).await
            },
            async {
                later(second).await;
                rival.hold(&show, 0).await
            },
        );
        match (refusal(&kept), refusal(&won)) {
            (None, Some("SEAT_HELD")) => {
                extended += 1;
                owner.client.cancel(&held).await;
            }
            (Some("HOLD_EXPIRED"), None) => {
                taken += 1;
                rival.client.cancel(won["reservation"]["id"].as_str().unwrap()).await;
            }
            // The one came before the lapse, the other after it.
            (Some("HOLD_EXPIRED"), Some("SEAT_HELD")) => {}
            other => panic!("{other:?}: {kept} {won}"),
        }
    }
    assert!(extended > 0 && taken > 0, "{extended} were extended, {taken} taken over");
    world.books_are_true().await;
}

/// People who hold at a performance when it is called off.
const HOLDERS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn extending_against_calling_off_leaves_nothing_held() {
    let (world, a, b, _) = world(Setup::default()).await;
    let mut random = Random::seeded();
    let (mut extended, mut too_late) = (0, 0);
    for round in 0..races().div_ceil(HOLDERS) {
        let show = shop::show(&world, &a, Setup::default()).await;
        let people = buying::buyers(&world, &[&a, &b], &show, HOLDERS).await;
        let holds = people
            .iter()
            .enumerate()
            .map(async |(seat, holder)| (holder.client.clone(), holder.held(&show, seat).await));
        let holds = join_all(holds).await;
        let later = async |milliseconds: usize| {
            let milliseconds = u64::try_from(milliseconds).unwrap();
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        };
        let organizer = show.organizer.at([&a, &b][round % 2].address);
        let pauses: Vec<usize> = holds.iter().map(|_| random.below(40)).collect();
        let calls = holds.iter().zip(pauses).map(async |((client, held), pause)| {
            later(pause).await;
            extend(client, held).await
        });
        let off = async {
            later(random.below(20)).await;
            let query = "mutation ($id: ID!) { cancelSchedule(scheduleId: $id) { schedule { status } userErrors { code } } }";
            organizer.payload(query, json!({ "id": show.id })).await
        };
        let (answers, called_off) = tokio::join!(join_all(calls), off);
        assert_eq!(called_off["schedule"]["status"], "CANCELLED", "{called_off}");
        for answer in &answers {
            match refusal(answer) {
                // Before it was cancelled; and after.
                None => extended += 1,
                Some("HOLD_EXPIRED") => too_late += 1,
                other => panic!("{other:?}: {answer}"),
            }
        }
        // However late it was extended, it is cancelled, and its seats are free.
        let left = format!(
            "SELECT (SELECT count(*) FROM reservation WHERE schedule_id = '{0}' AND status <> 'CANCELLED')
                  + (SELECT count(*) FROM seat WHERE schedule_id = '{0}' AND status <> 'AVAILABLE')
                  + (SELECT count(*) FROM queue_token WHERE schedule_id = '{0}' AND status IN ('WAITING', 'ACTIVE'))",
            show.id
        );
        eventually("nothing to be held", async || (world.number(&left).await == 0).then_some(()))
            .await;
        for (client, held) in &holds {
            assert_eq!(refusal(&extend(client, held).await), Some("HOLD_EXPIRED"));
        }
    }
    // Which of the two was quicker, the machine decides.
    #[expect(clippy::print_stderr, reason = "the figures of a run by hand")]
    {
        eprintln!("{extended} holds were extended, {too_late} were cancelled before");
    }
    world.books_are_true().await;
}
