//! Messages of `graphql-transport-ws` out of order, of the wrong shape, twice, and too many.

use serde_json::{Value, json};

use super::{
    asking::{Row, handshake, messages, row},
    scene::Scene,
};

pub(super) fn rows(scene: &Scene) -> Vec<Row> {
    let rows = [shapes(), sessions(scene), order(), subscriptions(scene)].into_iter().flatten();
    let mut rows: Vec<Row> = rows
        .map(|(name, texts, expected)| {
            row(format!("a message: {name}"), messages(&texts, expected), expected)
        })
        .collect();
    let spoken = handshake("t.example").without("sec-websocket-protocol");
    // No protocol was agreed on, which is said by the socket itself.
    rows.push(row("a protocol: none", spoken.clone(), "101"));
    rows.push(row(
        "a protocol: an older one",
        spoken.header("sec-websocket-protocol: graphql-ws"),
        "101",
    ));
    rows
}

type Messages = (&'static str, Vec<String>, &'static str);

const INIT: &str = r#"{"type":"connection_init"}"#;
/// Never has a result in this scene.
const NEVER: &str = "subscription{reservationChanges{id}}";

fn shapes() -> Vec<Messages> {
    let deep =
        format!(r#"{{"type":"ping","payload":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let mut all: Vec<Messages> = [
        ("nothing", ""),
        ("white space", "  "),
        ("a brace", "{"),
        ("null", "null"),
        ("a text", r#""ping""#),
        ("a list", r#"["connection_init"]"#),
        ("an empty object", "{}"),
        ("no type", r#"{"id":"1"}"#),
        ("null for a type", r#"{"type":null}"#),
        ("a number for a type", r#"{"type":1}"#),
        ("an unknown type", r#"{"type":"ECHO-ME-NOT"}"#),
        ("a type of the older protocol", r#"{"type":"start","id":"1","payload":{"query":"{a}"}}"#),
        ("a type of the server", r#"{"type":"connection_ack"}"#),
        ("a result", r#"{"type":"next","id":"1","payload":{}}"#),
        ("a type twice", r#"{"type":"ping","type":"connection_init"}"#),
        ("an id twice", r#"{"type":"complete","id":"1","id":"2"}"#),
        ("something behind it", r#"{"type":"ping"}x"#),
        ("two in one", r#"{"type":"ping"}{"type":"ping"}"#),
        ("a lone surrogate", r#"{"type":"complete","id":"\ud800"}"#),
        ("no id", r#"{"type":"complete"}"#),
        ("a number for an id", r#"{"type":"complete","id":1}"#),
        ("an empty id", r#"{"type":"complete","id":""}"#),
        ("a list in connection_init", r#"{"type":"connection_init","payload":[]}"#),
        ("a text in connection_init", r#"{"type":"connection_init","payload":"Bearer x"}"#),
    ]
    .map(|(name, text)| (name, vec![text.to_owned()], "4400"))
    .into();
    all.push((
        "an id of 129 letters",
        vec![json!({ "type": "complete", "id": "i".repeat(129) }).to_string()],
        "4400",
    ));
    // It comes back unread.
    all.push(("10,000 lists in each other", vec![deep], "pong 1000"));
    all
}

fn init(payload: Value) -> String {
    json!({ "type": "connection_init", "payload": payload }).to_string()
}

fn sessions(scene: &Scene) -> Vec<Messages> {
    let bearer = |token: &str| json!({ "authorization": format!("Bearer {token}") });
    let good = scene.session();
    let ended = json!(chrono::Utc::now().timestamp() - 1);
    let mut over = Scene::claims(scene.fan.person_id());
    over["exp"] = ended;
    let ping = |token: &str| json!({ "type": "ping", "payload": bearer(token) }).to_string();
    let others = scene.other.client.token.as_deref().expect("a session");
    vec![
        ("a session that has ended", vec![init(bearer(&scene.signed(&over)))], "4403"),
        ("a session that is none", vec![init(bearer("x"))], "4403"),
        ("a queue token for a session", vec![init(bearer(&scene.fan.token))], "4403"),
        ("a refresh token for a session", vec![init(bearer(&scene.refresh_token))], "4403"),
        ("a session without its scheme", vec![init(json!({ "authorization": good }))], "4403"),
        ("a number for a session", vec![init(json!({ "authorization": 1 }))], "4403"),
        (
            "two sessions",
            vec![init(json!({ "authorization": "Bearer a", "Authorization": "Bearer b" }))],
            "4403",
        ),
        ("an enormous session", vec![init(bearer(&"x".repeat(20_000)))], "4403"),
        (
            "a session by other names",
            vec![init(json!({ "token": good, "headers": bearer(good) }))],
            "ack 1000",
        ),
        ("another's session later", vec![init(bearer(good)), ping(others)], "ack 4403"),
        ("another's session before any", vec![ping(others)], "4401"),
        ("a session that is none later", vec![init(bearer(good)), ping("x")], "ack pong 1000"),
        ("a session for nobody's socket", vec![init(json!({})), ping(good)], "ack 4403"),
    ]
}

fn subscribe(id: &str, query: &str, variables: Value) -> String {
    json!({ "type": "subscribe", "id": id, "payload": { "query": query, "variables": variables } })
        .to_string()
}

fn order() -> Vec<Messages> {
    let init = || INIT.to_owned();
    let never = |id: &str| subscribe(id, NEVER, json!({}));
    let complete = |id: &str| json!({ "type": "complete", "id": id }).to_string();
    let ping = || r#"{"type":"ping"}"#.to_owned();
    vec![
        ("a subscription before anything", vec![never("1")], "4401"),
        ("an end before anything", vec![complete("1")], "1000"),
        ("a ping before anything", vec![ping()], "pong 1000"),
        ("a pong before anything", vec![r#"{"type":"pong","payload":{"a":[1]}}"#.to_owned()], "1000"),
        ("connection_init twice", vec![init(), init()], "ack 4429"),
        ("the end of what never began", vec![init(), complete("nothing"), ping()], "ack pong 1000"),
        ("connection_init with more than it needs", vec![r#"{"type":"connection_init","id":"1","query":"{a}","x":1}"#.to_owned()], "ack 1000"),
        ("no payload", vec![init(), r#"{"type":"subscribe","id":"1"}"#.to_owned()], "ack 4400"),
        ("a payload without a query", vec![init(), r#"{"type":"subscribe","id":"1","payload":{}}"#.to_owned()], "ack 4400"),
        ("a list of payloads", vec![init(), r#"{"type":"subscribe","id":"1","payload":[{"query":"{a}"}]}"#.to_owned()], "ack 4400"),
        ("a number for a query", vec![init(), r#"{"type":"subscribe","id":"1","payload":{"query":1}}"#.to_owned()], "ack 4400"),
        ("two queries", vec![init(), r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","query":"{b}"}}"#.to_owned()], "ack 4400"),
        ("a variable twice", vec![init(), r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":{"a":1,"a":2}}}"#.to_owned()], "ack 4400"),
        ("4,001 values", vec![init(), format!(r#"{{"type":"subscribe","id":"1","payload":{{"query":"{{a}}","variables":{{"a":[{}0]}}}}}}"#, "0,".repeat(4_000))], "ack 4400"),
    ]
}

fn subscriptions(scene: &Scene) -> Vec<Messages> {
    let own = || init(json!({ "authorization": format!("Bearer {}", scene.session()) }));
    let one = |query: &str, variables: Value| vec![own(), subscribe("1", query, variables)];
    let never = |id: usize| subscribe(&id.to_string(), NEVER, json!({}));
    let queue = "subscription($s:ID!){queueStatus(scheduleId:$s){status token}}";
    let seats =
        "subscription($s:ID!,$t:String!){seatChanges(scheduleId:$s,queueToken:$t){id status}}";
    let (show, elsewhere) = (json!(scene.show.id), json!(uuid::Uuid::now_v7()));
    let bomb: String = (0..26)
        .map(|n| format!("fragment f{n} on Subscription{{...f{m} ...f{m}}}", m = n + 1))
        .collect();
    let bomb = format!(
        "subscription{{...f0}}{bomb}fragment f26 on Subscription{{reservationChanges{{id}}}}"
    );
    let wide = format!("subscription{{reservationChanges{{{}}}}}", "id ".repeat(251));
    vec![
        ("an id that is in use", vec![own(), never(1), never(1)], "ack 4409"),
        (
            "eleven at once",
            [vec![own()], (0..11).map(never).collect()].concat(),
            "ack RATE_LIMITED 1000",
        ),
        ("a query", one("{me{id}}", json!({})), "ack BAD_REQUEST 1000"),
        (
            "a mutation",
            one("mutation{logOut{userErrors{code}}}", json!({})),
            "ack BAD_REQUEST 1000",
        ),
        ("half a document", one("subscription{", json!({})), "ack BAD_REQUEST 1000"),
        (
            "two fields",
            one("subscription{a:reservationChanges{id} b:reservationChanges{id}}", json!({})),
            "ack BAD_REQUEST 1000",
        ),
        (
            "a field in a fragment",
            one("subscription{...f} fragment f on Subscription{reservationChanges{id}}", json!({})),
            "ack BAD_REQUEST 1000",
        ),
        (
            "introspection",
            one("subscription{__schema{types{name}}}", json!({})),
            "ack BAD_REQUEST 1000",
        ),
        ("2^26 fields", one(&bomb, json!({})), "ack QUERY_TOO_COMPLEX 1000"),
        ("251 fields", one(&wide, json!({})), "ack QUERY_TOO_COMPLEX 1000"),
        ("a place at nothing", one(queue, json!({ "s": "x" })), "ack NOT_FOUND 1000"),
        (
            "a place at another performance",
            one(queue, json!({ "s": elsewhere })),
            "ack NOT_FOUND 1000",
        ),
        ("a place at a list", one(queue, json!({ "s": [show] })), "ack BAD_REQUEST 1000"),
        (
            "seats with another's token",
            one(seats, json!({ "s": show, "t": scene.other.token })),
            "ack QUEUE_TOKEN_INVALID 1000",
        ),
        (
            "seats with a session",
            one(seats, json!({ "s": show, "t": scene.session() })),
            "ack QUEUE_TOKEN_INVALID 1000",
        ),
        (
            "seats elsewhere",
            one(seats, json!({ "s": elsewhere, "t": scene.fan.token })),
            "ack QUEUE_TOKEN_INVALID 1000",
        ),
        ("reservations of nobody", vec![INIT.to_owned(), never(1)], "ack UNAUTHENTICATED 1000"),
    ]
}
