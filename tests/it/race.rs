//! Many people at once over two instances, on purpose; and the books stay true.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{
    buying::{self, Buyer},
    client::refusal,
    shop::{self, Setup},
    world::{Instance, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_in_the_middle_of_a_storm_raises_no_false_alarm() {
    let world = World::new().await;
    let (a, b) = (world.instance_with(&["--hold-seconds=1"]).await, world.instance().await);
    let setup = Setup {
        max_seats_per_person: 2,
        waiting_room: json!({ "maxActive": 12, "admitPerRound": 12, "roundSeconds": 0.1 }),
        ..Setup::default()
    };
    let show = Arc::new(shop::show(&world, &a, setup).await);
    let fans = shop::fans(&world, &a, 20).await;
    let over = Arc::new(AtomicBool::new(false));
    let storm = fans.into_iter().enumerate().map(|(n, fan)| {
        let (show, over) = (show.clone(), over.clone());
        let (here, there) = (fan.at([&a, &b][n % 2].address), fan.at([&b, &a][n % 2].address));
        tokio::spawn(async move {
            here.charge(100_000, "charge").await;
            let mut turn = n;
            while !over.load(Ordering::Relaxed) {
                turn += 1;
                let entered = here.enter(&show.id).await;
                let Some(token) = entered["queueToken"]["token"].as_str() else { continue };
                let buyer = Buyer { client: here.clone(), token: token.to_owned() };
                let held = buyer.hold(&show, turn % 10).await;
                let id = held["reservation"]["id"].as_str().unwrap_or_default();
                match turn % 4 {
                    _ if id.is_empty() => tokio::time::sleep(Duration::from_millis(20)).await,
                    0 => {
                        there.cancel(id).await;
                    }
                    1 => {
                        let key = format!("pay {id}");
                        tokio::join!(here.pay(id, 1_000, &key), there.cancel(id));
                    }
                    2 => {
                        there.pay(id, 1_000, id).await;
                        here.cancel(id).await;
                        here.leave(&show.id).await;
                    }
                    _ => {}
                }
            }
        })
    });
    let storm: Vec<_> = storm.collect();
    let start = Instant::now();
    let mut audits = 0;
    // Long enough for a storm, and however long so many audits take.
    while start.elapsed() < Duration::from_secs(6) || audits <= 20 {
        world.books_are_true().await;
        audits += 1;
    }
    over.store(true, Ordering::Relaxed);
    join_all(storm).await.into_iter().for_each(|ended| ended.unwrap());
    let refunds = world.number("SELECT count(*) FROM payment WHERE status = 'REFUNDED'").await;
    assert!(refunds > 5, "hardly a storm: {refunds} refunds");
    assert_eq!(world.audit_command().await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_races_with_a_cancellation_is_refunded_or_never_made() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup { seats_per_row: 40, ..Setup::default() }).await;
    let buyers = buying::buyers(&world, &[&a, &b], &show, 40).await;
    let races = buyers.iter().enumerate().map(async |(n, buyer)| {
        let id = buyer.held(&show, n).await;
        buyer.client.charge(1_000, "charge").await;
        let there = buyer.at(if n % 2 == 0 { &b } else { &a });
        // Half of them have left the queue: a hold is paid and cancelled without a live token too.
        if n % 4 < 2 {
            buyer.client.leave(&show.id).await;
        }
        let (paid, cancelled) =
            tokio::join!(buyer.client.pay(&id, 1_000, "pay"), there.client.cancel(&id));
        assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "{cancelled}");
        let code = refusal(&paid);
        assert!(code.is_none() || code == Some("RESERVATION_NOT_PAYABLE"), "{paid}");
        assert_eq!(buyer.client.balance().await, 1_000);
    });
    join_all(races).await;
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_150_people_who_hold_one_seat_at_once_one_gets_it() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup::default()).await;
    let buyers = buying::buyers(&world, &[&a, &b], &show, 150).await;
    let answers = join_all(buyers.iter().map(|buyer| buyer.hold(&show, 4))).await;
    let held = answers.iter().filter(|answer| answer["reservation"]["status"] == "HOLD").count();
    let refused = answers.iter().filter(|answer| refusal(answer) == Some("SEAT_HELD")).count();
    assert_eq!((held, refused), (1, 149));
    assert_eq!(world.number("SELECT count(*) FROM reservation").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM reservation_seat").await, 1);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_in_a_hurry_never_holds_more_than_the_limit_and_gets_all_of_it() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    for limit in [1, 2, 4, 20] {
        let setup = Setup { seats_per_row: 24, max_seats_per_person: limit, ..Setup::default() };
        let show = shop::show(&world, &a, setup).await;
        let buyer = buying::buyer(&world, &a, &show).await;
        let both = [buyer.clone(), buyer.at(&b)];
        let answers = join_all((0..24).map(|n| both[n % 2].hold(&show, n))).await;
        let held = answers.iter().filter(|answer| refusal(answer).is_none()).count();
        let refused =
            answers.iter().filter(|answer| refusal(answer) == Some("SEAT_LIMIT_REACHED")).count();
        let limit = usize::try_from(limit).unwrap();
        assert_eq!((held, refused), (limit, 24 - limit), "{answers:?}");
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_of_seats_that_overlap_are_never_split_and_one_of_two_gets_its_own() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let setup = Setup { max_seats_per_person: 4, ..Setup::default() };
    let show = shop::show(&world, &a, setup).await;
    let two = buying::buyers(&world, &[&a, &b], &show, 2).await;
    // Equal sets, sets with one seat in common, and one within the other; in different orders.
    let sets: [(&[usize], &[usize]); 4] = [
        (&[0, 1, 2, 3], &[3, 2, 1, 0]),
        (&[0, 1, 2, 3], &[6, 5, 4, 3]),
        (&[9, 7, 5, 3], &[3, 0]),
        (&[1, 2], &[2, 1]),
    ];
    let mut nobody = 0;
    for round in 0..60 {
        let (left, right) = sets[round % sets.len()];
        let (one, other) =
            tokio::join!(two[0].hold_seats(&show, left), two[1].hold_seats(&show, right));
        let mut held = 0;
        for (payload, seats) in [(&one, left), (&other, right)] {
            match refusal(payload) {
                None => {
                    held += 1;
                    let got = payload["reservation"]["seats"].as_array().unwrap();
                    assert_eq!(got.len(), seats.len());
                    let cancelled =
                        two[0].client.cancel(payload["reservation"]["id"].as_str().unwrap()).await;
                    if refusal(&cancelled).is_some() {
                        two[1].client.cancel(payload["reservation"]["id"].as_str().unwrap()).await;
                    }
                }
                Some(code) => assert_eq!(code, "SEAT_HELD"),
            }
        }
        assert!(held <= 1, "{one} {other}");
        nobody += 1 - held;
    }
    assert_eq!(nobody, 0, "rounds in which both were told that somebody else had the seats");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crowds_that_want_overlapping_seats_neither_deadlock_nor_share() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let setup = Setup { max_seats_per_person: 3, ..Setup::default() };
    let show = shop::show(&world, &a, setup).await;
    let crowd = buying::buyers(&world, &[&a, &b], &show, 30).await;
    let answers = join_all(crowd.iter().enumerate().map(|(n, buyer)| {
        let seats = [n % 10, (n + 1) % 10, (n + 2) % 10];
        let show = &show;
        async move { buyer.hold_seats(show, &seats).await }
    }))
    .await;
    let held = answers.iter().filter(|answer| refusal(answer).is_none()).count();
    assert!((1..=3).contains(&held), "{held}");
    for answer in answers {
        assert!(matches!(refusal(&answer), None | Some("SEAT_HELD")), "{answer}");
    }
    world.books_are_true().await;
}

