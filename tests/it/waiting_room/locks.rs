//! What is decided under locks: by what is so when they are there, in one order, and without keeping other rooms waiting.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait,
};
use serde_json::json;

use super::*;
use crate::support::{buying::Buyer, client::refusal};

/// Takes some rows' locks away from everybody else, until it is dropped or ended.
async fn locked(world: &World, rows: &str) -> DatabaseTransaction {
    let other = world.pool.begin().await.unwrap();
    other.execute_unprepared(&format!("SELECT 1 FROM {rows} FOR UPDATE")).await.unwrap();
    other
}

/// Waits until so many statements of the server wait for locks.
async fn waiting_for_locks(world: &World, count: i64) {
    let stuck = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("statements to wait", async || (world.number(stuck).await == count).then_some(()))
        .await;
}

/// One person who is in, on an instance where nothing runs by itself.
async fn inside(world: &World, a: &Instance, show: &Show) -> Buyer {
    let client = line(world, a, show, 1).await.remove(0);
    assert!(a.app.waiting_rooms.run_round(schedule(show)).await.is_ok());
    let token = client.queue_status(&show.id).await;
    assert_eq!(token["status"], "ACTIVE");
    Buyer { token: token["token"].as_str().unwrap().to_owned(), client }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_home_whose_hold_is_being_committed() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = inside(&world, &a, &show).await;
    let (person, seat) = (fan.person_id(), &show.seats[0]);
    let token = format!("queue_token WHERE person_id = '{person}'");
    // A hold that began before the sale was closed, and has everything but its commit.
    let hold = locked(&world, &token).await;
    hold.execute_unprepared(&format!(
        "WITH token AS (UPDATE queue_token SET version = version + 1 WHERE person_id = '{person}' RETURNING id),
         held AS (
             INSERT INTO reservation (id, person_id, schedule_id, queue_token_id, seat_count, total_price, held_at, expires_at)
             SELECT gen_random_uuid(), '{person}', '{}', token.id, 1, 1000, now(), now() + interval '5 minutes' FROM token
             RETURNING id, expires_at),
         line AS (INSERT INTO reservation_seat SELECT held.id, '{seat}', 1000 FROM held)
         UPDATE seat SET status = 'HOLD', reservation_id = held.id, hold_expires_at = held.expires_at
         FROM held WHERE seat.id = '{seat}'",
        show.id
    ))
    .await
    .unwrap();
    world.sql(&format!("UPDATE schedule SET status = 'CLOSED' WHERE id = '{}'", show.id)).await;
    let drains = async {
        for _ in 0..3 {
            assert!(a.app.waiting_rooms.drain_closed().await.is_ok());
        }
    };
    let commits = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        hold.commit().await.unwrap();
    };
    tokio::join!(drains, commits);
    assert!(a.app.waiting_rooms.drain_closed().await.is_ok());
    assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 1, "the hold can be paid for");
}

/// Runs the statement that sends people home, which waits between its snapshot and its locks while `meanwhile` happens.
/// `check` is what compares the versions.
async fn a_stale_drain(check: &str, meanwhile: impl AsyncFnOnce(&Buyer, &Show)) -> (World, Show) {
    const LOCK: &str = "SELECT t.id, t.version FROM queue_token t";
    const CHECK: &str = "GROUP BY id, version HAVING count(*) = 2";
    let sql = include_str!("../../../src/waiting_room/store/drain.sql");
    assert!(sql.contains(LOCK) && sql.contains(CHECK), "the statement has changed");
    let gated = "SELECT t.id, t.version FROM (SELECT pg_advisory_xact_lock(1)) gate, queue_token t";
    let sql = sql.replace(LOCK, gated).replace(CHECK, check);
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = inside(&world, &a, &show).await;
    let gate = world.pool.begin().await.unwrap();
    gate.execute_unprepared("SELECT pg_advisory_xact_lock(1)").await.unwrap();
    let values = [schedule(&show).0.into()];
    let drain =
        a.app.db.query_all_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values));
    let other = async {
        waiting_for_locks(&world, 1).await;
        meanwhile(&fan, &show).await;
        gate.rollback().await.unwrap();
    };
    let (rows, ()) = tokio::join!(drain, other);
    rows.unwrap();
    (world, show)
}

