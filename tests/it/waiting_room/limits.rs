//! The ends of ACTIVE time.

use serde_json::json;

use super::*;
use crate::support::{
    buying,
    client::refusal,
    socket::{Pushed, Subscription},
};

/// Seconds from now until the live token of a fan ends, rounded.
async fn seconds_left(world: &World, fan: &Client) -> i64 {
    let sql = format!(
        "SELECT round(extract(epoch FROM expires_at - clock_timestamp()))::bigint FROM queue_token
         WHERE person_id = '{}' AND status = 'ACTIVE'",
        id_of(fan)
    );
    world.number(&sql).await
}

/// Lets time go by for an ACTIVE fan.
async fn age(world: &World, fan: &Client, seconds: i64) {
    let ago = format!("- interval '{seconds} s'");
    meddle(
        world,
        fan,
        &format!(
            "activated_at = activated_at {ago}, last_action_at = last_action_at {ago}, expires_at = expires_at {ago}"
        ),
    )
    .await;
}

/// Looks at the seats; the error's code, if that fails.
async fn look_at_seats(fan: &Client, show: &Show, token: &str) -> Option<String> {
    let query =
        "query ($id: ID!, $token: String!) { seats(scheduleId: $id, queueToken: $token) { id } }";
    let answer = fan.send(query, json!({ "id": show.id, "token": token })).await;
    answer["errors"][0]["extensions"]["code"].as_str().map(str::to_owned)
}

