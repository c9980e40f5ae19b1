//! What an operator reads at /metrics about a room.

use serde_json::json;

use super::*;
use crate::support::client::refusal;

/// The value of a sample whose line begins so; nothing when it is not on the page.
async fn sample(instance: &Instance, name: &str, show: &Show) -> Option<i64> {
    let page = reqwest::get(format!("http://{}/metrics", instance.address)).await.unwrap();
    let page = page.text().await.unwrap();
    let start = format!("frontrow_room_{name}{{schedule=\"{}\"}} ", show.id);
    page.lines().find_map(|line| line.strip_prefix(&start)).map(|value| value.parse().unwrap())
}

async fn becomes(instance: &Instance, name: &str, show: &Show, value: Option<i64>) {
    eventually(&format!("{name} to be {value:?}"), async || {
        (sample(instance, name, show).await == value).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rooms_metrics_tell_its_people_and_go_when_it_is_over() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, setup(2, 2, 0.1)).await;
    let fans = line(&world, &a, &show, 5).await;
    let mut watch = fans[2].at(b.address).watch_queue(&show.id).await;
    watch.field().await;
    // Facts of the database are the same on both, and what an instance does or has is its own.
    for instance in [&a, &b] {
        becomes(instance, "waiting", &show, Some(3)).await;
        becomes(instance, "active", &show, Some(2)).await;
    }
    becomes(&b, "watchers", &show, Some(1)).await;
    becomes(&a, "watchers", &show, Some(0)).await;
    let both = async |name: &str| {
        sample(&a, name, &show).await.unwrap_or(0) + sample(&b, name, &show).await.unwrap_or(0)
    };
    assert_eq!(both("admitted_total").await, 2);
    assert_eq!(both("wait_seconds_count").await, 2);
    poll_until(&fans[0], &show.id, "ACTIVE").await;
    assert_eq!(refusal(&fans[0].leave(&show.id).await), None);
    watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    assert_eq!(both("admitted_total").await, 3);
    assert_eq!(both("expired_total").await, 1);
    assert_eq!(sample(&b, "push_seconds_count", &show).await, Some(1));
    // The fourth is away at their turn, and the fifth is not.
    meddle(&world, &fans[3], "entered_at = entered_at - interval '61 s'").await;
    crate::support::redis::forget_room(&a.app.kv, &show.id, &["seen"]).await;
    fans[4].queue_status(&show.id).await;
    assert_eq!(refusal(&fans[1].leave(&show.id).await), None);
    poll_until(&fans[4], &show.id, "ACTIVE").await;
    assert_eq!(both("passed_over_total").await, 1);
    becomes(&a, "absent", &show, Some(1)).await;
    // The first who entered had the line built.
    let built = both("rebuilds_total").await;
    crate::support::redis::forget_room(&a.app.kv, &show.id, &[]).await;
    assert_eq!(fans[3].queue_status(&show.id).await["position"], 1);
    eventually("a rebuild", async || (both("rebuilds_total").await > built).then_some(())).await;
    close_sale(&show).await;
    for instance in [&a, &b] {
        becomes(instance, "waiting", &show, None).await;
        becomes(instance, "admitted_total", &show, None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_not_on_the_page() {
    let world = World::new().await;
    let a = world.instance().await;
    let draft = shop::show(&world, &a, Setup { open_sale: false, ..Setup::default() }).await;
    let show = shop::show(&world, &a, Setup::default()).await;
    becomes(&a, "waiting", &show, Some(0)).await;
    assert_eq!(sample(&a, "waiting", &draft).await, None);
    configure(&show, json!({ "paused": true })).await;
    assert_eq!(sample(&a, "waiting", &show).await, Some(0));
}

/// Which statuses of a room are 1, of how many that are told.
async fn status(instance: &Instance, show: &Show) -> (Vec<String>, usize) {
    let page = reqwest::get(format!("http://{}/metrics", instance.address)).await.unwrap();
    let page = page.text().await.unwrap();
    let start = format!("frontrow_room_status{{schedule=\"{}\",status=\"", show.id);
    let lines = page.lines().filter_map(|line| line.strip_prefix(&start)?.split_once("\"} "));
    let told: Vec<(&str, &str)> = lines.collect();
    let has =
        told.iter().filter(|(_, value)| *value == "1").map(|(status, _)| (*status).to_owned());
    (has.collect(), told.len())
}

/// Alarms go by it: a room that is not OPEN has no line that stands still.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_room_does_is_on_the_page_of_every_instance() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let setup = Setup { seats_per_row: 1, opens_in: 3_600, ..Setup::default() };
    let show = shop::show(&world, &a, setup).await;
    let is = async |wanted: &str| {
        for instance in [&a, &b] {
            eventually(&format!("the room to be {wanted}"), async || {
                (status(instance, &show).await == (vec![wanted.to_owned()], 6)).then_some(())
            })
            .await;
        }
    };
    is("PREQUEUE").await;
    let opening = "UPDATE schedule SET sales_open_at = clock_timestamp() - interval '1 s'";
    world.sql(&format!("{opening} WHERE id = '{}'", show.id)).await;
    is("OPEN").await;
    configure(&show, json!({ "paused": true })).await;
    is("PAUSED").await;
    configure(&show, json!({ "paused": false })).await;
    is("OPEN").await;
    let buyer = shop::fan(&world, &a).await;
    let token = buyer.admitted(&show.id).await;
    let held = buyer.held(&show.id, &show.seats[0], &token).await;
    // Nobody is let in, and rightly so: the one seat may come back.
    is("EVERYTHING_HELD").await;
    configure(&show, json!({ "paused": true })).await;
    is("PAUSED").await;
    configure(&show, json!({ "paused": false })).await;
    is("EVERYTHING_HELD").await;
    buyer.charge(1_000, "c").await;
    assert_eq!(refusal(&buyer.pay(held["id"].as_str().unwrap(), 1_000, "p").await), None);
    is("SOLD_OUT").await;
    close_sale(&show).await;
    for instance in [&a, &b] {
        eventually("the room to be off the page", async || {
            (status(instance, &show).await.1 == 0).then_some(())
        })
        .await;
    }
}
