//! "Everything is held, it may come back": a room says so, and so does every place in it, on every instance.

use serde_json::json;

use super::*;
use crate::support::{client::refusal, socket::Subscription};

/// Waits until an instance shows so much of the room.
async fn shows(client: &Client, show: &Show, status: &str, held: bool) {
    eventually(&format!("{status} and {held}"), async || {
        let room = room(client, &show.id).await;
        (room["status"] == status && room["everythingHeld"] == held).then_some(())
    })
    .await;
}

async fn told(watch: &mut Subscription, status: &str, held: bool) {
    watch
        .until(&format!("{status} and {held}"), |place| {
            place["roomStatus"] == status && place["everythingHeld"] == held
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_and_whoever_is_in_is_told_while_it_is_so() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let setup = Setup { seats_per_row: 2, ..Setup::default() };
    let show = shop::show(&world, &a, setup).await;
    let buyers = shop::fans(&world, &a, 2).await;
    let mut held = Vec::new();
    for (n, buyer) in buyers.iter().enumerate() {
        let token = buyer.admitted(&show.id).await;
        shows(&b.client(), &show, "OPEN", false).await;
        held.push(buyer.held(&show.id, &show.seats[n], &token).await["id"].take());
    }
    let id = |n: usize| held[n].as_str().expect("an id");
    for instance in [&a, &b] {
        shows(&instance.client(), &show, "OPEN", true).await;
    }
    let fan = shop::fan(&world, &b).await;
    assert_eq!(entered(&fan, &show.id).await["everythingHeld"], true);
    let mut waits = fan.watch_queue(&show.id).await;
    let mut inside = buyers[0].watch_queue(&show.id).await;
    for watch in [&mut waits, &mut inside] {
        told(watch, "OPEN", true).await;
    }
    assert_eq!(fan.queue_status(&show.id).await["status"], "WAITING", "nobody is let in");

    // A pause says what it is, and that there would be nothing anyhow.
    configure(&show, json!({ "paused": true })).await;
    for watch in [&mut waits, &mut inside] {
        told(watch, "PAUSED", true).await;
    }
    // A seat comes back, by the clock alone.
    world.lapse(id(1)).await;
    for watch in [&mut waits, &mut inside] {
        told(watch, "PAUSED", false).await;
    }
    configure(&show, json!({ "paused": false })).await;
    told(&mut inside, "OPEN", false).await;
    waits.until("the turn", |place| place["status"] == "ACTIVE").await;

    // What is sold does not come back: the room is sold out, and nothing is held.
    let token = fan.admitted(&show.id).await;
    let last = fan.held(&show.id, &show.seats[1], &token).await;
    told(&mut inside, "OPEN", true).await;
    let pay = async |client: &Client, id: &str| {
        assert_eq!(refusal(&client.charge(1_000, "c").await), None);
        let paid = client.pay(id, 1_000, "p").await;
        assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    };
    pay(&fan, last["id"].as_str().unwrap()).await;
    // One is sold and one is held: still it may come back.
    shows(&a.client(), &show, "OPEN", true).await;
    pay(&buyers[0], id(0)).await;
    for instance in [&a, &b] {
        shows(&instance.client(), &show, "SOLD_OUT", false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_opening_and_after_the_sale_nothing_is_said_to_be_held() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup { opens_in: 3_600, ..Setup::default() }).await;
    let fan = shop::fan(&world, &a).await;
    assert_eq!(entered(&fan, &show.id).await["everythingHeld"], false);
    shows(&a.client(), &show, "PREQUEUE", false).await;
    close_sale(&show).await;
    shows(&a.client(), &show, "CLOSED", false).await;
}
