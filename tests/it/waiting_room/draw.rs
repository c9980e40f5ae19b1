//! The pre-queue: entered in any order, drawn, and open to anybody's recomputation.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use frontrow::waiting_room::{self, DRAW_SECRET_BYTES, Drawn};
use futures_util::future::join_all;
use serde_json::json;

use super::*;

/// A performance whose sale opens in an hour.
fn prequeue(max_active: i32, admit_per_round: i32) -> Setup {
    Setup { opens_in: 3_600, ..setup(max_active, admit_per_round, 0.1) }
}

/// Moves the opening to `ms` milliseconds from now.
async fn opens_in(world: &World, show: &Show, ms: i32) {
    world
        .sql(&format!(
            "UPDATE schedule SET sales_open_at = clock_timestamp() + interval '{ms} ms' WHERE id = '{}'",
            show.id
        ))
        .await;
}

/// What everybody may know of a room's draw.
async fn draw(client: &Client, schedule_id: &str) -> (String, Option<String>) {
    let query =
        "query ($id: ID!) { schedule(id: $id) { waitingRoom { drawCommitment drawSecret } } }";
    let room =
        client.data(query, json!({ "id": schedule_id })).await["schedule"]["waitingRoom"].take();
    let text = |name: &str| room[name].as_str().map(str::to_owned);
    (text("drawCommitment").unwrap(), text("drawSecret"))
}

/// Waits until an instance shows the secret; checks that it is the one that was committed to.
async fn secret(client: &Client, show: &Show, commitment: &str) -> [u8; DRAW_SECRET_BYTES] {
    let shown = eventually("the secret to be shown", async || draw(client, &show.id).await.1).await;
    let secret = waiting_room::from_hexadecimal(&shown).unwrap();
    assert_eq!(waiting_room::hexadecimal(&waiting_room::commitment(&secret)), commitment);
    secret
}

/// Everybody in the draw, in the order of entering.
async fn roster(world: &World, show: &Show) -> Vec<Drawn> {
    let drawn = waiting_room::roster(&world.db, schedule(show)).await.unwrap().unwrap().1;
    drawn.iter().filter_map(waiting_room::Entrant::drawn).collect()
}

