use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(5);
const COMPLETE: &str = "event: complete\ndata:\n\n";

/// An answer that goes on.
struct Events {
    answer: reqwest::Response,
    rest: String,
}

impl Events {
    async fn ask(server: &Server, body: Value, session: Option<&str>) -> reqwest::Response {
        let mut request = reqwest::Client::new()
            .post(server.url("/graphql"))
            .header("accept", "text/event-stream")
            .json(&body);
        if let Some(session) = session {
            request = request.header("authorization", format!("Bearer {session}"));
        }
        request.send().await.unwrap()
    }

    async fn open(server: &Server, query: &str, session: Option<&str>) -> Self {
        let answer = Self::ask(server, json!({ "query": query }), session).await;
        Self::of(answer)
    }

    fn of(answer: reqwest::Response) -> Self {
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        Self { answer, rest: String::new() }
    }

    /// The next event or remark, as it was written; nothing at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let event = format!("{event}\n\n");
                self.rest = rest.to_owned();
                return Some(event);
            }
            let part = timeout(SOON, self.answer.chunk()).await.expect("it goes on").unwrap();
            let Some(part) = part else {
                assert_eq!(self.rest, "", "an event breaks off");
                return None;
            };
            self.rest += std::str::from_utf8(&part).unwrap();
        }
    }

    /// The next result.
    async fn result(&mut self) -> Value {
        loop {
            let event = self.next().await.expect("a result");
            if let Some(data) = event.strip_prefix("event: next\ndata: ") {
                return serde_json::from_str(data).unwrap();
            }
            assert!(event.starts_with(':'), "{event}");
        }
    }

    async fn all(mut self) -> String {
        let mut all = String::new();
        while let Some(event) = self.next().await {
            all += &event;
        }
        all
    }
}

fn next(result: &Value) -> String {
    format!("event: next\ndata: {result}\n\n")
}

#[tokio::test]
async fn a_subscription_is_answered_by_a_stream_that_completes() {
    let server = Server::start().await;
    for (query, results) in [
        ("subscription { numbers(upTo: 2) }", vec![json!({"numbers": 1}), json!({"numbers": 2})]),
        ("subscription { numbers(upTo: 0) }", vec![]),
        (
            "subscription { relayed(upTo: 3) }",
            vec![
                json!({"relayed": 1}),
                json!({"beside": "", "number": 2}),
                json!({"beside": "", "number": 3}),
            ],
        ),
    ] {
        let told = Events::open(&server, query, None).await.all().await;
        let results: String = results.iter().map(|data| next(&json!({ "data": data }))).collect();
        assert_eq!(told, format!(":\n\n{results}{COMPLETE}"), "{query}");
    }
    until(|| server.metrics.subscriptions.get() == 0 && server.metrics.sockets.get() == 0).await;
}

#[tokio::test]
async fn queries_and_mutations_are_answered_by_one_event_where_nothing_else_is_taken() {
    let server = Server::start().await;
    for (query, data) in
        [("{ hello }", json!({"hello": "hello "})), ("mutation { work }", json!({"work": true}))]
    {
        let told = Events::open(&server, query, None).await.all().await;
        assert_eq!(told, next(&json!({ "data": data })) + COMPLETE);
    }
    assert_eq!(server.done.0.load(Ordering::SeqCst), 1);
    // As urql says with every request.
    let taken =
        "application/graphql-response+json, application/json, text/event-stream, multipart/mixed";
    let request = reqwest::Client::new().post(server.url("/graphql")).header("accept", taken);
    let answer = request.json(&json!({ "query": "{ hello }" })).send().await.unwrap();
    let content_type = answer.headers()["content-type"].to_str().unwrap();
    assert!(content_type.starts_with("application/graphql-response+json"), "{content_type}");
}

