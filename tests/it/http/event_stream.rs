//! Subscriptions answered by event streams.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::url;
use crate::support::{
    buying,
    shop::{self, Setup},
    world::{Instance, World},
};

const SOON: Duration = Duration::from_secs(20);

/// An answer that goes on.
struct Events {
    answer: reqwest::Response,
    rest: String,
}

impl Events {
    async fn open(instance: &Instance, token: &str, query: &str) -> Self {
        let request = reqwest::Client::new()
            .post(url(instance, "/graphql"))
            .header("accept", "text/event-stream")
            .header("authorization", format!("Bearer {token}"))
            .json(&json!({ "query": query }));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        Self { answer, rest: String::new() }
    }

    /// The next event or remark; nothing at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let event = event.to_owned();
                self.rest = rest.to_owned();
                return Some(event);
            }
            let part =
                timeout(SOON, self.answer.chunk()).await.expect("it goes on").expect("whole");
            self.rest += std::str::from_utf8(&part?).expect("a text");
        }
    }

    /// The data of the next result.
    async fn data(&mut self) -> Value {
        loop {
            let event = self.next().await.expect("a result");
            if let Some(data) = event.strip_prefix("event: next\ndata: ") {
                let result: Value = serde_json::from_str(data).expect("JSON");
                assert_eq!(result.get("errors"), None, "{result}");
                return result["data"].clone();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_follows_the_line_and_the_reservations_over_streams() {
    let world = World::new().await;
    let (here, there) = (world.instance().await, world.instance().await);
    let waiting_room = json!({ "maxActive": 1, "admitPerRound": 1, "roundSeconds": 0.1 });
    let show = shop::show(&world, &here, Setup { waiting_room, ..Setup::default() }).await;
    let first = buying::buyer(&world, &here, &show).await;
    let second = shop::fan(&world, &here).await;
    second.enter(&show.id).await;
    let token = second.token.clone().expect("a session");
    let query = format!(
        "subscription {{ queueStatus(scheduleId: \"{}\") {{ status position }} }}",
        show.id
    );
    let mut line = Events::open(&there, &token, &query).await;
    let place = line.data().await["queueStatus"].clone();
    assert_eq!((&place["status"], &place["position"]), (&json!("WAITING"), &json!(1)));
    let changes = "subscription { reservationChanges { id status } }";
    let mut held =
        Events::open(&there, first.client.token.as_deref().expect("a session"), changes).await;
    // Nothing says when it stands: a change may come before.
    let mut seats = 0..3;
    let (id, change) = loop {
        let id = first.held(&show, seats.next().expect("it stands by now")).await;
        if let Ok(data) = timeout(Duration::from_secs(2), held.data()).await {
            break (id, data["reservationChanges"].clone());
        }
    };
    assert_eq!((&change["id"], &change["status"]), (&json!(id), &json!("HOLD")));
    first.client.leave(&show.id).await;
    while line.data().await["queueStatus"]["status"] != "ACTIVE" {}
    assert_eq!(there.app.metrics.subscriptions.get(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_session_on_every_instance() {
    let world = World::new().await;
    let (here, there) = (world.instance().await, world.instance().await);
    let sign_up = "mutation ($input: SignUpInput!) { signUp(input: $input) { session { accessToken } userErrors { code } } }";
    let input = json!({ "email": "stream@test.example", "password": "correct horse battery", "name": "Streamer" });
    let payload = here.client().payload(sign_up, json!({ "input": input })).await;
    let token = payload["session"]["accessToken"].as_str().expect("a session").to_owned();
    let mut stream =
        Events::open(&there, &token, "subscription { reservationChanges { id } }").await;
    assert_eq!(stream.next().await.as_deref(), Some(":"));
    let client = here.client().with_token(&token);
    let out = client.payload("mutation { logOut { userErrors { code } } }", json!({})).await;
    assert_eq!(out["userErrors"], json!([]));
    let mut told = Vec::new();
    while let Some(event) = stream.next().await {
        told.push(event);
    }
    assert_eq!(told, [": Session ended"]);
    assert_eq!(there.app.metrics.sockets.get(), 0);
}