/// Seat by seat: the first person pays at about the instant at which their hold lapses, and the second holds the seat.
#[tokio::test(flavor = "multi_thread")]
async fn of_paying_at_the_instant_of_the_lapse_and_taking_the_seat_over_exactly_one_wins() {
    let world = World::new().await;
    let (a, b) = (world.instance_with(&["--hold-seconds=1"]).await, world.instance_with(&[]).await);
    let show = shop::show(&world, &a, Setup { seats_per_row: 60, ..Setup::default() }).await;
    let payers = buying::buyers(&world, &[&a], &show, 60).await;
    let takers = buying::buyers(&world, &[&b], &show, 60).await;
    join_all(payers.iter().map(|payer| payer.client.charge(1_000, "charge"))).await;
    let race = async |n: usize, payer: &Buyer, taker: &Buyer| {
        let held = payer.client.held(&show.id, &show.seats[n], &payer.token).await;
        let id = held["id"].as_str().unwrap();
        let end = DateTime::parse_from_rfc3339(held["expiresAt"].as_str().unwrap()).unwrap();
        // From 25 ms before the end to 10 ms after it: a request takes some of that.
        let start = end.to_utc() + TimeDelta::milliseconds(i64::try_from(n % 8).unwrap() * 5 - 25);
        tokio::time::sleep((start - Utc::now()).to_std().unwrap_or_default()).await;
        let pay = payer.client.pay(id, 1_000, "pay");
        let take = async {
            loop {
                let taken = taker.hold(&show, n).await;
                match refusal(&taken) {
                    Some("SEAT_HELD") => {}
                    None => return true,
                    Some(code) => {
                        assert_eq!(code, "SEAT_SOLD");
                        return false;
                    }
                }
            }
        };
        let (paid, taken) = tokio::join!(pay, take);
        let code = refusal(&paid);
        assert!(matches!(code, None | Some("HOLD_EXPIRED")), "{paid}");
        assert_eq!(code.is_none(), !taken, "exactly one of them: {paid}");
        let left = payer.client.balance().await;
        assert_eq!(left, if taken { 1_000 } else { 0 });
        taken
    };
    let mut taken = 0;
    for batch in (0..60).collect::<Vec<_>>().chunks(4) {
        let races = batch.iter().map(|n| race(*n, &payers[*n], &takers[*n]));
        taken += join_all(races).await.into_iter().filter(|taken| *taken).count();
    }
    assert!((1..60).contains(&taken), "hardly a race: {taken} of 60 seats were taken over");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_in_a_hurry_pays_and_cancels_everything_they_hold() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let setup = Setup { seats_per_row: 20, max_seats_per_person: 20, ..Setup::default() };
    let show = shop::show(&world, &a, setup).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.client.charge(20_000, "charge").await;
    let mut ids = Vec::new();
    for seat in 0..20 {
        ids.push(buyer.held(&show, seat).await);
    }
    let clients = [buyer.client.clone(), buyer.at(&b).client];
    let pays = ids.iter().enumerate().map(|(n, id)| clients[n % 2].pay(id, 1_000, id));
    for paid in join_all(pays).await {
        assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    }
    assert_eq!(buyer.client.queue_status(&show.id).await["status"], "USED");
    let cancels = ids.iter().enumerate().map(|(n, id)| clients[n % 2].cancel(id));
    for cancelled in join_all(cancels).await {
        assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "{cancelled}");
    }
    assert_eq!(buyer.client.balance().await, 20_000);
    world.books_are_true().await;
}

