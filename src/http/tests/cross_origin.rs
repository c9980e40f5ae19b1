use super::*;

/// Asks as a browser does before it sends what a form could not send.
async fn preflight(server: &Server, origin: &str, headers: &str) -> reqwest::Response {
    reqwest::Client::new()
        .request(reqwest::Method::OPTIONS, server.url("/graphql"))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", headers)
        .send()
        .await
        .unwrap()
}

fn allowed<'a>(answer: &'a reqwest::Response, what: &str) -> Option<&'a str> {
    let name = format!("access-control-allow-{what}");
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn other_origins_need_to_be_allowed() {
    let usual = "authorization,content-type";
    let server = Server::start().await;
    let answer = preflight(&server, "https://shop.example", usual).await;
    assert_eq!((answer.status().as_u16(), allowed(&answer, "origin")), (405, None));
    let server = Server::with(Limits::default(), &[" https://Shop.example:443/", ""]).await;
    let answer = preflight(&server, "https://shop.example", usual).await;
    assert_eq!(allowed(&answer, "origin"), Some("https://shop.example"));
    let answer = preflight(&server, "https://evil.example", usual).await;
    assert_eq!((allowed(&answer, "origin"), allowed(&answer, "headers")), (None, None));
    assert_eq!(answer.headers()["vary"], "origin");
    let server = Server::with(Limits::default(), &["*"]).await;
    let answer = preflight(&server, "https://any.example", usual).await;
    assert_eq!(allowed(&answer, "origin"), Some("*"));
}

#[tokio::test]
async fn an_allowed_page_may_send_the_headers_that_its_libraries_add() {
    let server = Server::with(Limits::default(), &["https://shop.example"]).await;
    for headers in [
        "apollographql-client-name,apollographql-client-version,authorization,content-type",
        "baggage,content-type,sentry-trace,traceparent",
        "x-something-of-next-year",
    ] {
        let answer = preflight(&server, "https://shop.example", headers).await;
        assert_eq!((answer.status().as_u16(), allowed(&answer, "headers")), (204, Some(headers)));
        assert_eq!(allowed(&answer, "methods"), Some("GET, POST"));
        assert_eq!(answer.headers()["access-control-max-age"], "3600");
    }
}

#[tokio::test]
async fn an_allowed_page_can_read_every_answer() {
    let origin = "https://shop.example";
    let limits = Limits { waiting_bytes: 100_000, ..Limits::default() };
    let server = Server::with(limits, &[origin]).await;
    let client = reqwest::Client::new();
    let post = |body: String| {
        client
            .post(server.url("/graphql"))
            .header("content-type", "application/json")
            .header("accept", "application/graphql-response+json")
            .body(body)
    };
    let ask = |query: &str| post(json!({ "query": query }).to_string());
    for (request, status) in [
        (ask("{ hello }"), 200),
        (ask("{"), 400),
        (ask("{ hello }").header("authorization", "Bearer none"), 401),
        (ask("{ panics }"), 500),
        (ask("{ large(bytes: 200000) }"), 503),
        (ask("{ hello }").header("upgrade", "a").header("upgrade", "b"), 400),
        (post("x".repeat(65 * 1024)), 413),
        (client.get(server.url("/broken")), 500),
        (client.get(server.url("/nowhere")), 404),
        (client.put(server.url("/graphql")), 405),
        (client.get(server.url("/health/live")), 200),
    ] {
        let answer = request.header("origin", origin).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(allowed(&answer, "origin"), Some(origin), "{status}");
        assert!(answer.headers().get_all("vary").iter().any(|vary| vary == "origin"), "{status}");
        let exposed = answer.headers().get_all("access-control-expose-headers").iter();
        assert!(exposed.into_iter().any(|name| name == "retry-after"), "{status}");
    }
    let answer = ask("{ hello }").header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), allowed(&answer, "origin")), (200, None));
}
