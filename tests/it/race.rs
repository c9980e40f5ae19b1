//! Many people at once over two instances, on purpose; and the books stay true.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{
    buying::{self, Buyer},
    client::refusal,
    shop::{self, Setup},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_in_the_middle_of_a_storm_raises_no_false_alarm() {
    let world = World::new().await;
    let (a, b) = (world.instance_with(&["--hold-seconds=1"]).await, world.instance().await);
    let setup = Setup {
        max_seats_per_person: 2,
        waiting_room: json!({ "maxActive": 12, "admitPerRound": 12, "roundSeconds": 0.1 }),
        ..Setup::default()
    };
    let show = Arc::new(shop::show(&world, &a, setup).await);
    let fans = shop::fans(&world, &a, 20).await;
    let over = Arc::new(AtomicBool::new(false));
    let storm = fans.into_iter().enumerate().map(|(n, fan)| {
        let (show, over) = (show.clone(), over.clone());
        let (here, there) = (fan.at([&a, &b][n % 2].address), fan.at([&b, &a][n % 2].address));
        tokio::spawn(async move {
            here.charge(100_000, "charge").await;
            let mut turn = n;
            while !over.load(Ordering::Relaxed) {
                turn += 1;
                let entered = here.enter(&show.id).await;
                let Some(token) = entered["queueToken"]["token"].as_str() else { continue };
                let buyer = Buyer { client: here.clone(), token: token.to_owned() };
                let held = buyer.hold(&show, turn % 10).await;
                let id = held["reservation"]["id"].as_str().unwrap_or_default();
                match turn % 4 {
                    _ if id.is_empty() => tokio::time::sleep(Duration::from_millis(20)).await,
                    0 => {
                        there.cancel(id).await;
                    }
                    1 => {
                        let key = format!("pay {id}");
                        tokio::join!(here.pay(id, 1_000, &key), there.cancel(id));
                    }
                    2 => {
                        there.pay(id, 1_000, id).await;
                        here.cancel(id).await;
                        here.leave(&show.id).await;
                    }
                    _ => {}
                }
            }
        })
    });
    let storm: Vec<_> = storm.collect();
    let start = Instant::now();
    let mut audits = 0;
    while start.elapsed() < Duration::from_secs(6) {
        world.books_are_true().await;
        audits += 1;
    }
    over.store(true, Ordering::Relaxed);
    join_all(storm).await.into_iter().for_each(|ended| ended.unwrap());
    assert!(audits > 20, "only {audits} audits");
    let refunds = world.number("SELECT count(*) FROM payment WHERE status = 'REFUNDED'").await;
    assert!(refunds > 5, "hardly a storm: {refunds} refunds");
    assert_eq!(world.audit_command().await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_races_with_a_cancellation_is_refunded_or_never_made() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup { seats_per_row: 40, ..Setup::default() }).await;
    let buyers = buying::buyers(&world, &[&a, &b], &show, 40).await;
    let races = buyers.iter().enumerate().map(async |(n, buyer)| {
        let id = buyer.held(&show, n).await;
        buyer.client.charge(1_000, "charge").await;
        let there = buyer.at(if n % 2 == 0 { &b } else { &a });
        // Half of them have left the queue: a hold is paid and cancelled without a live token too.
        if n % 4 < 2 {
            buyer.client.leave(&show.id).await;
        }
        let (paid, cancelled) =
            tokio::join!(buyer.client.pay(&id, 1_000, "pay"), there.client.cancel(&id));
        assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "{cancelled}");
        let code = refusal(&paid);
        assert!(code.is_none() || code == Some("RESERVATION_NOT_PAYABLE"), "{paid}");
        assert_eq!(buyer.client.balance().await, 1_000);
    });
    join_all(races).await;
    world.books_are_true().await;
}