/// A fan who held the first seat with a token that they gave up since, and who is in again; and when that hold lapses.
async fn twice_in(
    world: &World,
    show: &shop::Show,
    a: &Instance,
) -> (Buyer, String, DateTime<Utc>) {
    let first = buying::buyer(world, a, show).await;
    first.client.charge(2_000, "charge").await;
    let held = first.client.held(&show.id, &show.seats[0], &first.token).await;
    first.client.leave(&show.id).await;
    let again = Buyer { token: first.client.admitted(&show.id).await, ..first.clone() };
    assert_ne!(again.token, first.token);
    let end = DateTime::parse_from_rfc3339(held["expiresAt"].as_str().unwrap()).unwrap();
    (again, held["id"].as_str().unwrap().to_owned(), end.to_utc())
}

async fn until(instant: DateTime<Utc>) {
    tokio::time::sleep((instant - Utc::now()).to_std().unwrap_or_default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_waited_for_the_wallet_until_its_hold_had_lapsed_pays_nothing() {
    let world = World::new().await;
    let (a, b) = (world.instance_with(&["--hold-seconds=3"]).await, world.instance().await);
    let show = shop::show(&world, &a, Setup::default()).await;
    let (fan, old, end) = twice_in(&world, &show, &a).await;
    let wallet = format!(
        "DO $$ BEGIN PERFORM 1 FROM wallet WHERE person_id = '{}' FOR UPDATE; PERFORM pg_sleep(1.6); END $$",
        fan.person_id()
    );
    until(end - TimeDelta::milliseconds(900)).await;
    let ((), paid, held) = tokio::join!(
        world.sql(&wallet),
        async {
            until(end - TimeDelta::milliseconds(400)).await;
            fan.client.pay(&old, 1_000, "old").await
        },
        async {
            until(end + TimeDelta::milliseconds(100)).await;
            fan.at(&b).hold(&show, 1).await
        }
    );
    assert_eq!(refusal(&paid), Some("HOLD_EXPIRED"), "{paid}");
    assert_eq!(refusal(&held), None, "{held}");
    assert_eq!(fan.client.balance().await, 2_000);
    let new = held["reservation"]["id"].as_str().unwrap();
    assert_eq!(refusal(&fan.client.pay(new, 1_000, "new").await), None);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_waits_for_the_payment_of_what_the_person_held_with_an_earlier_token() {
    let world = World::new().await;
    let (a, b) = (world.instance_with(&["--hold-seconds=3"]).await, world.instance().await);
    let show = shop::show(&world, &a, Setup::default()).await;
    let (fan, old, end) = twice_in(&world, &show, &a).await;
    // The payment is decided in time, and committed after the lapse.
    world
        .sql(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM pg_sleep(1.2); RETURN NULL; END $$;
             CREATE TRIGGER dawdle AFTER INSERT ON payment FOR EACH ROW EXECUTE FUNCTION dawdle()",
        )
        .await;
    let (paid, held) = tokio::join!(
        async {
            until(end - TimeDelta::milliseconds(500)).await;
            fan.client.pay(&old, 1_000, "old").await
        },
        async {
            until(end + TimeDelta::milliseconds(100)).await;
            fan.at(&b).hold(&show, 1).await
        }
    );
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    // They own all that they may, so their turn is over.
    assert_eq!(refusal(&held), Some("QUEUE_ENDED"), "{held}");
    world.books_are_true().await;
}
