//! Why a place has ended: told to whoever asks and to whoever watches, on every instance, by every way that news takes.

use serde_json::json;

use super::*;
use crate::support::{
    client::refusal,
    socket::{Pushed, Subscription},
};

/// What a place says of its end.
fn end(token: &Value) -> (&str, Option<&str>) {
    (token["status"].as_str().expect("a status"), token["endedBecause"].as_str())
}

/// The last that a subscription tells, before it completes.
async fn pushed_end(watch: &mut Subscription) -> Value {
    let told = watch.until("an end", |token| token["status"] == "EXPIRED").await;
    assert_eq!(watch.next().await, Pushed::Complete);
    told
}

async fn change(show: &Show, field: &str) {
    let query =
        format!("mutation ($id: ID!) {{ {field}(scheduleId: $id) {{ userErrors {{ code }} }} }}");
    let payload = show.organizer.payload(&query, json!({ "id": show.id })).await;
    assert_eq!(payload["userErrors"], json!([]));
}

/// As the journal has it.
async fn written(world: &World, fan: &Client) -> String {
    let sql = format!(
        "SELECT status || ' ' || coalesce(ended_because, '-') FROM queue_token WHERE person_id = '{}' ORDER BY number DESC LIMIT 1",
        id_of(fan)
    );
    world.texts(&sql).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_has_left_on_every_instance() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let fans = line(&world, &a, &show, 2).await;
    poll_until(&fans[0], &show.id, "ACTIVE").await;
    for fan in &fans {
        let place = fan.queue_status(&show.id).await;
        assert_eq!(place["endedBecause"], json!(null), "{place}");
        let (mut here, mut there) =
            (fan.watch_queue(&show.id).await, fan.at(b.address).watch_queue(&show.id).await);
        for watch in [&mut here, &mut there] {
            assert_eq!(watch.field().await["endedBecause"], json!(null));
        }
        let left = fan.leave(&show.id).await;
        assert_eq!(end(&left["queueToken"]), ("EXPIRED", Some("LEFT")), "{left}");
        for watch in [&mut here, &mut there] {
            assert_eq!(end(&pushed_end(watch).await), ("EXPIRED", Some("LEFT")));
        }
        for client in [fan.clone(), fan.at(b.address)] {
            assert_eq!(end(&client.queue_status(&show.id).await), ("EXPIRED", Some("LEFT")));
            assert_eq!(end(&client.leave(&show.id).await["queueToken"]), ("EXPIRED", Some("LEFT")));
            let mut late = client.watch_queue(&show.id).await;
            assert_eq!(end(&late.field().await), ("EXPIRED", Some("LEFT")));
            assert_eq!(late.next().await, Pushed::Complete);
        }
    }
    let again = entered(&fans[1], &show.id).await;
    assert_eq!(again["endedBecause"], json!(null), "another place has not ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_lapsed_has_its_reason_before_anybody_writes_it_down_and_keeps_it() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, setup(10, 10, 0.1)).await;
    let fans = line(&world, &a, &show, 5).await;
    let round = async || a.app.waiting_rooms.run_round(schedule(&show)).await.is_ok();
    assert!(round().await);
    let idle = "last_action_at = clock_timestamp() - interval '121 s', expires_at = clock_timestamp() - interval '1 s'";
    let over = "activated_at = clock_timestamp() - interval '901 s', expires_at = clock_timestamp() - interval '1 s'";
    let mut watch = fans[2].watch_queue(&show.id).await;
    assert_eq!(watch.field().await["status"], "ACTIVE");
    for (fan, set, reason) in [
        (&fans[0], idle, "IDLE"),
        (&fans[1], over, "TIME_OVER"),
        (&fans[2], over, "TIME_OVER"),
        (&fans[3], idle, "IDLE"),
        (&fans[4], idle, "IDLE"),
    ] {
        meddle(&world, fan, set).await;
        assert_eq!(written(&world, fan).await, "ACTIVE -");
        assert_eq!(end(&fan.queue_status(&show.id).await), ("EXPIRED", Some(reason)));
    }
    // Whoever leaves after it has left nothing.
    let left = fans[0].leave(&show.id).await;
    assert_eq!(end(&left["queueToken"]), ("EXPIRED", Some("IDLE")), "{left}");
    assert_eq!(written(&world, &fans[0]).await, "EXPIRED IDLE");
    // Whoever enters again ends it in passing.
    entered(&fans[3], &show.id).await;
    let ended = format!("person_id = '{}' AND ended_because = 'IDLE'", id_of(&fans[3]));
    assert_eq!(tokens(&world, &show, &ended).await, 1);
    // Everybody else's is tidied by a round.
    assert!(round().await);
    for (fan, reason) in [(&fans[1], "TIME_OVER"), (&fans[2], "TIME_OVER"), (&fans[4], "IDLE")] {
        assert_eq!(written(&world, fan).await, format!("EXPIRED {reason}"));
        assert_eq!(end(&fan.queue_status(&show.id).await), ("EXPIRED", Some(reason)));
    }
    assert_eq!(end(&pushed_end(&mut watch).await), ("EXPIRED", Some("TIME_OVER")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_sale_says_whether_anything_was_left() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    for (left, mutation, reason) in [
        (2, "closeSale", "SALE_CLOSED"),
        (1, "closeSale", "SOLD_OUT"),
        (2, "cancelSchedule", "SCHEDULE_CANCELLED"),
    ] {
        let room = json!({ "maxActive": 2, "admitPerRound": 2, "roundSeconds": 0.1 });
        let setup = Setup { seats_per_row: left, waiting_room: room, ..Setup::default() };
        let show = shop::show(&world, &a, setup).await;
        let fans = line(&world, &a, &show, 4).await;
        let token = fans[0].admitted(&show.id).await;
        fans[1].admitted(&show.id).await;
        let held = fans[0].held(&show.id, &show.seats[0], &token).await;
        assert_eq!(refusal(&fans[0].charge(1_000, "c").await), None);
        let paid = fans[0].pay(held["id"].as_str().unwrap(), 1_000, "p").await;
        assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
        let mut used = fans[0].watch_queue(&show.id).await;
        assert_eq!(end(&used.field().await), ("USED", None));
        let mut watches = vec![
            fans[1].watch_queue(&show.id).await,
            fans[1].at(b.address).watch_queue(&show.id).await,
            fans[3].watch_queue(&show.id).await,
            fans[3].at(b.address).watch_queue(&show.id).await,
        ];
        for watch in &mut watches {
            assert_ne!(watch.field().await["status"], "EXPIRED");
        }
        change(&show, mutation).await;
        for watch in &mut watches {
            assert_eq!(end(&pushed_end(watch).await), ("EXPIRED", Some(reason)), "{mutation}");
        }
        for client in [fans[1].clone(), fans[3].at(b.address)] {
            assert_eq!(end(&client.queue_status(&show.id).await), ("EXPIRED", Some(reason)));
        }
        assert_eq!(end(&fans[0].queue_status(&show.id).await), ("USED", None), "paid is paid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_draw_as_well() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup { opens_in: 3_600, ..Setup::default() }).await;
    let fans = line(&world, &a, &show, 2).await;
    let mut watches = vec![
        fans[0].at(b.address).watch_queue(&show.id).await,
        fans[1].watch_queue(&show.id).await,
    ];
    for watch in &mut watches {
        let place = watch.field().await;
        assert_eq!((&place["roomStatus"], &place["position"]), (&json!("PREQUEUE"), &json!(null)));
    }
    assert_eq!(refusal(&fans[0].leave(&show.id).await), None);
    change(&show, "closeSale").await;
    let [left, stayed] = &mut watches[..] else { panic!("two") };
    assert_eq!(end(&pushed_end(left).await), ("EXPIRED", Some("LEFT")));
    let told = pushed_end(stayed).await;
    assert_eq!(end(&told), ("EXPIRED", Some("SALE_CLOSED")));
    assert_eq!(told["position"], json!(null));
}

/// No message says so: whoever watches hears it when the instance compares itself with the journal.
#[tokio::test(flavor = "multi_thread")]
async fn a_reason_that_no_message_told_comes_from_the_journal() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let fans = line(&world, &a, &show, 2).await;
    let mut watch = fans[1].watch_queue(&show.id).await;
    assert_eq!(watch.field().await["status"], "WAITING");
    let set = "status = 'EXPIRED', ended_at = clock_timestamp(), ended_because = 'AWAY', version = version + 1";
    meddle(&world, &fans[1], set).await;
    assert_eq!(end(&pushed_end(&mut watch).await), ("EXPIRED", Some("AWAY")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_knows_the_reasons_and_only_what_has_expired_has_one() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    line(&world, &a, &show, 1).await;
    for (set, constraint) in [
        ("ended_because = 'LEFT'", "queue_token_ended_because_agrees"),
        (
            "status = 'USED', ended_at = now(), ended_because = 'LEFT'",
            "queue_token_ended_because_agrees",
        ),
        (
            "status = 'EXPIRED', ended_at = now(), ended_because = 'BORED'",
            "queue_token_ended_because_known",
        ),
    ] {
        assert_eq!(
            world.refused(&format!("UPDATE queue_token SET {set}")).await,
            constraint,
            "{set}"
        );
    }
    for reason in frontrow::waiting_room::QueueEnd::ALL {
        let set =
            format!("status = 'EXPIRED', ended_at = now(), ended_because = '{}'", reason.as_str());
        world.sql(&format!("UPDATE queue_token SET {set}")).await;
    }
}
