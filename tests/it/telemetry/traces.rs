//! Traces of a real process, as a collector gets them: who is below whom, what is said, and what is not.

use std::{collections::BTreeSet, fs::File, time::Duration};

use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Said;
use crate::support::{
    cards::RETURN_URL,
    client::Client,
    collector::{Collector, Traced},
    eventually,
    process::Process,
    sandbox::Sandbox,
    shop::{self, Setup, Show},
    world::World,
};

/// A process that is traced, and a performance at it.
struct Stage {
    world: World,
    collector: Collector,
    process: Process,
    show: Show,
    office: crate::support::world::Instance,
    said: Said,
}

async fn stage(flags: &[&str]) -> Stage {
    let (world, collector) = (World::new().await, Collector::start().await);
    let office = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &office, Setup::default()).await;
    let (said, file): (Said, File) = Said::file();
    let flag = collector.flag();
    let flags: Vec<&str> = flags.iter().copied().chain([flag.as_str()]).collect();
    let process = Process::start_telling(&world, &file, &flags).await;
    Stage { world, collector, process, show, office, said }
}

impl Stage {
    async fn fan(&self) -> Client {
        shop::fan(&self.world, &self.office).await.at(self.process.address)
    }
}

fn names(spans: &[Traced]) -> BTreeSet<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

