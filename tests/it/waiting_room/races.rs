//! Everything that admits, raced: the one statement that does (store/admit.sql), against itself, the operator, and people.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Barrier;

use super::*;
use crate::support::{client::refusal, random::Random};

/// Only one statement makes people ACTIVE. Whoever writes another has to race it here.
#[test]
fn one_statement_admits() {
    fn sources(folder: &std::path::Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else {
                found.push((
                    path.display().to_string(),
                    std::fs::read_to_string(&path).unwrap_or_default(),
                ));
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["src", "migration/src"] {
        sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    }
    let admits = |text: &str| {
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        // Without a status a new token is WAITING. One that names a status, or no columns at all, could be anything.
        let inserts = plain.split("INSERTINTOqueue_token").skip(1).any(|insert| {
            let columns = insert.split(['(', ')']).nth(1);
            columns.is_none_or(|columns| columns.split(',').any(|column| column == "status"))
        });
        inserts || plain.contains("SETstatus='ACTIVE'") || plain.contains(",status='ACTIVE'")
    };
    let admitting: Vec<&str> =
        found.iter().filter(|(_, text)| admits(text)).map(|(path, _)| path.as_str()).collect();
    assert!(admitting.len() == 1 && admitting[0].ends_with("store/admit.sql"), "{admitting:?}");
}

const AT_ONCE: Duration = Duration::ZERO;

/// Rounds of both instances, four at once, started at one instant with something else, or a little `late`.
async fn race<T>(
    (a, b): (&Instance, &Instance),
    show: &Show,
    late: Duration,
    other: impl Future<Output = T>,
) -> T {
    let start = Arc::new(Barrier::new(5));
    let rounds = (0..4).map(|i| {
        let rooms = if i % 2 == 0 { &a.app.waiting_rooms } else { &b.app.waiting_rooms };
        let start = start.clone();
        async move {
            start.wait().await;
            tokio::time::sleep(late).await;
            for _ in 0..3 {
                let round = rooms.run_round(schedule(show)).await;
                round.unwrap_or_else(|fault| panic!("{}", fault.report()));
            }
        }
    });
    let other = async {
        start.wait().await;
        other.await
    };
    tokio::join!(join_all(rounds), other).1
}

/// A room of its own with `people` in line, on instances where nothing runs by itself.
async fn scene(world: &World, a: &Instance, room: Setup, people: usize) -> (Show, Vec<Client>) {
    let show = shop::show(world, a, room).await;
    let fans = shop::fans(world, a, people).await;
    join_all(fans.iter().map(async |fan| entered(fan, &show.id).await)).await;
    (show, fans)
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_started_at_one_instant_admit_as_many_as_one_would() {
    let world = World::new().await;
    let (a, b) = (world.quiet_instance(&[]).await, world.quiet_instance(&[]).await);
    for _ in 0..60 {
        let (show, _) = scene(&world, &a, setup(4, 3, 60.0), 8).await;
        race((&a, &b), &show, AT_ONCE, async {}).await;
        assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 3, "the budget of a round");
        assert_eq!(tokens(&world, &show, "status = 'ACTIVE' AND number > 3").await, 0);
        let spent = format!(
            "UPDATE queue_token SET activated_at = activated_at - interval '61 s' WHERE schedule_id = '{}'",
            show.id
        );
        world.sql(&spent).await;
        race((&a, &b), &show, AT_ONCE, async {}).await;
        assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 4, "maxActive");
        assert_eq!(tokens(&world, &show, "status = 'ACTIVE' AND number > 4").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_racing_with_a_lever_never_go_by_the_old_one_once_it_is_acknowledged() {
    let mut random = Random::seeded();
    let world = World::new().await;
    let (a, b) = (world.quiet_instance(&[]).await, world.quiet_instance(&[]).await);
    let (mut before, mut after) = (0, 0);
    let mut latest = 9_000;
    for turn in 0..120 {
        if turn >= 60 && before > 0 && after > 0 {
            break;
        }
        // How fast a lever is depends on the machine and on what else runs there.
        if turn >= 60 && turn % 10 == 0 {
            latest = if after == 0 { latest * 2 } else { latest / 2 };
        }
        let (show, _) = scene(&world, &a, setup(8, 8, 60.0), 12).await;
        // Sometimes the rounds are first, sometimes the lever.
        let late = Duration::from_micros(u64::try_from(random.below(latest)).unwrap());
        let acknowledged = race((&a, &b), &show, late, async {
            match turn % 3 {
                0 => configure(&show, json!({ "maxActive": 2 })).await,
                1 => configure(&show, json!({ "paused": true })).await,
                _ => close_sale(&show).await,
            }
            tokens(&world, &show, "activated_at IS NOT NULL").await
        })
        .await;
        race((&a, &b), &show, AT_ONCE, async {}).await;
        let admitted = tokens(&world, &show, "activated_at IS NOT NULL").await;
        match turn % 3 {
            0 => assert!(admitted == acknowledged.max(2), "{acknowledged} were in, now {admitted}"),
            _ => assert_eq!(admitted, acknowledged, "nobody more once it was acknowledged"),
        }
        before += i64::from(acknowledged > 2);
        after += i64::from(acknowledged <= 2);
    }
    assert!(before > 0 && after > 0, "hardly a race: {before} rounds were first, {after} levers");
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_racing_with_people_who_leave_or_lapse_fill_each_place_once() {
    let world = World::new().await;
    let (a, b) = (world.quiet_instance(&[]).await, world.quiet_instance(&[]).await);
    for turn in 0..60 {
        let (show, fans) = scene(&world, &a, setup(4, 100, 0.1), 12).await;
        race((&a, &b), &show, AT_ONCE, async {}).await;
        assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 4);
        let mut inside = Vec::new();
        for fan in &fans {
            let status = fan.queue_status(&show.id).await["status"].take();
            inside.extend((status == "ACTIVE").then_some(fan));
        }
        let rooms = &b.app.waiting_rooms;
        let crowd = format!(
            "SELECT person_id::text FROM queue_token WHERE schedule_id = '{}' ORDER BY number",
            show.id
        );
        let crowd = world.texts(&crowd).await;
        let waiting = fans.iter().find(|fan| id_of(fan) == crowd[4]).unwrap();
        race((&a, &b), &show, AT_ONCE, async {
            if turn % 2 == 0 {
                // The next in line leaves, and two who are in.
                let leaving = [waiting, inside[0], inside[1]];
                join_all(leaving.map(|fan| rooms.leave(actor(fan), schedule(&show)))).await;
            } else {
                meddle(&world, inside[0], "expires_at = clock_timestamp()").await;
                assert!(rooms.leave(actor(inside[1]), schedule(&show)).await.is_ok());
            }
        })
        .await;
        for _ in 0..2 {
            assert!(a.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
        }
        assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 4);
        assert_admitted_properly(&world, &show, 4, 100, 100).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lever_takes_effect_in_the_next_round_of_every_instance() {
    let world = World::new().await;
    let (a, b) = (world.quiet_instance(&[]).await, world.quiet_instance(&[]).await);
    let (show, _) = scene(&world, &a, setup(50, 2, 600.0), 60).await;
    // A round of each instance; how many are in then.
    let rounds = async || {
        for instance in [&b, &a] {
            assert!(instance.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
        }
        tokens(&world, &show, "status = 'ACTIVE'").await
    };
    assert_eq!(rounds().await, 2);
    configure(&show, json!({ "admitPerRound": 5 })).await;
    assert_eq!(rounds().await, 5, "three more within the same ten minutes");
    configure(&show, json!({ "admitPerRound": 3 })).await;
    assert_eq!(rounds().await, 5);
    configure(&show, json!({ "roundSeconds": 0.1 })).await;
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert!(rounds().await >= 8, "the budget is that of a tenth of a second");
    configure(&show, json!({ "paused": true })).await;
    let inside = rounds().await;
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(rounds().await, inside);
    configure(&show, json!({ "paused": false, "maxActive": 12, "admitPerRound": 100 })).await;
    assert_eq!(rounds().await, 12);
    configure(&show, json!({ "maxActive": 30 })).await;
    assert_eq!(rounds().await, 30);
    configure(&show, json!({ "maxActive": 10 })).await;
    assert_eq!(rounds().await, 30, "nobody is sent away, and nobody comes in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_hold_moves_the_line_by_itself_and_its_watchers_on_both_instances_are_told() {
    let world = World::new().await;
    let flags = ["--hold-seconds=2"];
    let (a, b) = (world.instance_with(&flags).await, world.instance_with(&flags).await);
    let show = shop::show(&world, &a, Setup { seats_per_row: 1, ..Setup::default() }).await;
    let holder = shop::fan(&world, &a).await;
    let token = holder.admitted(&show.id).await;
    let held = holder.held(&show.id, &show.seats[0], &token).await;
    let fans = line(&world, &a, &show, 2).await;
    let mut watches = Vec::new();
    for (fan, instance) in fans.iter().zip([&a, &b]) {
        let mut watch = fan.at(instance.address).watch_queue(&show.id).await;
        assert_eq!(watch.field().await["status"], "WAITING");
        watches.push(watch);
    }
    for mut watch in watches {
        watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    }
    let early = format!("activated_at < '{}' AND number > 1", held["expiresAt"].as_str().unwrap());
    assert_eq!(tokens(&world, &show, &early).await, 0, "nobody is admitted while no seat is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn sold_out_is_told_to_all_on_both_instances_within_a_second_of_the_last_sale() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let setup = Setup { rows: 1, seats_per_row: 1, ..setup(1, 1, 0.1) };
    let show = shop::show(&world, &a, setup).await;
    let buyer = shop::fan(&world, &a).await;
    let token = buyer.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 6).await;
    let held = buyer.held(&show.id, &show.seats[0], &token).await;
    buyer.charge(1_000, "c").await;
    let mut watches = Vec::new();
    for (fan, instance) in fans.iter().zip([&a, &b].into_iter().cycle()) {
        room_is(&instance.client(), &show.id, "OPEN").await;
        let mut watch = fan.at(instance.address).watch_queue(&show.id).await;
        assert_eq!(watch.field().await["roomStatus"], "OPEN");
        watches.push(watch);
    }
    assert_eq!(
        refusal(&buyer.at(b.address).pay(held["id"].as_str().unwrap(), 1_000, "p").await),
        None
    );
    let sold = std::time::Instant::now();
    for instance in [&a, &b] {
        while room(&instance.client(), &show.id).await["status"] != "SOLD_OUT" {
            assert!(sold.elapsed() < Duration::from_secs(1), "told too late");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for watch in &mut watches {
        watch.until("SOLD_OUT", |token| token["roomStatus"] == "SOLD_OUT").await;
        assert!(sold.elapsed() < Duration::from_secs(1), "pushed too late");
    }
    // Everybody still has the place: a cancelled ticket would go to the first of them.
    for fan in &fans {
        assert_eq!(fan.queue_status(&show.id).await["status"], "WAITING");
    }
    assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 0);
    assert_eq!(refusal(&buyer.cancel(held["id"].as_str().unwrap()).await), None);
    watches[0].until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    watches[5].until("OPEN", |token| token["roomStatus"] == "OPEN").await;
}
