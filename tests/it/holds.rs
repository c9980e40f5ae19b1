//! Holds that share statements: whoever is in a group with whom, each gets what is theirs.
//!
//! These tests ask the service by itself: over HTTP a person has two mutations under way at most, and hardly two requests
//! come in the same group.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use frontrow::{
    kernel::{Actor, Failure, PersonId, ReservationId, Role, ScheduleId, SeatId},
    reservation::{HoldCode, Reservation},
};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    buying::{self, Buyer},
    client::refusal,
    eventually,
    process::Process,
    random::Random,
    shop::{self, Setup, Show},
    world::{Instance, World},
};

fn uuid(text: &str) -> Uuid {
    Uuid::parse_str(text).unwrap()
}

/// A performance, its seats, and people who are in.
struct Hall {
    schedule_id: ScheduleId,
    seats: Vec<SeatId>,
    fans: Vec<Fan>,
    show: Show,
}

/// Somebody who is in.
struct Fan {
    actor: Actor,
    buyer: Buyer,
}

impl Fan {
    async fn hold(
        &self,
        at: &Instance,
        hall: &Hall,
        seats: &[usize],
    ) -> Result<Reservation, HoldCode> {
        let ids: Vec<SeatId> = seats.iter().map(|seat| hall.seats[*seat]).collect();
        let held =
            at.app.reservations.hold(self.actor, hall.schedule_id, &ids, &self.buyer.token).await;
        held.map_err(|failure| match failure {
            Failure::Refused(refusal) => refusal.code,
            Failure::Fault(fault) => panic!("{}", fault.report()),
        })
    }

    async fn cancel(&self, at: &Instance, id: ReservationId) {
        at.app.payments.cancel(self.actor, id).await.expect("it is cancelled");
    }
}

async fn hall(world: &World, instances: &[&Instance], setup: Setup, people: usize) -> Hall {
    let show = shop::show(world, instances[0], setup).await;
    let buyers = buying::buyers(world, instances, &show, people).await;
    let fan = |buyer: Buyer| Fan {
        actor: Actor {
            person_id: PersonId(uuid(buyer.person_id())),
            role: Role::Fan,
            session_id: None,
            expires_at: Utc::now() + TimeDelta::hours(1),
        },
        buyer,
    };
    Hall {
        schedule_id: ScheduleId(uuid(&show.id)),
        seats: show.seats.iter().map(|seat| SeatId(uuid(seat))).collect(),
        fans: buyers.into_iter().map(fan).collect(),
        show,
    }
}

/// A number of the metrics' page.
fn metric(instance: &Instance, name: &str) -> u64 {
    let page = instance.app.metrics.render();
    let line =
        page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{page}"));
    let number: f64 = line.trim().parse().unwrap();
    format!("{number:.0}").parse().unwrap()
}

/// How many groups an instance has served, and how many holds in them.
fn groups(instance: &Instance) -> (u64, u64) {
    (
        metric(instance, "frontrow_lane_groups_count{lane=\"holds\"}"),
        metric(instance, "frontrow_lane_groups_sum{lane=\"holds\"}"),
    )
}

