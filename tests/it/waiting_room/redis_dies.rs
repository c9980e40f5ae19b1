//! When Redis dies: wiped, rolled back, hanging, its scripts flushed, its connections killed. Each test hurts a server of
//! its own.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;

use super::{
    index::waiting,
    watch::{newest, shows},
    *,
};
use crate::support::{
    redis::{PrivateRedis, forget_room, indexed},
    socket::Subscription,
};

/// Everybody WAITING and their position, by the journal.
pub(super) async fn truth(world: &World, show: &Show) -> HashMap<String, i64> {
    let sql = format!(
        "SELECT t.person_id::text FROM queue_token t
         WHERE t.schedule_id = '{}' AND t.status = 'WAITING' ORDER BY t.number",
        show.id
    );
    world.texts(&sql).await.into_iter().zip(1..).collect()
}

/// People who enter at once, in the order in which they stand then.
pub(super) async fn crowd(
    world: &World,
    instance: &Instance,
    show: &Show,
    count: usize,
) -> Vec<Client> {
    let mut fans = shop::fans(world, instance, count).await;
    join_all(fans.iter().map(|fan| entered(fan, &show.id))).await;
    let order = truth(world, show).await;
    fans.sort_by_key(|fan| order.get(id_of(fan)));
    fans
}

/// Polls everybody's position once; who is not shown the true one.
pub(super) async fn mistaken(
    world: &World,
    fans: &[Client],
    instance: &Instance,
    show: &Show,
) -> Vec<String> {
    let order = truth(world, show).await;
    let looks = fans.iter().map(async |fan| {
        let shown = fan.at(instance.address).queue_status(&show.id).await;
        let position = json!(order.get(id_of(fan)));
        (shown["position"] != position).then(|| format!("{shown} and not {position}"))
    });
    join_all(looks).await.into_iter().flatten().collect()
}

/// Waits until everybody is shown their true position on every instance, and the index is the journal.
pub(super) async fn all_is_true(
    world: &World,
    fans: &[Client],
    instances: &[&Instance],
    show: &Show,
) {
    for instance in instances {
        eventually("true positions", async || {
            mistaken(world, fans, instance, show).await.is_empty().then_some(())
        })
        .await;
    }
    eventually("the index to be the journal", async || {
        let line = indexed(&instances[0].app.kv, &show.id).await;
        (line == waiting(world, show).await).then_some(())
    })
    .await;
}

/// Waits until a subscription has pushed the true position.
pub(super) async fn pushed_truth(
    world: &World,
    watch: &mut Subscription,
    fan: &Client,
    show: &Show,
) {
    let place = truth(world, show).await[id_of(fan)];
    watch.until(&format!("position {place}"), |token| token["position"] == place).await;
}

/// An answer, which has to come within two seconds whatever Redis does.
async fn in_time<T>(what: &str, answer: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(Duration::from_secs(2), answer).await;
    answer.unwrap_or_else(|_| panic!("{what} was not answered within two seconds"))
}

struct Stage {
    world: World,
    redis: PrivateRedis,
    a: Instance,
    b: Instance,
    show: Show,
    /// Who is in, and their queue token.
    inside: (Client, String),
}

impl Stage {
    /// Two instances with a Redis of their own, and a room with one place, which is taken.
    async fn new() -> Self {
        let world = World::new().await;
        let mut redis = PrivateRedis::stopped().await;
        redis.start().await;
        let flags = [redis.flag(), "--redis-timeout-ms=300".to_owned()];
        let flags = flags.each_ref().map(String::as_str);
        let (a, b) = (world.instance_with(&flags).await, world.instance_with(&flags).await);
        let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
        let inside = shop::fan(&world, &a).await;
        let token = inside.admitted(&show.id).await;
        Self { world, redis, a, b, show, inside: (inside, token) }
    }

