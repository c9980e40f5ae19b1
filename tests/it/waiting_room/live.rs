//! What a subscription is told after its first result, written without async-graphql, is what async-graphql writes.

use std::collections::BTreeMap;

use super::*;
use crate::support::socket::{Pushed, Subscription};

/// Directives keep a document in async-graphql; without them it is left after the first result.
async fn watch(fan: &Client, show: &Show, directive: &str) -> Subscription {
    let fields = shop::QUEUE_TOKEN;
    let query = format!(
        "subscription ($id: ID!) {{ queueStatus(scheduleId: $id) {{ kind: __typename {directive} {fields} }} }}"
    );
    fan.subscribe(&query, json!({ "id": show.id })).await
}

/// Everything until the end, by status; the newest of each.
async fn told(mut subscription: Subscription) -> BTreeMap<String, Value> {
    let mut told = BTreeMap::new();
    loop {
        match subscription.next().await {
            Pushed::Next(mut data) => {
                let token = data["queueStatus"].take();
                told.insert(token["status"].as_str().expect("a status").to_owned(), token);
            }
            Pushed::Complete => return told,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_told_the_same_with_and_without_a_plan_until_its_end() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let first = shop::fan(&world, &a).await;
    first.admitted(&show.id).await;
    let fan = shop::fan(&world, &a).await;
    entered(&fan, &show.id).await;
    let (planned, full) =
        (watch(&fan, &show, "").await, watch(&fan, &show, "@include(if: true)").await);
    let watching = tokio::spawn(async move { tokio::join!(told(planned), told(full)) });
    eventually("both to watch", async || (a.app.metrics.subscriptions.get() == 2).then_some(()))
        .await;
    assert_eq!(crate::support::client::refusal(&first.leave(&show.id).await), None);
    eventually("the turn", async || {
        (fan.queue_status(&show.id).await["status"] == "ACTIVE").then_some(())
    })
    .await;
    assert_eq!(crate::support::client::refusal(&fan.leave(&show.id).await), None);
    let (planned, full) = watching.await.unwrap();
    assert_eq!(planned.keys().collect::<Vec<_>>(), ["ACTIVE", "EXPIRED", "WAITING"]);
    // Of the views between, a slow reader may rightly miss one.
    assert_eq!(planned["EXPIRED"], full["EXPIRED"]);
    assert_eq!(planned["ACTIVE"]["activatedAt"], full["ACTIVE"]["activatedAt"]);
    assert_eq!(planned["ACTIVE"]["kind"], "QueueToken");
    assert_eq!(planned["ACTIVE"]["token"], planned["WAITING"]["token"]);
}