/// Whether the instances have grouped: the holds shared statements, three of them and more on average.
fn assert_grouped(instances: &[&Instance]) {
    let (count, sum) = instances
        .iter()
        .map(|instance| groups(instance))
        .fold((0, 0), |all, of| (all.0 + of.0, all.1 + of.1));
    assert!(sum >= 3 * count, "hardly a group: {sum} holds in {count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_pairs_who_want_one_seat_in_one_group_one_of_each_gets_it() {
    let world = World::new().await;
    let a = world.instance().await;
    let setup = Setup { rows: 2, seats_per_row: 16, ..Setup::default() };
    let hall = hall(&world, &[&a], setup, 64).await;
    for round in 0..32 {
        // Both of a pair arrive one after the other, so that most groups have both.
        let answers = join_all(hall.fans.iter().enumerate().map(|(n, fan)| {
            let seat = [(n / 2 + round) % 32];
            let (hall, a) = (&hall, &a);
            async move { (fan, fan.hold(a, hall, &seat).await) }
        }))
        .await;
        let mut won = Vec::new();
        for pair in answers.chunks(2) {
            let held: Vec<_> =
                pair.iter().filter_map(|(fan, held)| Some((fan, held.as_ref().ok()?.id))).collect();
            assert_eq!(held.len(), 1, "one of two: {pair:?}", pair = [&pair[0].1, &pair[1].1]);
            assert!(
                pair.iter().any(|(_, held)| *held.as_ref().err().unwrap_or(&HoldCode::SaleClosed)
                    == HoldCode::SeatHeld)
            );
            won.extend(held);
        }
        join_all(won.iter().map(|(fan, id)| fan.cancel(&a, *id))).await;
    }
    assert_grouped(&[&a]);
    assert_eq!(world.number("SELECT count(*) FROM reservation").await, 1_024);
    // Held and given back, a thousand times.
    assert_eq!(world.number("SELECT sum(version - 1)::bigint FROM seat").await, 2_048);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_holds_of_one_person_in_the_same_moment_as_many_stand_as_one_person_may_have() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    for limit in [1, 3] {
        let setup =
            Setup { rows: 25, seats_per_row: 20, max_seats_per_person: limit, ..Setup::default() };
        let hall = hall(&world, &[&a, &b], setup, 25).await;
        // Five people at a time, so that groups have holds of several.
        for (round, five) in hall.fans.chunks(5).enumerate() {
            let holds =
                (0..20).flat_map(|n| five.iter().enumerate().map(move |(k, fan)| (n, k, fan)));
            let answers = join_all(holds.map(|(n, k, fan)| {
                let seat = [(round * 5 + k) * 20 + n];
                let (hall, at) = (&hall, [&a, &b][n % 2]);
                async move { (fan.actor.person_id, fan.hold(at, hall, &seat).await) }
            }))
            .await;
            for fan in five {
                let of = answers.iter().filter(|(person, _)| *person == fan.actor.person_id);
                let (held, refused): (Vec<_>, Vec<_>) = of.partition(|(_, held)| held.is_ok());
                assert_eq!(held.len(), usize::try_from(limit).unwrap(), "{refused:?}");
                for (_, refusal) in refused {
                    assert_eq!(*refusal.as_ref().unwrap_err(), HoldCode::SeatLimitReached);
                }
            }
        }
    }
    assert_eq!(world.number("SELECT count(*) FROM reservation").await, 25 + 75);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_overlap_are_held_whole_or_not_at_all_on_one_instance_and_on_two() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let setup = Setup { seats_per_row: 30, max_seats_per_person: 3, ..Setup::default() };
    let hall = hall(&world, &[&a, &b], setup, 60).await;
    let mut random = Random::seeded();
    for round in 0..18 {
        let both: [&Instance; 2] = if round % 2 == 0 { [&a, &a] } else { [&a, &b] };
        let answers = join_all(hall.fans.iter().enumerate().map(|(n, fan)| {
            let first = random.below(30);
            let mut block = [first, (first + 1) % 30, (first + 2) % 30];
            if random.below(2) == 0 {
                block.reverse();
            }
            let (hall, at) = (&hall, both[n % 2]);
            async move { (fan, block, fan.hold(at, hall, &block).await) }
        }))
        .await;
        let mut taken = HashSet::new();
        let mut won = Vec::new();
        for (fan, block, held) in &answers {
            match held {
                Ok(held) => {
                    assert_eq!(held.seat_count, 3);
                    assert!(block.iter().all(|seat| taken.insert(*seat)), "a seat twice");
                    won.push((fan, held.id));
                }
                Err(code) => assert_eq!(*code, HoldCode::SeatHeld),
            }
        }
        // Each block is in the way of those that begin at five places at most; and not every place was asked for.
        assert!((3..=10).contains(&won.len()), "{} blocks of three", won.len());
        let held = "SELECT count(*) FROM seat WHERE status = 'HOLD'";
        assert_eq!(world.number(held).await, i64::try_from(won.len() * 3).unwrap());
        let owners = "SELECT count(DISTINCT reservation_id) FROM seat WHERE status = 'HOLD'";
        assert_eq!(world.number(owners).await, i64::try_from(won.len()).unwrap());
        join_all(won.iter().map(|(fan, id)| fan.cancel(&a, *id))).await;
    }
    assert_grouped(&[&a, &b]);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_whose_hold_lapses_goes_to_one_of_those_who_want_it_and_not_before() {
    let world = World::new().await;
    let flags = ["--hold-seconds=2"];
    let (a, b) = (world.instance_with(&flags).await, world.instance_with(&flags).await);
    let setup = Setup { rows: 8, seats_per_row: 25, max_seats_per_person: 20, ..Setup::default() };
    let hall = hall(&world, &[&a, &b], setup, 30).await;
    let holders =
        join_all((0..200).map(async |seat| hall.fans[seat % 10].hold(&a, &hall, &[seat]).await))
            .await;
    let first: Vec<Reservation> = holders.into_iter().map(Result::unwrap).collect();
    // Two people want each seat at the instant of its lapse, at both instances, round after round.
    let races = first.into_iter().enumerate().map(async |(seat, first)| {
        let mut before = first;
        for _ in 0..5 {
            let start = before.expires_at - TimeDelta::milliseconds(20);
            tokio::time::sleep((start - Utc::now()).to_std().unwrap_or_default()).await;
            let over = AtomicBool::new(false);
            let want = async |fan: &Fan, at: &Instance| {
                loop {
                    match fan.hold(at, &hall, &[seat]).await {
                        Ok(held) => {
                            over.store(true, Ordering::Relaxed);
                            return Some(held);
                        }
                        // Who holds the seat until then may have as many as one person may have.
                        Err(HoldCode::SeatHeld | HoldCode::SeatLimitReached) => {
                            if over.load(Ordering::Relaxed) {
                                return None;
                            }
                        }
                        Err(code) => panic!("{code:?}"),
                    }
                }
            };
            let (one, other) = tokio::join!(
                want(&hall.fans[10 + seat % 10], &a),
                want(&hall.fans[20 + seat % 10], &b)
            );
            // Both, if the second was so slow that the first one's hold had lapsed as well.
            let mut held: Vec<Reservation> = one.into_iter().chain(other).collect();
            assert!(!held.is_empty());
            held.sort_by_key(|held| held.held_at);
            for held in held {
                assert!(held.held_at >= before.expires_at, "{} before the lapse", held.held_at);
                before = held;
            }
        }
    });
    join_all(races).await;
    assert!(world.number("SELECT count(*) FROM reservation").await >= 1_200);
    assert_grouped(&[&a, &b]);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_be_served_costs_the_others_of_their_group_nothing() {
    let world = World::new().await;
    let a = world.instance().await;
    let setup = Setup { rows: 2, seats_per_row: 30, ..Setup::default() };
    let hall = hall(&world, &[&a], setup, 60).await;
    // A constraint refuses one seat.
    world
        .sql(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.seat_id = '{}' THEN RAISE check_violation USING MESSAGE = 'planted'; END IF; RETURN NEW; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON reservation_seat FOR EACH ROW EXECUTE FUNCTION refuse()",
            hall.show.seats[17]
        ))
        .await;
    // Somebody has locked another person's token.
    let locked = &hall.fans[40];
    let lock = world.pool.begin().await.unwrap();
    let sql = format!(
        "SELECT 1 FROM queue_token WHERE person_id = '{}' FOR UPDATE",
        locked.buyer.person_id()
    );
    lock.execute_unprepared(&sql).await.unwrap();
    let asked = hall.fans.iter().enumerate().map(async |(n, fan)| {
        let ids = [hall.seats[n]];
        let token = &fan.buyer.token;
        (n, a.app.reservations.hold(fan.actor, hall.schedule_id, &ids, token).await)
    });
    let others = AtomicU32::new(0);
    let asked = join_all(asked.map(async |asked| {
        let (n, held) = asked.await;
        match held {
            Ok(_) => _ = others.fetch_add(1, Ordering::Relaxed),
            Err(Failure::Fault(_)) => assert_eq!(n, 17),
            Err(Failure::Refused(refusal)) => panic!("{n}: {refusal:?}"),
        }
        n
    }));
    let unlock = async {
        eventually("all others to be served", async || {
            (others.load(Ordering::Relaxed) == 58).then_some(())
        })
        .await;
        lock.rollback().await.unwrap();
    };
    tokio::join!(asked, unlock);
    assert_eq!(others.load(Ordering::Relaxed), 59, "the one who waited, too");
    assert_grouped(&[&a]);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_is_held_later_than_active_seconds_after_admission_and_what_is_held_can_be_paid()
 {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let room = json!({ "maxActive": 10, "admitPerRound": 10, "roundSeconds": 0.1,
                       "idleSeconds": 5, "activeSeconds": 60 });
    let setup = Setup { max_seats_per_person: 4, waiting_room: room, ..Setup::default() };
    let show = shop::show(&world, &a, setup).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.client.charge(2_000, "charge").await;
    let first = buyer.held(&show, 0).await;
    // Held a moment before the end of the time, and looked at a moment after it.
    let moved = |seconds: i32| {
        format!("UPDATE queue_token SET activated_at = activated_at - interval '{seconds} s'")
    };
    world.sql(&moved(50)).await;
    let second = buyer.at(&b).held(&show, 1).await;
    world.sql(&moved(10)).await;
    for at in [&a, &b] {
        assert_eq!(refusal(&buyer.at(at).hold(&show, 2).await), Some("QUEUE_ENDED"));
        assert_eq!(refusal(&buyer.at(at).hold_seats(&show, &[3, 4]).await), Some("QUEUE_ENDED"));
        assert_eq!(refusal(&buyer.at(at).hold_best(&show, "R", 2).await), Some("QUEUE_ENDED"));
    }
    // The place stays theirs as long as the hold does, for paying and looking.
    assert_eq!(buyer.client.queue_status(&show.id).await["status"], "ACTIVE");
    for id in [first, second] {
        assert_eq!(refusal(&buyer.client.pay(&id, 1_000, &id).await), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_killed_in_the_middle_of_groups_leaves_whole_holds_and_true_books() {
    let world = World::new().await;
    let b = world.instance().await;
    let setup = Setup { rows: 10, seats_per_row: 30, max_seats_per_person: 20, ..Setup::default() };
    let hall = hall(&world, &[&b], setup, 60).await;
    // A group takes its time, so that it is in its middle when its instance is killed.
    world
        .sql(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM pg_sleep(0.004); RETURN NULL; END $$;
             CREATE TRIGGER dawdle AFTER INSERT ON reservation FOR EACH ROW EXECUTE FUNCTION dawdle()",
        )
        .await;
    let inserting = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND state = 'active' AND wait_event = 'PgSleep'";
    let mut unanswered = 0;
    for round in 0..5 {
        let mut process = Process::start(&world, &[]).await;
        let address = process.address;
        let holds = join_all(hall.fans.iter().enumerate().map(|(n, fan)| {
            let pair = [round * 60 + n, round * 60 + (n + 1) % 60];
            let ids = pair.map(|seat| hall.show.seats[seat].clone());
            let fan = fan.buyer.client.at(address);
            let input = json!({ "scheduleId": hall.show.id, "seatIds": ids,
                                "queueToken": hall.fans[n].buyer.token });
            async move {
                let query = "mutation ($input: HoldSeatsInput!) { holdSeats(input: $input) {
                                 reservation { id } userErrors { code } } }";
                let request = fan
                    .http
                    .post(format!("http://{address}/graphql"))
                    .bearer_auth(fan.token.as_deref().unwrap())
                    .json(&json!({ "query": query, "variables": { "input": input } }));
                let answer: serde_json::Value = request.send().await.ok()?.json().await.ok()?;
                Some(answer["data"]["holdSeats"]["reservation"]["id"].as_str().map(str::to_owned))
            }
        }));
        let kill = async {
            eventually("a group to be under way", async || {
                (world.number(inserting).await > 0).then_some(())
            })
            .await;
            tokio::time::sleep(Duration::from_millis(15 * u64::try_from(round).unwrap())).await;
            process.kill();
        };
        let (answers, ()) = tokio::join!(holds, kill);
        // Whatever was acknowledged is there, whole; the rest is whole or not there.
        unanswered += answers.iter().filter(|answer| answer.is_none()).count();
        for id in answers.into_iter().flatten().flatten() {
            let seats = format!("SELECT count(*) FROM seat WHERE reservation_id = '{id}'");
            assert_eq!(world.number(&seats).await, 2, "{id} was acknowledged");
        }
        eventually("what its connections had begun to be over", async || {
            (world.number(inserting).await == 0).then_some(())
        })
        .await;
        world.books_are_true().await;
    }
    assert!(unanswered > 0, "nobody was in the middle of anything");
    // All that nobody holds can be held.
    world.sql("DROP TRIGGER dawdle ON reservation").await;
    let free = "SELECT id::text FROM seat WHERE status = 'AVAILABLE'";
    let free = world.texts(free).await;
    let late = buying::buyers(&world, &[&b], &hall.show, free.len().div_ceil(20)).await;
    for (buyer, seats) in late.iter().zip(free.chunks(20)) {
        let ids: Vec<&str> = seats.iter().map(String::as_str).collect();
        assert_eq!(refusal(&buyer.hold_ids(&hall.show, &ids).await), None);
    }
    assert_eq!(world.number("SELECT count(*) FROM seat WHERE status <> 'HOLD'").await, 0);
    world.books_are_true().await;
}