    async fn all_is_true(&self, fans: &[Client]) {
        all_is_true(&self.world, fans, &[&self.a, &self.b], &self.show).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_wait_while_redis_is_wiped() {
    let stage = Stage::new().await;
    let (world, show) = (&stage.world, &stage.show);
    let mut fans = crowd(world, &stage.a, show, 300).await;
    let mut watch = fans[299].at(stage.b.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 300);
    let wiped = Instant::now();
    stage.redis.ask(&["FLUSHALL"]).await.expect("wiped");
    let (inside, token) = &stage.inside;
    inside.held(&show.id, &show.seats[0], token).await;
    let newcomer = shop::fan(world, &stage.b).await;
    assert_eq!(entered(&newcomer, &show.id).await["position"], 301);
    fans.push(newcomer);
    stage.all_is_true(&fans).await;
    assert!(wiped.elapsed() < Duration::from_secs(5), "{:?}", wiped.elapsed());
    assert_eq!(truth(world, show).await[id_of(&fans[300])], 301, "the newcomer stands last");
    // The stream of changes goes on, too.
    assert_eq!(fans[7].leave(&show.id).await["userErrors"], json!([]));
    watch.until("position 299", |token| token["position"] == 299).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_were_flushed_are_back_with_the_next_call() {
    let stage = Stage::new().await;
    let (world, show) = (&stage.world, &stage.show);
    let mut fans = Vec::new();
    for place in 1..=8 {
        stage.redis.ask(&["SCRIPT", "FLUSH"]).await.expect("flushed");
        let fan = shop::fan(world, if place % 2 == 0 { &stage.a } else { &stage.b }).await;
        assert_eq!(entered(&fan, &show.id).await["position"], place);
        assert_eq!(indexed(&stage.a.app.kv, &show.id).await, waiting(world, show).await);
        fans.push(fan);
    }
    stage.redis.ask(&["SCRIPT", "FLUSH"]).await.expect("flushed");
    assert_eq!(mistaken(world, &fans, &stage.a, show).await, [""; 0]);
    stage.redis.ask(&["SCRIPT", "FLUSH"]).await.expect("flushed");
    assert_eq!(fans.remove(2).leave(&show.id).await["userErrors"], json!([]));
    assert_eq!(indexed(&stage.a.app.kv, &show.id).await, waiting(world, show).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_while_redis_hangs_for_twenty_seconds() {
    let stage = Stage::new().await;
    let (world, show) = (&stage.world, &stage.show);
    let mut fans = crowd(world, &stage.a, show, 12).await;
    let mut watch = fans[11].at(stage.b.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 12);
    let mut next = fans[0].at(stage.b.address).watch_queue(&show.id).await;
    assert_eq!(next.field().await["position"], 1);

    stage.redis.freeze();
    let frozen = Instant::now();
    let (inside, token) = &stage.inside;
    let buying = async {
        let elsewhere = inside.at(stage.b.address);
        inside.charge(10_000, "while it hangs").await;
        let mut holds = 0;
        while frozen.elapsed() < Duration::from_secs(15) {
            let seat = &show.seats[holds % 40];
            let held = in_time("a hold", elsewhere.held(&show.id, seat, token)).await;
            let cancel = inside.cancel(held["id"].as_str().expect("an id"));
            let cancelled = in_time("cancelling", cancel).await;
            assert_eq!(cancelled["userErrors"], json!([]), "{cancelled}");
            holds += 1;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        assert!(holds >= 15, "only {holds} holds");
        let held = in_time("a hold", inside.held(&show.id, &show.seats[50], token)).await;
        let pay = elsewhere.pay(held["id"].as_str().expect("an id"), 1_000, "while it hangs");
        let paid = in_time("a payment", pay).await;
        assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    };
    let entering = async {
        let mut newcomers = Vec::new();
        for place in 13..=20 {
            let fan = shop::fan(world, if place % 2 == 0 { &stage.a } else { &stage.b }).await;
            let place = in_time("entering", entered(&fan, &show.id)).await;
            assert_eq!(place["status"], "WAITING");
            newcomers.push(fan);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        newcomers
    };
    let ((), newcomers) = tokio::join!(buying, entering);
    // Entering and leaving leave the count as it is, so that counting would not tell.
    assert_eq!(fans.remove(5).leave(&show.id).await["userErrors"], json!([]));
    fans.extend(newcomers);
    next.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    fans.remove(0);
    pushed_truth(world, &mut watch, &fans[9], show).await;
    tokio::time::sleep_until((frozen + Duration::from_secs(20)).into()).await;
    stage.redis.thaw();

    stage.all_is_true(&fans).await;
    assert_eq!(fans.remove(1).leave(&show.id).await["userErrors"], json!([]));
    pushed_truth(world, &mut watch, &fans[8], show).await;
}

/// Has nobody in line be present but by what their subscriptions say from now on, and waits until all of them have said so.
async fn present_by_watching_only(stage: &Stage, watching: i64) {
    let sql = "UPDATE queue_token SET entered_at = entered_at - interval '2 minutes'";
    stage.world.sql(sql).await;
    let kv = &stage.a.app.kv;
    forget_room(kv, &stage.show.id, &["seen"]).await;
    let seen = kv.name(&format!("room:{{{}}}:seen", stage.show.id));
    eventually("all who watch to be present", async || {
        let seen = stage.redis.ask(&["ZCARD", &seen]).await.ok()?;
        let seen: i64 = redis::from_redis_value(seen).ok()?;
        (seen >= watching).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_watches_is_passed_over_after_redis_hung() {
    let stage = Stage::new().await;
    let (world, show) = (&stage.world, &stage.show);
    let fans = crowd(world, &stage.a, show, 20).await;
    let mut views = Vec::new();
    for fan in &fans {
        views.push(newest(fan.at(stage.b.address).watch_queue(&show.id).await));
    }
    for (place, views) in (1..).zip(&views) {
        shows(views.clone(), "the place", |view| view["position"] == place).await;
    }
    present_by_watching_only(&stage, 20).await;

    stage.redis.freeze();
    let frozen = Instant::now();
    // Somebody whom a round finds present, unlike those whose signs of life Redis did not take.
    let newcomer = shop::fan(world, &stage.a).await;
    let place = in_time("entering", entered(&newcomer, &show.id)).await;
    assert_eq!(place["status"], "WAITING");
    // Longer than a sign of life lasts.
    tokio::time::sleep_until((frozen + Duration::from_secs(20)).into()).await;
    stage.redis.thaw();
    assert_eq!(stage.inside.0.leave(&show.id).await["userErrors"], json!([]));
    // Looked at all the time: whoever is passed over is welcomed back soon, and has lost the turn.
    let left = Instant::now();
    while left.elapsed() < Duration::from_secs(5) {
        assert_eq!(tokens(world, show, "passed_over_at IS NOT NULL").await, 0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(tokens(world, show, "activated_at IS NOT NULL").await, 2, "the next one is in");
    assert_eq!(views[0].borrow()["status"], "ACTIVE", "the first who watches was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_misplaced_when_the_connections_are_killed_again_and_again() {
    let stage = Stage::new().await;
    let (world, show) = (&stage.world, &stage.show);
    let mut fans = crowd(world, &stage.a, show, 20).await;
    let last = fans[19].clone();
    let mut watch = last.at(stage.b.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 20);
    for _ in 0..8 {
        let newcomer = shop::fan(world, &stage.b).await;
        let leaver = fans.remove(3);
        let killing = async {
            for kind in ["normal", "pubsub"] {
                stage.redis.ask(&["CLIENT", "KILL", "TYPE", kind]).await.expect("killed");
            }
        };
        let ((), _, left) =
            tokio::join!(killing, entered(&newcomer, &show.id), leaver.leave(&show.id));
        assert_eq!(left["userErrors"], json!([]));
        fans.push(newcomer);
        pushed_truth(world, &mut watch, &last, show).await;
    }
    stage.all_is_true(&fans).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_with_an_old_snapshot_is_not_believed() {
    let mut stage = Stage::new().await;
    let mut fans = crowd(&stage.world, &stage.a, &stage.show, 60).await;
    stage.redis.save().await;
    let (world, show) = (&stage.world, &stage.show);
    // 50 more enter, 50 leave: the snapshot has as many people as the journal, and they are others.
    let more = shop::fans(world, &stage.b, 50).await;
    join_all(more.iter().map(|fan| entered(fan, &show.id))).await;
    for fan in fans.drain(5..54) {
        assert_eq!(fan.leave(&show.id).await["userErrors"], json!([]));
    }
    fans.extend(more);
    // One is admitted.
    assert_eq!(stage.inside.0.leave(&show.id).await["userErrors"], json!([]));
    let admitted = fans.remove(0);
    poll_until(&admitted, &show.id, "ACTIVE").await;
    let mut watch = fans[59].at(stage.b.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["status"], "WAITING");
    assert_eq!(truth(world, show).await.len(), 60);

    stage.redis.kill();
    stage.redis.start().await;
    let restarted = Instant::now();
    // From the first answer on nobody is shown a place of the past.
    while restarted.elapsed() < Duration::from_secs(3) {
        for instance in [&stage.a, &stage.b] {
            assert_eq!(mistaken(world, &fans, instance, show).await, [""; 0]);
        }
    }
    let newcomer = shop::fan(world, &stage.a).await;
    assert_eq!(entered(&newcomer, &show.id).await["position"], 61);
    fans.push(newcomer);
    stage.all_is_true(&fans).await;
    assert_eq!(fans.remove(2).leave(&show.id).await["userErrors"], json!([]));
    pushed_truth(world, &mut watch, &fans[58], show).await;
    // Nor is anybody admitted twice, or passed over for being away in the snapshot.
    assert_eq!(admitted.leave(&show.id).await["userErrors"], json!([]));
    let next = fans.remove(0);
    poll_until(&next, &show.id, "ACTIVE").await;
    assert_eq!(tokens(world, show, "passed_over_at IS NOT NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_line_is_rebuilt_though_nobody_asks() {
    let mut stage = Stage::new().await;
    let fans = crowd(&stage.world, &stage.a, &stage.show, 10).await;
    stage.redis.save().await;
    // One goes and one comes.
    assert_eq!(fans[4].leave(&stage.show.id).await["userErrors"], json!([]));
    entered(&fans[4], &stage.show.id).await;
    stage.redis.kill();
    stage.redis.start().await;
    eventually("the index to be the journal", async || {
        let line = indexed(&stage.a.app.kv, &stage.show.id).await;
        (line == waiting(&stage.world, &stage.show).await).then_some(())
    })
    .await;
}

/// Presence is noted in Redis alone, so just after it was away nobody can tell who is.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_holds_nobody_to_be_away_who_could_not_be_noted() {
    let world = World::new().await;
    let mut redis = PrivateRedis::stopped().await;
    redis.start().await;
    let flags = [redis.flag(), "--redis-timeout-ms=300".to_owned()];
    let flags = flags.each_ref().map(String::as_str);
    let troubled = world.quiet_instance(&flags).await;
    let show = shop::show(&world, &troubled, setup(1, 10, 0.1)).await;
    let fans = line(&world, &troubled, &show, 2).await;
    for fan in &fans {
        meddle(&world, fan, "entered_at = entered_at - interval '2 minutes'").await;
    }
    forget_room(&troubled.app.kv, &show.id, &["seen"]).await;
    redis.freeze();
    for _ in 0..2 {
        assert!(troubled.app.kv.ping().await.is_err());
    }
    redis.thaw();
    eventually("Redis to be back", async || troubled.app.kv.ping().await.ok()).await;
    let round = async |instance: &Instance| {
        let ran = instance.app.waiting_rooms.run_round(schedule(&show)).await;
        ran.unwrap_or_else(|fault| panic!("{}", fault.report()));
    };
    round(&troubled).await;
    assert_eq!(tokens(&world, &show, "status = 'ACTIVE' AND number = 1").await, 1);
    // Another one, to whom Redis has always answered, finds the second away.
    let untroubled = world.quiet_instance(&flags).await;
    configure(&show, json!({ "maxActive": 2 })).await;
    round(&untroubled).await;
    assert_eq!(tokens(&world, &show, "passed_over_at IS NOT NULL AND number = 2").await, 1);
}

/// The first of them is committed, and waits to be told a position; nobody else has to wait for that.
#[tokio::test(flavor = "multi_thread")]
async fn entering_is_committed_while_those_before_wait_for_redis() {
    let world = World::new().await;
    let mut redis = PrivateRedis::stopped().await;
    redis.start().await;
    // No call fails before the test is over.
    let flags = [redis.flag(), "--redis-timeout-ms=10000".to_owned()];
    let a = world.quiet_instance(&flags.each_ref().map(String::as_str)).await;
    let show = shop::show(&world, &a, setup(1, 1, 60.0)).await;
    let fans = shop::fans(&world, &a, 5).await;
    entered(&fans[0], &show.id).await;
    redis.freeze();
    let answers = async {
        let mut answers = Vec::new();
        for (place, fan) in fans.iter().enumerate().skip(1) {
            let (fan, id) = (fan.clone(), show.id.clone());
            answers.push(tokio::spawn(async move { entered(&fan, &id).await }));
            let committed = i64::try_from(place + 1).unwrap();
            eventually("a commit", async || {
                (tokens(&world, &show, "true").await == committed).then_some(())
            })
            .await;
        }
        answers
    };
    let answers = tokio::time::timeout(Duration::from_secs(7), answers).await;
    let answers = answers.expect("commits wait for Redis");
    redis.thaw();
    for (answer, position) in answers.into_iter().zip(2..) {
        assert_eq!(answer.await.unwrap()["position"], position);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_wait_for_redis() {
    let world = World::new().await;
    let mut redis = PrivateRedis::stopped().await;
    redis.start().await;
    let flags = [redis.flag(), "--redis-timeout-ms=10000".to_owned()];
    let a = world.quiet_instance(&flags.each_ref().map(String::as_str)).await;
    let show = shop::show(&world, &a, setup(1, 1, 60.0)).await;
    let fan = shop::fan(&world, &a).await;
    close_sale(&show).await;
    redis.freeze();
    let refused = tokio::time::timeout(Duration::from_secs(7), fan.enter(&show.id)).await;
    assert_eq!(refused.expect("an answer")["userErrors"][0]["code"], "SALE_CLOSED");
    redis.thaw();
}
