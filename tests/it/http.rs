//! The edge as operators, browsers and clients meet it: pages, limits, and the errors that are not data.

mod codes;
mod event_stream;
mod health;
mod hostile;
mod persisted;
mod webhooks;

use serde_json::{Value, json};

use crate::{
    schema::METRICS,
    support::{
        eventually,
        shop::{self, Setup},
        socket::Pushed,
        world::{Instance, World},
    },
};

fn url(instance: &Instance, path: &str) -> String {
    format!("http://{}{path}", instance.address)
}

/// A client that goes where it is told to, and no further.
fn browser() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// A document of less than a kilobyte that spreads into 2^levels fields.
fn bomb(root: &str, levels: usize) -> String {
    let mut text = format!("{root} {{ ...f0 }}");
    for level in 0..levels {
        text += &format!(" fragment f{level} on Query {{ ...f{n} ...f{n} }}", n = level + 1);
    }
    text + &format!(" fragment f{levels} on Query {{ __typename }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_declared_and_count() {
    let world = World::new().await;
    let instance = world.instance_with(&["--audit-every=1"]).await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let fan = shop::fan(&world, &instance).await;
    let token = fan.admitted(&show.id).await;
    let mut watch = fan.watch_queue(&show.id).await;
    watch.field().await;
    fan.hold(&show.id, "x", &token).await;
    let held = fan.held(&show.id, &show.seats[0], &token).await;
    fan.charge(1_000, "c").await;
    fan.pay(held["id"].as_str().unwrap(), 1_000, "p").await;
    let leaver = shop::fan(&world, &instance).await;
    leaver.enter(&show.id).await;
    leaver.leave(&show.id).await;
    fan.send("{ nothing }", json!({})).await;

    eventually("an audit", async || {
        instance.app.metrics.render().contains("frontrow_audit_faults{").then_some(())
    })
    .await;
    let answer = fan.http.get(url(&instance, "/metrics")).send().await.unwrap();
    assert!(header(&answer, "content-type").starts_with("application/openmetrics-text"));
    let text = answer.text().await.unwrap();
    for (name, kind) in METRICS {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is missing:\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let value = |line: &str| -> f64 {
        let found = text.lines().find_map(|told| told.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("{line} is missing:\n{text}")).parse().unwrap()
    };
    for (line, least) in [
        ("frontrow_requests_total{kind=\"mutation\",code=\"ok\"}", 6.0),
        ("frontrow_requests_total{kind=\"query\",code=\"BAD_REQUEST\"}", 1.0),
        ("frontrow_request_seconds_count", 8.0),
        ("frontrow_sockets", 1.0),
        ("frontrow_queue_entered_total", 1.0),
        ("frontrow_queue_admitted_total", 1.0),
        ("frontrow_queue_ended_total{status=\"EXPIRED\"}", 1.0),
        ("frontrow_journal_batch_count", 1.0),
        ("frontrow_holds_total{outcome=\"ok\"}", 1.0),
        ("frontrow_holds_total{outcome=\"refused\"}", 1.0),
        ("frontrow_payments_total{outcome=\"ok\"}", 1.0),
    ] {
        assert!(value(line) >= least, "{line} {}", value(line));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_id_in_the_header_and_in_its_errors() {
    let world = World::new().await;
    let instance = world.instance().await;
    let ask = async |id: Option<&str>| {
        let mut request =
            browser().post(url(&instance, "/graphql")).json(&json!({ "query": "{ me { id } }" }));
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let answer = request.send().await.unwrap();
        let told = header(&answer, "x-request-id").to_owned();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["errors"][0]["extensions"]["requestId"], told.as_str());
        told
    };
    assert_eq!(ask(Some("trace-1.a:b_c")).await, "trace-1.a:b_c");
    let (one, other) = (ask(None).await, ask(None).await);
    assert!(one.len() == 32 && one != other, "{one} {other}");
    for unfit in ["", "a b", "<script>", &"x".repeat(65)] {
        assert_ne!(ask(Some(unfit)).await, unfit);
    }
    let answer = browser().get(url(&instance, "/nowhere")).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let told = header(&answer, "x-request-id").to_owned();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["errors"][0]["extensions"]["requestId"], told.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn graphiql_can_be_left_out() {
    let world = World::new().await;
    let instance = world.instance_with(&["--graphiql=false"]).await;
    for path in ["/", "/graphiql", "/graphiql/", "/graphiql/graphiql.js", "/graphiql/index.html"] {
        let answer = browser().get(url(&instance, path)).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    assert_eq!(instance.client().data("{ __typename }", json!({})).await["__typename"], "Query");
    let ready = browser().get(url(&instance, "/health/ready")).send().await.unwrap();
    assert_eq!(ready.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn graphiql_is_served_by_us_alone() {
    let world = World::new().await;
    let instance = world.instance().await;
    let browser = browser();
    let get = async |path: &str| browser.get(url(&instance, path)).send().await.unwrap();
    let root = get("/").await;
    assert!(root.status().is_redirection());
    assert_eq!(header(&root, "location"), "/graphiql");

    let page = get("/graphiql").await;
    assert_eq!(
        (page.status().as_u16(), header(&page, "content-type")),
        (200, "text/html; charset=utf-8")
    );
    let policy = header(&page, "content-security-policy");
    assert!(
        policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(
        !policy.contains("http:") && !policy.contains("https:") && !policy.contains("unsafe-eval"),
        "{policy}"
    );
    assert_eq!(header(&page, "x-content-type-options"), "nosniff");
    let html = page.text().await.unwrap();
    assert!(!html.contains("http://") && !html.contains("https://"), "{html}");
    let named: Vec<&str> = html
        .split(['"', '\''])
        .filter(|text| text.ends_with(".js") || text.ends_with(".css"))
        .collect();
    assert!(named.len() >= 2, "{html}");
    let workers = ["editor.worker.js", "json.worker.js", "graphql.worker.js"];
    let workers = workers.map(|name| format!("/graphiql/{name}"));
    for path in named.into_iter().chain(workers.iter().map(String::as_str)) {
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/graphiql/{}", path.trim_start_matches("./"))
        };
        let path = path.replace("/graphiql/graphiql/", "/graphiql/");
        let file = get(&path).await;
        assert_eq!(file.status(), 200, "{path}");
        assert_eq!(header(&file, "content-encoding"), "gzip", "{path}");
        assert!(header(&file, "content-type").ends_with("charset=utf-8"), "{path}");
        let etag = header(&file, "etag").to_owned();
        let again =
            browser.get(url(&instance, &path)).header("if-none-match", etag).send().await.unwrap();
        assert_eq!(again.status(), 304, "{path}");
    }
    for path in
        ["/graphiql/nothing.js", "/graphiql/..%2f..%2fCargo.toml", "/graphiql/%2e%2e/Cargo.toml"]
    {
        assert_eq!(get(path).await.status(), 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_query_passes_and_an_abusive_one_does_not() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let fan = shop::fan(&world, &instance).await;
    let honest = "query Home($concert: ID!) {
        me { id name email role }
        balance
        concerts(first: 20) {
            nodes { id title artist venue timeZone
                    schedules { id startsAt status remainingSeats salesOpenAt waitingRoom { status waitingCount }
                                grades { grade price total remaining } } }
            pageInfo { hasNextPage endCursor }
        }
        concert(id: $concert) { title schedules { id grades { grade remaining } } }
        reservations(first: 10) {
            nodes { id status totalPrice expiresAt remainingSeconds
                    seats { section row number grade price } payment { status amount }
                    schedule { id startsAt concert { title venue } } }
            pageInfo { hasNextPage endCursor }
        }
    }";
    let data = fan.data(honest, json!({ "concert": show.concert_id })).await;
    assert_eq!(data["concerts"]["nodes"][0]["schedules"][0]["id"], show.id.as_str());

    let aliases: String = (0..31).map(|n| format!("a{n}: __typename ")).collect();
    let deep = format!(
        "{{ concerts {{ nodes {{ schedules {{ {}id{} }} }} }} }}",
        "concert { schedules { ".repeat(8),
        " } }".repeat(8)
    );
    for (what, query) in [
        ("pages", format!("{{ concerts(first: 100) {{ nodes {{ {} }} }} }}", "id ".repeat(80))),
        ("deep", deep),
        ("aliases", format!("{{ {aliases} }}")),
        ("fields", format!("{{ {} }}", "__typename ".repeat(1_001))),
        ("fragments in fragments", bomb("query", 26)),
        ("directives", format!("{{ __typename {} }}", "@include(if: true) ".repeat(60))),
    ] {
        let started = std::time::Instant::now();
        let answer = fan.send(&query, json!({})).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX",
            "{what}: {answer}"
        );
        assert!(answer.get("data").is_none_or(Value::is_null), "{what}");
        assert!(started.elapsed().as_millis() < 1_000, "{what} took {:?}", started.elapsed());
    }
    let mut socket = fan
        .subscribe(&bomb("subscription", 26).replace("on Query", "on Subscription"), json!({}))
        .await;
    let Pushed::Error(errors) = socket.next().await else { panic!("the bomb went through") };
    assert_eq!(errors[0]["extensions"]["code"], "QUERY_TOO_COMPLEX");
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_shows_the_schema() {
    let world = World::new().await;
    let instance = world.instance().await;
    let query = include_str!("../../src/http/document/introspection.graphql");
    let data = instance.client().data(query, json!({})).await;
    let types = data["__schema"]["types"].as_array().unwrap();
    for name in ["Query", "Mutation", "Subscription", "UserError", "HoldErrorCode", "SignedPoints"]
    {
        assert!(types.iter().any(|ty| ty["name"] == name), "{name}");
    }
}
