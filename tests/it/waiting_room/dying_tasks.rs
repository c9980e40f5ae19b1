//! A panic in each kind of task that a room lives by: the room takes people again, and nobody waits for an answer that
//! does not come.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::support::{
    buying,
    client::refusal,
    redis::{PrivateRedis, forget_room, indexed},
    sabotage::{gone_off, plant},
};

/// How often a task has panicked.
fn deaths(instance: &Instance, task: &str) -> u32 {
    let page = instance.app.metrics.render();
    let line =
        page.lines().find(|line| line.contains(&format!("_panics_total{{task=\"{task}\"}}")));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0)
}

/// Waits until a planted panic has killed a task.
async fn dead(instance: &Instance, line: &str, task: &str) {
    eventually(&format!("{task} to die"), async || {
        (gone_off(line) && deaths(instance, task) == 1).then_some(())
    })
    .await;
}

/// Has Postgres refuse something, until it is [`allowed`] again.
async fn refused(world: &World, table: &str, event: &str, condition: &str) {
    world
        .sql(&format!(
            "CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'planted'; END $$;
             CREATE TRIGGER planted BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION planted()"
        ))
        .await;
}

async fn allowed(world: &World, table: &str) {
    world.sql(&format!("DROP TRIGGER planted ON {table}; DROP FUNCTION planted()")).await;
}

