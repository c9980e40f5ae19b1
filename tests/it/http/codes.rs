//! Every code of `RequestErrorCode`, as a client gets it. All of them can be reached today; RATE_LIMITED by subscriptions
//! on one socket only, until requests have rates.

use serde_json::{Value, json};

use super::{bomb, url};
use crate::support::{
    client::Client,
    shop::{self, Setup},
    socket::Pushed,
    world::World,
};

/// The first error of an answer, which has to be in the contract's model; its code.
#[track_caller]
fn code(errors: &Value) -> String {
    let (error, extensions) = (&errors[0], &errors[0]["extensions"]);
    let code = extensions["code"].as_str().unwrap_or_else(|| panic!("no code in {errors}"));
    let retryable = ["RATE_LIMITED", "OVERLOADED", "INTERNAL", "QUEUE_NOT_ACTIVE"].contains(&code);
    assert_eq!(extensions["retryable"], retryable, "{errors}");
    assert!(!extensions["requestId"].as_str().unwrap_or_default().is_empty(), "{errors}");
    assert_eq!(extensions["retryAfterSeconds"].is_number(), code == "OVERLOADED", "{errors}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.len() > 10, "{errors}");
    for inner in ["sea", "sqlx", "relation", "postgres", "redis", "panic", "src/", "stack"] {
        assert!(!message.to_lowercase().contains(inner), "{inner} shows through: {errors}");
    }
    code.to_owned()
}

async fn asked(client: &Client, query: &str) -> String {
    code(&client.send(query, json!({})).await["errors"])
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_refused_with_a_code() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let (nobody, fan) = (instance.client(), shop::fan(&world, &instance).await);
    assert_eq!(asked(&nobody, "{ me { id } }").await, "UNAUTHENTICATED");
    assert_eq!(
        asked(&nobody.with_token("x"), "{ concerts { nodes { id } } }").await,
        "UNAUTHENTICATED"
    );
    let open =
        format!("mutation {{ openSale(scheduleId: \"{}\") {{ userErrors {{ code }} }} }}", show.id);
    assert_eq!(asked(&fan, &open).await, "FORBIDDEN");
    for query in [
        "",
        "{",
        "{ nothing }",
        "{ me }",
        "{ me { id { x } } }",
        "query ($id: ID!) { concert(id: $id) { id } }",
        "{ concerts(first: 101) { nodes { id } } }",
        "subscription { reservationChanges { id } }",
        "mutation { a: charge(input: { amount: 1, idempotencyKey: \"a\" }) { balance }
                    b: charge(input: { amount: 1, idempotencyKey: \"b\" }) { balance } }",
        "mutation { charge(input: { amount: -1, idempotencyKey: \"a\" }) { balance } }",
        "mutation { charge(input: { amount: 1.5, idempotencyKey: \"a\" }) { balance } }",
        "mutation { charge(input: { amount: 9007199254740992, idempotencyKey: \"a\" }) { balance } }",
    ] {
        assert_eq!(asked(&fan, query).await, "BAD_REQUEST", "{query}");
    }
    assert_eq!(fan.balance().await, 0);
    assert_eq!(asked(&fan, &bomb("query", 20)).await, "QUERY_TOO_COMPLEX");
    let mut watch = fan.watch_queue(&show.id).await;
    let Pushed::Error(errors) = watch.next().await else { panic!("there is no place to show") };
    assert_eq!(code(&errors), "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_refused_in_the_same_model() {
    let world = World::new().await;
    let instance = world.instance().await;
    let http = super::browser();
    let post = |body: String| {
        http.post(url(&instance, "/graphql")).header("content-type", "application/json").body(body)
    };
    let large = json!({ "query": "{ __typename }", "variables": { "x": "x".repeat(64 * 1024) } });
    for (request, status, expected) in [
        (post(large.to_string()), 413, "BAD_REQUEST"),
        (post("{".to_owned()), 400, "BAD_REQUEST"),
        (post("[{\"query\":\"{ __typename }\"}]".to_owned()), 400, "BAD_REQUEST"),
        (post("{}".to_owned()).header("accept", "text/html"), 406, "BAD_REQUEST"),
        (http.post(url(&instance, "/graphql")).body("{ __typename }"), 415, "BAD_REQUEST"),
        (http.get(url(&instance, "/graphql")), 400, "BAD_REQUEST"),
        (
            http.get(url(&instance, "/graphql?query=mutation{logOut{userErrors{code}}}")),
            405,
            "BAD_REQUEST",
        ),
        (http.delete(url(&instance, "/graphql")), 405, "BAD_REQUEST"),
        (http.post(url(&instance, "/health/live")), 405, "BAD_REQUEST"),
        (http.get(url(&instance, "/nothing")), 404, "NOT_FOUND"),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(code(&body["errors"]), expected, "{status}");
        assert_eq!(body.get("data"), None);
    }
    let fits = json!({ "query": "{ __typename }", "variables": { "x": "x".repeat(60 * 1024) } });
    assert_eq!(post(fits.to_string()).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_for_those_whose_turn_it_is() {
    let world = World::new().await;
    let instance = world.instance().await;
    let waiting_room = json!({ "maxActive": 1, "admitPerRound": 10, "roundSeconds": 0.1 });
    let show = shop::show(&world, &instance, Setup { waiting_room, ..Setup::default() }).await;
    let (first, second) = (shop::fan(&world, &instance).await, shop::fan(&world, &instance).await);
    let token = first.admitted(&show.id).await;
    let waiting = second.enter(&show.id).await["queueToken"]["token"].as_str().unwrap().to_owned();
    let seats = |token: &str| {
        format!("{{ seats(scheduleId: \"{}\", queueToken: \"{token}\") {{ id }} }}", show.id)
    };
    assert_eq!(asked(&second, &seats(&waiting)).await, "QUEUE_NOT_ACTIVE");
    assert_eq!(asked(&second, &seats(&token)).await, "QUEUE_TOKEN_INVALID");
    first.data(&seats(&token), json!({})).await;
    first.leave(&show.id).await;
    assert_eq!(asked(&first, &seats(&token)).await, "QUEUE_ENDED");
    let changes = seats(&token).replace("{ seats", "subscription { seatChanges");
    let mut socket = first.subscribe(&changes, json!({})).await;
    let Pushed::Error(errors) = socket.next().await else {
        panic!("seats are shown to one who left")
    };
    assert_eq!(code(&errors), "QUEUE_ENDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_on_one_socket_are_limited() {
    let world = World::new().await;
    let instance = world.instance_with(&["--subscriptions-per-socket=2"]).await;
    let fan = shop::fan(&world, &instance).await;
    let mut socket = fan.connect().await.unwrap();
    let payload = json!({ "query": "subscription { reservationChanges { id } }" });
    for id in ["1", "2", "3"] {
        socket.send(json!({ "id": id, "type": "subscribe", "payload": payload })).await;
    }
    let Pushed::Error(errors) = socket.next().await else { panic!("a third subscription runs") };
    assert_eq!(code(&errors), "RATE_LIMITED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_ours_is_told_without_its_inside() {
    let world = World::new().await;
    let instance = world.instance().await;
    let fan = shop::fan(&world, &instance).await;
    world.sql("ALTER TABLE person RENAME TO person_gone").await;
    assert_eq!(asked(&fan, "{ me { id } }").await, "INTERNAL");
    let metrics =
        fan.http.get(url(&instance, "/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("frontrow_faults_total 1\n"), "{metrics}");
    world.sql("ALTER TABLE person_gone RENAME TO person").await;
    fan.data("{ me { id } }", json!({})).await;
}
