use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

#[tokio::test]
async fn a_query_is_answered_in_the_type_that_was_asked_for() {
    let server = Server::start().await;
    let body = json!({"query": "query q($n: String) { hello(name: $n) }", "variables": {"n": "you"},
                      "operationName": "q", "extensions": {}});
    for accept in ["application/json", "application/graphql-response+json"] {
        let answer = server.post_as(None, accept, body.clone()).await;
        assert_eq!(answer, (200, json!({"data": {"hello": "hello you"}})));
    }
}

#[tokio::test]
async fn values_are_what_the_specification_says() {
    let server = Server::start().await;
    for (literal, name) in
        [(r#""\uD83C\uDFB5""#, "🎵"), (r#""\u{1F3B5}""#, "🎵"), (r#""""a \""" b""""#, r#"a """ b"#)]
    {
        let answer = server.query(&format!("{{ hello(name: {literal}) }}")).await;
        assert_eq!(answer, (200, json!({"data": {"hello": format!("hello {name}")}})), "{literal}");
    }
    let double = async |query: &str, number: &str| {
        let body = format!(r#"{{"query":"{query}","variables":{{"n":{number}}}}}"#);
        let request = reqwest::Client::new().post(server.url("/graphql"));
        let request = request.header("content-type", "application/json").body(body);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    for number in ["1000", "1000.0", "1e3", "1.0E+3"] {
        let answer = double("query($n:Int!){double(number:$n)}", number).await;
        assert_eq!(answer, json!({"data": {"double": 2000}}), "{number}");
    }
    for number in ["1000.5", "1e-3", "1e10"] {
        let answer = double("query($n:Int!){double(number:$n)}", number).await;
        assert_eq!(code(&answer), "BAD_REQUEST", "{number}");
    }
    // In a document, where a whole number is written as one, it has to be.
    for (number, expected) in [("1000.0", "BAD_REQUEST"), ("1e3", "BAD_REQUEST"), ("-0", "none")] {
        let (_, answer) = server.query(&format!("{{ double(number: {number}) }}")).await;
        assert_eq!(code(&answer), expected, "{number}");
    }
}

#[tokio::test]
async fn a_refused_request_has_errors_only_and_a_status_where_the_type_has_one() {
    let server = Server::start().await;
    for (query, expected) in [
        ("{", "BAD_REQUEST"),
        ("{ nothing }", "BAD_REQUEST"),
        ("{ double }", "BAD_REQUEST"),
        ("{ double(number: \"one\") }", "BAD_REQUEST"),
        ("query q($n: Int!) { double(number: $n) }", "BAD_REQUEST"),
        ("{ hello ...nowhere }", "BAD_REQUEST"),
        ("{ hello } fragment f on Query { hello }", "BAD_REQUEST"),
        ("subscription { never }", "BAD_REQUEST"),
        ("mutation { work panics }", "BAD_REQUEST"),
        ("mutation { ...f } fragment f on Mutation { a: work b: work }", "BAD_REQUEST"),
        (&bomb(26), "QUERY_TOO_COMPLEX"),
        (&format!("{}hello{}", "{nested".repeat(25), "}".repeat(25)), "QUERY_TOO_COMPLEX"),
    ] {
        let (status, answer) = server.query(query).await;
        assert_eq!((status, code(&answer)), (400, expected), "{query}: {answer}");
        assert!(answer.get("data").is_none(), "{answer}");
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions["retryable"], false);
        assert!(extensions["requestId"].is_string());
        let json = json!({ "query": query });
        let (status, answer) = server.post_as(None, "application/json", json).await;
        assert_eq!((status, code(&answer)), (200, expected), "{query}: {answer}");
        assert!(answer.get("data").is_none(), "{answer}");
    }
    assert_eq!(server.done.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_resolvers_refusal_is_a_result() {
    let server = Server::start().await;
    let (status, answer) = server.query("{ refused }").await;
    assert_eq!((status, code(&answer)), (200, "FORBIDDEN"));
    assert_eq!(answer.get("data"), Some(&Value::Null));
    assert_eq!(answer["errors"][0]["path"], json!(["refused"]));
}

#[tokio::test]
async fn bad_http_is_told_in_the_same_model() {
    let server = Server::start().await;
    let client = reqwest::Client::new();
    let post = |content_type: &'static str, body: &'static str| {
        client.post(server.url("/graphql")).header("content-type", content_type).body(body)
    };
    let good = r#"{"query":"{hello}"}"#;
    let json = "application/json";
    for (request, status) in [
        (client.get(server.url("/graphql")), 400),
        (client.get(server.url("/graphql?query={hello}&query={hello}")), 400),
        (client.get(server.url("/graphql?query=%ff")), 400),
        (client.get(server.url("/graphql?query={hello}&variables=[]")), 400),
        (client.get(server.url("/graphql?query=mutation{work}")), 405),
        (client.get(server.url("/graphql?query={hello}")).header("accept", "text/html"), 406),
        (client.put(server.url("/graphql")), 405),
        (client.post(server.url("/health/live")), 405),
        (client.get(server.url("/nowhere")), 404),
        (client.get(server.url("/graphiql/nowhere.js")), 404),
        (client.get(server.url("/broken")), 500),
        (client.post(server.url("/graphql")).body(good), 415),
        (post("text/plain", good), 415),
        (post("application/json; charset=latin1", good), 415),
        (post(json, good).header("content-encoding", "gzip"), 415),
        (post(json, good).header("accept", "multipart/mixed"), 406),
        (post(json, ""), 400),
        (post(json, "{"), 400),
        (post(json, "{}"), 400),
        (post(json, r#"[{"query":"{hello}"}]"#), 400),
        (post(json, r#"["{hello}", null, {}]"#), 400),
        (post(json, r#"{"query":7}"#), 400),
        (post(json, r#"{"query":"{hello}","variables":[]}"#), 400),
        (post(json, r#"{"query":"{hello}","variables":"{}"}"#), 400),
        (post(json, r#"{"query":"{hello}","operationName":1}"#), 400),
        (post(json, r#"{"query":"{hello}","extensions":[]}"#), 400),
        (post(json, "").body("x".repeat(65 * 1024)), 413),
        (post(json, "").body(reqwest::Body::from("[".repeat(60_000))), 400),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let allow = answer.headers().get("allow").cloned();
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let text = answer.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["errors"][0]["extensions"]["requestId"], id, "{status}: {text}");
        assert!(!text.contains("secret"));
        assert_eq!(allow.is_some(), status == 405);
    }
}

#[tokio::test]
async fn a_header_that_says_one_thing_may_be_there_once() {
    let server = Server::start().await;
    let body = r#"{"query":"{ hello }"}"#;
    let asked = async |more: &str| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!(
            "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n{more}\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    for more in [
        "",
        "accept: */*\r\naccept: application/json\r\n",
        "x-request-id: a-1\r\nx-request-id: b-1\r\n",
    ] {
        let answer = asked(more).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{more}: {answer}");
        assert!(
            !answer.contains("x-request-id: a-1") && !answer.contains("x-request-id: b-1"),
            "{answer}"
        );
    }
    for (more, name) in [
        ("host: y\r\n", "host"),
        ("host: x\r\n", "host"),
        ("Content-Type: text/plain\r\n", "content-type"),
        ("content-type: application/json\r\n", "content-type"),
        ("origin: http://a\r\nOrigin: http://b\r\n", "origin"),
        ("upgrade: websocket\r\nupgrade: h2c\r\n", "upgrade"),
        ("sec-websocket-key: a\r\nsec-websocket-key: b\r\n", "sec-websocket-key"),
    ] {
        let answer = asked(more).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{more}: {answer}");
        assert!(answer.contains(&format!("The header {name} may be there once only.")), "{answer}");
        assert!(answer.contains(r#""code":"BAD_REQUEST""#), "{answer}");
    }
    let twice = asked("content-length: 5\r\n").await;
    assert!(twice.starts_with("HTTP/1.1 400"), "{twice}");
    let twice = asked("authorization: Bearer a\r\nauthorization: Bearer b\r\n").await;
    assert!(twice.contains("UNAUTHENTICATED"), "{twice}");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_limited_too() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    for _ in 0..3 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let limits = Limits { body: Duration::from_millis(100), ..Limits::default() };
    let server = Server::with(limits, &[]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_session_names_the_caller() {
    let server = Server::start().await;
    let (person, token) = server.session(60);
    let (_, ended) = server.session(-1);
    let query = json!({"query": "{ me }"});
    let graphql = "application/graphql-response+json";
    for (session, expected) in [
        (None, Value::Null),
        (Some(String::new()), Value::Null),
        (Some("Bearer".to_owned()), Value::Null),
        (Some("bearer ".to_owned()), Value::Null),
        (Some(format!("Bearer {token}")), json!(person.to_string())),
        (Some(format!("bearer  {token}")), json!(person.to_string())),
    ] {
        let (status, answer) = server.post_as(session.as_deref(), graphql, query.clone()).await;
        assert_eq!((status, &answer["data"]["me"]), (200, &expected));
    }
    for session in [
        format!("Bearer {ended}"),
        format!("Bearer {token}x"),
        format!("Basic {token}"),
        token.clone(),
        "Basic".to_owned(),
        "Bearer undefined".to_owned(),
        format!("Bearer {}", "x".repeat(6_000)),
    ] {
        let (status, answer) = server.post_as(Some(&session), graphql, query.clone()).await;
        assert_eq!((status, code(&answer)), (401, "UNAUTHENTICATED"));
        assert!(answer.get("data").is_none());
        let (status, answer) =
            server.post_as(Some(&session), "application/json", query.clone()).await;
        assert_eq!((status, code(&answer)), (200, "UNAUTHENTICATED"));
    }
}

#[tokio::test]
async fn a_panic_is_one_requests_affair() {
    let server = Server::start().await;
    for query in ["{ panics }", "mutation { panics }"] {
        let (status, answer) = server.query(query).await;
        assert_eq!((status, code(&answer)), (500, "INTERNAL"));
        assert!(!answer.to_string().contains("secret"));
    }
    assert_eq!(server.query("{ hello }").await.0, 200);
}

#[tokio::test]
async fn a_query_may_not_run_for_ever() {
    let limits = Limits { request: Duration::from_millis(50), ..Limits::default() };
    let server = Server::with(limits, &[]).await;
    let (status, answer) = server.query("{ slow }").await;
    assert_eq!((status, code(&answer)), (503, "OVERLOADED"));
    assert_eq!(answer["errors"][0]["extensions"]["retryAfterSeconds"], 1);
    // Longer than the limit, but a mutation.
    assert_eq!(server.query("mutation { work }").await.1, json!({"data": {"work": true}}));
}

#[tokio::test]
async fn a_mutation_runs_to_its_end_though_the_client_hangs_up() {
    let server = Server::start().await;
    let body = r#"{"query":"mutation { work }"}"#;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    drop(stream);
    assert_eq!(server.done.0.load(Ordering::SeqCst), 0);
    until(|| server.done.0.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn answers_to_bad_requests_stay_short() {
    let server = Server::start().await;
    let fields = (0..900).map(|n| format!("unknown{n} ")).collect::<String>();
    let (_, answer) = server.query(&format!("{{ {fields} }}")).await;
    assert_eq!(answer["errors"].as_array().unwrap().len(), 10);
    let (_, answer) = server.query(&format!("{{ {} }}", "x".repeat(15_000))).await;
    assert!(answer.to_string().len() < 1_000);
    let (_, answer) = server.query(&format!("{{ hello {} !", "secret ".repeat(2_000))).await;
    assert!(!answer.to_string().contains("secret"));
}

#[tokio::test]
async fn requests_have_ids() {
    let server = Server::start().await;
    let client = reqwest::Client::new();
    let ask = async |id: &str| {
        let answer = client.get(server.url("/health/live")).header("x-request-id", id).send();
        answer.await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(ask("edge-1.2_3:4").await, "edge-1.2_3:4");
    for unsafe_id in ["a b", "<script>", &"x".repeat(65), ""] {
        let id = ask(unsafe_id).await;
        assert!(id != unsafe_id && id.len() == 32, "{id}");
    }
}

#[tokio::test]
async fn graphiql_and_the_pages_for_machines_are_served() {
    let server = Server::start().await;
    let client = reqwest::Client::new();
    let get = async |path: &str| client.get(server.url(path)).send().await.unwrap();
    let page = get("/").await;
    assert_eq!(page.url().path(), "/graphiql");
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("worker-src"));
    assert!(page.text().await.unwrap().contains("/graphiql/graphiql.js"));
    let files = ["graphiql.js", "graphiql.css", "editor.worker.js", "json.worker.js"];
    for file in files.into_iter().chain(["graphql.worker.js"]) {
        let answer = get(&format!("/graphiql/{file}")).await;
        assert_eq!(answer.headers()["content-encoding"], "gzip", "{file}");
        let etag = answer.headers()["etag"].clone();
        let again = client.get(server.url(&format!("/graphiql/{file}")));
        let again = again.header("if-none-match", etag).send().await.unwrap();
        assert_eq!(again.status().as_u16(), 304);
    }
    assert_eq!(get("/health/live").await.status().as_u16(), 200);
    server.query("query named { hello }").await;
    server.query("{").await;
    let metrics = get("/metrics").await;
    let content_type = metrics.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(content_type.starts_with("application/openmetrics-text"));
    let metrics = metrics.text().await.unwrap();
    for line in [
        r#"frontrow_requests_total{kind="query",code="ok"} 1"#,
        r#"frontrow_requests_total{kind="unknown",code="BAD_REQUEST"} 1"#,
        "frontrow_request_seconds_count 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

/// Opens a connection and announces a body of this many bytes.
async fn announced(server: &Server, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads one whole answer; its status line.
async fn answered(stream: &mut TcpStream) -> String {
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.unwrap();
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    head.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn who_is_refused_before_the_body_has_arrived_can_send_it_and_go_on() {
    let server = Server::start().await;
    let mut stream = announced(&server, 300 * 1024).await;
    assert_eq!(answered(&mut stream).await, "HTTP/1.1 413 Payload Too Large");
    for _ in 0..300 {
        stream.write_all(&[b' '; 1024]).await.unwrap();
    }
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(answered(&mut stream).await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn nobody_is_listened_to_for_ever() {
    let server = Server::start().await;
    let mut stream = announced(&server, 1 << 30).await;
    assert_eq!(answered(&mut stream).await, "HTTP/1.1 413 Payload Too Large");
    let piece = vec![b' '; 64 * 1024];
    let mut sent = 0;
    while sent < 1 << 30 && stream.write_all(&piece).await.is_ok() {
        sent += piece.len();
    }
    assert!(sent < 1 << 27, "{sent} bytes were taken");
}
