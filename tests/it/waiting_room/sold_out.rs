//! A crowd at a sold-out sale, the commonest crowd there is: what it costs to send it away.

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value as SqlValue};

use super::*;
use crate::support::client::refusal;

/// Seats of the hall.
const SEATS: i32 = 10_000;
/// Pages that one statement may look at. Going through the hall takes hundreds, and each seat that was sold thousands.
const PAGES: i64 = 150;

/// A hall in which every seat has just been sold; nobody has analysed or vacuumed anything.
async fn sold_out(world: &World, a: &Instance) -> Show {
    let setup = Setup { rows: SEATS / 100, seats_per_row: 100, ..Setup::default() };
    let show = shop::show(world, a, setup).await;
    let owner = shop::fan(world, a).await;
    let (person, token, reservation) = (id_of(&owner), uuid::Uuid::now_v7(), uuid::Uuid::now_v7());
    world
        .sql(&format!(
            "INSERT INTO queue_token (id, schedule_id, person_id, number, status, entered_at, activated_at, ended_at)
             VALUES ('{token}', '{show}', '{person}', 1000000, 'USED', now(), now(), now());
             INSERT INTO reservation (id, person_id, schedule_id, queue_token_id, status, seat_count, total_price,
                                      held_at, expires_at, confirmed_at)
             VALUES ('{reservation}', '{person}', '{show}', '{token}', 'CONFIRMED', {SEATS}, 0, now(), now(), now());
             UPDATE seat SET status = 'SOLD_OUT', reservation_id = '{reservation}' WHERE schedule_id = '{show}'",
            show = show.id
        ))
        .await;
    show
}

/// How many pages the server's own way of running a statement looks at.
async fn pages(a: &Instance, sql: &str, values: Vec<SqlValue>) -> i64 {
    let sql = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {sql}");
    let rows =
        a.app.db.query_all_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values));
    let rows = rows.await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    // The first line with buffers is that of the statement as a whole.
    let buffers =
        plan.iter().find(|line| line.contains("Buffers: shared")).expect("a count of pages");
    let count = |name: &str| {
        let count = buffers.split(' ').find_map(|word| word.strip_prefix(name));
        count.map_or(0, |count| count.parse::<i64>().unwrap())
    };
    count("hit=") + count("read=")
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_a_crowd_away_costs_postgres_the_same_however_large_the_hall_is() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = sold_out(&world, &a).await;
    let fan = shop::fan(&world, &a).await;
    let one = |fan: &Client| frontrow::db::uuids([uuid::Uuid::parse_str(id_of(fan)).unwrap()]);
    let token = || frontrow::db::uuids([uuid::Uuid::now_v7()]);
    let enter = include_str!("../../../src/waiting_room/store/enter.sql");
    let admit = include_str!("../../../src/waiting_room/store/admit.sql");
    // The first who looks goes by everything that was there before the sale, and notes that it is gone, as soon as nothing older
    // is being read: autovacuum may be at it.
    eventually("refusals and rounds to look at few pages", async || {
        assert_eq!(refusal(&fan.enter(&show.id).await), Some("SOLD_OUT"));
        let values = vec![schedule(&show).0.into(), one(&fan), token(), 0_i32.into()];
        let entering = pages(&a, enter, values).await;
        let nobody = frontrow::db::uuids(std::iter::empty());
        let (upto, most) = (i64::MAX.into(), 100_i64.into());
        let values = vec![schedule(&show).0.into(), nobody, 300.0_f64.into(), upto, most];
        let round = pages(&a, admit, values).await;
        (entering < PAGES && round < PAGES).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_comes_back_lets_people_in_at_once_on_every_instance() {
    let world = World::new().await;
    let (a, b) = (world.quiet_instance(&[]).await, world.quiet_instance(&[]).await);
    let show = sold_out(&world, &a).await;
    let (fan, other) = (shop::fan(&world, &a).await, shop::fan(&world, &b).await);
    for _ in 0..3 {
        assert_eq!(refusal(&fan.enter(&show.id).await), Some("SOLD_OUT"));
        assert_eq!(refusal(&other.enter(&show.id).await), Some("SOLD_OUT"));
    }
    world
        .sql(&format!(
            "UPDATE seat SET status = 'AVAILABLE', reservation_id = NULL WHERE id = '{}'",
            show.seats[5_000]
        ))
        .await;
    for fan in [&fan, &other] {
        assert_eq!(entered(fan, &show.id).await["status"], "WAITING");
    }
}

/// Holds and their ends are most of what is written to seats; none of that may touch an index.
#[tokio::test(flavor = "multi_thread")]
async fn holding_a_seat_and_giving_it_back_stays_heap_only() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    let token = fan.admitted(&show.id).await;
    for _ in 0..5 {
        let held = fan.held(&show.id, &show.seats[0], &token).await;
        assert_eq!(refusal(&fan.cancel(held["id"].as_str().unwrap()).await), None);
    }
    let updates = async |columns: &str| {
        world
            .number(&format!("SELECT {columns} FROM pg_stat_user_tables WHERE relname = 'seat'"))
            .await
    };
    eventually("the counts", async || (updates("n_tup_upd").await >= 10).then_some(())).await;
    assert_eq!(updates("n_tup_upd - n_tup_hot_upd").await, 0);
}
