use super::*;

#[tokio::test]
async fn a_query_may_be_asked_for_by_get() {
    let server = Server::start().await;
    let (person, token) = server.session(60);
    let client = reqwest::Client::new();
    let query = "query=query+q($n:String){hello(name:$n)+me}&variables=%7B%22n%22%3A%22you%22%7D&operationName=q&op=q";
    let ask =
        |accept| client.get(server.url(&format!("/graphql?{query}"))).header("accept", accept);
    for accept in ["application/json", "application/graphql-response+json"] {
        let answer = ask(accept).send().await.unwrap();
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with(accept));
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["cache-control"].as_bytes()),
            (200, "no-store".as_bytes())
        );
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer, json!({"data": {"hello": "hello you", "me": null}}));
        let answer = ask(accept).header("authorization", format!("Bearer {token}"));
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "private, no-store");
        assert_eq!(answer.json::<Value>().await.unwrap()["data"]["me"], person.to_string());
    }
    let head = client.head(server.url("/graphql?query={hello}")).send().await.unwrap();
    assert_eq!(head.status().as_u16(), 200);
    assert_eq!(head.text().await.unwrap(), "");
    let (status, answer) = {
        let refused = client.get(server.url("/graphql?query={hello"));
        let refused = refused.header("accept", "application/graphql-response+json");
        let refused = refused.send().await.unwrap();
        (refused.status().as_u16(), refused.json::<Value>().await.unwrap())
    };
    assert_eq!((status, code(&answer)), (400, "BAD_REQUEST"));
}

#[tokio::test]
async fn whatever_is_asked_for_by_get_changes_nothing() {
    let server = Server::start().await;
    let (_, token) = server.session(60);
    let client = reqwest::Client::new();
    for query in
        ["mutation{work}", "mutation+a{work}query+b{hello}&operationName=a", "subscription{never}"]
    {
        for accept in ["application/json", "application/graphql-response+json", "*/*"] {
            for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
                let answer = client
                    .request(method.clone(), server.url(&format!("/graphql?query={query}")))
                    .header("accept", accept)
                    .header("authorization", format!("Bearer {token}"))
                    .send()
                    .await
                    .unwrap();
                assert_eq!(answer.status().as_u16(), 405, "{method} {query} {accept}");
                assert_eq!(answer.headers()["allow"], "POST");
                if method == reqwest::Method::GET {
                    let answer: Value = answer.json().await.unwrap();
                    assert_eq!((code(&answer), answer.get("data")), ("BAD_REQUEST", None));
                }
            }
        }
    }
    let chosen =
        client.get(server.url("/graphql?query=mutation+a{work}query+b{hello}&operationName=b"));
    assert_eq!(chosen.send().await.unwrap().status().as_u16(), 200);
    assert_eq!(server.done.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_a_session_was_told_is_kept_nowhere() {
    let server = Server::start().await;
    let (_, token) = server.session(60);
    let client = reqwest::Client::new();
    for (session, query, kept) in [
        (Some(format!("Bearer {token}")), "{ me }", "private, no-store"),
        (Some(format!("Bearer {token}")), "{", "private, no-store"),
        (Some("Bearer none".to_owned()), "{ me }", "private, no-store"),
        (Some(String::new()), "{ me }", "no-store"),
        (Some("Bearer".to_owned()), "{ me }", "no-store"),
        (None, "{ me }", "no-store"),
    ] {
        let mut request = client.post(server.url("/graphql")).json(&json!({ "query": query }));
        if let Some(session) = session {
            request = request.header("authorization", session);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], kept, "{query}");
    }
}
