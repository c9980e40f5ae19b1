//! The index of the line in Redis, and going on without it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use frontrow::kv::Signal;
use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::support::redis::{PrivateRedis, forget_room, indexed};

/// The numbers of everybody WAITING, by the journal.
pub(super) async fn waiting(world: &World, show: &Show) -> Vec<i64> {
    let sql = format!(
        "SELECT t.number::text FROM queue_token t
         WHERE t.schedule_id = '{}' AND t.status = 'WAITING' ORDER BY t.number",
        show.id
    );
    world.texts(&sql).await.iter().map(|number| number.parse().unwrap()).collect()
}

/// Waits until everybody polls the position that the journal says, on both instances.
pub(super) async fn positions_are_true(fans: &[Client], instances: &[&Instance], show: &Show) {
    for instance in instances {
        eventually("true positions", async || {
            let statuses = join_all(fans.iter().map(async |fan| {
                fan.at(instance.address).queue_status(&show.id).await["position"].clone()
            }))
            .await;
            statuses.iter().zip(1..).all(|(position, place)| *position == place).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_admitted_before_the_index_knows_of_them_is_not_in_line() {
    let world = World::new().await;
    // Two instances run rounds, so that rounds come between a commit and its way into the index.
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(10_000, 10_000, 0.1)).await;
    let over = AtomicBool::new(false);
    let rounds = async {
        while !over.load(Ordering::Relaxed) {
            _ = b.app.waiting_rooms.run_round(schedule(&show)).await;
        }
    };
    let people = async {
        for batch in shop::fans(&world, &a, 300).await.chunks(5) {
            join_all(batch.iter().map(async |fan| entered(fan, &show.id).await)).await;
            eventually("everybody to be in", async || {
                (tokens(&world, &show, "status = 'WAITING'").await == 0).then_some(())
            })
            .await;
            // Before the comparison of every five seconds would heal it.
            let admitted = Instant::now();
            eventually("nobody to be in line", async || {
                let line = indexed(&a.app.kv, &show.id).await;
                assert!(admitted.elapsed() < Duration::from_secs(4), "still in line: {line:?}");
                line.is_empty().then_some(())
            })
            .await;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(rounds, people);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_and_enters_again_is_in_line_once_also_after_a_rebuild() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 12).await;
    join_all(fans.iter().take(6).map(async |fan| {
        for _ in 0..5 {
            let elsewhere = fan.at(b.address);
            tokio::join!(fan.leave(&show.id), elsewhere.enter(&show.id));
        }
        entered(fan, &show.id).await;
    }))
    .await;
    let journal = waiting(&world, &show).await;
    assert_eq!(journal.len(), 12);
    eventually("the index to agree", async || {
        (indexed(&a.app.kv, &show.id).await == journal).then_some(())
    })
    .await;
    forget_room(&a.app.kv, &show.id, &[]).await;
    eventually("the index to be back", async || {
        (indexed(&a.app.kv, &show.id).await == journal).then_some(())
    })
    .await;
    // Once it is back it stays.
    for _ in 0..20 {
        fans[7].queue_status(&show.id).await;
        assert_eq!(indexed(&a.app.kv, &show.id).await, journal);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_come_back_equal_within_five_seconds_after_redis_was_wiped_and_a_newcomer_stands_last()
 {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let active = shop::fan(&world, &a).await;
    let token = active.admitted(&show.id).await;
    let mut fans = line(&world, &a, &show, 30).await;
    let mut watch = fans[29].at(b.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 30);
    let journal = waiting(&world, &show).await;
    let wiped = Instant::now();
    forget_room(&a.app.kv, &show.id, &[]).await;
    active.held(&show.id, &show.seats[0], &token).await;
    let newcomer = shop::fan(&world, &b).await;
    assert_eq!(entered(&newcomer, &show.id).await["position"], 31);
    fans.push(newcomer);
    positions_are_true(&fans, &[&a, &b], &show).await;
    eventually("the index to be back", async || {
        (indexed(&a.app.kv, &show.id).await.len() == 31).then_some(())
    })
    .await;
    assert!(wiped.elapsed() < Duration::from_secs(5), "{:?}", wiped.elapsed());
    assert_eq!(indexed(&a.app.kv, &show.id).await[..30], journal);
    // The stream of changes goes on under the new generation.
    fans[3].leave(&show.id).await;
    watch.until("position 29", |token| token["position"] == 29).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_line_comes_back_by_itself_when_nobody_enters_or_polls() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    line(&world, &a, &show, 10).await;
    let journal = waiting(&world, &show).await;
    forget_room(&a.app.kv, &show.id, &[]).await;
    eventually("the index to be back", async || {
        (indexed(&a.app.kv, &show.id).await == journal).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_has_drifted_from_the_journal_is_healed() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 10).await;
    // Everybody's presence since the line was born, which is nobody's own.
    let seen = a.app.kv.name(&format!("room:{{{}}}:seen", show.id));
    let born = async |command: &str| {
        let mut command = redis::cmd(command);
        command.arg(&seen).arg("");
        let score = a.app.kv.call(&seen, async move |mut connection| {
            command.query_async::<Option<f64>>(&mut connection).await
        });
        score.await.unwrap_or_else(|fault| panic!("{}", fault.report()))
    };
    assert!(born("ZREM").await.is_some());
    forget_room(&a.app.kv, &show.id, &["waiting"]).await;
    positions_are_true(&fans, &[&a], &show).await;
    // Who was away is away still: the server has not lost who was seen.
    assert_eq!(born("ZSCORE").await, None);
    let journal = waiting(&world, &show).await;
    // Somebody goes without Redis being told.
    meddle(&world, &fans[2], "status = 'EXPIRED', ended_at = clock_timestamp()").await;
    eventually("the index to agree", async || {
        (indexed(&a.app.kv, &show.id).await.len() == journal.len() - 1).then_some(())
    })
    .await;
    position_is(&fans[9], &show.id, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_with_the_right_count_and_the_wrong_people_is_healed() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 10).await;
    // An instance dies with one change in each direction that it has not written.
    meddle(&world, &fans[2], "status = 'EXPIRED', ended_at = clock_timestamp()").await;
    let key = a.app.kv.name(&format!("room:{{{}}}:", show.id));
    let last = waiting(&world, &show).await[8];
    let both = async |mut connection| {
        let mut both = redis::pipe();
        both.cmd("ZREMRANGEBYSCORE").arg(format!("{key}waiting")).arg(last).arg(last);
        both.cmd("DECRBY").arg(format!("{key}sum")).arg(last);
        both.query_async::<(i64, i64)>(&mut connection).await
    };
    a.app.kv.call(&key, both).await.unwrap_or_else(|fault| panic!("{}", fault.report()));
    assert_eq!(indexed(&a.app.kv, &show.id).await.len(), 9);
    eventually("the index to be the journal", async || {
        (indexed(&a.app.kv, &show.id).await == waiting(&world, &show).await).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_way_works_while_redis_is_unreachable() {
    let world = World::new().await;
    let redis = PrivateRedis::stopped().await;
    let flag = redis.flag();
    let (a, b) = (world.instance_with(&[&flag]).await, world.instance_with(&[&flag]).await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let first = shop::fan(&world, &a).await;
    let token = first.admitted(&show.id).await;
    let fans = line(&world, &b, &show, 5).await;
    positions_are_true(&fans, &[&a, &b], &show).await;
    let mut watch = fans[4].at(a.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 5);
    let mut next = fans[0].at(a.address).watch_queue(&show.id).await;
    assert_eq!(next.field().await["position"], 1);
    let mut own = first.at(b.address).watch_queue(&show.id).await;
    assert_eq!(own.field().await["status"], "ACTIVE");
    // A hold some time after the admission: the other instance learns its end from the journal.
    meddle(&world, &first, "activated_at = activated_at - interval '1 minute'").await;
    let held = first.held(&show.id, &show.seats[0], &token).await;
    own.until("the hold's end", |token| token["expiresAt"] == held["expiresAt"]).await;
    first.charge(1_000, "c").await;
    let paid = first.at(b.address).pay(held["id"].as_str().unwrap(), 1_000, "p").await;
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    next.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    watch.until("position 4", |token| token["position"] == 4).await;
    assert_eq!(fans[2].leave(&show.id).await["userErrors"], json!([]));
    watch.until("position 3", |token| token["position"] == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_goes_on_when_redis_dies_and_is_rebuilt_when_it_is_back() {
    let world = World::new().await;
    let mut redis = PrivateRedis::stopped().await;
    redis.start().await;
    let flag = redis.flag();
    let (a, b) = (world.instance_with(&[&flag]).await, world.instance_with(&[&flag]).await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let first = shop::fan(&world, &a).await;
    first.admitted(&show.id).await;
    let mut fans = line(&world, &a, &show, 6).await;
    let mut watch = fans[5].at(b.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 6);
    redis.kill();
    let newcomer = shop::fan(&world, &a).await;
    entered(&newcomer, &show.id).await;
    fans.push(newcomer);
    assert_eq!(fans.remove(2).leave(&show.id).await["userErrors"], json!([]));
    watch.until("position 5", |token| token["position"] == 5).await;
    positions_are_true(&fans, &[&a, &b], &show).await;
    redis.start().await;
    let journal = waiting(&world, &show).await;
    eventually("the index to be back", async || {
        let Ok(redis::Value::Array(line)) = redis
            .ask(&["ZRANGE", &a.app.kv.name(&format!("room:{{{}}}:waiting", show.id)), "0", "-1"])
            .await
        else {
            return None;
        };
        (line.len() == journal.len()).then_some(())
    })
    .await;
    positions_are_true(&fans, &[&a, &b], &show).await;
    assert_eq!(first.leave(&show.id).await["userErrors"], json!([]));
    watch.until("position 4", |token| token["position"] == 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_miss_nothing_when_the_pubsub_connection_is_killed_again_and_again() {
    let world = World::new().await;
    let mut redis = PrivateRedis::stopped().await;
    redis.start().await;
    let flag = redis.flag();
    let (a, b) = (world.instance_with(&[&flag]).await, world.instance_with(&[&flag]).await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let first = shop::fan(&world, &a).await;
    first.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 8).await;
    let mut watch = fans[7].at(b.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 8);
    for (fan, position) in fans[1..7].iter().zip((2..=7).rev()) {
        let (killed, left) =
            tokio::join!(redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]), fan.leave(&show.id));
        assert!(killed.is_ok());
        assert_eq!(left["userErrors"], json!([]));
        watch.until("the next position", |token| token["position"] == position).await;
    }
    let mut next = fans[0].at(b.address).watch_queue(&show.id).await;
    assert_eq!(next.field().await["status"], "WAITING");
    let (killed, left) =
        tokio::join!(redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]), first.leave(&show.id));
    assert!(killed.is_ok());
    assert_eq!(left["userErrors"], json!([]));
    next.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_channel_is_heard_that_was_listened_to_while_pubsub_was_reconnecting() {
    let world = World::new().await;
    let mut redis = PrivateRedis::stopped().await;
    redis.start().await;
    let a = world.quiet_instance(&[&redis.flag()]).await;
    let kv = &a.app.kv;
    // Connections die while channels come in, so that channels come at every step of a reconnect.
    let mut topics = Vec::new();
    for round in 0..6 {
        assert!(redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.is_ok());
        for i in 0..100 {
            let channel = format!("channel-{round}-{i}");
            let topic = kv.listen(&channel).await;
            topics.push((channel, topic));
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    eventually("to be connected", async || kv.listening().then_some(())).await;
    for (channel, topic) in &mut topics {
        let heard = async {
            loop {
                kv.publish(channel, b"hello".to_vec()).await.expect("told");
                let next = tokio::time::timeout(Duration::from_millis(300), topic.next()).await;
                if let Ok(Some(Signal::Message(_))) = next {
                    return;
                }
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(2), heard).await;
        assert!(heard.is_ok(), "nothing is heard on {channel}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_that_rebuild_a_line_at_once_lose_nobody() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    world
        .sql(&format!(
            "WITH crowd AS (
                 INSERT INTO person (id, email, name, password_hash, role)
                 SELECT gen_random_uuid(), 'crowd-' || n || '@test.example', 'Crowd', '-', 'FAN'
                 FROM generate_series(1, 8000) n RETURNING id
             ), counted AS (
                 UPDATE queue_counter SET last_number = last_number + 8000 WHERE schedule_id = '{0}'
             )
             INSERT INTO queue_token (id, schedule_id, person_id, number, entered_at)
             SELECT gen_random_uuid(), '{0}', crowd.id, 1 + row_number() OVER (), clock_timestamp() FROM crowd",
            show.id
        ))
        .await;
    for _ in 0..3 {
        forget_room(&a.app.kv, &show.id, &["generation", "waiting"]).await;
        let (one, two) = (shop::fan(&world, &a).await, shop::fan(&world, &b).await);
        tokio::join!(entered(&one, &show.id), entered(&two, &show.id));
        let people = waiting(&world, &show).await;
        eventually("the whole line to be back", async || {
            (indexed(&a.app.kv, &show.id).await == people).then_some(())
        })
        .await;
        // Nor does the other builder, who may still be at it, take anybody out again.
        for _ in 0..20 {
            assert_eq!(indexed(&a.app.kv, &show.id).await.len(), people.len());
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_shown_position_0_when_somebody_comes_into_the_index_late() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let first = shop::fan(&world, &a).await;
    first.admitted(&show.id).await;
    let (early, late) = (shop::fan(&world, &a).await, shop::fan(&world, &a).await);
    entered(&early, &show.id).await;
    entered(&late, &show.id).await;
    // As if the instance had died between the journal and the index.
    let key = a.app.kv.name(&format!("room:{{{}}}:waiting", show.id));
    let removed: i64 = a
        .app
        .kv
        .call(&key, async |mut connection| {
            redis::cmd("ZREMRANGEBYRANK").arg(&key).arg(0).arg(0).query_async(&mut connection).await
        })
        .await
        .unwrap_or_else(|fault| panic!("{}", fault.report()));
    assert_eq!(removed, 1);
    let mut watch = late.at(b.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 1, "as far as the index knows");
    assert_eq!(early.queue_status(&show.id).await["position"], 1, "a poll puts them back");
    watch.until("position 2", |token| token["position"] == 2).await;
    first.leave(&show.id).await;
    watch.until("position 1", |token| token["position"] == 1).await;
}

/// How long each key of a room still lives, in seconds; -1 for ever. Keys that are not there are left out.
async fn lives(instance: &Instance, show: &Show) -> Vec<i64> {
    let names = [
        "generation",
        "waiting",
        "seen",
        "seq",
        "left",
        "sum",
        "high",
        "builder",
        "built",
        "built_sum",
    ];
    let mut lives = Vec::new();
    for name in names {
        let key = instance.app.kv.name(&format!("room:{{{}}}:{name}", show.id));
        let left: i64 = instance
            .app
            .kv
            .call(&key, async |mut connection| {
                redis::cmd("TTL").arg(&key).query_async(&mut connection).await
            })
            .await
            .unwrap_or_else(|fault| panic!("{}", fault.report()));
        lives.extend((left != -2).then_some(left));
    }
    lives
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_room_that_is_over_end_by_themselves() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let fans = line(&world, &a, &show, 3).await;
    assert!(lives(&a, &show).await.contains(&-1), "they stay while there is a line");
    close_sale(&show).await;
    poll_until(&fans[2], &show.id, "EXPIRED").await;
    let end = async |what: &str| {
        eventually(what, async || {
            let lives = lives(&a, &show).await;
            (!lives.is_empty() && lives.iter().all(|left| (1..=3_600).contains(left))).then_some(())
        })
        .await;
    };
    end("the keys to end").await;
    // Also when somebody misses the line after that, and has it built anew.
    forget_room(&a.app.kv, &show.id, &["generation", "seq"]).await;
    a.app.waiting_rooms.announce_room(schedule(&show)).await;
    end("the new keys to end").await;
}