async fn hold_a_seat(fan: &Buyer, show: &Show) {
    fan.held(show, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_committed_after_a_drain_has_looked_is_noticed() {
    let check = "GROUP BY id, version HAVING count(*) = 2";
    let (world, show) = a_stale_drain(check, hold_a_seat).await;
    assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 1);
    let (world, show) = a_stale_drain(check, async |_: &Buyer, _: &Show| {}).await;
    assert_eq!(tokens(&world, &show, "status = 'EXPIRED'").await, 1, "who holds nothing goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_version_check_a_drain_would_end_it() {
    let (world, show) = a_stale_drain("GROUP BY id", hold_a_seat).await;
    assert_eq!(tokens(&world, &show, "status = 'EXPIRED'").await, 1);
}

/// A round that has to pass over the first and the third, and to admit the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_locks_people_in_the_order_of_their_numbers() -> Result<(), DbErr> {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, setup(2, 2, 0.1)).await;
    let fans = line(&world, &a, &show, 4).await;
    let away = [&fans[0], &fans[2]].map(|fan| uuid::Uuid::parse_str(id_of(fan)).unwrap());
    let values = [
        schedule(&show).0.into(),
        frontrow::db::uuids(away),
        300.0_f64.into(),
        i64::MAX.into(),
        100_i64.into(),
    ];
    let sql = include_str!("../../../src/waiting_room/store/admit.sql");
    let round =
        a.app.db.query_all_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values));
    let number = |n: i64| format!("queue_token WHERE schedule_id = '{}' AND number = {n}", show.id);
    // Somebody else who needs both goes by the numbers, too. One of the two would be killed if the round did not.
    let first = locked(&world, &number(1)).await;
    let other = async {
        waiting_for_locks(&world, 1).await;
        first.execute_unprepared(&format!("SELECT 1 FROM {} FOR UPDATE", number(2))).await?;
        first.rollback().await
    };
    let (other, round) = tokio::join!(other, round);
    other?;
    assert_eq!(round?.len(), 4);
    assert_eq!(tokens(&world, &show, "status = 'ACTIVE' AND number IN (2, 4)").await, 2);
    assert_eq!(tokens(&world, &show, "passed_over_at IS NOT NULL AND number IN (1, 3)").await, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_lapses_while_looking_at_seats_waits_for_it_stays_lapsed() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = inside(&world, &a, &show).await;
    meddle(
        &world,
        &fan.client,
        "last_action_at = last_action_at - interval '1 minute', expires_at = clock_timestamp() + interval '900 ms'",
    )
    .await;
    let busy =
        locked(&world, &format!("queue_token WHERE person_id = '{}'", fan.person_id())).await;
    let lapses = async {
        waiting_for_locks(&world, 1).await;
        eventually("the lapse", async || {
            (tokens(&world, &show, "expires_at <= clock_timestamp()").await == 1).then_some(())
        })
        .await;
        busy.rollback().await.unwrap();
    };
    let query =
        "query ($id: ID!, $token: String!) { seats(scheduleId: $id, queueToken: $token) { id } }";
    let looks = fan.client.send(query, json!({ "id": show.id, "token": fan.token }));
    tokio::join!(looks, lapses);
    assert_eq!(tokens(&world, &show, "expires_at <= clock_timestamp()").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_whose_rows_somebody_has_locked_keep_no_other_room_waiting() {
    let world = World::new().await;
    let a = world.instance().await;
    let (stuck, busy) = (setup(1, 1, 0.1), setup(1, 1, 0.1));
    let other = shop::show(&world, &a, busy).await;
    let mut locks = Vec::new();
    for row in ["queue_token", "queue_token", "admission"] {
        let show = shop::show(&world, &a, stuck.clone()).await;
        let first = line(&world, &a, &show, 2).await.remove(0);
        poll_until(&first, &show.id, "ACTIVE").await;
        // The next round of the room has somebody to admit, and cannot.
        locks.push(locked(&world, &format!("{row} WHERE schedule_id = '{}'", show.id)).await);
        meddle_without_waiting(&world, &show).await;
    }
    let fans = line(&world, &a, &other, 20).await;
    let turns = async {
        for fan in &fans {
            poll_until(fan, &other.id, "ACTIVE").await;
            assert_eq!(refusal(&fan.leave(&other.id).await), None);
        }
    };
    // A room that is locked takes two seconds for each of its rounds.
    tokio::time::timeout(Duration::from_secs(20), turns).await.expect("the other room goes on");
    for lock in locks {
        lock.rollback().await.unwrap();
    }
}

/// Gives a room another place, so that it is due for rounds.
async fn meddle_without_waiting(world: &World, show: &Show) {
    world
        .sql(&format!("UPDATE waiting_room SET max_active = 2 WHERE schedule_id = '{}'", show.id))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_that_cannot_be_ended_keeps_no_other_waiting() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let mut shows = Vec::new();
    for hours in [2, 1] {
        let show = shop::show(&world, &a, Setup { opens_in: 3_600, ..Setup::default() }).await;
        entered(&shop::fan(&world, &a).await, &show.id).await;
        let open = format!(
            "UPDATE schedule SET sales_open_at = now() - interval '{hours} hours' WHERE id = '{}'",
            show.id
        );
        world.sql(&open).await;
        shows.push(show);
    }
    let counter =
        locked(&world, &format!("queue_counter WHERE schedule_id = '{}'", shows[0].id)).await;
    let closed = a.app.waiting_rooms.close_draws().await;
    assert!(closed.is_err(), "and it is told");
    let drawn = async |show: &Show| {
        let drawn = "SELECT count(*) FROM waiting_room WHERE drawn_at IS NOT NULL AND schedule_id";
        world.number(&format!("{drawn} = '{}'", show.id)).await
    };
    assert_eq!((drawn(&shows[0]).await, drawn(&shows[1]).await), (0, 1));
    counter.rollback().await.unwrap();
    assert!(a.app.waiting_rooms.close_draws().await.is_ok());
    assert_eq!(drawn(&shows[0]).await, 1);
}
