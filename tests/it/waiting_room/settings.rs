//! The operator's levers, and a room's way from PREQUEUE to CLOSED.

use serde_json::json;

use super::*;
use crate::support::{client::refusal, socket::Pushed};

#[tokio::test(flavor = "multi_thread")]
async fn pausing_and_resuming_take_effect_on_both_instances() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(100, 100, 0.1)).await;
    room_is(&b.client(), &show.id, "OPEN").await;
    configure(&show, json!({ "paused": true })).await;
    let fan = shop::fan(&world, &b).await;
    assert_eq!(entered(&fan, &show.id).await["status"], "WAITING");
    for instance in [&a, &b] {
        room_is(&instance.client(), &show.id, "PAUSED").await;
        assert!(instance.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
    }
    let token = fan.queue_status(&show.id).await;
    assert_eq!((&token["status"], &token["position"]), (&json!("WAITING"), &json!(1)));
    assert_eq!(token["estimatedWaitSeconds"], json!(null));
    let mut watch = fan.watch_queue(&show.id).await;
    assert_eq!(watch.field().await["status"], "WAITING");
    configure(&show, json!({ "paused": false })).await;
    watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    for instance in [&a, &b] {
        room_is(&instance.client(), &show.id, "OPEN").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_when_the_room_is_paused_goes_on_buying() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    let token = fan.admitted(&show.id).await;
    configure(&show, json!({ "paused": true })).await;
    let held = fan.held(&show.id, &show.seats[0], &token).await;
    fan.charge(1_000, "c").await;
    assert_eq!(refusal(&fan.pay(held["id"].as_str().unwrap(), 1_000, "p").await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn raising_max_active_admits_at_once_and_lowering_it_sends_nobody_away() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(2, 100, 0.1)).await;
    let fans = line(&world, &b, &show, 8).await;
    let active = async |count| {
        eventually(&format!("{count} people to be in"), async || {
            (tokens(&world, &show, "status = 'ACTIVE'").await == count).then_some(())
        })
        .await;
    };
    active(2).await;
    configure(&show, json!({ "maxActive": 5 })).await;
    active(5).await;
    configure(&show, json!({ "maxActive": 3 })).await;
    eventually("the other instance to know", async || {
        let room = room(&b.client(), &show.id).await;
        (room["maxActive"] == 3 && room["activeCount"] == 5 && room["waitingCount"] == 3)
            .then_some(())
    })
    .await;
    // Two have to go before the third makes a place.
    for fan in &fans[..2] {
        assert_eq!(refusal(&fan.leave(&show.id).await), None);
        for instance in [&a, &b] {
            assert!(instance.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
        }
    }
    assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 3);
    assert_eq!(fans[5].queue_status(&show.id).await["status"], "WAITING");
    assert_eq!(refusal(&fans[2].leave(&show.id).await), None);
    poll_until(&fans[5], &show.id, "ACTIVE").await;
    assert_eq!(fans[6].queue_status(&show.id).await["position"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_the_sale_sends_everybody_in_line_home_and_tells_them() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let first = shop::fan(&world, &a).await;
    first.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 10).await;
    let mut watches = Vec::new();
    for (i, fan) in fans.iter().enumerate() {
        let fan = fan.at(if i % 2 == 0 { a.address } else { b.address });
        let mut watch = fan.watch_queue(&show.id).await;
        assert_eq!(watch.field().await["status"], "WAITING");
        watches.push(watch);
    }
    close_sale(&show).await;
    for watch in &mut watches {
        watch.until("EXPIRED", |token| token["status"] == "EXPIRED").await;
        assert_eq!(watch.next().await, Pushed::Complete);
    }
    poll_until(&first, &show.id, "EXPIRED").await;
    for instance in [&a, &b] {
        room_is(&instance.client(), &show.id, "CLOSED").await;
    }
    assert_eq!(tokens(&world, &show, "status <> 'EXPIRED'").await, 0);
    assert_eq!(refusal(&fans[0].enter(&show.id).await), Some("SALE_CLOSED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_seat_when_the_sale_closes_may_still_pay_for_it() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    let token = fan.admitted(&show.id).await;
    let held = fan.held(&show.id, &show.seats[0], &token).await;
    let idle = shop::fan(&world, &a).await;
    idle.admitted(&show.id).await;
    fan.charge(1_000, "c").await;
    close_sale(&show).await;
    poll_until(&idle, &show.id, "EXPIRED").await;
    assert_eq!(fan.queue_status(&show.id).await["status"], "ACTIVE");
    assert_eq!(refusal(&fan.pay(held["id"].as_str().unwrap(), 1_000, "p").await), None);
    assert_eq!(fan.queue_status(&show.id).await["status"], "USED");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_being_written_into_the_journal_when_the_sale_closed_is_sent_home_too() {
    use sea_orm::{ConnectionTrait, TransactionTrait};
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    // Another instance's commit holds the counter, so this one waits with a snapshot from before the close.
    let other = world.pool.begin().await.unwrap();
    let lock = format!("SELECT 1 FROM queue_counter WHERE schedule_id = '{}' FOR UPDATE", show.id);
    other.execute_unprepared(&lock).await.unwrap();
    let close = async {
        let stuck = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the entry to wait", async || (world.number(stuck).await == 1).then_some(()))
            .await;
        close_sale(&show).await;
        let drained = format!(
            "SELECT count(*) FROM waiting_room WHERE schedule_id = '{}' AND drained_at IS NOT NULL",
            show.id
        );
        eventually("the drain", async || (world.number(&drained).await == 1).then_some(())).await;
        other.rollback().await.unwrap();
    };
    let (payload, ()) = tokio::join!(fan.enter(&show.id), close);
    if refusal(&payload).is_none() {
        poll_until(&fan, &show.id, "EXPIRED").await;
    }
    assert_eq!(tokens(&world, &show, "status IN ('WAITING', 'ACTIVE')").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_where_somebody_still_pays_do_not_keep_others_from_going_home() {
    let world = World::new().await;
    let a = world.instance().await;
    let fan = shop::fan(&world, &a).await;
    let mut shows = Vec::new();
    for _ in 0..5 {
        let show = shop::show(&world, &a, Setup::default()).await;
        let token = fan.admitted(&show.id).await;
        fan.held(&show.id, &show.seats[0], &token).await;
        shows.push(show);
    }
    let last = shop::show(&world, &a, Setup { opens_in: 60, ..Setup::default() }).await;
    entered(&fan, &last.id).await;
    drop(a);
    let quiet = world.quiet_instance(&[]).await;
    world.sql("UPDATE schedule SET status = 'CLOSED'").await;
    assert!(quiet.app.waiting_rooms.drain_closed().await.is_ok());
    assert_eq!(tokens(&world, &last, "status = 'WAITING'").await, 0);
    for show in &shows {
        assert_eq!(tokens(&world, show, "status = 'ACTIVE'").await, 1);
    }
}
