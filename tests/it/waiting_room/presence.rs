//! Nobody blocks the line: who is away at their turn is passed over, and is first when back.

use serde_json::json;

use super::*;
use crate::support::{redis::forget_room, socket::Pushed};

/// A room with one place taken, a line, and instances on which rounds run only when told to.
struct Stage {
    world: World,
    a: Instance,
    show: Show,
    inside: Client,
    fans: Vec<Client>,
}

impl Stage {
    async fn new(people: usize) -> Self {
        let world = World::new().await;
        let a = world.quiet_instance(&[]).await;
        let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
        let mut fans = line(&world, &a, &show, people + 1).await;
        let stage = Self { inside: fans.remove(0), world, a, show, fans };
        stage.round().await;
        assert_eq!(stage.status(&stage.inside).await, "ACTIVE");
        stage
    }

    /// Runs rounds, as many as could matter.
    async fn round(&self) {
        for _ in 0..3 {
            let round = self.a.app.waiting_rooms.run_round(schedule(&self.show)).await;
            round.unwrap_or_else(|fault| panic!("{}", fault.report()));
        }
        // The next one finds the budget of the last spent; time goes by in the journal.
        self.world
            .sql(
                "UPDATE queue_token SET activated_at = activated_at - interval '1 s', ended_at = ended_at - interval '1 s'
                 WHERE activated_at IS NOT NULL",
            )
            .await;
    }

    /// Lets a minute go by in which nobody but `watching` gave a sign of life.
    async fn minute(&self) {
        self.world.sql("UPDATE queue_token SET entered_at = entered_at - interval '61 s'").await;
        forget_room(&self.a.app.kv, &self.show.id, &["seen"]).await;
    }

    /// Time was moved for everybody, but nobody can move the end of a draw.
    async fn books_are_true(&self) {
        for check in frontrow::audit::audit(&self.world.db).await.expect("an audit") {
            assert!(check.count == 0 || check.name == "draws_follow_the_secret", "{check:#?}");
        }
    }

    /// Frees the one place, and runs a round.
    async fn next(&mut self, fan: usize) {
        self.inside.leave(&self.show.id).await;
        self.round().await;
        self.inside = self.fans[fan].clone();
    }

