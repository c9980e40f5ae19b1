//! Entering and leaving.

use std::time::Instant;

use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::support::client::refusal;

#[tokio::test(flavor = "multi_thread")]
async fn entering_again_from_any_device_returns_the_same_place() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fan = shop::fan(&world, &a).await;
    let first = entered(&fan, &show.id).await;
    assert_eq!((&first["status"], &first["position"]), (&json!("WAITING"), &json!(1)));
    let again = entered(&fan, &show.id).await;
    let elsewhere = entered(&fan.at(b.address), &show.id).await;
    for other in [&again, &elsewhere, &fan.at(b.address).queue_status(&show.id).await] {
        assert_eq!(other["token"], first["token"]);
        assert_eq!(other["enteredAt"], first["enteredAt"]);
        assert_eq!(other["position"], 1);
    }
    assert_eq!(tokens(&world, &show, "status = 'WAITING'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn entering_while_active_returns_the_active_place() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    let token = fan.admitted(&show.id).await;
    let again = entered(&fan, &show.id).await;
    assert_eq!((&again["status"], &again["token"]), (&json!("ACTIVE"), &json!(token)));
    assert_eq!(again["position"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_entering_forty_times_at_once_over_two_instances_gets_one_place() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fan = shop::fan(&world, &a).await;
    let places = join_all((0..40).map(async |i| {
        let fan = fan.at(if i % 2 == 0 { a.address } else { b.address });
        entered(&fan, &show.id).await["token"].clone()
    }))
    .await;
    assert!(places.iter().all(|token| *token == places[0]), "{places:?}");
    assert_eq!(tokens(&world, &show, "true").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_numbered_in_the_order_in_which_entering_was_acknowledged() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 600.0)).await;
    let fans = shop::fans(&world, &a, 200).await;
    let start = Instant::now();
    // Ten chains side by side: within a chain, and often between them, one has the answer before the other asks.
    let chains = fans.chunks(20).enumerate().map(async |(chain, fans)| {
        let mut times = Vec::new();
        for (i, fan) in fans.iter().enumerate() {
            let fan = fan.at(if (chain + i) % 2 == 0 { a.address } else { b.address });
            let asked = start.elapsed();
            entered(&fan, &show.id).await;
            times.push((id_of(&fan).to_owned(), asked, start.elapsed()));
        }
        times
    });
    let times: Vec<_> = join_all(chains).await.into_iter().flatten().collect();
    let sql = format!(
        "SELECT person_id::text FROM queue_token WHERE schedule_id = '{}' ORDER BY number",
        show.id
    );
    let order = world.texts(&sql).await;
    assert_eq!(order.len(), 200);
    let place = |person: &String| order.iter().position(|other| other == person).unwrap();
    for (first, _, answered) in &times {
        for (second, asked, _) in &times {
            if answered < asked {
                assert!(place(first) < place(second), "{first} was answered before {second} asked");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_enters_anew_at_the_end() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 3).await;
    let before = fans[0].queue_status(&show.id).await;
    let left = fans[0].at(b.address).leave(&show.id).await;
    assert_eq!(left["queueToken"]["status"], "EXPIRED");
    assert_eq!(left["queueToken"]["position"], json!(null));
    let again = entered(&fans[0], &show.id).await;
    assert_ne!(again["token"], before["token"]);
    assert_eq!(again["position"], 3);
    for (fan, position) in [(&fans[1], 1), (&fans[2], 2), (&fans[0], 3)] {
        let token = fan.at(b.address).queue_status(&show.id).await;
        assert_eq!((&token["status"], &token["position"]), (&json!("WAITING"), &json!(position)));
    }
    eventually("everybody to be counted", async || {
        (fans[0].queue_status(&show.id).await["waitingCount"] == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_is_safe_to_repeat() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let active = shop::fan(&world, &a).await;
    active.admitted(&show.id).await;
    let waiting = shop::fan(&world, &a).await;
    entered(&waiting, &show.id).await;
    for fan in [waiting, active] {
        let first = fan.leave(&show.id).await;
        assert_eq!(first["queueToken"]["status"], "EXPIRED");
        let repeated = join_all((0..10).map(|_| {
            let fan = fan.at(b.address);
            let show = &show;
            async move { fan.leave(&show.id).await }
        }))
        .await;
        for payload in repeated {
            assert_eq!(payload["userErrors"], json!([]));
            assert_eq!(payload["queueToken"]["status"], "EXPIRED");
            assert_eq!(payload["queueToken"]["token"], first["queueToken"]["token"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_after_having_paid_changes_nothing() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    buy(&fan, &show, 0).await;
    let left = fan.leave(&show.id).await;
    assert_eq!(left["queueToken"]["status"], "USED");
    assert_eq!(left["userErrors"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_entered_has_nothing_to_leave_and_no_status() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    let payload = fan.leave(&show.id).await;
    assert_eq!(refusal(&payload), Some("NOT_IN_QUEUE"));
    assert_eq!(payload["queueToken"], json!(null));
    assert_eq!(fan.queue_status(&show.id).await, json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_performance_that_does_not_exist_has_no_line() {
    let world = World::new().await;
    let a = world.instance().await;
    let fan = shop::fan(&world, &a).await;
    let unknown = uuid::Uuid::now_v7().to_string();
    for id in [unknown.as_str(), "", "1", "not-an-id", "ffffffff-ffff-ffff-ffff-fffffffffffff"] {
        for payload in [fan.enter(id).await, fan.leave(id).await] {
            assert_eq!(refusal(&payload), Some("SCHEDULE_NOT_FOUND"), "{id:?}: {payload}");
            assert_eq!(payload["queueToken"], json!(null));
            assert_eq!(payload["userErrors"][0]["path"], json!(["scheduleId"]));
        }
        assert_eq!(fan.queue_status(id).await, json!(null));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_enters_before_the_organizer_has_opened_the_sale() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup { open_sale: false, ..Setup::default() }).await;
    let fan = shop::fan(&world, &a).await;
    // Nobody else knows of a draft.
    assert_eq!(refusal(&fan.enter(&show.id).await), Some("SCHEDULE_NOT_FOUND"));
    assert_eq!(refusal(&show.organizer.enter(&show.id).await), Some("SALE_NOT_OPEN"));
    assert_eq!(tokens(&world, &show, "true").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_enters_after_the_sale() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let closed = shop::show(&world, &a, Setup::default()).await;
    close_sale(&closed).await;
    let over = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    // The other instance has just seen it open.
    room_is(&fan.at(b.address), &over.id, "OPEN").await;
    world
        .sql(&format!(
            "UPDATE schedule SET sales_open_at = now() - interval '2 hours', sales_close_at = now()
             WHERE id = '{}'",
            over.id
        ))
        .await;
    for show in [&closed, &over] {
        for fan in [fan.clone(), fan.at(b.address)] {
            assert_eq!(refusal(&fan.enter(&show.id).await), Some("SALE_CLOSED"));
        }
        assert_eq!(tokens(&world, show, "true").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_enters_a_sold_out_performance_until_a_seat_comes_back() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup { seats_per_row: 1, ..Setup::default() }).await;
    let owner = shop::fan(&world, &a).await;
    let late = shop::fan(&world, &b).await;
    room_is(&late, &show.id, "OPEN").await;
    let reservation = buy(&owner, &show, 0).await;
    for fan in [late.clone(), late.at(a.address)] {
        assert_eq!(refusal(&fan.enter(&show.id).await), Some("SOLD_OUT"));
        room_is(&fan, &show.id, "SOLD_OUT").await;
    }
    assert_eq!(owner.cancel(&reservation).await["userErrors"], json!([]));
    for fan in [late.clone(), late.at(a.address)] {
        room_is(&fan, &show.id, "OPEN").await;
    }
    late.admitted(&show.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entering_while_the_same_person_leaves_on_another_instance_is_never_refused() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fans = shop::fans(&world, &a, 8).await;
    join_all(fans.iter().map(async |fan| {
        let elsewhere = fan.at(b.address);
        for _ in 0..25 {
            entered(fan, &show.id).await;
            let (entered, left) = tokio::join!(fan.enter(&show.id), elsewhere.leave(&show.id));
            assert_eq!(refusal(&entered), None, "{entered}");
            assert_eq!(refusal(&left), None, "{left}");
        }
    }))
    .await;
}

/// Takes a seat and pays for it; the reservation's id.
pub(super) async fn buy(fan: &Client, show: &Show, seat: usize) -> String {
    let token = fan.admitted(&show.id).await;
    let held = fan.held(&show.id, &show.seats[seat], &token).await;
    let id = held["id"].as_str().unwrap().to_owned();
    let price = held["totalPrice"].as_i64().unwrap();
    assert_eq!(refusal(&fan.charge(price, "c").await), None);
    assert_eq!(refusal(&fan.pay(&id, price, "p").await), None);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_postgres_cannot_take_costs_nobody_else_the_place() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let fans = shop::fans(&world, &instance, 40).await;
    let nobody = fans[20].person_id.as_deref().unwrap();
    world.sql(&format!("DELETE FROM person WHERE id = '{nobody}'")).await;
    let query = "mutation ($id: ID!) { enterQueue(scheduleId: $id) { queueToken { status } } }";
    let answers = futures_util::future::join_all(
        fans.iter().map(|fan| fan.send(query, json!({ "id": show.id }))),
    )
    .await;
    for (place, answer) in answers.iter().enumerate() {
        assert_eq!(answer.get("errors").is_some(), place == 20, "{place}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_told_on_entering_never_rises_though_hundreds_enter_at_once() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    for _ in 0..3 {
        let show = shop::show(&world, &a, setup(1, 1, 60.0)).await;
        let fans = shop::fans(&world, &a, 400).await;
        let told = join_all(fans.iter().enumerate().map(async |(i, fan)| {
            // Whoever enters at one instance polls at the other.
            let (here, there) = if i % 2 == 0 { (&a, &b) } else { (&b, &a) };
            let (here, there) = (&here.app.waiting_rooms, &there.app.waiting_rooms);
            let entered = here.enter(actor(fan), schedule(&show)).await.unwrap();
            let polled = there.status(actor(fan), schedule(&show)).await.unwrap().unwrap();
            (entered.position, polled.position)
        }))
        .await;
        // Somebody may be in by then.
        let risen: Vec<_> =
            told.iter().filter(|(entered, polled)| polled.is_some() && polled > entered).collect();
        assert!(risen.is_empty(), "{risen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn places_told_before_those_in_front_are_in_the_index_are_true_and_stay() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, setup(1, 1, 60.0)).await;
    let fans = shop::fans(&world, &a, 5).await;
    let [first, second, third, fourth, late] = &fans[..] else { panic!("five fans") };
    assert_eq!(entered(first, &show.id).await["position"], 1);
    // As an instance leaves it that stands still between the commit of two people and the index, or is killed there.
    for (fan, number) in [(second, 2), (third, 3)] {
        let (show, person, token) = (&show.id, id_of(fan), uuid::Uuid::now_v7());
        let sql = format!(
            "INSERT INTO queue_token (id, schedule_id, person_id, number, entered_at)
             VALUES ('{token}', '{show}', '{person}', {number}, clock_timestamp());
             UPDATE queue_counter SET last_number = {number} WHERE schedule_id = '{show}'"
        );
        world.sql(&sql).await;
    }
    assert_eq!(entered(fourth, &show.id).await["position"], 4);
    assert_eq!(entered(late, &show.id).await["position"], 5);
    let mut watch = late.watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 5);
    let rebuilds = a.app.metrics.rooms.of(schedule(&show)).rebuilds.get();
    assert!(a.app.waiting_rooms.compare().await.is_ok());
    assert_eq!(fourth.queue_status(&show.id).await["position"], 4);
    // Whoever asks is in the index from then on; whoever leaves makes room, whether they ever came or not.
    assert_eq!(second.queue_status(&show.id).await["position"], 2);
    assert_eq!(fourth.queue_status(&show.id).await["position"], 4);
    third.leave(&show.id).await;
    watch.until("position 4", |token| token["position"] == 4).await;
    assert_eq!(fourth.queue_status(&show.id).await["position"], 3);
    second.leave(&show.id).await;
    watch.until("position 3", |token| token["position"] == 3).await;
    assert_eq!(a.app.metrics.rooms.of(schedule(&show)).rebuilds.get(), rebuilds);
}
