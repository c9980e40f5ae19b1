//! What showing positions costs Redis and Postgres: as much with many watchers as with few.

use std::time::Duration;

use super::*;
use crate::support::redis::PrivateRedis;

/// Scripts that Redis has run. What they call is not counted: one that renews the presence of hundreds calls hundreds of times,
/// every eight seconds.
async fn redis_calls(redis: &PrivateRedis) -> i64 {
    let answer = redis.ask(&["INFO", "commandstats"]).await.unwrap();
    let text: String = redis::from_redis_value(answer).unwrap();
    let scripts = text.lines().filter(|line| line.starts_with("cmdstat_eval"));
    let calls = scripts.filter_map(|line| line.split("calls=").nth(1)?.split(',').next());
    calls.map(|calls| calls.parse::<i64>().unwrap()).sum()
}

/// Transactions of this world's database. A connection tells its own once a second at most, and one that nobody uses when it is
/// next asked whether it lives; so this waits for that.
async fn transactions(world: &World) -> i64 {
    tokio::time::sleep(Duration::from_secs(4)).await;
    let sql = "SELECT (xact_commit + xact_rollback)::bigint FROM pg_stat_database WHERE datname = current_database()";
    world.number(sql).await
}

/// How many connections are subscribed to what happens in a room.
async fn subscriptions(redis: &PrivateRedis, instance: &Instance, show: &Show) -> i64 {
    let channel = instance.app.kv.name(&format!("room:{{{}}}:events", show.id));
    let answer = redis.ask(&["PUBSUB", "NUMSUB", &channel]).await.unwrap();
    let (_, count): (String, i64) = redis::from_redis_value(answer).unwrap();
    count
}

/// Timers tick whatever happens, so every run is measured for the same time: far more than it needs.
const MEASURED: Duration = Duration::from_secs(8);

/// Calls and transactions of one instance while twenty people leave, one after the other, and so many watch all of it.
async fn cost_of_showing(watchers: usize) -> (i64, i64) {
    let mut redis = PrivateRedis::stopped().await;
    redis.start().await;
    let world = World::new().await;
    let a = world.instance_with(&[&redis.flag()]).await;
    let show = shop::show(&world, &a, setup(1, 1, 60.0)).await;
    let leaving = line(&world, &a, &show, 21).await;
    let watching = line(&world, &a, &show, watchers).await;
    let mut watches = Vec::new();
    for fan in &watching {
        let mut watch = fan.watch_queue(&show.id).await;
        watch.field().await;
        watches.push(watch);
    }
    assert_eq!(subscriptions(&redis, &a, &show).await, 1, "one for the room, whoever watches");
    let (calls, before) = (redis_calls(&redis).await, transactions(&world).await);
    let begun = tokio::time::Instant::now();
    for fan in &leaving[1..] {
        assert_eq!(fan.leave(&show.id).await["queueToken"]["status"], "EXPIRED");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Everybody sees all of it: the first and the last of them, and some in between.
    for (at, watch) in watches.iter_mut().enumerate().rev().step_by(33) {
        watch.until("twenty have left", |token| token["position"] == at + 1).await;
    }
    assert_eq!(subscriptions(&redis, &a, &show).await, 1, "one for the room, whoever watches");
    tokio::time::sleep_until(begun + MEASURED).await;
    let after = transactions(&world).await;
    (redis_calls(&redis).await - calls, after - before)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_watchers_cost_redis_and_postgres_what_ten_cost() {
    // Each has a world of its own, so they need not wait for each other.
    let ((few_calls, few), (many_calls, many)) =
        tokio::join!(cost_of_showing(10), cost_of_showing(400));
    // A few more or less is chance; a call per watcher would be hundreds.
    assert!(
        many_calls < few_calls + few_calls / 4 + 50,
        "Redis: {few_calls} calls, then {many_calls}"
    );
    assert!(many < few + few / 4 + 50, "Postgres: {few} transactions, then {many}");
}
