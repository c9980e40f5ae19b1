//! The index of the line in Redis, and going on without it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;

use super::*;
use crate::support::redis::{PrivateRedis, forget_room, indexed};

/// The numbers of everybody WAITING, by the journal.
async fn waiting(world: &World, show: &Show) -> Vec<i64> {
    let sql = format!(
        "SELECT t.number::text FROM queue_token t
         WHERE t.schedule_id = '{}' AND t.status = 'WAITING' ORDER BY t.number",
        show.id
    );
    world.texts(&sql).await.iter().map(|number| number.parse().unwrap()).collect()
}

/// Waits until everybody polls the position that the journal says, on both instances.
async fn positions_are_true(fans: &[Client], instances: &[&Instance], show: &Show) {
    for instance in instances {
        eventually("true positions", async || {
            let statuses = join_all(fans.iter().map(async |fan| {
                fan.at(instance.address).queue_status(&show.id).await["position"].clone()
            }))
            .await;
            statuses.iter().zip(1..).all(|(position, place)| *position == place).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_admitted_before_the_index_knows_of_them_is_not_in_line() {
    let world = World::new().await;
    // Two instances run rounds, so that rounds come between a commit and its way into the index.
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(10_000, 10_000, 0.1)).await;
    let over = AtomicBool::new(false);
    let rounds = async {
        while !over.load(Ordering::Relaxed) {
            _ = b.app.waiting_rooms.run_round(schedule(&show)).await;
        }
    };
    let people = async {
        for batch in shop::fans(&world, &a, 300).await.chunks(5) {
            join_all(batch.iter().map(async |fan| entered(fan, &show.id).await)).await;
            // Well before the comparison of every five seconds would heal it.
            let looked = std::time::Instant::now();
            eventually("everybody to be in", async || {
                (tokens(&world, &show, "status = 'WAITING'").await == 0).then_some(())
            })
            .await;
            eventually("nobody to be in line", async || {
                let line = indexed(&a.app.kv, &show.id).await;
                assert!(looked.elapsed() < Duration::from_secs(1), "still in line: {line:?}");
                line.is_empty().then_some(())
            })
            .await;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(rounds, people);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_and_enters_again_is_in_line_once_also_after_a_rebuild() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 12).await;
    join_all(fans.iter().take(6).map(async |fan| {
        for _ in 0..5 {
            let elsewhere = fan.at(b.address);
            tokio::join!(fan.leave(&show.id), elsewhere.enter(&show.id));
        }
        entered(fan, &show.id).await;
    }))
    .await;
    let journal = waiting(&world, &show).await;
    assert_eq!(journal.len(), 12);
    eventually("the index to agree", async || {
        (indexed(&a.app.kv, &show.id).await == journal).then_some(())
    })
    .await;
    forget_room(&a.app.kv, &show.id, &[]).await;
    eventually("the index to be back", async || {
        (indexed(&a.app.kv, &show.id).await == journal).then_some(())
    })
    .await;
    // Once it is back it stays.
    for _ in 0..20 {
        fans[7].queue_status(&show.id).await;
        assert_eq!(indexed(&a.app.kv, &show.id).await, journal);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
