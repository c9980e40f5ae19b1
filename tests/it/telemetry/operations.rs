//! Operations are counted by what became of them: a refusal is no success.

use serde_json::json;

use crate::support::{
    client::{Client, refusal},
    shop::{self, Setup},
    world::{Instance, World},
};

/// What a series stands at; 0 where there is none.
fn value(instance: &Instance, series: &str) -> u64 {
    let page = instance.app.metrics.render();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_counted_by_field_and_by_what_became_of_them() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let (one, other) = (shop::fan(&world, &instance).await, shop::fan(&world, &instance).await);
    let (mine, theirs) = (one.admitted(&show.id).await, other.admitted(&show.id).await);
    one.held(&show.id, &show.seats[0], &mine).await;
    let refused = other.hold(&show.id, &show.seats[0], &theirs).await;
    assert_eq!(refusal(&refused), Some("SEAT_HELD"));
    // The code is counted though nobody asks for it.
    let silent = "mutation ($i: PayInput!) { pay(input: $i) { payment { id } } }";
    let input = json!({ "reservationId": "0190a000-0000-7000-8000-000000000000", "method": "POINT",
                        "amount": 1, "idempotencyKey": "k" });
    one.data(silent, json!({ "i": input })).await;
    let nobody = Client::new(instance.address);
    assert_eq!(nobody.error_code("{ me { id } balance }", json!({})).await, "UNAUTHENTICATED");
    assert_eq!(nobody.error_code("{ balance }", json!({})).await, "UNAUTHENTICATED");
    for (series, times) in [
        (r#"frontrow_operations_total{kind="mutation",field="holdSeat",outcome="ok"}"#, 1),
        (r#"frontrow_operations_total{kind="mutation",field="holdSeat",outcome="refused"}"#, 1),
        (r#"frontrow_refusals_total{field="holdSeat",code="SEAT_HELD"}"#, 1),
        (r#"frontrow_operations_total{kind="mutation",field="pay",outcome="refused"}"#, 1),
        (r#"frontrow_refusals_total{field="pay",code="RESERVATION_NOT_FOUND"}"#, 1),
        (r#"frontrow_operations_total{kind="query",field="several",outcome="refused"}"#, 1),
        (r#"frontrow_operations_total{kind="query",field="balance",outcome="refused"}"#, 1),
        (r#"frontrow_refusals_total{field="balance",code="UNAUTHENTICATED"}"#, 1),
        (r#"frontrow_operations_total{kind="mutation",field="openSale",outcome="ok"}"#, 1),
    ] {
        assert_eq!(value(&instance, series), times, "{series}: {}", instance.app.metrics.render());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_write_makes_no_series() {
    let world = World::new().await;
    let instance = world.instance().await;
    let nobody = Client::new(instance.address);
    for n in 0..50 {
        let query = format!("query Name{n} {{ field{n} }}");
        assert_eq!(nobody.error_code(&query, json!({})).await, "BAD_REQUEST");
        assert_eq!(nobody.error_code(&format!("{{ field{n}"), json!({})).await, "BAD_REQUEST");
    }
    let page = instance.app.metrics.render();
    let series: Vec<&str> = page
        .lines()
        .filter(|line| {
            line.starts_with("frontrow_operations_total{")
                || line.starts_with("frontrow_refusals_total{")
        })
        .collect();
    assert_eq!(series.len(), 3, "{series:?}");
    let unknown = r#"frontrow_refusals_total{field="unknown",code="BAD_REQUEST"}"#;
    assert_eq!(value(&instance, unknown), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_away_is_told_apart_from_what_fails() {
    let world = World::new().await;
    let instance = world.instance_with(&["--requests-per-person=1"]).await;
    let fan = shop::fan(&world, &instance).await;
    // More than a person may ask within any time that this takes.
    let mut refused = 0;
    while refused == 0 {
        let answer = fan.send("{ balance }", json!({})).await;
        refused += usize::from(answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED");
    }
    let limited = r#"frontrow_operations_total{kind="query",field="balance",outcome="limited"}"#;
    assert!(value(&instance, limited) >= 1, "{}", instance.app.metrics.render());
    let fault = r#"frontrow_operations_total{kind="query",field="balance",outcome="fault"}"#;
    assert_eq!(value(&instance, fault), 0);
}
