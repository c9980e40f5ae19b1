//! The whole way of a fan in one test.

use serde_json::json;

use crate::support::{
    shop::{self, Setup},
    socket::Pushed,
    world::{Instance, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_goes_the_whole_way_over_two_instances() {
    let world = World::new().await;
    whole_way(&world, &world.instance().await, &world.instance().await).await;
}

/// From the first look at the concert to the money back.
pub(crate) async fn whole_way(world: &World, a: &Instance, b: &Instance) {
    let show = shop::show(world, a, Setup::default()).await;
    let fan = shop::fan(world, a).await;
    let other = fan.at(b.address);

    let token = fan.admitted(&show.id).await;
    let mut watch = other.watch_queue(&show.id).await;
    assert_eq!(watch.field().await["status"], "ACTIVE");
    let held = other.held(&show.id, &show.seats[0], &token).await;
    assert_eq!(held["status"], "HOLD");
    assert_eq!(fan.charge(5_000, "c1").await["balance"], 5_000);
    let id = held["id"].as_str().unwrap();
    let paid = fan.pay(id, 1_000, "p1").await;
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    assert_eq!(paid["payment"]["reservation"]["status"], "CONFIRMED");
    watch.until("USED", |token| token["status"] == "USED").await;
    assert_eq!(watch.next().await, Pushed::Complete);
    assert_eq!(other.balance().await, 4_000);
    let cancelled = other.cancel(id).await;
    assert_eq!(cancelled["reservation"]["status"], "CANCELLED");
    assert_eq!(cancelled["userErrors"], json!([]));
    assert_eq!(fan.balance().await, 5_000);
}