#[tokio::test]
async fn what_is_refused_is_told_by_an_accepted_stream() {
    let server = Server::start().await;
    for (query, expected) in [
        ("subscription {", "BAD_REQUEST"),
        ("subscription { nothing }", "BAD_REQUEST"),
        ("subscription { numbers }", "BAD_REQUEST"),
        ("subscription { numbers(upTo: 1) never }", "BAD_REQUEST"),
        ("{ nothing }", "BAD_REQUEST"),
        ("subscription { refused }", "QUEUE_NOT_ACTIVE"),
        (&bomb(26), "QUERY_TOO_COMPLEX"),
    ] {
        let mut events = Events::open(&server, query, None).await;
        let result = events.result().await;
        assert_eq!(code(&result), expected, "{query}: {result}");
        assert!(result["errors"][0]["extensions"]["requestId"].is_string());
        assert_eq!(events.all().await, COMPLETE, "{query}");
    }
    let mut events = Events::open(&server, "subscription { panics }", None).await;
    assert_eq!(events.result().await, json!({"data": {"panics": 1}}));
    let result = events.result().await;
    assert_eq!(code(&result), "INTERNAL");
    assert!(!result.to_string().contains("secret"));
    assert_eq!(events.all().await, COMPLETE);
    let mut events = Events::open(&server, "subscription { relayed(upTo: 0) }", None).await;
    assert_eq!(events.result().await, json!({"data": {"relayed": 1}}));
    assert_eq!(code(&events.result().await), "INTERNAL");
    assert_eq!(events.all().await, COMPLETE);
    until(|| server.metrics.subscriptions.get() == 0).await;
}

#[tokio::test]
async fn what_fails_as_http_is_told_as_http() {
    let server = Server::start().await;
    let client = reqwest::Client::new();
    let post = |body: &'static str| {
        client
            .post(server.url("/graphql"))
            .header("accept", "text/event-stream")
            .header("content-type", "application/json")
            .body(body)
    };
    for (request, status) in [
        (post("{"), 400),
        (post("").body("x".repeat(65 * 1024)), 413),
        (post("{}").header("content-encoding", "gzip"), 415),
        (
            client
                .get(server.url("/graphql?query=mutation{work}"))
                .header("accept", "text/event-stream"),
            405,
        ),
        (client.get(server.url("/graphql?query=subscription{never}")), 405),
        (
            client.post(server.url("/graphql")).json(&json!({"query": "subscription { never }"})),
            200,
        ),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/json"));
        assert_eq!(code(&answer.json::<Value>().await.unwrap()), "BAD_REQUEST", "{status}");
    }
    assert_eq!(server.done.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_session_of_the_request_names_the_caller_and_ends_the_stream() {
    let server = Server::start().await;
    let (person, token) = server.session(2);
    let answer = Events::ask(&server, json!({"query": "subscription { me }"}), Some(&token)).await;
    assert_eq!(answer.headers()["cache-control"], "private, no-store");
    assert_eq!(Events::of(answer).result().await["data"]["me"], person.to_string());
    let mut events = Events::open(&server, "subscription { me }", None).await;
    assert_eq!(events.result().await["data"]["me"], Value::Null);
    let mut events = Events::open(&server, "subscription { me }", Some("none")).await;
    assert_eq!(code(&events.result().await), "UNAUTHENTICATED");
    assert_eq!(events.all().await, COMPLETE);
    // Without a last word, so that its client asks again, with another session.
    let told = Events::open(&server, "subscription { never }", Some(&token)).await.all().await;
    assert_eq!(told, ":\n\n: Session expired\n\n");
}

#[tokio::test]
async fn streams_have_the_places_of_sockets() {
    let limits = Limits { sockets_per_person: 2, sockets_per_address: 3, ..Limits::default() };
    let server = Server::with(limits, &[]).await;
    let ((_, one), (_, other)) = (server.session(60), server.session(60));
    let never = || json!({"query": "subscription { never }"});
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(Events::of(Events::ask(&server, never(), Some(&one)).await));
    }
    assert_eq!(server.metrics.sockets.get(), 2);
    let refused = Events::ask(&server, never(), Some(&one)).await;
    assert_eq!(
        (refused.status().as_u16(), refused.headers()["retry-after"].as_bytes()),
        (429, "1".as_bytes())
    );
    assert_eq!(code(&refused.json::<Value>().await.unwrap()), "RATE_LIMITED");
    open.push(Events::of(Events::ask(&server, never(), Some(&other)).await));
    assert_eq!(Events::ask(&server, never(), None).await.status().as_u16(), 429);
    // Who hangs up makes room, and so does what is over.
    drop(open.pop());
    until(|| server.metrics.sockets.get() == 2 && server.metrics.subscriptions.get() == 2).await;
    let numbers = Events::open(&server, "subscription { numbers(upTo: 1) }", None).await;
    assert!(numbers.all().await.ends_with(COMPLETE));
    until(|| server.metrics.sockets.get() == 2).await;
    open.push(Events::of(Events::ask(&server, never(), None).await));
    drop(open);
    until(|| server.metrics.sockets.get() == 0 && server.metrics.subscriptions.get() == 0).await;
}

