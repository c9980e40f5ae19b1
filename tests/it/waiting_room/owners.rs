//! Whoever owns as many seats as one person may has nothing to wait for.

use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;

use super::{enter::buy, *};
use crate::support::client::refusal;

#[tokio::test(flavor = "multi_thread")]
async fn who_owns_as_many_seats_as_one_may_does_not_enter_until_one_is_given_back() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let setup = Setup { max_seats_per_person: 2, ..Setup::default() };
    let show = shop::show(&world, &a, setup).await;
    let fan = shop::fan(&world, &a).await;
    let first = buy(&fan, &show, 0).await;
    // One of two: there is something to come back for.
    let token = fan.admitted(&show.id).await;
    let held = fan.held(&show.id, &show.seats[1], &token).await;
    assert_eq!(refusal(&fan.charge(1_000, "again").await), None);
    assert_eq!(refusal(&fan.pay(held["id"].as_str().unwrap(), 1_000, "again").await), None);
    for fan in [fan.clone(), fan.at(b.address)] {
        let refused = fan.enter(&show.id).await;
        assert_eq!(refusal(&refused), Some("SEAT_LIMIT_REACHED"), "{refused}");
        assert_eq!(refused["queueToken"], json!(null));
        assert_eq!(refused["userErrors"][0]["path"], json!(["scheduleId"]));
    }
    assert_eq!(tokens(&world, &show, "status IN ('WAITING', 'ACTIVE')").await, 0);
    assert_eq!(refusal(&fan.cancel(&first).await), None);
    entered(&fan.at(b.address), &show.id).await;
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_holds_as_many_seats_as_one_may_enters() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    let token = fan.admitted(&show.id).await;
    fan.held(&show.id, &show.seats[0], &token).await;
    assert_eq!(refusal(&fan.leave(&show.id).await), None);
    entered(&fan, &show.id).await;
}

/// A payment under way holds the lock of the token that the seat is held with.
#[tokio::test(flavor = "multi_thread")]
async fn who_enters_while_their_payment_is_being_committed_hears_that_they_own_their_seats() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = line(&world, &a, &show, 1).await.remove(0);
    assert!(a.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
    let token = fan.queue_status(&show.id).await["token"].as_str().unwrap().to_owned();
    let held = fan.held(&show.id, &show.seats[0], &token).await;
    assert_eq!(refusal(&fan.leave(&show.id).await), None);
    let payment = world.pool.begin().await.unwrap();
    let lock = format!("SELECT 1 FROM queue_token WHERE person_id = '{}' FOR UPDATE", id_of(&fan));
    payment.execute_unprepared(&lock).await.unwrap();
    let paid = async {
        let stuck = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the entry to wait", async || (world.number(stuck).await == 1).then_some(()))
            .await;
        let confirm = format!(
            "UPDATE reservation SET status = 'CONFIRMED', confirmed_at = clock_timestamp() WHERE id = '{}'",
            held["id"].as_str().unwrap()
        );
        payment.execute_unprepared(&confirm).await.unwrap();
        payment.commit().await.unwrap();
    };
    let (entered, ()) = tokio::join!(fan.enter(&show.id), paid);
    assert_eq!(refusal(&entered), Some("SEAT_LIMIT_REACHED"), "{entered}");
    assert_eq!(tokens(&world, &show, "status IN ('WAITING', 'ACTIVE')").await, 0);
    let ended = fan.queue_status(&show.id).await;
    assert_eq!(
        (&ended["status"], &ended["endedBecause"]),
        (&json!("EXPIRED"), &json!("SEAT_LIMIT_REACHED"))
    );
}

/// A payment that began before somebody entered, and is committed after, has seen no new place. It has to look again.
#[tokio::test(flavor = "multi_thread")]
async fn who_enters_with_a_seat_on_hold_raises_the_version_that_a_payment_compares() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = line(&world, &a, &show, 1).await.remove(0);
    assert!(a.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
    let token = fan.queue_status(&show.id).await["token"].as_str().unwrap().to_owned();
    fan.held(&show.id, &show.seats[0], &token).await;
    assert_eq!(refusal(&fan.leave(&show.id).await), None);
    let version = format!(
        "SELECT version FROM queue_token WHERE schedule_id = '{}' AND status = 'EXPIRED'",
        show.id
    );
    let before = world.number(&version).await;
    entered(&fan, &show.id).await;
    assert_eq!(world.number(&version).await, before + 1);
}