async fn pushed_expired(watch: &mut Subscription) {
    watch.until("EXPIRED", |token| token["status"] == "EXPIRED").await;
    assert_eq!(watch.next().await, Pushed::Complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_nothing_is_expired_and_told() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup::default()).await;
    configure(&show, json!({ "idleSeconds": 30 })).await;
    let fan = shop::fan(&world, &a).await;
    fan.admitted(&show.id).await;
    let left = seconds_left(&world, &fan).await;
    assert!((20..=30).contains(&left), "{left}");
    let mut watch = fan.at(b.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["status"], "ACTIVE");
    age(&world, &fan, 30).await;
    pushed_expired(&mut watch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_place_is_expired_in_every_read_though_nothing_has_tidied_it() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = line(&world, &a, &show, 1).await.remove(0);
    assert!(a.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
    let token = fan.queue_status(&show.id).await;
    assert_eq!(token["status"], "ACTIVE");
    let token = token["token"].as_str().unwrap();
    assert_eq!(look_at_seats(&fan, &show, token).await, None);
    age(&world, &fan, 121).await;
    let status = fan.queue_status(&show.id).await;
    assert_eq!((&status["status"], &status["remainingSeconds"]), (&json!("EXPIRED"), &json!(0)));
    // Nobody has told the instance that its clock was moved.
    let other = world.quiet_instance(&[]).await;
    let elsewhere = fan.at(other.address);
    assert_eq!(look_at_seats(&elsewhere, &show, token).await.as_deref(), Some("QUEUE_ENDED"));
    let held = fan.hold(&show.id, &show.seats[0], token).await;
    assert_eq!(refusal(&held), Some("QUEUE_ENDED"));
    pushed_expired(&mut fan.watch_queue(&show.id).await).await;
    assert_eq!(room(&fan, &show.id).await["activeCount"], 0);
    assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 1, "nothing has tidied");
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_place_has_lapsed_enters_anew_at_once_even_while_a_round_is_at_work() {
    use sea_orm::{ConnectionTrait, TransactionTrait};
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = line(&world, &a, &show, 1).await.remove(0);
    assert!(a.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
    let old = fan.queue_status(&show.id).await;
    assert_eq!(old["status"], "ACTIVE");
    age(&world, &fan, 121).await;
    let round = world.pool.begin().await.unwrap();
    let lock = format!("SELECT 1 FROM admission WHERE schedule_id = '{}' FOR UPDATE", show.id);
    round.execute_unprepared(&lock).await.unwrap();
    let new = entered(&fan, &show.id).await;
    assert_eq!((&new["status"], &new["position"]), (&json!("WAITING"), &json!(1)));
    assert_ne!(new["token"], old["token"]);
    round.rollback().await.unwrap();
    assert_eq!(tokens(&world, &show, "status = 'EXPIRED'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_lapsed_place_has_left_it() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = line(&world, &a, &show, 1).await.remove(0);
    assert!(a.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
    age(&world, &fan, 121).await;
    for _ in 0..2 {
        let left = fan.leave(&show.id).await;
        assert_eq!(refusal(&left), None);
        assert_eq!(left["queueToken"]["status"], "EXPIRED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_seats_starts_the_idle_time_anew_up_to_the_limit() {
    let world = World::new().await;
    let a = world.instance().await;
    // Clocks are moved without a word, so each look is at an instance that does not know yet.
    let (b, c) = (world.quiet_instance(&[]).await, world.quiet_instance(&[]).await);
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    let token = fan.admitted(&show.id).await;
    let mut watch = fan.watch_queue(&show.id).await;
    watch.field().await;
    age(&world, &fan, 60).await;
    assert_eq!(look_at_seats(&fan, &show, &token).await, None);
    assert!((119..=120).contains(&seconds_left(&world, &fan).await));
    watch.until("the new end", |token| token["remainingSeconds"].as_i64() > Some(115)).await;
    // 860 of 900 seconds are over, and the last action was a minute ago.
    meddle(
        &world,
        &fan,
        "activated_at = activated_at - interval '800 s', last_action_at = last_action_at - interval '60 s',
         expires_at = expires_at - interval '60 s'",
    )
    .await;
    assert_eq!(look_at_seats(&fan.at(b.address), &show, &token).await, None);
    let left = seconds_left(&world, &fan).await;
    assert!((58..=60).contains(&left), "the end is not taken back and not moved: {left}");
    meddle(
        &world,
        &fan,
        "activated_at = activated_at - interval '41 s', expires_at = clock_timestamp()",
    )
    .await;
    let refused = look_at_seats(&fan.at(c.address), &show, &token).await;
    assert_eq!(refused.as_deref(), Some("QUEUE_ENDED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn expires_at_moves_with_a_hold_and_is_pushed() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    let token = fan.admitted(&show.id).await;
    let mut watch = fan.at(b.address).watch_queue(&show.id).await;
    assert!(watch.field().await["remainingSeconds"].as_i64() <= Some(120));
    let held = fan.held(&show.id, &show.seats[0], &token).await;
    let pushed =
        watch.until("the hold's end", |token| token["remainingSeconds"].as_i64() > Some(290));
    let pushed = pushed.await;
    assert_eq!(pushed["status"], "ACTIVE");
    assert_eq!(pushed["expiresAt"], held["expiresAt"]);
    assert_eq!(fan.queue_status(&show.id).await["expiresAt"], held["expiresAt"]);
    // Given back, the idle time counts again, from now.
    assert_eq!(refusal(&fan.cancel(held["id"].as_str().unwrap()).await), None);
    watch.until("the idle time", |token| token["remainingSeconds"].as_i64() <= Some(120)).await;
    assert!((118..=120).contains(&seconds_left(&world, &fan).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn active_time_never_ends_before_a_live_hold_of_its_own() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    let token = fan.admitted(&show.id).await;
    // Ten seconds before the limit of 900.
    meddle(
        &world,
        &fan,
        "activated_at = activated_at - interval '890 s', expires_at = clock_timestamp() + interval '10 s'",
    )
    .await;
    let held = fan.held(&show.id, &show.seats[0], &token).await;
    assert!((298..=300).contains(&seconds_left(&world, &fan).await));
    assert_eq!(look_at_seats(&fan, &show, &token).await, None);
    assert!((298..=300).contains(&seconds_left(&world, &fan).await));
    assert_eq!(fan.queue_status(&show.id).await["status"], "ACTIVE");
    fan.charge(1_000, "c").await;
    assert_eq!(refusal(&fan.pay(held["id"].as_str().unwrap(), 1_000, "p").await), None);
    assert_eq!(fan.queue_status(&show.id).await["status"], "USED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_place_admits_the_next_by_itself() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let first = shop::fan(&world, &a).await;
    first.admitted(&show.id).await;
    let next = line(&world, &a, &show, 1).await.remove(0);
    let mut watch = next.watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 1);
    age(&world, &first, 121).await;
    watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    assert_eq!(first.queue_status(&show.id).await["status"], "EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_for_seats_that_others_have_is_not_idle() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup { seats_per_row: 4, ..Setup::default() }).await;
    let others = buying::buyers(&world, &[&a], &show, 3).await;
    others[0].held(&show, 0).await;
    others[1].bought(&show, 1, 1_000).await;
    others[2].held(&show, 3).await;
    let fan = buying::buyer(&world, &a, &show).await;
    let tries = ["SEAT_HELD", "SEAT_SOLD", "NO_ADJACENT_SEATS", "SEAT_LIMIT_REACHED"];
    for code in tries {
        age(&world, &fan.client, 60).await;
        let refused = match code {
            "SEAT_HELD" => fan.hold(&show, 0).await,
            "SEAT_SOLD" => fan.hold(&show, 1).await,
            "NO_ADJACENT_SEATS" => fan.hold_best(&show, "VIP", 1).await,
            _ => fan.hold_seats(&show, &[0, 2]).await,
        };
        assert_eq!(refusal(&refused), Some(code), "{refused}");
        let left = seconds_left(&world, &fan.client).await;
        assert!((118..=120).contains(&left), "{code}: {left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_starts_the_idle_time_anew_and_ends_what_the_hold_gave() {
    let world = World::new().await;
    let a = world.instance().await;
    let setup = Setup { max_seats_per_person: 5, ..Setup::default() };
    let show = shop::show(&world, &a, setup).await;
    let fan = buying::buyer(&world, &a, &show).await;
    // Paid early: the hold is gone, and so is its time.
    fan.bought(&show, 0, 1_000).await;
    assert!((118..=120).contains(&seconds_left(&world, &fan.client).await));
    // Paid late.
    fan.client.charge(1_000, "late").await;
    let late = fan.held(&show, 1).await;
    world
        .sql(&format!(
            "UPDATE reservation SET expires_at = expires_at - interval '290 s' WHERE id = '{late}'"
        ))
        .await;
    meddle(&world, &fan.client, "expires_at = expires_at - interval '290 s'").await;
    assert_eq!(refusal(&fan.client.pay(&late, 1_000, "late").await), None);
    assert!((118..=120).contains(&seconds_left(&world, &fan.client).await));
    // With another hold the time lasts as long as that.
    let other = fan.held(&show, 2).await;
    fan.bought(&show, 3, 1_000).await;
    assert!((290..=300).contains(&seconds_left(&world, &fan.client).await));
    assert_eq!(refusal(&fan.client.cancel(&other).await), None);
    assert!((118..=120).contains(&seconds_left(&world, &fan.client).await));
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_does_not_bring_a_lapsed_place_back() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let setup = Setup { max_seats_per_person: 2, ..Setup::default() };
    let show = shop::show(&world, &a, setup).await;
    let fan = line(&world, &a, &show, 1).await.remove(0);
    assert!(a.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
    let token = fan.queue_status(&show.id).await["token"].as_str().unwrap().to_owned();
    let fan = buying::Buyer { client: fan, token };
    let bought = fan.bought(&show, 0, 1_000).await;
    age(&world, &fan.client, 400).await;
    assert_eq!(refusal(&fan.client.cancel(&bought).await), None);
    assert!(seconds_left(&world, &fan.client).await < 0);
    assert_eq!(fan.client.queue_status(&show.id).await["status"], "EXPIRED");
}
