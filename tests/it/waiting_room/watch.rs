//! Watching live: positions, changes of status, and the end.

use std::{collections::HashMap, time::Duration};

use futures_util::{FutureExt, StreamExt, future::join_all};
use serde_json::json;
use tokio::{sync::watch, time::Instant};

use super::*;
use crate::support::{
    client::refusal,
    random::Random,
    socket::{Pushed, Subscription},
};

/// Reads a subscription in the background, however long nothing comes; the newest push is in the receiver, which closes at
/// the end.
pub(super) fn newest(mut subscription: Subscription) -> watch::Receiver<Value> {
    let (sender, receiver) = watch::channel(Value::Null);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = sender.closed() => return,
                pushed = subscription.soon() => match pushed {
                    Some(Pushed::Next(mut data)) => _ = sender.send(data["queueStatus"].take()),
                    Some(_) => return,
                    None => {}
                },
            }
        }
    });
    receiver
}

/// Waits, at most for two seconds, until the newest push is as it should be.
pub(super) async fn shows(
    mut views: watch::Receiver<Value>,
    what: &str,
    holds: impl FnMut(&Value) -> bool,
) {
    let shown = tokio::time::timeout(Duration::from_secs(2), views.wait_for(holds)).await;
    let shown = shown.is_ok_and(|shown| shown.is_ok());
    assert!(shown, "{what} was not pushed, but last {}", *views.borrow());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_in_line_is_at_position_one_and_is_pushed_active_when_a_place_gets_free() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let first = shop::fan(&world, &a).await;
    first.admitted(&show.id).await;
    let next = shop::fan(&world, &b).await;
    entered(&next, &show.id).await;
    let mut watch = next.watch_queue(&show.id).await;
    let waiting = watch.field().await;
    assert_eq!((&waiting["status"], &waiting["position"]), (&json!("WAITING"), &json!(1)));
    assert_eq!((&waiting["waitingCount"], &waiting["remainingSeconds"]), (&json!(1), &json!(0)));
    assert_eq!(refusal(&first.leave(&show.id).await), None);
    let left = std::time::Instant::now();
    let active = watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    assert!(left.elapsed() < Duration::from_secs(1), "{:?}", left.elapsed());
    assert_eq!(active["token"], waiting["token"]);
    assert_eq!(active["waitingCount"], json!(0));
    assert_eq!(active["position"], json!(null));
    assert!(active["remainingSeconds"].as_i64().is_some_and(|s| (118..=120).contains(&s)));
    assert!(active["activatedAt"].is_string() && active["expiresAt"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_fall_live_on_both_instances_when_people_ahead_leave() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 6).await;
    let on_a = newest(fans[5].at(a.address).watch_queue(&show.id).await);
    let on_b = newest(fans[5].at(b.address).watch_queue(&show.id).await);
    let behind = newest(fans[0].at(b.address).watch_queue(&show.id).await);
    for views in [&on_a, &on_b] {
        shows(views.clone(), "position 6", |view| view["position"] == 6).await;
    }
    for (i, position) in [(1, 5), (4, 4), (2, 3)] {
        assert_eq!(refusal(&fans[i].leave(&show.id).await), None);
        for views in [&on_a, &on_b] {
            shows(views.clone(), &format!("position {position}"), |view| {
                view["position"] == position && view["waitingCount"] == position
            })
            .await;
        }
    }
    shows(behind, "position 1", |view| view["position"] == 1).await;
    assert_eq!(fans[5].queue_status(&show.id).await["position"], 3);
}

/// Status and position of everybody who has a place, by the journal.
async fn places(world: &World, show: &Show) -> HashMap<String, (Value, Value)> {
    let sql = format!(
        "SELECT t.person_id::text || ' ' || t.status FROM queue_token t
         WHERE t.schedule_id = '{}' ORDER BY t.number",
        show.id
    );
    let mut places = HashMap::new();
    let mut waiting = 0;
    for row in world.texts(&sql).await {
        let (person, status) = row.split_once(' ').expect("two words");
        let position = (status == "WAITING").then(|| {
            waiting += 1;
            waiting
        });
        places.insert(person.to_owned(), (json!(status), json!(position)));
    }
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_pushed_position_of_four_hundred_is_the_true_one_when_a_third_leaves_while_rounds_run()
 {
    let mut random = Random::seeded();
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(10_000, 2, 0.2)).await;
    configure(&show, json!({ "paused": true })).await;
    let fans = shop::fans(&world, &a, 400).await;
    for some in fans.chunks(50) {
        join_all(some.iter().map(async |fan| entered(fan, &show.id).await)).await;
    }
    let views: Vec<_> = join_all(fans.iter().enumerate().map(async |(i, fan)| {
        let fan = fan.at(if i % 2 == 0 { a.address } else { b.address });
        newest(fan.watch_queue(&show.id).await)
    }))
    .await;
    configure(&show, json!({ "paused": false })).await;
    let leaving = random.shuffled(400).into_iter().take(133).enumerate().map(async |(turn, i)| {
        tokio::time::sleep(Duration::from_millis(u64::try_from(turn).unwrap() * 20)).await;
        fans[i].at(if turn % 3 == 0 { a.address } else { b.address }).leave(&show.id).await
    });
    for left in join_all(leaving).await {
        assert_eq!(refusal(&left), None);
    }
    configure(&show, json!({ "paused": true })).await;
    // Everything is acknowledged, and nobody is admitted once the pause is: from here on the journal stays as it is.
    let told_by = Instant::now() + Duration::from_secs(2);
    let places = places(&world, &show).await;
    let count = |status: &str| places.values().filter(|(is, _)| is == status).count();
    let (waiting, expired) = (count("WAITING"), count("EXPIRED"));
    assert!((100..266).contains(&waiting), "rounds ran, and are over: {waiting}");
    assert_eq!(expired, 133, "those who left");
    tokio::time::sleep_until(told_by).await;
    let mistaken = fans.iter().zip(&views).filter_map(|(fan, views)| {
        let (status, position) = &places[id_of(fan)];
        let view = views.borrow();
        let shown = view["status"] == *status && view["position"] == *position;
        (!shown).then(|| format!("{status} {position} is shown {}", *view))
    });
    assert_eq!(mistaken.collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_room_does_is_pushed_to_those_who_wait_and_those_who_are_in() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let inside = shop::fan(&world, &a).await;
    inside.admitted(&show.id).await;
    let waiting = line(&world, &a, &show, 2).await.remove(1);
    let on_b = |fan: &Client| fan.at(b.address);
    let mut watches =
        [on_b(&inside).watch_queue(&show.id).await, on_b(&waiting).watch_queue(&show.id).await];
    for (paused, status) in [(false, "OPEN"), (true, "PAUSED"), (false, "OPEN")] {
        configure(&show, json!({ "paused": paused })).await;
        for watch in &mut watches {
            watch.until(status, |token| token["roomStatus"] == status).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_completes_after_used_and_after_expired() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup::default()).await;
    let (buyer, leaver) = (shop::fan(&world, &a).await, shop::fan(&world, &a).await);
    leaver.admitted(&show.id).await;
    let mut left = leaver.at(b.address).watch_queue(&show.id).await;
    assert_eq!(left.field().await["status"], "ACTIVE");
    assert_eq!(refusal(&leaver.leave(&show.id).await), None);
    left.until("EXPIRED", |token| token["status"] == "EXPIRED").await;
    assert_eq!(left.next().await, Pushed::Complete);
    buyer.admitted(&show.id).await;
    let mut used = buyer.at(b.address).watch_queue(&show.id).await;
    enter::buy(&buyer, &show, 0).await;
    used.until("USED", |token| token["status"] == "USED").await;
    assert_eq!(used.next().await, Pushed::Complete);
    // Who subscribes afterwards is told so, and that is all.
    for (fan, status) in [(buyer, "USED"), (leaver, "EXPIRED")] {
        let mut late = fan.watch_queue(&show.id).await;
        assert_eq!(late.field().await["status"], status);
        assert_eq!(late.next().await, Pushed::Complete);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_without_a_place_is_not_found() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    for id in [show.id.as_str(), "nonsense", &uuid::Uuid::now_v7().to_string()] {
        match fan.watch_queue(id).await.next().await {
            Pushed::Error(errors) => {
                assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND", "{errors}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_subscription_of_the_same_person_works_and_closing_one_does_not_hurt_the_other() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let first = shop::fan(&world, &a).await;
    first.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 3).await;
    let mut one = fans[2].watch_queue(&show.id).await;
    assert_eq!(one.field().await["position"], 3);
    let mut two = fans[2].watch_queue(&show.id).await;
    assert_eq!(two.field().await["position"], 3);
    assert_eq!(refusal(&fans[0].leave(&show.id).await), None);
    for watch in [&mut one, &mut two] {
        watch.until("position 2", |token| token["position"] == 2).await;
    }
    drop(one);
    assert_eq!(refusal(&fans[1].leave(&show.id).await), None);
    two.until("position 1", |token| token["position"] == 1).await;
    assert_eq!(refusal(&first.leave(&show.id).await), None);
    two.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_and_entered_anew_watches_the_new_place() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 2).await;
    let mut old = fans[0].watch_queue(&show.id).await;
    assert_eq!(old.field().await["position"], 1);
    assert_eq!(refusal(&fans[0].leave(&show.id).await), None);
    old.until("EXPIRED", |token| token["status"] == "EXPIRED").await;
    assert_eq!(old.next().await, Pushed::Complete);
    entered(&fans[0], &show.id).await;
    let mut new = fans[0].watch_queue(&show.id).await;
    assert_eq!(new.field().await["position"], 2);
    assert_eq!(refusal(&fans[1].leave(&show.id).await), None);
    new.until("position 1", |token| token["position"] == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_who_goes_away_while_subscribing_leaves_the_room_followed() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let first = shop::fan(&world, &a).await;
    first.admitted(&show.id).await;
    let fan = line(&world, &a, &show, 1).await.remove(0);
    // Polled once and dropped: the socket was closed while the room's channel was being subscribed.
    let rooms = &a.app.waiting_rooms;
    let hasty = rooms.watch(actor(&fan), schedule(&show));
    assert!(hasty.now_or_never().is_none(), "it takes a while");
    let places = rooms.watch(actor(&fan), schedule(&show)).await;
    let Ok(Some(places)) = places else { panic!("a stream") };
    let mut places = std::pin::pin!(places);
    assert_eq!(places.next().await.map(|place| place.position), Some(Some(1)));
    assert_eq!(refusal(&first.leave(&show.id).await), None);
    let pushed = tokio::time::timeout(Duration::from_secs(5), places.next()).await;
    let status = pushed.expect("something is pushed").expect("a place").token.status;
    assert_eq!(status, frontrow::waiting_room::QueueStatus::Active);
}
