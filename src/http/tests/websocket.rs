use futures_util::SinkExt;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::Response},
};

use super::*;

const SOON: Duration = Duration::from_secs(5);

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    /// Opens a socket with headers of its own.
    async fn open(server: &Server, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let mut request = format!("ws://{}/graphql", server.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        connect_async(request).await.map(|(stream, _)| Self(stream))
    }

    async fn connect(server: &Server) -> Self {
        let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
        Self::open(server, &[protocol]).await.unwrap()
    }

    /// Connects and signs in as `payload` says.
    async fn ready(server: &Server, payload: Value) -> Self {
        let mut client = Self::connect(server).await;
        client.send(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(client.next().await, json!({"type": "connection_ack"}));
        client
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        let payload = json!({ "query": query });
        self.send(json!({"type": "subscribe", "id": id, "payload": payload})).await;
    }

    /// The next message of the protocol.
    async fn next(&mut self) -> Value {
        loop {
            match timeout(SOON, self.0.next()).await.unwrap().unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// How the server closes, whatever it says before.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            match timeout(SOON, self.0.next()).await.unwrap() {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Whether nothing but silence comes for a while.
    async fn is_quiet(&mut self) -> bool {
        timeout(Duration::from_millis(100), self.0.next()).await.is_err()
    }
}

/// The answer that a handshake got instead of a socket.
async fn refused(server: &Server, headers: &[(&'static str, &str)]) -> Response<Option<Vec<u8>>> {
    match Client::open(server, headers).await {
        Err(Error::Http(answer)) => *answer,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

#[tokio::test]
async fn a_subscription_runs_to_its_end() {
    let server = Server::start().await;
    let mut client = Client::ready(&server, Value::Null).await;
    client.subscribe("a", "subscription { numbers(upTo: 2) }").await;
    for number in 1..=2 {
        let data = json!({"data": {"numbers": number}});
        let next = json!({"type": "next", "id": "a", "payload": data});
        assert_eq!(client.next().await, next);
    }
    assert_eq!(client.next().await, json!({"type": "complete", "id": "a"}));
    // The id is free again.
    client.subscribe("a", "subscription { numbers(upTo: 0) }").await;
    assert_eq!(client.next().await, json!({"type": "complete", "id": "a"}));
}

#[tokio::test]
async fn a_client_ends_its_subscription() {
    let server = Server::start().await;
    let mut client = Client::ready(&server, Value::Null).await;
    client.subscribe("a", "subscription { never }").await;
    client.send(json!({"type": "ping", "payload": {"n": 1}})).await;
    assert_eq!(client.next().await, json!({"type": "pong", "payload": {"n": 1}}));
    assert_eq!((server.metrics.sockets.get(), server.metrics.subscriptions.get()), (1, 1));
    client.send(json!({"type": "complete", "id": "a"})).await;
    client.send(json!({"type": "complete", "id": "unknown"})).await;
    client.send(json!({"type": "pong"})).await;
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.next().await, json!({"type": "pong"}), "and nothing else");
    assert_eq!(server.metrics.subscriptions.get(), 0);
    client.subscribe("a", "subscription { never }").await;
    drop(client);
    until(|| server.metrics.sockets.get() == 0 && server.metrics.subscriptions.get() == 0).await;
}

#[tokio::test]
async fn the_session_of_connection_init_names_the_caller() {
    let server = Server::start().await;
    let (person, token) = server.session(60);
    for key in ["authorization", "Authorization"] {
        let mut client = Client::ready(&server, json!({key: format!("Bearer {token}")})).await;
        client.subscribe("a", "subscription { me }").await;
        assert_eq!(client.next().await["payload"]["data"]["me"], person.to_string());
    }
    for payload in [
        json!({}),
        json!({"authorization": ""}),
        json!({"authorization": "Bearer"}),
        json!({"authorization": "Bearer "}),
        json!({"authorization": null}),
    ] {
        let mut client = Client::ready(&server, payload).await;
        client.subscribe("a", "subscription { me }").await;
        assert_eq!(client.next().await["payload"]["data"]["me"], Value::Null);
    }
    let (_, ended) = server.session(-1);
    for bad in [format!("Bearer {ended}"), format!("Bearer {token}x"), token] {
        let mut client = Client::connect(&server).await;
        client.send(json!({"type": "connection_init", "payload": {"authorization": bad}})).await;
        assert_eq!(client.closed().await, (4403, "Forbidden".to_owned()));
    }
}

#[tokio::test]
async fn the_session_of_the_handshake_stands_where_connection_init_has_none() {
    let server = Server::start().await;
    let ((person, token), (other, others)) = (server.session(60), server.session(60));
    let (_, ended) = server.session(-1);
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    let bearer = |token: &str| format!("Bearer {token}");
    let nobody = Value::Null;
    for (header, payload, expected) in [
        (bearer(&token), json!(null), json!(person.to_string())),
        (bearer(&token), json!({}), json!(person.to_string())),
        (bearer(&token), json!({"authorization": "Bearer "}), json!(person.to_string())),
        (format!("bearer  {token}"), json!(null), json!(person.to_string())),
        // What is said in the protocol itself is newer than what a library kept for its handshakes.
        (bearer(&token), json!({"authorization": bearer(&others)}), json!(other.to_string())),
        (bearer(&ended), json!({"authorization": bearer(&others)}), json!(other.to_string())),
        (String::new(), json!(null), nobody.clone()),
        ("Bearer".to_owned(), json!(null), nobody.clone()),
        ("Basic cHJveHk6cHJveHk=".to_owned(), json!(null), nobody),
    ] {
        let headers = [protocol, ("authorization", header.as_str())];
        let mut client = Client::open(&server, &headers).await.unwrap();
        client.send(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(client.next().await, json!({"type": "connection_ack"}), "{header} {payload}");
        client.subscribe("a", "subscription { me }").await;
        assert_eq!(client.next().await["payload"]["data"]["me"], expected, "{header} {payload}");
    }
    for bad in [bearer(&ended), bearer("none"), format!("{}x", bearer(&token))] {
        let headers = [protocol, ("authorization", bad.as_str())];
        let mut client = Client::open(&server, &headers).await.unwrap();
        client.send(json!({"type": "connection_init"})).await;
        assert_eq!(client.closed().await, (4403, "Forbidden".to_owned()));
    }
}

#[tokio::test]
async fn the_session_of_the_handshake_ends_the_socket_like_any_other() {
    let server = Server::start().await;
    let (_, token) = server.session(2);
    let header = format!("Bearer {token}");
    let headers =
        [("sec-websocket-protocol", "graphql-transport-ws"), ("authorization", header.as_str())];
    let mut client = Client::open(&server, &headers).await.unwrap();
    client.send(json!({"type": "connection_init"})).await;
    client.subscribe("a", "subscription { never }").await;
    assert_eq!(client.closed().await, (4403, "Session expired".to_owned()));
}

#[tokio::test]
async fn what_is_said_in_bytes_is_understood() {
    let server = Server::start().await;
    let (person, token) = server.session(60);
    let mut client = Client::connect(&server).await;
    let payload = json!({"authorization": format!("Bearer {token}")});
    for message in [
        json!({"type": "connection_init", "payload": payload}),
        json!({"type": "subscribe", "id": "a", "payload": {"query": "subscription { me }"}}),
    ] {
        client.0.send(Message::binary(message.to_string())).await.unwrap();
    }
    assert_eq!(client.next().await, json!({"type": "connection_ack"}));
    assert_eq!(client.next().await["payload"]["data"]["me"], person.to_string());
}

#[tokio::test]
async fn a_socket_ends_with_its_session() {
    let server = Server::start().await;
    let (_, token) = server.session(2);
    let payload = json!({"authorization": format!("Bearer {token}")});
    let mut client = Client::ready(&server, payload).await;
    client.subscribe("a", "subscription { never }").await;
    assert_eq!(client.closed().await, (4403, "Session expired".to_owned()));
}

#[tokio::test]
async fn what_fails_before_the_first_result_is_an_error() {
    let server = Server::start().await;
    let mut client = Client::ready(&server, Value::Null).await;
    for (query, expected) in [
        ("subscription {", "BAD_REQUEST"),
        ("subscription { nothing }", "BAD_REQUEST"),
        ("subscription { numbers }", "BAD_REQUEST"),
        ("subscription { numbers(upTo: 1) never }", "BAD_REQUEST"),
        ("{ hello }", "BAD_REQUEST"),
        ("mutation { work }", "BAD_REQUEST"),
        ("subscription { refused }", "QUEUE_NOT_ACTIVE"),
        (&bomb(26), "QUERY_TOO_COMPLEX"),
    ] {
        client.subscribe("a", query).await;
        let message = client.next().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("a")), "{query}");
        let extensions = &message["payload"][0]["extensions"];
        assert_eq!(extensions["code"], expected, "{query}: {message}");
        assert!(extensions["requestId"].is_string() && extensions["retryable"].is_boolean());
    }
    assert!(client.is_quiet().await, "no complete after an error");
    assert_eq!(server.metrics.subscriptions.get(), 0);
    assert_eq!(server.done.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_panic_ends_one_subscription_only() {
    let server = Server::start().await;
    let mut client = Client::ready(&server, Value::Null).await;
    client.subscribe("b", "subscription { never }").await;
    client.subscribe("a", "subscription { panics }").await;
    assert_eq!(client.next().await["type"], "next");
    let message = client.next().await;
    assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("a")));
    assert_eq!(message["payload"][0]["extensions"]["code"], "INTERNAL");
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.next().await, json!({"type": "pong"}));
    assert_eq!(server.metrics.subscriptions.get(), 1);
}

#[tokio::test]
async fn what_is_handed_over_goes_on_where_the_schema_ended() {
    let server = Server::start().await;
    let mut client = Client::ready(&server, Value::Null).await;
    let quoted = r#"a "quoted" id"#;
    client.subscribe(quoted, "subscription { relayed(upTo: 3) }").await;
    let next = |data: Value| json!({"type": "next", "id": quoted, "payload": {"data": data}});
    assert_eq!(client.next().await, next(json!({"relayed": 1})));
    for number in 2..=3 {
        assert_eq!(client.next().await, next(json!({"number": number, "beside": ""})));
    }
    assert_eq!(client.next().await, json!({"type": "complete", "id": quoted}));
    client.subscribe(quoted, "subscription { relayed(upTo: 1) }").await;
    assert_eq!(client.next().await, next(json!({"relayed": 1})));
    assert_eq!(client.next().await, json!({"type": "complete", "id": quoted}));
    until(|| server.metrics.subscriptions.get() == 0).await;
}

#[tokio::test]
async fn a_client_ends_what_was_handed_over() {
    let server = Server::start().await;
    let mut client = Client::ready(&server, Value::Null).await;
    client.subscribe("a", "subscription { newest }").await;
    assert_eq!(client.next().await["payload"]["data"]["newest"], 1);
    client.send(json!({"type": "complete", "id": "a"})).await;
    until(|| server.metrics.subscriptions.get() == 0).await;
    server.numbers.send_replace(2);
    assert!(client.is_quiet().await);
}

#[tokio::test]
async fn a_panic_in_what_was_handed_over_ends_that_subscription_only() {
    let server = Server::start().await;
    let mut client = Client::ready(&server, Value::Null).await;
    client.subscribe("b", "subscription { never }").await;
    client.subscribe("a", "subscription { relayed(upTo: 0) }").await;
    assert_eq!(client.next().await["type"], "next");
    let message = client.next().await;
    assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("a")));
    assert_eq!(message["payload"][0]["extensions"]["code"], "INTERNAL");
    assert!(!message.to_string().contains("secret"));
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.next().await, json!({"type": "pong"}));
    assert_eq!(server.metrics.subscriptions.get(), 1);
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_and_no_backlog() {
    const LAST: i32 = 400;
    let limits = Limits { send: Duration::from_secs(60), ..Limits::default() };
    let server = Server::with(limits, &[]).await;
    let mut client = Client::ready(&server, Value::Null).await;
    client.subscribe("a", "subscription { newest }").await;
    assert_eq!(client.next().await["payload"]["data"]["newest"], 1);
    for number in 2..=LAST {
        server.numbers.send_replace(number);
        sleep(Duration::from_millis(2)).await;
    }
    let mut read = 0;
    loop {
        let number = client.next().await["payload"]["data"]["number"].as_i64();
        read += 1;
        if number == Some(LAST.into()) {
            break;
        }
    }
    // What the system's buffers held was sent before; a hundred megabytes were not.
    assert!(read < LAST / 2, "{read} of {LAST} messages were kept");
}

#[tokio::test]
async fn breaking_the_protocol_closes_the_socket() {
    let server = Server::start().await;
    let init = json!({"type": "connection_init"}).to_string();
    let subscribe = json!({"type": "subscribe", "id": "a",
                           "payload": {"query": "subscription { never }"}})
    .to_string();
    let text = |text: &str| Message::text(text.to_owned());
    let big = json!({"type": "ping", "payload": "x".repeat(40 * 1024)}).to_string();
    for (messages, code) in [
        (vec![text("{")], 4400),
        (vec![text("[]")], 4400),
        (vec![text(&init), text(r#"{"type":"start"}"#)], 4400),
        (vec![text(&init), text(r#"{"type":"subscribe","id":"a"}"#)], 4400),
        (vec![Message::binary("{".to_owned())], 4400),
        (vec![Message::binary(vec![b'{', 0xff, b'}'])], 4400),
        (vec![Message::binary(init.clone()), Message::binary(init.clone())], 4429),
        (vec![text(&subscribe)], 4401),
        (vec![text(&init), text(&subscribe), text(&subscribe)], 4409),
        (vec![text(&init), text(&init)], 4429),
        (vec![text(&init), text(&big)], 1009),
    ] {
        let mut client = Client::connect(&server).await;
        for message in messages {
            client.0.send(message).await.unwrap();
        }
        assert_eq!(client.closed().await.0, code);
    }
    // A frame beyond what is read at all is told so too.
    let mut client = Client::connect(&server).await;
    client.0.send(Message::text("x".repeat(200 * 1024))).await.ok();
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn connection_init_has_to_come_in_time() {
    let limits = Limits { init: Duration::from_millis(100), ..Limits::default() };
    let server = Server::with(limits, &[]).await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.closed().await.0, 4408);
}

#[tokio::test]
async fn subscriptions_on_a_socket_are_limited() {
    let limits = Limits { subscriptions: 2, ..Limits::default() };
    let server = Server::with(limits, &[]).await;
    let mut client = Client::ready(&server, Value::Null).await;
    for id in ["a", "b", "c"] {
        client.subscribe(id, "subscription { never }").await;
    }
    let message = client.next().await;
    assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("c")));
    assert_eq!(message["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    client.send(json!({"type": "complete", "id": "a"})).await;
    client.subscribe("c", "subscription { numbers(upTo: 1) }").await;
    assert_eq!(client.next().await["type"], "next");
}

#[tokio::test]
async fn messages_of_a_client_are_limited() {
    let limits = Limits { frames_per_minute: 5, ..Limits::default() };
    let server = Server::with(limits, &[]).await;
    let mut client = Client::ready(&server, Value::Null).await;
    for _ in 0..5 {
        client.send(json!({"type": "ping"})).await;
    }
    assert_eq!(client.closed().await, (4429, "Too many messages".to_owned()));
}

#[tokio::test]
async fn a_silent_peer_is_dropped_and_a_living_one_is_not() {
    let limits = Limits {
        ping: Duration::from_millis(200),
        silence: Duration::from_secs(1),
        ..Limits::default()
    };
    let server = Server::with(limits, &[]).await;
    let mut living = Client::ready(&server, Value::Null).await;
    let silent = Client::ready(&server, Value::Null).await;
    assert_eq!(server.metrics.sockets.get(), 2);
    // Reading is what answers pings.
    let reading = timeout(Duration::from_millis(2_200), async {
        while !matches!(living.0.next().await, None | Some(Err(_) | Ok(Message::Close(_)))) {}
    });
    assert!(reading.await.is_err(), "the living one was dropped");
    assert_eq!(server.metrics.sockets.get(), 1);
    drop(silent);
}

#[tokio::test]
async fn a_reader_that_stops_is_dropped() {
    let limits = Limits { send: Duration::from_millis(200), ..Limits::default() };
    let server = Server::with(limits, &[]).await;
    let mut client = Client::ready(&server, Value::Null).await;
    client.subscribe("a", "subscription { flood }").await;
    until(|| server.metrics.sockets.get() == 0).await;
    assert_eq!(server.metrics.subscriptions.get(), 0);
}

#[tokio::test]
async fn only_our_protocol_is_spoken() {
    let server = Server::start().await;
    let mut client = Client::open(&server, &[]).await.unwrap();
    assert_eq!(client.closed().await.0, 4406);
    let legacy = Client::open(&server, &[("sec-websocket-protocol", "graphql-ws")]).await;
    assert!(legacy.is_err());
    let both = "graphql-ws, graphql-transport-ws";
    assert!(Client::open(&server, &[("sec-websocket-protocol", both)]).await.is_ok());
}

#[tokio::test]
async fn only_trusted_origins_may_connect() {
    let server = Server::with(Limits::default(), &["https://shop.example"]).await;
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    let (own, native) = (format!("http://{}", server.address), format!("WS://{}", server.address));
    for origin in [&own, &native, "https://shop.example", "wss://shop.example:443"] {
        assert!(Client::open(&server, &[protocol, ("origin", origin)]).await.is_ok(), "{origin}");
    }
    for origin in ["https://evil.example", "null"] {
        let answer = refused(&server, &[protocol, ("origin", origin)]).await;
        assert_eq!(answer.status().as_u16(), 403);
    }
    let answer = refused(&server, &[protocol, ("sec-websocket-version", "7")]).await;
    assert_eq!(answer.status().as_u16(), 400);
}

#[tokio::test]
async fn sockets_are_closed_on_shutdown() {
    let server = Server::start().await;
    let mut client = Client::ready(&server, Value::Null).await;
    client.subscribe("a", "subscription { never }").await;
    server.stopping.cancel();
    assert_eq!(client.closed().await.0, 1001);
    timeout(SOON, server.ended).await.unwrap().unwrap().unwrap();
}