#[tokio::test]
async fn a_stream_says_that_it_is_there_and_grows_old() {
    let limits = Limits {
        ping: Duration::from_millis(50),
        socket_age: Duration::from_secs(1),
        ..Limits::default()
    };
    let server = Server::with(limits, &[]).await;
    let told = Events::open(&server, "subscription { never }", None).await.all().await;
    let (said, last) = told.split_at(told.rfind(": ").unwrap());
    assert_eq!(last, ": The stream is old; connect again\n\n");
    assert!(said.len() > 4 * ":\n\n".len() && said.replace(":\n\n", "").is_empty(), "{told:?}");
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let server = Server::start().await;
    let mut events = Events::open(&server, "subscription { relayed(upTo: 1) }", None).await;
    events.result().await;
    let mut never = Events::open(&server, "subscription { never }", None).await;
    assert_eq!(never.next().await.as_deref(), Some(":\n\n"));
    server.stopping.cancel();
    assert_eq!(never.all().await, ": The server is shutting down\n\n");
    timeout(SOON, server.ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn only_pages_of_trusted_origins_may_subscribe() {
    let server = Server::with(Limits::default(), &["https://shop.example"]).await;
    let own = format!("http://{}", server.address);
    let client = reqwest::Client::new();
    // As a browser's EventSource asks, of which a page elsewhere needs no leave.
    let ask = |origin: &str| {
        let url = server.url("/graphql?query=subscription{numbers(upTo:1)}");
        client.get(url).header("accept", "text/event-stream").header("origin", origin).send()
    };
    for origin in [own.as_str(), "https://shop.example"] {
        let told = Events::of(ask(origin).await.unwrap()).all().await;
        assert!(told.ends_with(COMPLETE), "{origin}: {told}");
    }
    for origin in ["https://evil.example", "null"] {
        let answer = ask(origin).await.unwrap();
        assert_eq!(answer.status().as_u16(), 403, "{origin}");
        assert_eq!(code(&answer.json::<Value>().await.unwrap()), "FORBIDDEN");
    }
    assert_eq!(server.metrics.sockets.get(), 0);
}

#[tokio::test]
async fn a_slow_reader_of_a_stream_gets_the_newest_and_no_backlog() {
    const LAST: i32 = 400;
    let limits = Limits { write: Duration::from_secs(60), ..Limits::default() };
    let server = Server::with(limits, &[]).await;
    let mut events = Events::open(&server, "subscription { newest }", None).await;
    assert_eq!(events.result().await["data"]["newest"], 1);
    for number in 2..=LAST {
        server.numbers.send_replace(number);
        sleep(Duration::from_millis(2)).await;
    }
    let mut read = 0;
    loop {
        let number = events.result().await["data"]["number"].as_i64();
        read += 1;
        if number == Some(LAST.into()) {
            break;
        }
    }
    // What the system's buffers held was sent before; a hundred megabytes were not.
    assert!(read < LAST / 2, "{read} of {LAST} messages were kept");
}

#[tokio::test]
async fn a_reader_of_a_stream_who_stops_is_dropped() {
    let limits = Limits { write: Duration::from_millis(500), ..Limits::default() };
    let server = Server::with(limits, &[]).await;
    let events = Events::open(&server, "subscription { flood }", None).await;
    until(|| server.metrics.sockets.get() == 0 && server.metrics.subscriptions.get() == 0).await;
    drop(events);
}