/// Publishes something that nobody can read.
async fn gibberish(instance: &Instance, channel: &str) {
    let channel = instance.app.kv.name(channel);
    let heard: i64 = instance
        .app
        .kv
        .call(&channel, async |mut connection| {
            redis::cmd("PUBLISH").arg(&channel).arg("gibberish").query_async(&mut connection).await
        })
        .await
        .unwrap_or_else(|fault| panic!("{}", fault.report()));
    assert!(heard > 0, "nobody listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_enter_again_when_the_writer_of_a_journal_died() {
    const LINE: &str = "journal commit failed";
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fans = shop::fans(&world, &a, 20).await;
    refused(&world, "queue_token", "INSERT", "true").await;
    plant(LINE);
    let query = "mutation ($id: ID!) { enterQueue(scheduleId: $id) { queueToken { status } } }";
    let answers = join_all(fans.iter().map(|fan| fan.send(query, json!({ "id": show.id }))));
    // Nobody waits on: the list dies with whoever was to write it.
    let answers = tokio::time::timeout(Duration::from_secs(7), answers).await.expect("answers");
    assert!(answers.iter().all(|answer| answer.get("errors").is_some()), "{answers:?}");
    dead(&a, LINE, "writing a journal").await;
    allowed(&world, "queue_token").await;
    join_all(fans.iter().map(async |fan| entered(fan, &show.id).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_enter_again_when_whoever_was_to_answer_newcomers_died() {
    const LINE: &str = "newcomers are not in the index yet";
    let world = World::new().await;
    let mut redis = PrivateRedis::stopped().await;
    redis.start().await;
    let flags = [redis.flag(), "--redis-timeout-ms=300".to_owned()];
    let a = world.quiet_instance(&flags.each_ref().map(String::as_str)).await;
    let show = shop::show(&world, &a, setup(1, 1, 60.0)).await;
    let fans = shop::fans(&world, &a, 3).await;
    entered(&fans[0], &show.id).await;
    plant(LINE);
    redis.freeze();
    let query = "mutation ($id: ID!) { enterQueue(scheduleId: $id) { queueToken { status } } }";
    let answer = fans[1].send(query, json!({ "id": show.id }));
    let answer = tokio::time::timeout(Duration::from_secs(7), answer).await.expect("an answer");
    assert!(answer.get("errors").is_some(), "{answer}");
    dead(&a, LINE, "answering newcomers").await;
    assert_eq!(tokens(&world, &show, "true").await, 2, "the place is committed");
    // Without Redis, too.
    assert_eq!(entered(&fans[1], &show.id).await["position"], 2);
    redis.thaw();
    assert_eq!(entered(&fans[2], &show.id).await["position"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_followed_again_when_its_follower_died() {
    const LINE: &str = "a room event could not be read";
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 60.0)).await;
    let fans = line(&world, &a, &show, 4).await;
    poll_until(&fans[0], &show.id, "ACTIVE").await;
    let mut watch = fans[3].watch_queue(&show.id).await;
    watch.until("position 3", |token| token["position"] == 3).await;
    plant(LINE);
    gibberish(&a, &format!("room:{{{}}}:events", show.id)).await;
    dead(&a, LINE, "following a room").await;
    assert_eq!(refusal(&fans[1].leave(&show.id).await), None);
    watch.until("position 2", |token| token["position"] == 2).await;
    // And whoever comes now is let in to watch.
    let mut next = fans[2].watch_queue(&show.id).await;
    assert_eq!(next.field().await["position"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hall_is_followed_again_when_its_follower_died() {
    const LINE: &str = "changed seats could not be read";
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let people = buying::buyers(&world, &[&a], &show, 2).await;
    let query = "subscription ($id: ID!, $token: String!) {
        seatChanges(scheduleId: $id, queueToken: $token) { id status } }";
    let variables = json!({ "id": show.id, "token": people[0].token });
    let mut watch = people[0].client.subscribe(query, variables).await;
    eventually("the hall to be followed", async || {
        (a.app.metrics.render().contains("task=\"following a hall\"")).then_some(())
    })
    .await;
    plant(LINE);
    gibberish(&a, &format!("seats:{{{}}}", show.id)).await;
    dead(&a, LINE, "following a hall").await;
    people[1].held(&show, 3).await;
    watch.until("the hold", |seats| seats[0]["status"] == "HOLD").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_rebuilt_when_its_rebuild_died() {
    const LINE: &str = "the line was rebuilt from the journal";
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 60.0)).await;
    let fans = line(&world, &a, &show, 3).await;
    plant(LINE);
    forget_room(&a.app.kv, &show.id, &[]).await;
    fans[2].queue_status(&show.id).await;
    dead(&a, LINE, "rebuilding a line").await;
    // It had not come to its end, so it is not believed, and done once more.
    let rebuilds = format!("frontrow_room_rebuilds_total{{schedule=\"{}\"}}", show.id);
    let begun = eventually("another rebuild", async || {
        let page = a.app.metrics.render();
        let line = page.lines().find(|line| line.starts_with(&rebuilds))?.to_owned();
        line.rsplit_once(' ')?.1.parse::<u32>().ok().filter(|begun| *begun >= 3)
    });
    begun.await;
    eventually("the line", async || {
        (indexed(&a.app.kv, &show.id).await == super::index::waiting(&world, &show).await)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_admitted_when_a_round_died() {
    const LINE: &str = "room event stays on this instance";
    let world = World::new().await;
    let mut redis = PrivateRedis::stopped().await;
    redis.start().await;
    let flags = [redis.flag(), "--redis-timeout-ms=300".to_owned()];
    let a = world.instance_with(&flags.each_ref().map(String::as_str)).await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let fans = line(&world, &a, &show, 2).await;
    poll_until(&fans[0], &show.id, "ACTIVE").await;
    meddle(&world, &fans[0], "expires_at = clock_timestamp() + interval '1 hour'").await;
    redis.freeze();
    plant(LINE);
    // Nobody but a round tells of this one.
    meddle(&world, &fans[0], "expires_at = clock_timestamp()").await;
    dead(&a, LINE, "a round").await;
    redis.thaw();
    poll_until(&fans[1], &show.id, "ACTIVE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_admitted_when_the_worker_that_runs_rounds_died() {
    const LINE: &str = "a round will be tried again";
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    refused(&world, "queue_token", "UPDATE", "NEW.status = 'ACTIVE'").await;
    plant(LINE);
    let fans = line(&world, &a, &show, 1).await;
    dead(&a, LINE, "rounds").await;
    allowed(&world, "queue_token").await;
    poll_until(&fans[0], &show.id, "ACTIVE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_lapse_when_the_worker_that_tidies_them_died() {
    const LINE: &str = "a worker will try again";
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    let held = buyer.held(&show, 0).await;
    refused(&world, "reservation", "UPDATE", "NEW.status = 'EXPIRED'").await;
    plant(LINE);
    world.lapse(&held).await;
    dead(&a, LINE, "sweeping lapsed holds").await;
    allowed(&world, "reservation").await;
    eventually("the hold to be tidied", async || {
        (buyer.client.reservation(&held).await["status"] == "EXPIRED"
            && world.number("SELECT count(*) FROM reservation WHERE status = 'EXPIRED'").await == 1)
            .then_some(())
    })
    .await;
}