    /// As the journal has it: looking does not make present.
    async fn status(&self, fan: &Client) -> String {
        let sql = format!(
            "SELECT status || CASE WHEN passed_over_at IS NOT NULL AND status = 'WAITING' THEN ' AWAY' ELSE '' END
             FROM queue_token WHERE person_id = '{}' ORDER BY number DESC LIMIT 1",
            id_of(fan)
        );
        self.world.texts(&sql).await.remove(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_is_passed_over_keeps_the_number_and_is_first_when_polling_again() {
    let mut stage = Stage::new(4).await;
    stage.minute().await;
    let before = stage.fans[1].queue_status(&stage.show.id).await;
    assert_eq!(before["position"], 2);
    stage.fans[3].queue_status(&stage.show.id).await;
    stage.next(1).await;
    assert_eq!(stage.status(&stage.fans[0]).await, "WAITING AWAY");
    assert_eq!(stage.status(&stage.fans[1]).await, "ACTIVE");
    assert_eq!(stage.status(&stage.fans[2]).await, "WAITING");
    // The third is away as well, the first polls.
    let back = stage.fans[0].queue_status(&stage.show.id).await;
    assert_eq!((&back["status"], &back["position"]), (&json!("WAITING"), &json!(1)));
    assert_eq!(stage.status(&stage.fans[0]).await, "WAITING");
    stage.next(0).await;
    assert_eq!(stage.status(&stage.fans[0]).await, "ACTIVE");
    stage.next(3).await;
    assert_eq!(stage.status(&stage.fans[2]).await, "WAITING AWAY");
    assert_eq!(stage.status(&stage.fans[3]).await, "ACTIVE");
    stage.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_passed_over_is_first_when_subscribing_or_entering_again() {
    let mut stage = Stage::new(3).await;
    stage.minute().await;
    stage.fans[2].queue_status(&stage.show.id).await;
    stage.next(2).await;
    for fan in &stage.fans[..2] {
        assert_eq!(stage.status(fan).await, "WAITING AWAY");
    }
    let mut watch = stage.fans[1].watch_queue(&stage.show.id).await;
    assert_eq!(watch.field().await["status"], "WAITING");
    assert_eq!(stage.status(&stage.fans[1]).await, "WAITING");
    entered(&stage.fans[0], &stage.show.id).await;
    assert_eq!(stage.status(&stage.fans[0]).await, "WAITING");
    stage.next(0).await;
    assert_eq!(stage.status(&stage.fans[0]).await, "ACTIVE");
    stage.next(1).await;
    watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    stage.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_subscription_keeps_present() {
    let mut stage = Stage::new(2).await;
    let mut watch = stage.fans[0].watch_queue(&stage.show.id).await;
    assert_eq!(watch.field().await["position"], 1);
    stage.minute().await;
    // What was said before the minute is forgotten; the subscription says it again by itself.
    let key = stage.a.app.kv.name(&format!("room:{{{}}}:seen", stage.show.id));
    eventually("a sign of life", async || {
        let seen =
            async |mut connection| redis::cmd("ZCARD").arg(&key).query_async(&mut connection).await;
        let seen: i64 = stage.a.app.kv.call(&key, seen).await.unwrap_or_default();
        (seen == 1).then_some(())
    })
    .await;
    stage.next(0).await;
    assert_eq!(stage.status(&stage.fans[0]).await, "ACTIVE");
    watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_entered_within_a_minute_is_present() {
    let mut stage = Stage::new(2).await;
    forget_room(&stage.a.app.kv, &stage.show.id, &["seen"]).await;
    stage.next(0).await;
    assert_eq!(stage.status(&stage.fans[0]).await, "ACTIVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everybody_is_away_nobody_is_admitted_and_the_first_to_be_back_is() {
    let mut stage = Stage::new(30).await;
    stage.minute().await;
    stage.next(0).await;
    for fan in &stage.fans {
        assert_eq!(stage.status(fan).await, "WAITING AWAY");
    }
    let back = &stage.fans[17];
    back.queue_status(&stage.show.id).await;
    stage.round().await;
    assert_eq!(stage.status(back).await, "ACTIVE");
    stage.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stays_away_for_five_minutes_after_their_turn_loses_the_place() {
    let mut stage = Stage::new(3).await;
    stage.minute().await;
    stage.fans[2].queue_status(&stage.show.id).await;
    stage.next(2).await;
    let (gone, back) = (stage.fans[0].clone(), stage.fans[1].clone());
    meddle(&stage.world, &back, "passed_over_at = passed_over_at - interval '299 s'").await;
    meddle(&stage.world, &gone, "passed_over_at = passed_over_at - interval '301 s'").await;
    stage.round().await;
    assert_eq!(stage.status(&gone).await, "EXPIRED");
    assert_eq!(stage.status(&back).await, "WAITING AWAY");
    assert_eq!(back.queue_status(&stage.show.id).await["position"], 1);
    let mut late = gone.watch_queue(&stage.show.id).await;
    let ended = late.field().await;
    assert_eq!((&ended["status"], &ended["endedBecause"]), (&json!("EXPIRED"), &json!("AWAY")));
    assert_eq!(late.next().await, Pushed::Complete);
    assert_eq!(entered(&gone, &stage.show.id).await["position"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_from_redis_nobody_is_held_to_be_away() {
    let mut stage = Stage::new(2).await;
    stage.minute().await;
    forget_room(&stage.a.app.kv, &stage.show.id, &[]).await;
    stage.next(0).await;
    assert_eq!(stage.status(&stage.fans[0]).await, "ACTIVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_while_being_welcomed_back_is_watching_no_more() {
    use sea_orm::{ConnectionTrait, TransactionTrait};

    let stage = Stage::new(1).await;
    let fan = &stage.fans[0];
    meddle(&stage.world, fan, "passed_over_at = clock_timestamp()").await;
    // Somebody holds the row, so that the welcome takes a while, and the fan does not wait for it.
    let holding = stage.world.pool.begin().await.unwrap();
    holding
        .execute_unprepared("SELECT 1 FROM queue_token WHERE status = 'WAITING' FOR UPDATE")
        .await
        .unwrap();
    let watch = fan.watch_queue(&stage.show.id).await;
    let watchers = async || {
        stage.a.app.waiting_rooms.count_heads().await.unwrap();
        let metrics = stage.a.app.metrics.render();
        let line =
            metrics.lines().find(|line| line.starts_with("frontrow_room_watchers{")).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    eventually("the fan to watch", async || (watchers().await == "1").then_some(())).await;
    drop(watch);
    eventually("nobody to watch", async || (watchers().await == "0").then_some(())).await;
    holding.rollback().await.unwrap();
}
