//! Rounds: in order, never too many, whoever runs them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
use serde_json::json;

use super::*;
use crate::support::client::refusal;

/// Looks at Postgres until told to stop; the most people that were ACTIVE at once.
async fn most_active(world: &World, show: &Show, over: &AtomicBool) -> i64 {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(tokens(world, show, "status = 'ACTIVE'").await);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    most
}

/// Enters, watches until it is their turn, then pays for a seat, or leaves when there is none for them.
async fn go_through(fan: &Client, elsewhere: &Client, show: &Show, seat: Option<&String>) {
    entered(fan, &show.id).await;
    let mut watch = elsewhere.watch_queue(&show.id).await;
    let active = watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    let Some(seat) = seat else {
        assert_eq!(refusal(&fan.leave(&show.id).await), None);
        return;
    };
    let held = fan.held(&show.id, seat, active["token"].as_str().unwrap()).await;
    assert_eq!(refusal(&fan.charge(1_000, "c").await), None);
    let paid = elsewhere.pay(held["id"].as_str().unwrap(), 1_000, "p").await;
    assert_eq!(refusal(&paid), None, "{paid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_and_twenty_people_are_admitted_in_exactly_the_order_of_entering_never_more_than_six_in()
 {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(6, 3, 0.2)).await;
    let fans = shop::fans(&world, &a, 120).await;
    let over = AtomicBool::new(false);
    let everybody = async {
        join_all(fans.iter().enumerate().map(async |(i, fan)| {
            let (here, there) = (fan.at(a.address), fan.at(b.address));
            let (fan, elsewhere) = if i % 2 == 0 { (here, there) } else { (there, here) };
            // Every third pays, the others leave.
            let seat = (i % 3 == 0).then(|| &show.seats[i / 3]);
            go_through(&fan, &elsewhere, &show, seat).await;
        }))
        .await;
        over.store(true, Ordering::Relaxed);
    };
    let (most, ()) = tokio::join!(most_active(&world, &show, &over), everybody);
    assert!(most <= 6, "{most} were in at once");
    assert_eq!(tokens(&world, &show, "activated_at IS NOT NULL").await, 120);
    assert_eq!(tokens(&world, &show, "status = 'USED'").await, 40);
    assert_admitted_properly(&world, &show, 6, 3, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_racing_on_two_instances_admit_in_order_and_never_too_many() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let b = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, setup(5, 2, 0.1)).await;
    let fans = shop::fans(&world, &a, 60).await;
    join_all(fans.iter().map(async |fan| entered(fan, &show.id).await)).await;
    let over = AtomicBool::new(false);
    let (show_id, over) = (schedule(&show), &over);
    let rounds = join_all((0..8).map(async |i| {
        let rooms = if i % 2 == 0 { &a.app.waiting_rooms } else { &b.app.waiting_rooms };
        let mut rounds = 0;
        while !over.load(Ordering::Relaxed) {
            rooms.run_round(show_id).await.unwrap_or_else(|fault| panic!("{}", fault.report()));
            rounds += 1;
        }
        rounds
    }));
    let people = async {
        join_all(fans.iter().enumerate().map(async |(i, fan)| {
            let rooms = if i % 2 == 0 { &a.app.waiting_rooms } else { &b.app.waiting_rooms };
            // Every fifth gives up at some time while waiting, the others when they are in.
            if i % 5 != 4 {
                poll_until_within(fan, &show, Duration::from_secs(60)).await;
            } else {
                tokio::time::sleep(Duration::from_millis(u64::try_from(i).unwrap() * 7)).await;
            }
            rooms.leave(actor(fan), show_id).await.expect("left");
        }))
        .await;
        over.store(true, Ordering::Relaxed);
    };
    let (most, rounds, ()) = tokio::join!(most_active(&world, &show, over), rounds, people);
    assert!(rounds.iter().sum::<i32>() > 200, "{rounds:?}");
    assert!(most <= 5, "{most} were in at once");
    assert_admitted_properly(&world, &show, 5, 2, 100).await;
}

/// Waits to be ACTIVE, for longer than `eventually` does.
async fn poll_until_within(fan: &Client, show: &Show, patience: Duration) {
    let start = std::time::Instant::now();
    while fan.queue_status(&show.id).await["status"] != "ACTIVE" {
        assert!(start.elapsed() < patience, "never admitted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_finds_another_at_work_changes_nothing_and_waits_for_nobody() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, setup(5, 5, 0.1)).await;
    line(&world, &a, &show, 3).await;
    let other = world.pool.begin().await.unwrap();
    let lock = format!("SELECT 1 FROM admission WHERE schedule_id = '{}' FOR UPDATE", show.id);
    other.execute_unprepared(&lock).await.unwrap();
    let round = a.app.waiting_rooms.run_round(schedule(&show));
    let round = tokio::time::timeout(Duration::from_secs(2), round).await;
    assert!(round.expect("the round does not wait").is_ok());
    assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 0);
    other.rollback().await.unwrap();
    assert!(a.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
    assert_eq!(tokens(&world, &show, "status = 'ACTIVE'").await, 3);
}

/// Runs the statement of a round that waits between its snapshot and its lock, and `meanwhile` what changes what it counted.
///
/// `check` is what joins the version under the lock with that of the snapshot. Returns how many are ACTIVE in the end, of
/// two who may be.
async fn a_stale_round(check: &str, meanwhile: impl AsyncFnOnce(&World, &Instance, &Show)) -> i64 {
    const LOCK: &str =
        "SELECT version FROM admission WHERE schedule_id = $1 FOR NO KEY UPDATE SKIP LOCKED";
    const CHECK: &str = "JOIN seen ON seen.version = held.version";
    let sql = include_str!("../../../src/waiting_room/store/admit.sql");
    assert!(sql.contains(LOCK) && sql.contains(CHECK), "the statement has changed");
    let gated = "SELECT version FROM admission, pg_advisory_xact_lock(1) WHERE schedule_id = $1
                 FOR NO KEY UPDATE OF admission SKIP LOCKED";
    let sql = sql.replace(LOCK, gated).replace(CHECK, check);

    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, setup(2, 2, 0.1)).await;
    line(&world, &a, &show, 6).await;
    // Two who were away, and have left the line since: the round looks as much further back.
    let away = frontrow::db::uuids([uuid::Uuid::now_v7(), uuid::Uuid::now_v7()]);
    let (upto, most) = (i64::MAX, 1_000_i64);
    let values = [schedule(&show).0.into(), away, 300.0_f64.into(), upto.into(), most.into()];
    let stale = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    // The round goes on when this lock is given up, and not before.
    let gate = world.pool.begin().await.unwrap();
    gate.execute_unprepared("SELECT pg_advisory_xact_lock(1)").await.unwrap();
    let other = async {
        let at_the_gate = "SELECT count(*) FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event = 'advisory'";
        eventually("the stale round to wait", async || {
            (world.number(at_the_gate).await == 1).then_some(())
        })
        .await;
        meanwhile(&world, &a, &show).await;
        gate.rollback().await.unwrap();
    };
    let (rows, ()) = tokio::join!(a.app.db.query_all_raw(stale), other);
    rows.unwrap();
    tokens(&world, &show, "status = 'ACTIVE'").await
}

async fn another_round(world: &World, a: &Instance, show: &Show) {
    assert!(a.app.waiting_rooms.run_round(schedule(show)).await.is_ok());
    assert_eq!(tokens(world, show, "status = 'ACTIVE'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_with_a_stale_snapshot_admits_nobody() {
    assert_eq!(a_stale_round("JOIN seen ON seen.version = held.version", another_round).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_version_check_a_stale_round_would_admit_too_many() {
    assert_eq!(a_stale_round("JOIN seen ON true", another_round).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_under_way_admits_nobody_by_settings_that_are_not_those_any_more() {
    let check = "JOIN seen ON seen.version = held.version";
    let lowered = a_stale_round(check, async |_: &World, _: &Instance, show: &Show| {
        configure(show, json!({ "maxActive": 1 })).await;
    });
    assert_eq!(lowered.await, 0, "maxActive was lowered, and acknowledged");
    let paused = a_stale_round(check, async |_: &World, _: &Instance, show: &Show| {
        configure(show, json!({ "paused": true })).await;
    });
    assert_eq!(paused.await, 0, "the room was paused, and that acknowledged");
    let closed = a_stale_round(check, async |_: &World, _: &Instance, show: &Show| {
        close_sale(show).await;
    });
    assert_eq!(closed.await, 0, "the sale was closed, and that acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_admitted_while_others_hold_every_seat_and_a_cancelled_hold_moves_the_line() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup { seats_per_row: 2, ..Setup::default() }).await;
    let holders = shop::fans(&world, &a, 2).await;
    let mut holds = Vec::new();
    for (fan, seat) in holders.iter().zip(&show.seats) {
        let token = fan.admitted(&show.id).await;
        holds.push(fan.held(&show.id, seat, &token).await["id"].as_str().unwrap().to_owned());
    }
    let next = shop::fan(&world, &b).await;
    assert_eq!(entered(&next, &show.id).await["status"], "WAITING");
    let mut watch = next.watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 1);
    for instance in [&a, &b] {
        for _ in 0..5 {
            assert!(instance.app.waiting_rooms.run_round(schedule(&show)).await.is_ok());
        }
    }
    assert_eq!(next.queue_status(&show.id).await["status"], "WAITING");
    assert_eq!(refusal(&holders[1].cancel(&holds[1]).await), None);
    watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_hold_moves_the_line_by_itself() {
    let world = World::new().await;
    let a = world.instance_with(&["--hold-seconds=1"]).await;
    let show = shop::show(&world, &a, Setup { seats_per_row: 1, ..Setup::default() }).await;
    let holder = shop::fan(&world, &a).await;
    let token = holder.admitted(&show.id).await;
    holder.held(&show.id, &show.seats[0], &token).await;
    let next = shop::fan(&world, &a).await;
    entered(&next, &show.id).await;
    let token = next.admitted(&show.id).await;
    next.held(&show.id, &show.seats[0], &token).await;
    let sql = format!(
        "SELECT count(*) FROM queue_token t JOIN reservation r ON r.person_id <> t.person_id
         WHERE t.person_id = '{}' AND t.activated_at < r.expires_at AND r.status <> 'HOLD'",
        id_of(&next)
    );
    assert_eq!(world.number(&sql).await, 0, "admitted before the hold had lapsed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_given_up_by_paying_or_leaving_admits_the_next_within_a_second() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let first = shop::fan(&world, &a).await;
    let token = first.admitted(&show.id).await;
    let (second, third) = (shop::fan(&world, &b).await, shop::fan(&world, &b).await);
    entered(&second, &show.id).await;
    entered(&third, &show.id).await;
    let mut watch = second.watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 1);
    let held = first.held(&show.id, &show.seats[0], &token).await;
    first.charge(1_000, "c").await;
    assert_eq!(refusal(&first.pay(held["id"].as_str().unwrap(), 1_000, "p").await), None);
    let free = std::time::Instant::now();
    let active = watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    assert!(free.elapsed() < Duration::from_secs(1), "{:?}", free.elapsed());
    assert_eq!(active["position"], json!(null));
    let mut watch = third.watch_queue(&show.id).await;
    assert_eq!(watch.field().await["position"], 1);
    assert_eq!(refusal(&second.leave(&show.id).await), None);
    let free = std::time::Instant::now();
    watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    assert!(free.elapsed() < Duration::from_secs(1), "{:?}", free.elapsed());
}