#[track_caller]
fn says(span: &Traced, attributes: &[(&str, &str)]) {
    for (key, value) in attributes {
        assert_eq!(span.attribute(key), Some(*value), "{key}: {span:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_traced_from_http_to_sql_and_redis() {
    let stage = stage(&[]).await;
    let fan = stage.fan().await;
    let token = fan.admitted(&stage.show.id).await;
    fan.held(&stage.show.id, &stage.show.seats[0], &token).await;

    let collector = &stage.collector;
    let operation = collector.span("mutation holdSeat").await;
    let http = eventually("the request", async || {
        collector.spans().into_iter().find(|span| span.id == operation.parent)
    })
    .await;
    assert_eq!((http.name.as_str(), http.kind, http.parent.as_str()), ("POST /graphql", 2, ""));
    says(
        &http,
        &[
            ("http.request.method", "POST"),
            ("http.route", "/graphql"),
            ("url.path", "/graphql"),
            ("http.response.status_code", "200"),
        ],
    );
    says(
        &operation,
        &[
            ("graphql.operation.type", "mutation"),
            ("frontrow.outcome", "ok"),
            ("user.id", fan.person_id.as_deref().unwrap()),
        ],
    );
    let resource = |key| http.resource(key).unwrap_or_default();
    assert_eq!(resource("service.name"), "frontrow");
    assert_eq!(resource("service.version"), env!("CARGO_PKG_VERSION"));
    assert!(!resource("service.instance.id").is_empty());

    let lane = eventually("the lane", async || {
        collector.below(&operation).into_iter().find(|span| span.name == "lane holds")
    })
    .await;
    assert!(lane.attribute("frontrow.waited_us").is_some(), "{lane:?}");
    let group = collector.below(&lane).into_iter().find(|span| span.name == "serve a group");
    let group = group.unwrap_or_else(|| panic!("{:?}", collector.all_below(&lane)));
    says(&group, &[("frontrow.group.size", "1")]);
    let served = eventually("what was done for the group", async || {
        let served = collector.below(&group);
        (served.iter().any(|span| span.name == "PUBLISH")).then_some(served)
    })
    .await;
    let hold = served.iter().find(|span| {
        let summary = span.attribute("db.query.summary").unwrap_or_default();
        summary.contains("INSERT reservation") && summary.contains("UPDATE seat")
    });
    let hold = hold.unwrap_or_else(|| panic!("{served:?}"));
    assert_eq!((hold.kind, hold.failed), (3, false), "{hold:?}");
    says(hold, &[("db.system.name", "postgresql"), ("db.query.summary", &hold.name)]);
    assert!(hold.attribute("server.address").is_some() && hold.attribute("server.port").is_some());
    let publish = served.iter().find(|span| span.name == "PUBLISH").unwrap();
    assert_eq!(publish.kind, 3);
    says(publish, &[("db.system.name", "redis"), ("db.operation.name", "PUBLISH")]);
    for (outer, inner) in [(&http, &operation), (&operation, &lane)] {
        assert!(outer.nanoseconds.0 <= inner.nanoseconds.0, "{outer:?} {inner:?}");
        assert!(inner.nanoseconds.1 <= outer.nanoseconds.1, "{outer:?} {inner:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entering_a_round_and_a_refusal_are_traced() {
    let stage = stage(&[]).await;
    let (fan, collector) = (stage.fan().await, &stage.collector);
    let token = fan.admitted(&stage.show.id).await;
    fan.hold(&stage.show.id, "0190a000-0000-7000-8000-000000000000", &token).await;

    let entering = collector.span("mutation enterQueue").await;
    let done = eventually("the journal and the index", async || {
        let below = collector.all_below(&entering);
        let names = names(&below);
        (names.contains("commit to the journal") && names.contains("EVALSHA enter.lua"))
            .then_some(below)
    })
    .await;
    let script = done.iter().find(|span| span.name == "EVALSHA enter.lua").unwrap();
    says(script, &[("db.system.name", "redis"), ("db.stored_procedure.name", "enter.lua")]);

    let round = collector.span("round").await;
    assert_eq!((round.parent.as_str(), round.kind), ("", 1), "{round:?}");
    says(&round, &[("frontrow.schedule_id", &stage.show.id)]);
    eventually("statements of a round", async || {
        let rounds = collector.spans().into_iter().filter(|span| span.name == "round");
        rounds
            .flat_map(|round| collector.below(&round))
            .find(|span| span.attribute("db.system.name") == Some("postgresql"))
    })
    .await;

    let refused = collector.span("mutation holdSeat").await;
    says(&refused, &[("frontrow.outcome", "refused"), ("frontrow.refusal", "SEAT_NOT_FOUND")]);
    assert!(!refused.failed, "a refusal is no failure: {refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_traced_to_its_first_result() {
    let stage = stage(&[]).await;
    let (fan, collector) = (stage.fan().await, &stage.collector);
    fan.enter(&stage.show.id).await;
    let mut watch = fan.watch_queue(&stage.show.id).await;
    watch.field().await;
    // It goes on, and its span is there.
    let subscribed = collector.span("subscription queueStatus").await;
    assert_eq!((subscribed.parent.as_str(), subscribed.kind), ("", 2));
    says(&subscribed, &[("graphql.operation.type", "subscription"), ("frontrow.outcome", "ok")]);
    eventually("what it asked for", async || {
        let below = collector.below(&subscribed);
        below.into_iter().find(|span| span.attribute("db.system.name").is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_by_card_is_traced_to_the_gateway_and_nothing_secret_is_in_any_span() {
    let sandbox = Sandbox::start().await;
    let flags = sandbox.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let stage = stage(&flags).await;
    let collector = &stage.collector;
    let password = "correct horse battery";
    let sign_up = "mutation SignMeUp($input: SignUpInput!) { signUp(input: $input) {
        session { accessToken refreshToken } userErrors { code } } }";
    let input =
        json!({ "email": "wilhelmina@post.example", "password": password, "name": "Wilhelmina" });
    let signed = stage.process.client().payload(sign_up, json!({ "input": input })).await;
    let session = |name: &str| signed["session"][name].as_str().unwrap().to_owned();
    let fan = stage.process.client().with_token(&session("accessToken"));
    let token = fan.admitted(&stage.show.id).await;
    let held = fan.held(&stage.show.id, &stage.show.seats[0], &token).await;
    let pay = json!({ "reservationId": held["id"], "method": "CARD", "amount": 1_000, "cardToken": "tok_ok",
                      "idempotencyKey": "a-key-of-the-client", "returnUrl": RETURN_URL });
    let paid = fan.pay_as(pay).await;
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");

    let operation = collector.span("mutation pay").await;
    let done = eventually("the call to the gateway", async || {
        let below = collector.all_below(&operation);
        below.iter().any(|span| span.name == "card gateway begin").then_some(below)
    })
    .await;
    let verb = done.iter().find(|span| span.name == "card gateway begin").unwrap();
    let call = eventually("its request", async || collector.below(verb).pop()).await;
    assert_eq!((call.name.as_str(), call.kind), ("POST", 3), "{call:?}");
    let port = sandbox.url.rsplit_once(':').unwrap().1;
    says(
        &call,
        &[
            ("http.request.method", "POST"),
            ("server.address", "127.0.0.1"),
            ("server.port", port),
            ("http.response.status_code", "200"),
        ],
    );
    collector.span("mutation signUp").await;
    let sent = String::from_utf8_lossy(&collector.bytes()).into_owned();
    for secret in [
        password,
        "wilhelmina",
        "post.example",
        "Wilhelmina",
        &token,
        &session("accessToken"),
        &session("refreshToken"),
        "tok_ok",
        "a-key-of-the-client",
        "shop.example",
        crate::support::sandbox::SECRET,
        &stage.world.secret,
    ] {
        assert!(!sent.contains(secret), "{secret} is in a trace");
    }
    // Neither statements nor their parameters: seats are asked for by id.
    assert!(
        !sent.contains(&stage.show.seats[0]) && !sent.contains("$1") && !sent.contains("WHERE")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_connection_is_shown_to_wait() {
    // Of two connections, one at a time is for looking around.
    let stage = stage(&["--database-pool=2"]).await;
    let lock = stage.world.pool.begin().await.unwrap();
    lock.execute_unprepared("LOCK TABLE concert IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let look = |name: &str, first: u32| {
        let query = format!("query {name} {{ concerts(first: {first}) {{ nodes {{ id }} }} }}");
        let client = stage.process.client();
        tokio::spawn(async move { client.data(&query, json!({})).await })
    };
    let stuck = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let one = look("One", 1);
    eventually("a statement to wait for the table", async || {
        (stage.world.number(stuck).await > 0).then_some(())
    })
    .await;
    let other = look("Other", 2);
    eventually("both to be under way", async || {
        (metric(&stage.process, "frontrow_requests_in_flight").await == 2).then_some(())
    })
    .await;
    sleep(Duration::from_millis(100)).await;
    lock.rollback().await.unwrap();
    assert!(one.await.is_ok() && other.await.is_ok());
    let operation = eventually("the other operation", async || {
        let spans = stage.collector.spans();
        spans.into_iter().find(|it| it.attribute("graphql.operation.name") == Some("Other"))
    })
    .await;
    assert_eq!(operation.name, "query concerts");
    let below = stage.collector.all_below(&operation);
    let waited = below.iter().find(|span| span.name == "wait for a connection");
    let waited = waited.unwrap_or_else(|| panic!("{below:?}"));
    assert!(waited.nanoseconds.1 - waited.nanoseconds.0 >= 1_000_000, "{waited:?}");
    let read = below.iter().find(|span| span.name == "SELECT concert");
    assert!(read.is_some_and(|read| read.nanoseconds.0 >= waited.nanoseconds.0), "{below:?}");
}

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn ask(process: &Process, traceparent: &[&str]) -> Value {
    let mut request = reqwest::Client::new().post(format!("http://{}/graphql", process.address));
    for header in traceparent {
        request = request.header("traceparent", *header);
    }
    let asked = json!({ "query": "query Asked { __typename }" });
    request.json(&asked).send().await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_says_which_trace_a_request_belongs_to_and_the_log_names_it() {
    let stage = stage(&["--slow-ms=0"]).await;
    assert_eq!(ask(&stage.process, &[TRACEPARENT]).await["data"]["__typename"], "Query");
    let operation = stage.collector.span("query __typename").await;
    assert_eq!(operation.trace, "0af7651916cd43dd8448eb211c80319c");
    let http = stage.collector.span("POST /graphql").await;
    assert_eq!(http.parent, "b7ad6b7169203331");
    let line = eventually("its line", async || {
        let lines = stage.said.lines();
        lines.into_iter().find(|line| line["message"] == "request" && line["operation"] == "Asked")
    })
    .await;
    assert_eq!(line["trace_id"], json!(operation.trace), "{line}");
    assert_eq!(line["span_id"], json!(operation.id), "{line}");
    // Not recorded there, so not here.
    let unsampled = TRACEPARENT.replace("-01", "-00").replace("0af7", "0bf7");
    ask(&stage.process, &[&unsampled]).await;
    // What is none, or comes twice, begins a trace of its own.
    ask(&stage.process, &["00-nonsense"]).await;
    ask(&stage.process, &[TRACEPARENT, TRACEPARENT]).await;
    let begun = eventually("two traces", async || {
        let roots = stage.collector.spans().into_iter();
        let roots: Vec<Traced> =
            roots.filter(|it| it.name == "POST /graphql" && it.parent.is_empty()).collect();
        (roots.len() >= 2).then_some(roots)
    })
    .await;
    assert!(begun.iter().all(|span| !span.trace.ends_with("f7651916cd43dd8448eb211c80319c")));
    let unsampled = stage.collector.spans().into_iter().any(|span| span.trace.starts_with("0bf7"));
    assert!(!unsampled);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_choose_no_trace() {
    let stage = stage(&["--trusted-proxies=192.0.2.1"]).await;
    ask(&stage.process, &[TRACEPARENT]).await;
    let http = stage.collector.span("POST /graphql").await;
    assert!(http.parent.is_empty() && !http.trace.starts_with("0af7"), "{http:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_traces_that_nobody_wants_nothing_is_sent() {
    let mut stage = stage(&["--trace-ratio=0"]).await;
    for _ in 0..20 {
        ask(&stage.process, &[]).await;
    }
    ask(&stage.process, &[TRACEPARENT]).await;
    stage.collector.span("query __typename").await;
    stage.process.terminate();
    assert_eq!(stage.process.ended().await, Some(0));
    let spans = stage.collector.spans();
    assert!(spans.iter().all(|span| span.trace.starts_with("0af7")), "{spans:?}");
}

/// What a series stands at.
async fn metric(process: &Process, series: &str) -> u64 {
    let page = reqwest::get(format!("http://{}/metrics", process.address)).await.unwrap();
    let page = page.text().await.unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series}: {page}")).parse().unwrap()
}

/// A counter of spans.
async fn counted(process: &Process, outcome: &str) -> u64 {
    metric(process, &format!("frontrow_spans_total{{outcome=\"{outcome}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_refuses_hurts_nobody_and_is_counted_and_told_of_once() {
    let mut stage = stage(&[]).await;
    stage.collector.refuse(400);
    for _ in 0..3 {
        assert_eq!(ask(&stage.process, &[]).await["data"]["__typename"], "Query");
        let refused = stage.collector.refused();
        eventually("a batch to be refused", async || {
            (stage.collector.refused() > refused).then_some(())
        })
        .await;
    }
    eventually("the count", async || (counted(&stage.process, "failed").await >= 6).then_some(()))
        .await;
    // One that is back gets what is new.
    stage.collector.refuse(0);
    ask(&stage.process, &[]).await;
    stage.collector.span("query __typename").await;
    eventually("the count", async || (counted(&stage.process, "exported").await > 0).then_some(()))
        .await;
    stage.process.terminate();
    assert_eq!(stage.process.ended().await, Some(0));
    let told = |line: &&Value| line["message"] == "traces could not be sent to the collector";
    let lines = stage.said.lines();
    let told: Vec<&Value> = lines.iter().filter(told).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["level"], &told[0]["why"]), (&json!("WARN"), &json!("it answered 400")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_the_collector_cannot_take_now_is_sent_again() {
    let stage = stage(&[]).await;
    stage.collector.refuse(503);
    ask(&stage.process, &[]).await;
    eventually("the first attempt", async || (stage.collector.refused() > 0).then_some(())).await;
    stage.collector.refuse(0);
    stage.collector.span("query __typename").await;
    assert_eq!(counted(&stage.process, "failed").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_sent_before_the_end_and_a_dead_collector_delays_it_no_longer_than_that()
{
    let mut first = stage(&[]).await;
    ask(&first.process, &[]).await;
    first.process.terminate();
    assert_eq!(first.process.ended().await, Some(0));
    assert!(names(&first.collector.spans()).contains("query __typename"));

    let world = World::new().await;
    // Nobody listens there.
    let mut process = Process::start(&world, &["--otlp-endpoint=http://127.0.0.1:9"]).await;
    ask(&process, &[]).await;
    process.terminate();
    assert_eq!(process.ended().await, Some(0));
}
