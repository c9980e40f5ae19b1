//! Documents that clients name instead of sending them.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{header, url};
use crate::support::{
    shop,
    socket::Pushed,
    world::{Instance, World},
};

const QUERY: &str = "query Home { concerts { nodes { id } } }";

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What Apollo's clients say: the hash, and the document the second time.
fn by_apollo(query: Option<&str>, hash: &str) -> Value {
    let named = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    match query {
        Some(query) => json!({ "query": query, "extensions": named }),
        None => json!({ "extensions": named }),
    }
}

async fn post(instance: &Instance, body: &Value) -> Value {
    let request = reqwest::Client::new().post(url(instance, "/graphql")).json(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

async fn get(instance: &Instance, parameters: &[(&str, &str)]) -> (u16, Value) {
    let address = reqwest::Url::parse_with_params(&url(instance, "/graphql"), parameters).unwrap();
    let answer = reqwest::get(address).await.unwrap();
    assert_eq!(header(&answer, "cache-control"), "no-store");
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn told(answer: &Value) -> (&str, &str) {
    let error = &answer["errors"][0];
    let code = error["extensions"]["code"].as_str().unwrap_or("none");
    (error["message"].as_str().unwrap_or("none"), code)
}

const NOT_FOUND: (&str, &str) = ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND");
const NOT_SUPPORTED: (&str, &str) = ("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED");

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_was_sent_once_with_its_hash_is_known_to_every_instance() {
    let world = World::new().await;
    let (one, other) = (world.instance().await, world.instance().await);
    let hash = hash(QUERY);
    for instance in [&one, &other] {
        assert_eq!(told(&post(instance, &by_apollo(None, &hash)).await), NOT_FOUND);
    }
    let expected = json!({ "data": { "concerts": { "nodes": [] } } });
    assert_eq!(post(&one, &by_apollo(Some(QUERY), &hash)).await, expected);
    let id = format!("sha256:{hash}");
    for instance in [&one, &other] {
        assert_eq!(post(instance, &by_apollo(None, &hash)).await, expected);
        assert_eq!(post(instance, &json!({ "documentId": id })).await, expected);
        let extensions = by_apollo(None, &hash)["extensions"].to_string();
        for parameters in [[("extensions", extensions.as_str())], [("documentId", id.as_str())]] {
            assert_eq!(get(instance, &parameters).await, (200, expected.clone()));
        }
    }
    let later = world.instance().await;
    assert_eq!(post(&later, &by_apollo(None, &hash)).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_runs_under_the_rules_of_what_is_sent() {
    let world = World::new().await;
    let instance = world.instance().await;
    let fan = shop::fan(&world, &instance).await;
    let charge =
        "mutation Charge { charge(input: { amount: 1, idempotencyKey: \"named\" }) { balance } }";
    let watch = "subscription Mine { reservationChanges { id } }";
    for query in [charge, watch] {
        // Both are refused, the one without a session and the other by HTTP, and known from then on.
        let answer = post(&instance, &by_apollo(Some(query), &hash(query))).await;
        assert!(told(&answer).1 != "none", "{answer}");
    }
    let id = format!("sha256:{}", hash(charge));
    let (status, answer) = get(&instance, &[("documentId", &id)]).await;
    assert_eq!((status, told(&answer).1), (405, "BAD_REQUEST"));
    assert_eq!(fan.balance().await, 0);
    let extensions = by_apollo(None, &hash(watch))["extensions"].clone();
    let mut socket = fan.connect().await.unwrap();
    let unknown = by_apollo(None, &hash("unknown"));
    socket.send(json!({ "id": "1", "type": "subscribe", "payload": unknown })).await;
    let Pushed::Error(errors) = socket.next().await else { panic!("an unknown document runs") };
    assert_eq!(told(&json!({ "errors": errors })), NOT_FOUND);
    let sent = json!({ "query": watch, "extensions": extensions });
    socket.send(json!({ "id": "1", "type": "subscribe", "payload": sent })).await;
    socket
        .send(json!({ "id": "2", "type": "subscribe", "payload": { "extensions": extensions } }))
        .await;
    socket
        .send(json!({ "id": "3", "type": "subscribe", "payload": { "query": "subscription {" } }))
        .await;
    let Pushed::Error(errors) = socket.next().await else { panic!("only the last one is refused") };
    assert_eq!(told(&json!({ "errors": errors })).1, "BAD_REQUEST");
    assert_eq!(instance.app.metrics.subscriptions.get(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_guard_lets_through_is_kept_and_only_under_its_own_hash() {
    let world = World::new().await;
    let (one, other) = (world.instance().await, world.instance().await);
    let deep = super::bomb("query", 26);
    for (query, named, code) in [
        ("{", hash("{"), "BAD_REQUEST"),
        ("{ a } { b }", hash("{ a } { b }"), "BAD_REQUEST"),
        (&deep, hash(&deep), "QUERY_TOO_COMPLEX"),
        (QUERY, hash("{ __typename }"), "BAD_REQUEST"),
    ] {
        assert_eq!(told(&post(&one, &by_apollo(Some(query), &named)).await).1, code, "{query}");
        for instance in [&one, &other] {
            assert_eq!(told(&post(instance, &by_apollo(None, &named)).await), NOT_FOUND, "{query}");
        }
    }
    // What somebody else has put into its place is not believed.
    let named = hash(QUERY);
    let place = u16::from_str_radix(&named[..4], 16).unwrap() % 2048;
    let key = one.app.kv.name(&format!("document:{place}"));
    let lifetime = std::time::Duration::from_secs(60);
    one.app.kv.keep_text(&key, "{ __typename }", lifetime).await.unwrap();
    assert_eq!(told(&post(&one, &by_apollo(None, &named)).await), NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_fill_a_fixed_number_of_places_and_no_more() {
    let world = World::new().await;
    let instance = world.instance_with(&["--requests-per-address=0"]).await;
    let client = reqwest::Client::new();
    let fill = (0..6_000).map(|number| {
        let query = format!("query Q{number} {{ __typename }}");
        client.post(url(&instance, "/graphql")).json(&by_apollo(Some(&query), &hash(&query))).send()
    });
    let answers: Vec<_> = futures_util::StreamExt::collect(
        futures_util::StreamExt::buffer_unordered(futures_util::stream::iter(fill), 32),
    )
    .await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().status() == 200));
    let pattern = instance.app.kv.name("document:*");
    let keys: Vec<String> = instance
        .app
        .kv
        .call("", async move |mut connection| {
            redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await
        })
        .await
        .unwrap();
    assert!((1_000..=2_048).contains(&keys.len()), "{} places", keys.len());
    let key = keys[0].clone();
    let seconds: i64 = instance
        .app
        .kv
        .call("", async move |mut connection| {
            redis::cmd("TTL").arg(key).query_async(&mut connection).await
        })
        .await
        .unwrap();
    assert!((1..=7 * 86_400).contains(&seconds), "{seconds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_instance_knows_what_it_was_sent() {
    let world = World::new().await;
    let flags = ["--redis-url=redis://127.0.0.1:1"];
    let (one, other) = (world.instance_with(&flags).await, world.instance_with(&flags).await);
    let hash = hash(QUERY);
    assert_eq!(told(&post(&one, &by_apollo(None, &hash)).await), NOT_FOUND);
    assert_eq!(told(&post(&one, &by_apollo(Some(QUERY), &hash)).await).1, "none");
    assert_eq!(told(&post(&one, &by_apollo(None, &hash)).await).1, "none");
    assert_eq!(told(&post(&other, &by_apollo(None, &hash)).await), NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_off_clients_are_told_as_they_expect_it() {
    let world = World::new().await;
    let instance = world.instance_with(&["--persisted-documents=false"]).await;
    let hash = hash(QUERY);
    assert_eq!(told(&post(&instance, &by_apollo(None, &hash)).await), NOT_SUPPORTED);
    let id = format!("sha256:{hash}");
    let (status, answer) = get(&instance, &[("documentId", &id)]).await;
    assert_eq!((status, told(&answer)), (200, NOT_SUPPORTED));
    assert_eq!(told(&post(&instance, &by_apollo(Some(QUERY), &hash)).await).1, "none");
    assert_eq!(told(&post(&instance, &by_apollo(None, &hash)).await), NOT_SUPPORTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_trusted_documents_nothing_else_runs() {
    let world = World::new().await;
    let path = std::env::temp_dir().join(format!("{}.json", world.redis_prefix));
    let watch = "subscription Mine { reservationChanges { id } }";
    let listed = json!({ "home": QUERY, "watch": watch, "broken": "{" });
    std::fs::write(&path, listed.to_string()).unwrap();
    let flag = format!("--trusted-documents={}", path.display());
    let instance = world.instance_with(&[&flag]).await;
    std::fs::remove_file(&path).unwrap();
    for body in [
        json!({ "documentId": "home" }),
        json!({ "documentId": format!("sha256:{}", hash(QUERY)) }),
        by_apollo(None, &hash(QUERY)),
        by_apollo(None, "home"),
        by_apollo(Some(QUERY), &hash(QUERY)),
        json!({ "query": QUERY }),
    ] {
        assert_eq!(told(&post(&instance, &body).await).1, "none", "{body}");
    }
    let other = "{ __typename }";
    for body in [
        json!({ "query": other }),
        json!({ "query": other, "documentId": "home" }),
        by_apollo(Some(other), &hash(other)),
        by_apollo(None, &hash(other)),
        json!({ "documentId": "elsewhere" }),
        json!({ "documentId": "broken" }),
        json!({ "query": format!("{QUERY} ") }),
    ] {
        assert_eq!(told(&post(&instance, &body).await).1, "BAD_REQUEST", "{body}");
    }
    let (_, answer) = get(&instance, &[("query", other)]).await;
    assert_eq!(told(&answer).1, "BAD_REQUEST");
    let mut socket = instance.client().connect().await.unwrap();
    let subscription = "subscription { reservationChanges { id status } }";
    socket
        .send(json!({ "id": "1", "type": "subscribe", "payload": { "query": subscription } }))
        .await;
    let Pushed::Error(errors) = socket.next().await else { panic!("it runs") };
    assert_eq!(errors[0]["extensions"]["code"], "BAD_REQUEST");
    socket
        .send(json!({ "id": "1", "type": "subscribe", "payload": { "documentId": "watch" } }))
        .await;
    let Pushed::Error(errors) = socket.next().await else { panic!("nobody's reservations") };
    assert_eq!(errors[0]["extensions"]["code"], "UNAUTHENTICATED");
}
