//! Paying and cancelling one reservation at the same time.

use serde_json::json;

use crate::support::{
    shop::{self, Setup},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_waited_for_a_payment_refunds_it() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup { seats_per_row: 30, ..Setup::default() }).await;
    for (round, fan) in shop::fans(&world, &a, 30).await.into_iter().enumerate() {
        let token = fan.admitted(&show.id).await;
        let held = fan.held(&show.id, &show.seats[round], &token).await;
        let id = held["id"].as_str().unwrap();
        fan.charge(1_000, "charge").await;
        let other = fan.at(b.address);
        let (paid, cancelled) = tokio::join!(fan.pay(id, 1_000, "pay"), other.cancel(id));
        assert_eq!(cancelled["userErrors"], json!([]), "{cancelled}");
        assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "pay said {paid}");
        assert_eq!(fan.balance().await, 1_000, "round {round}: pay said {paid}");
    }
    let unpaid = "SELECT count(*) FROM payment WHERE status = 'APPROVED'";
    assert_eq!(world.number(unpaid).await, 0, "nobody pays for what they gave back");
}
