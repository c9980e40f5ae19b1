//! Sessions and queue tokens that are none: forged, ended, or of another kind, person or performance.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::{
    base64,
    client::Client,
    shop::{self, Setup},
    socket::Pushed,
    world::{Instance, World},
};

const SESSION: &str = "frontrow:session";
const QUEUE: &str = "frontrow:queue";

fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// The claims of a good session of this person.
fn session(person: &Client) -> Value {
    json!({ "aud": SESSION, "sub": person.person_id, "role": "FAN", "iat": now(), "exp": now() + 60 })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

/// Refused over HTTP, whatever is asked for, and on a WebSocket.
async fn assert_refused(instance: &Instance, what: &str, token: &str) {
    let client = instance.client().with_token(token);
    for query in ["{ me { id } }", "{ concerts { nodes { id } } }"] {
        let answer = client.send(query, json!({})).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED",
            "{what}: {answer}"
        );
        assert_eq!(answer.get("data"), None, "{what}");
    }
    assert_eq!(client.connect().await.err(), Some(4403), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_live_session_of_this_server_is_one() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let fan = shop::fan(&world, &instance).await;
    let good = session(&fan);
    let own = |claims: &Value| signed(Algorithm::HS256, &world.secret, claims);
    assert!(
        instance.client().with_token(&own(&good)).connect().await.is_ok(),
        "the recipe is right"
    );

    let none = format!(
        "{}.{}.",
        base64(br#"{"alg":"none","typ":"JWT"}"#),
        base64(good.to_string().as_bytes())
    );
    let (head, signature) =
        own(&good).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let organizer = base64(with(good.clone(), "role", json!("ORGANIZER")).to_string().as_bytes());
    let promoted = format!("{}.{organizer}.{signature}", head.split('.').next().unwrap());
    let queue = fan.enter(&show.id).await["queueToken"]["token"].as_str().unwrap().to_owned();
    for (what, token) in [
        ("alg: none", none.clone()),
        ("alg: none with a signature", format!("{none}{signature}")),
        ("HS384", signed(Algorithm::HS384, &world.secret, &good)),
        ("HS512", signed(Algorithm::HS512, &world.secret, &good)),
        ("another secret", signed(Algorithm::HS256, &"x".repeat(40), &good)),
        ("no signature", format!("{head}.")),
        ("another role under the old signature", promoted),
        ("a second ago", own(&with(good.clone(), "exp", json!(now() - 1)))),
        ("at this moment", own(&with(good.clone(), "exp", json!(now())))),
        ("without an end", own(&with(good.clone(), "exp", Value::Null))),
        ("without a person", own(&with(good.clone(), "sub", Value::Null))),
        ("an unknown role", own(&with(good.clone(), "role", json!("ADMIN")))),
        ("for another purpose", own(&with(good.clone(), "aud", json!(QUEUE)))),
        ("for nothing", own(&with(good.clone(), "aud", Value::Null))),
        ("a queue token", queue),
        ("no token", "x".to_owned()),
    ] {
        assert_refused(&instance, what, &token).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_sent_as_a_bearer_token_once() {
    let world = World::new().await;
    let instance = world.instance().await;
    let fan = shop::fan(&world, &instance).await;
    let token = fan.token.clone().unwrap();
    let send = async |headers: &[&str]| -> Value {
        let mut request = fan.http.post(format!("http://{}/graphql", instance.address));
        for header in headers {
            request = request.header("authorization", *header);
        }
        let body = json!({ "query": "{ me { id } }" });
        request.json(&body).send().await.unwrap().json().await.unwrap()
    };
    let good = format!("Bearer {token}");
    for headers in [&[good.as_str()][..], &[&format!("bearer  {token}")]] {
        assert_eq!(send(headers).await["data"]["me"]["id"], json!(fan.person_id), "{headers:?}");
    }
    for headers in [
        &[token.as_str()][..],
        &[&format!("Basic {token}")],
        &["Bearer"],
        &[&good, &good],
        &[&format!("Bearer {token} {token}")],
        &[&format!("Bearer {}", "x".repeat(5_000))],
    ] {
        let answer = send(headers).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{headers:?}");
    }
    // Nobody at all is nobody, which is no mistake until somebody is needed.
    for headers in [&[][..], &[""]] {
        let answer = send(headers).await;
        assert_eq!(answer["errors"][0]["path"], json!(["me"]), "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_secret_is_accepted_and_no_older_one() {
    let world = World::new().await;
    let old = world.instance().await;
    let show = shop::show(&world, &old, Setup::default()).await;
    let fan = shop::fan(&world, &old).await;
    let queue_token = fan.admitted(&show.id).await;
    let (next, after) = ("next-secret-".repeat(4), "after-next-secret-".repeat(3));
    let rotated = world
        .instance_with(&[
            &format!("--jwt-secret={next}"),
            &format!("--jwt-secret-previous={}", world.secret),
        ])
        .await;
    let there = fan.at(rotated.address);
    assert_eq!(there.data("{ me { id } }", json!({})).await["me"]["id"], json!(fan.person_id));
    assert!(there.connect().await.is_ok());
    assert_eq!(there.held(&show.id, &show.seats[0], &queue_token).await["status"], "HOLD");
    // What the new one signs, an instance with the old one alone does not know.
    let newcomer = shop::fan(&world, &rotated).await;
    assert_refused(&old, "the next secret", newcomer.token.as_deref().unwrap()).await;
    let twice = world
        .instance_with(&[
            &format!("--jwt-secret={after}"),
            &format!("--jwt-secret-previous={next}"),
        ])
        .await;
    assert_refused(&twice, "the secret before the previous", fan.token.as_deref().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_for_requests_and_sockets_alike() {
    let world = World::new().await;
    let instance = world.instance_with(&["--session-seconds=2"]).await;
    let fan = shop::fan(&world, &instance).await;
    let mut socket = fan.subscribe("subscription { reservationChanges { id } }", json!({})).await;
    assert_eq!(fan.data("{ me { id } }", json!({})).await["me"]["id"], json!(fan.person_id));
    let started = std::time::Instant::now();
    assert_eq!(socket.next().await, Pushed::Closed(4403));
    assert!(started.elapsed() < Duration::from_millis(2_500), "{:?}", started.elapsed());
    assert_refused(&instance, "a session that has ended", fan.token.as_deref().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_ones_own_queue_token_for_this_performance_opens_it() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let other_show = shop::show(&world, &instance, Setup::default()).await;
    let (fan, other) = (shop::fan(&world, &instance).await, shop::fan(&world, &instance).await);
    let token = fan.admitted(&show.id).await;
    let elsewhere = fan.admitted(&other_show.id).await;
    let others = other.admitted(&show.id).await;
    let payload: Value = claims(&token, &world.secret);
    assert_eq!(payload["aud"], QUEUE);
    let own = |claims: &Value| signed(Algorithm::HS256, &world.secret, claims);
    // The recipe is right: these claims open the door, and each change below closes it.
    assert_eq!(opened(&fan, &show.id, &show.seats[0], &own(&payload)).await, None);
    for (what, token) in [
        ("another person's", others),
        ("another performance's", elsewhere),
        ("the session", fan.token.clone().unwrap()),
        ("another secret", signed(Algorithm::HS256, &"x".repeat(40), &payload)),
        ("HS384", signed(Algorithm::HS384, &world.secret, &payload)),
        ("another purpose", own(&with(payload.clone(), "aud", json!(SESSION)))),
        (
            "a place that nobody has",
            own(&with(payload.clone(), "jti", json!(uuid::Uuid::now_v7()))),
        ),
        ("nothing", String::new()),
        ("no token", "x".to_owned()),
        ("an id", show.id.clone()),
    ] {
        let told = opened(&fan, &show.id, &show.seats[1], &token).await;
        assert_eq!(told.as_deref(), Some("QUEUE_TOKEN_INVALID"), "{what}");
    }
    let nowhere = uuid::Uuid::now_v7().to_string();
    for schedule in [nowhere.as_str(), "x", ""] {
        let told = opened(&fan, schedule, &show.seats[1], &token).await;
        assert_eq!(told.as_deref(), Some("QUEUE_TOKEN_INVALID"), "schedule {schedule:?}");
    }
    assert_eq!(world.number("SELECT count(*) FROM reservation").await, 1);
}

fn claims(token: &str, secret: &str) -> Value {
    let mut validation = jsonwebtoken::Validation::new(Algorithm::HS256);
    validation.validate_aud = false;
    validation.set_required_spec_claims::<&str>(&[]);
    let key = jsonwebtoken::DecodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::decode(token, &key, &validation).unwrap().claims
}

/// What a queue token opens: `None`, or the code that `seats`, `seatChanges` and the three holds agree on.
async fn opened(fan: &Client, schedule: &str, seat: &str, token: &str) -> Option<String> {
    let variables = json!({ "s": schedule, "t": token });
    let seats = "query ($s: ID!, $t: String!) { seats(scheduleId: $s, queueToken: $t) { id } }";
    let read = fan.send(seats, variables.clone()).await;
    let code = read["errors"][0]["extensions"]["code"].as_str().map(str::to_owned);
    let changes = "subscription ($s: ID!, $t: String!) { seatChanges(scheduleId: $s, queueToken: $t) { id } }";
    let watched = match fan.subscribe(changes, variables).await.soon().await {
        Some(Pushed::Error(errors)) => errors[0]["extensions"]["code"].as_str().map(str::to_owned),
        Some(other) => panic!("{other:?}"),
        None => None,
    };
    assert_eq!(watched, code, "seatChanges and seats agree");
    let rest = format!("scheduleId: \"{schedule}\", queueToken: \"{token}\"");
    for (field, more) in [
        ("holdSeat", format!("seatId: \"{seat}\"")),
        ("holdSeats", format!("seatIds: [\"{seat}\"]")),
        ("holdBestSeats", "grade: \"R\", count: 1".to_owned()),
    ] {
        let hold = format!(
            "mutation {{ {field}(input: {{ {rest}, {more} }}) {{ reservation {{ id }} userErrors {{ code }} }} }}"
        );
        let held = fan.payload(&hold, json!({})).await;
        let refused = held["userErrors"][0]["code"].as_str().map(str::to_owned);
        if code.is_none() {
            assert_eq!(refused, None, "{field}: {held}");
            // One seat a person here: the first hold says enough.
            break;
        }
        assert_eq!(refused, code, "{field} and seats agree");
    }
    code
}