/// Who took part, as the front of the line first.
async fn by_number(world: &World, show: &Show) -> Vec<String> {
    let sql = "SELECT person_id::text FROM queue_token WHERE status = 'WAITING' AND schedule_id";
    world.texts(&format!("{sql} = '{}' ORDER BY number", show.id)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_enters_before_the_opening_is_drawn_and_admitted_in_the_order_of_the_draw() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, prequeue(100, 4)).await;
    room_is(&a.client(), &show.id, "PREQUEUE").await;
    let (commitment, none) = draw(&a.client(), &show.id).await;
    assert_eq!(none, None, "a secret before the draw");
    let fans = shop::fans(&world, &a, 20).await;
    join_all(fans.iter().enumerate().map(async |(i, fan)| {
        let fan = fan.at(if i % 2 == 0 { a.address } else { b.address });
        let token = entered(&fan, &show.id).await;
        assert_eq!((&token["status"], &token["position"]), (&json!("WAITING"), &json!(null)));
        assert_eq!(token["estimatedWaitSeconds"], json!(null));
    }))
    .await;
    assert_eq!(fans[3].queue_status(&show.id).await["position"], json!(null));
    let mut watch = fans[0].at(b.address).watch_queue(&show.id).await;
    let first = watch.field().await;
    assert_eq!((&first["status"], &first["position"]), (&json!("WAITING"), &json!(null)));
    for instance in [&a, &b] {
        assert!(instance.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
    }
    assert_eq!(tokens(&world, &show, "status = 'WAITING'").await, 20);
    opens_in(&world, &show, 300).await;
    let active = watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    assert_eq!(active["roomStatus"], "OPEN", "nobody is admitted in a PREQUEUE");
    eventually("everybody to be in", async || {
        (tokens(&world, &show, "status = 'ACTIVE'").await == 20).then_some(())
    })
    .await;
    let early = "activated_at < (SELECT s.sales_open_at FROM schedule s WHERE s.id = schedule_id)";
    assert_eq!(tokens(&world, &show, early).await, 0);
    assert_admitted_properly(&world, &show, 100, 4, 100).await;
    let secret = secret(&b.client(), &show, &commitment).await;
    assert_eq!(draw(&a.client(), &show.id).await.0, commitment);
    let roster = roster(&world, &show).await;
    assert_eq!(roster.len(), 20);
    assert_eq!(waiting_room::verify_draw(&secret, schedule(&show), &roster), []);
    for instance in [&a, &b] {
        room_is(&instance.client(), &show.id, "OPEN").await;
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_the_draw_is_not_the_order_of_entering_and_latecomers_stand_behind() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, prequeue(1, 1)).await;
    configure(&show, json!({ "paused": true })).await;
    let fans = line(&world, &a, &show, 12).await;
    let mut watches = Vec::new();
    for fan in &fans {
        let mut watch = fan.at(b.address).watch_queue(&show.id).await;
        assert_eq!(watch.field().await["position"], json!(null));
        watches.push(watch);
    }
    opens_in(&world, &show, 50).await;
    let drawn = by_number(&world, &show).await;
    let entered_in_order: Vec<String> = fans.iter().map(|fan| id_of(fan).to_owned()).collect();
    assert_ne!(drawn, entered_in_order, "once in 479 million draws");
    // Everybody is pushed the place that they drew, though nobody is admitted.
    for (fan, watch) in fans.iter().zip(&mut watches) {
        let place = drawn.iter().position(|id| id == id_of(fan)).unwrap() + 1;
        let token = watch.until("a position", |token| token["position"] != json!(null)).await;
        assert_eq!((&token["status"], &token["position"]), (&json!("WAITING"), &json!(place)));
        // The other instance may hear of the opening a moment later.
        let told = eventually("the other instance to tell positions", async || {
            let told = fan.queue_status(&show.id).await["position"].clone();
            told.is_number().then_some(told)
        });
        assert_eq!(told.await, place);
    }
    for (i, late) in line(&world, &b, &show, 3).await.iter().enumerate() {
        assert_eq!(late.queue_status(&show.id).await["position"], 13 + i);
    }
    fans[0].leave(&show.id).await;
    assert_eq!(entered(&fans[0], &show.id).await["position"], 15, "back, and behind everybody");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crowd_sees_itself_grow_before_the_draw() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, prequeue(10, 10)).await;
    let fans = line(&world, &a, &show, 2).await;
    let mut watch = fans[0].watch_queue(&show.id).await;
    assert_eq!(watch.field().await["waitingCount"], 2);
    line(&world, &a, &show, 3).await;
    let token = watch.until("five people", |token| token["waitingCount"] == 5).await;
    assert_eq!(token["position"], json!(null));
    fans[1].leave(&show.id).await;
    watch.until("four people", |token| token["waitingCount"] == 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_the_draw_is_stable_and_coming_back_is_another_draw() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, prequeue(10, 10)).await;
    let fan = shop::fan(&world, &a).await;
    let of_person = format!(
        "SELECT number::text FROM queue_token WHERE schedule_id = '{}' AND person_id = '{}' ORDER BY entered_at",
        show.id,
        id_of(&fan)
    );
    let numbers = || world.texts(&of_person);
    let token = entered(&fan, &show.id).await;
    let first = numbers().await;
    for _ in 0..3 {
        assert_eq!(entered(&fan, &show.id).await["token"], token["token"], "the same place");
    }
    assert_eq!(numbers().await, first);
    for places in 2..5 {
        assert_eq!(fan.leave(&show.id).await["queueToken"]["status"], "EXPIRED");
        let again = entered(&fan, &show.id).await;
        assert_ne!(again["token"], token["token"]);
        assert_eq!(fan.queue_status(&show.id).await["token"], again["token"], "the latest counts");
        assert_eq!(numbers().await.into_iter().collect::<HashSet<_>>().len(), places);
    }
    let commitment = draw(&a.client(), &show.id).await.0;
    opens_in(&world, &show, 0).await;
    let secret = secret(&a.client(), &show, &commitment).await;
    let roster = roster(&world, &show).await;
    assert_eq!(waiting_room::verify_draw(&secret, schedule(&show), &roster), []);
    poll_until(&fan, &show.id, "ACTIVE").await;
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_taken_is_drawn_again() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, prequeue(10, 10)).await;
    let fans = shop::fans(&world, &a, 12).await;
    let unlucky = &fans[5];
    let squatter = shop::fan(&world, &a).await;
    // What no chance will ever bring: somebody else has what this person draws, and what they would draw next.
    for n in 0..2 {
        world
            .sql(&format!(
                "INSERT INTO queue_token (id, schedule_id, person_id, number, status, entered_at, ended_at)
                 SELECT gen_random_uuid(), w.schedule_id, '{}', draw_number(w.draw_secret, w.schedule_id, '{}', {n}),
                        'EXPIRED', clock_timestamp(), clock_timestamp()
                 FROM waiting_room w WHERE w.schedule_id = '{}'",
                id_of(&squatter),
                id_of(unlucky),
                show.id
            ))
            .await;
    }
    // Together with others, whom it must not cost their place.
    join_all(fans.iter().map(async |fan| {
        assert_eq!(entered(fan, &show.id).await["status"], "WAITING");
    }))
    .await;
    let third = format!(
        "person_id = '{}' AND number = (SELECT draw_number(w.draw_secret, w.schedule_id, person_id, 2)
                                        FROM waiting_room w WHERE w.schedule_id = t.schedule_id)",
        id_of(unlucky)
    );
    assert_eq!(tokens(&world, &show, &third).await, 1);
    assert_eq!(tokens(&world, &show, "status = 'WAITING'").await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_opening_writes_nothing_for_those_who_wait() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, prequeue(10, 10)).await;
    configure(&show, json!({ "paused": true })).await;
    let fans = line(&world, &a, &show, 30).await;
    let written = format!(
        "SELECT string_agg(id::text || ' ' || ctid::text || ' ' || xmin::text, ', ' ORDER BY id)
         FROM queue_token WHERE schedule_id = '{}'",
        show.id
    );
    let before = world.texts(&written).await;
    opens_in(&world, &show, 0).await;
    position_is(&fans[0], &show.id, {
        let drawn = by_number(&world, &show).await;
        i64::try_from(drawn.iter().position(|id| id == id_of(&fans[0])).unwrap()).unwrap() + 1
    })
    .await;
    eventually("the secret to be shown", async || draw(&a.client(), &show.id).await.1).await;
    assert_eq!(world.texts(&written).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn entering_while_the_sale_opens_is_either_in_the_draw_or_behind_it() {
    let world = World::new().await;
    let instances = [world.instance().await, world.instance().await, world.instance().await];
    for _ in 0..4 {
        let show = shop::show(&world, &instances[0], prequeue(1_000, 1_000)).await;
        // Far more than are needed: they go on entering until enough have come after the opening.
        let fans = shop::fans(&world, &instances[0], 1_000).await;
        let enough = AtomicBool::new(false);
        let entering = join_all(fans.chunks(100).enumerate().map(async |(chain, fans)| {
            let apart = Duration::from_millis(2 * u64::try_from(chain).unwrap());
            tokio::time::sleep(apart).await;
            for (turn, fan) in fans.iter().enumerate() {
                if enough.load(Ordering::Relaxed) {
                    break;
                }
                entered(&fan.at(instances[(chain + turn) % 3].address), &show.id).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }));
        let opening = async {
            eventually("twenty in the draw", async || {
                (tokens(&world, &show, "number < 0").await >= 20).then_some(())
            })
            .await;
            opens_in(&world, &show, 100).await;
            eventually("twenty behind the draw", async || {
                (tokens(&world, &show, "number > 0").await >= 20).then_some(())
            })
            .await;
            enough.store(true, Ordering::Relaxed);
        };
        tokio::join!(entering, opening);
        let people = tokens(&world, &show, "true").await;
        eventually("everybody to be in", async || {
            (tokens(&world, &show, "status = 'ACTIVE'").await == people).then_some(())
        })
        .await;
        assert_admitted_properly(&world, &show, 1_000, 1_000, 100).await;
        world.books_are_true().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_admitted_before_the_draw_is_over() {
    let world = World::new().await;
    // Nothing runs by itself here: no draw ends, and no round runs.
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, prequeue(10, 10)).await;
    line(&world, &a, &show, 3).await;
    opens_in(&world, &show, 0).await;
    let rooms = &a.app.waiting_rooms;
    assert!(rooms.run_round(schedule(&show)).await.is_ok());
    assert_eq!(rooms.with_people_in_front().await.unwrap(), []);
    assert_eq!(tokens(&world, &show, "status = 'WAITING'").await, 3);
    let (b, c) = (world.quiet_instance(&[]).await, world.quiet_instance(&[]).await);
    for closing in join_all([&a, &b, &c].map(|i| i.app.waiting_rooms.close_draws())).await {
        closing.unwrap();
    }
    assert!(rooms.run_round(schedule(&show)).await.is_ok());
    assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 3);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_is_never_changed_or_taken_back() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, prequeue(10, 10)).await;
    let other_secret = "UPDATE waiting_room SET draw_secret = sha256('another')";
    assert_eq!(world.refused(other_secret).await, "waiting_room_draw_stands");
    opens_in(&world, &show, 0).await;
    let (_, shown) =
        (room_is(&a.client(), &show.id, "OPEN").await, draw(&a.client(), &show.id).await);
    assert_eq!(shown.0.len(), 64);
    eventually("the draw to be over", async || draw(&a.client(), &show.id).await.1).await;
    for change in ["drawn_at = NULL", "drawn_at = clock_timestamp()"] {
        let refused = world.refused(&format!("UPDATE waiting_room SET {change}")).await;
        assert_eq!(refused, "waiting_room_draw_stands");
    }
    assert_eq!(world.refused(other_secret).await, "waiting_room_draw_stands");
    // An organizer who moves the opening into the future again opens no second draw.
    opens_in(&world, &show, 3_600_000).await;
    let fans = line(&world, &a, &show, 2).await;
    assert_eq!(tokens(&world, &show, "number > 0").await, 2);
    room_is(&a.client(), &show.id, "PREQUEUE").await;
    position_is(&fans[1], &show.id, 2).await;
}
