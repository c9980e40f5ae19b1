//! Opening and closing a sale while people buy: nobody waits for it, and it waits for nobody who only refers to it.

use frontrow::kernel::ScheduleId;
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};

use crate::support::{
    buying,
    client::refusal,
    eventually,
    shop::{self, Setup, Show},
    world::World,
};

/// Calls a mutation that takes a schedule and nothing else; the payload.
async fn change(show: &Show, field: &str) -> Value {
    let query = format!(
        "mutation ($id: ID!) {{ {field}(scheduleId: $id) {{ schedule {{ status }} userErrors {{ code }} }} }}"
    );
    show.organizer.payload(&query, json!({ "id": show.id })).await
}

/// How many connections of this world wait for a lock.
async fn waiting_for_locks(world: &World) -> i64 {
    world
        .number(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_a_schedule_keeps_no_organizer_waiting() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let setup = Setup { open_sale: false, ..Setup::default() };
    let show = shop::show(&world, &a, setup).await;
    // As every hold and every entry does until its transaction ends, when Postgres looks after its foreign keys.
    let buying = world.pool.begin().await.unwrap();
    let refer = format!("SELECT 1 FROM schedule WHERE id = '{}' FOR KEY SHARE", show.id);
    buying.execute_unprepared(&refer).await.unwrap();
    for (field, status) in [("openSale", "ON_SALE"), ("closeSale", "CLOSED")] {
        let payload = change(&show, field).await;
        assert_eq!(payload["schedule"]["status"], status, "{field}: {payload}");
    }
    buying.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_a_round_and_a_closing_that_wait_for_each_other_all_end() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    let entered = fan.enter(&show.id).await;
    assert_eq!(refusal(&entered), None, "{entered}");
    let room = ScheduleId::parse(&show.id).unwrap();
    a.app.waiting_rooms.run_round(room).await.unwrap();
    world
        .sql("UPDATE queue_token SET expires_at = clock_timestamp() WHERE status = 'ACTIVE'")
        .await;
    // A hold has its token. The round wants to end that token, and has the room; closing wants the room, and has the
    // schedule; at last the hold wants its foreign key.
    let hold = world.pool.begin().await.unwrap();
    hold.execute_unprepared("SELECT 1 FROM queue_token FOR NO KEY UPDATE").await.unwrap();
    let round = async {
        let round = a.app.waiting_rooms.run_round(room).await;
        round.unwrap_or_else(|fault| panic!("the round: {}", fault.report()));
    };
    let close = async {
        eventually("the round to wait", async || {
            (waiting_for_locks(&world).await == 1).then_some(())
        })
        .await;
        change(&show, "closeSale").await
    };
    let refer = async {
        eventually("the closing to wait", async || {
            (waiting_for_locks(&world).await == 2).then_some(())
        })
        .await;
        let key = format!("SELECT 1 FROM schedule WHERE id = '{}' FOR KEY SHARE", show.id);
        hold.execute_unprepared(&key).await.expect("the hold goes on");
        hold.commit().await.unwrap();
    };
    let ((), closed, ()) = tokio::join!(round, close, refer);
    assert_eq!(closed["schedule"]["status"], "CLOSED", "{closed}");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_formulas_are_written_into_the_statements_that_use_them() {
    let world = World::new().await;
    for (formula, index) in [
        ("SELECT 1 FROM seat WHERE is_free(status, hold_expires_at, clock_timestamp())", ""),
        (
            "SELECT 1 FROM reservation WHERE has_lapsed(status, expires_at, clock_timestamp())",
            "reservation_lapsing",
        ),
        (
            "SELECT active_until(t.activated_at, clock_timestamp(), w.idle_seconds, w.active_seconds)
             FROM queue_token t JOIN waiting_room w USING (schedule_id)",
            "",
        ),
    ] {
        let plan = world.texts(&format!("EXPLAIN (VERBOSE) {formula}")).await.join("\n");
        for name in ["is_free", "has_lapsed", "active_until"] {
            assert!(!plan.contains(name), "{plan}");
        }
        assert!(plan.contains(index), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_open_and_close_in_the_middle_of_a_crowd() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    for _ in 0..3 {
        let show = shop::show(&world, &a, Setup { rows: 4, ..Setup::default() }).await;
        let buyers = buying::buyers(&world, &[&a, &b], &show, 24).await;
        let newcomers = shop::fans(&world, &b, 24).await;
        let holds = join_all(buyers.iter().enumerate().map(async |(seat, buyer)| {
            let held = buyer.hold(&show, seat).await;
            assert!(matches!(refusal(&held), None | Some("SALE_CLOSED" | "QUEUE_ENDED")), "{held}");
        }));
        let entries = join_all(newcomers.iter().map(async |fan| {
            let entered = fan.enter(&show.id).await;
            assert!(matches!(refusal(&entered), None | Some("SALE_CLOSED")), "{entered}");
        }));
        let room = ScheduleId::parse(&show.id).unwrap();
        let rounds = join_all([&a, &b].map(async |instance| {
            for _ in 0..5 {
                let round = instance.app.waiting_rooms.run_round(room).await;
                round.unwrap_or_else(|fault| panic!("{}", fault.report()));
            }
        }));
        let organizer = async {
            for field in ["openSale", "openSale", "closeSale", "closeSale"] {
                let payload = change(&show, field).await;
                assert_eq!(refusal(&payload), None, "{field}: {payload}");
            }
        };
        tokio::join!(holds, entries, rounds, organizer);
    }
    world.books_are_true().await;
}
