//! Documents that explode: each is refused, or its answer stays small and the server lives.

#![expect(clippy::print_stdout, reason = "what each document cost is for people to read")]

mod documents;
mod scenery;
mod walker;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use walker::Walker;

use crate::support::{client::Client, eventually, process::Process, shop, world::World};

/// The longest answer without a hall in it.
const ANSWER_BYTES_MAX: usize = 1_000_000;
/// The longest answer with a hall.
const HALL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What the server may use at any moment, in kB.
const MEMORY_KB_MAX: u64 = 512 * 1024;
/// How long a server may take to say that it lives. In a release build it is a few milliseconds; tests run unoptimised, side
/// by side.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);

const GRAPHQL_JS: &str = include_str!("cost/graphql_js.graphql");
const ROVER: &str = include_str!("cost/rover.graphql");
const GRAPHIQL: &str = include_str!("../../src/http/document/introspection.graphql");

/// What became of a document.
#[derive(Debug)]
struct Outcome {
    /// The first error's code, or `ok`.
    code: String,
    bytes: usize,
    cpu_ms: u64,
}

/// A number out of `/proc/<pid>/status`.
fn status(process: &Process, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it lives");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().expect("a number")
}

/// Processor time used so far, in milliseconds; the system counts in steps of ten.
fn cpu_ms(process: &Process) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("it lives");
    let (_, fields) = text.rsplit_once(") ").expect("fields after the name");
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks") * 10).sum()
}

async fn ask(process: &Process, client: &Client, query: &str) -> Outcome {
    let before = cpu_ms(process);
    let mut request = client
        .http
        .post(format!("http://{}/graphql", client.address))
        .json(&json!({ "query": query }));
    if let Some(token) = &client.token {
        request = request.bearer_auth(token);
    }
    let body = request.send().await.expect("an answer").bytes().await.expect("an answer");
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    let code = answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("ok").to_owned();
    assert!(code == "ok" || answer["data"].is_null(), "a part of an answer");
    Outcome { code, bytes: body.len(), cpu_ms: cpu_ms(process).saturating_sub(before) }
}

/// Asks all the time whether a server lives, until it is dropped.
struct Pulse {
    over: Arc<AtomicBool>,
    asking: tokio::task::JoinHandle<Duration>,
    asked: Arc<AtomicU32>,
}

impl Pulse {
    fn of(process: &Process) -> Self {
        let (over, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let url = format!("http://{}/health/live", process.address);
        let (over_too, asked_too) = (over.clone(), asked.clone());
        let asking = tokio::spawn(async move {
            let (client, mut slowest) = (reqwest::Client::new(), Duration::ZERO);
            while !over_too.load(Ordering::Relaxed) {
                let start = Instant::now();
                let answer = client.get(&url).timeout(ALIVE_WITHIN).send().await;
                assert!(answer.expect("the server lives").status().is_success());
                slowest = slowest.max(start.elapsed());
                asked_too.fetch_add(1, Ordering::Relaxed);
            }
            slowest
        });
        Self { over, asking, asked }
    }

    /// The slowest answer; there has to have been one.
    async fn slowest(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        let slowest = self.asking.await.expect("the server lived");
        assert!(self.asked.load(Ordering::Relaxed) > 0);
        slowest
    }
}

fn within(outcome: &Outcome, limit: usize, document: &str) {
    let document: String = document.chars().take(300).collect();
    assert!(["ok", "QUERY_TOO_COMPLEX"].contains(&outcome.code.as_str()), "{outcome:?} {document}");
    assert!(outcome.bytes < limit, "{outcome:?} {document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_explode_are_refused_or_stay_small_and_the_server_lives() {
    let world = World::new().await;
    let (scenery, process) = scenery::build(&world).await;
    let (fan, stranger) = (&scenery.fan.client, process.client());
    let pulse = Pulse::of(&process);
    for (what, document) in documents::introspections() {
        let outcome = ask(&process, &stranger, &document).await;
        println!("{what}: {outcome:?}");
        within(&outcome, ANSWER_BYTES_MAX, &document);
    }
    for (what, document) in documents::all(&scenery) {
        let outcome = ask(&process, fan, &document).await;
        println!("{what}: {outcome:?}");
        let hall = what.contains("hall");
        within(&outcome, if hall { HALL_BYTES_MAX } else { ANSWER_BYTES_MAX }, &document);
    }
    // Many at once, of the kind that took the server down.
    let deep = &documents::performances(&scenery)[1].1;
    let halls = format!(
        "{{ seats(scheduleId: \"{}\", queueToken: \"{}\") {{ id section row number grade price status version }} }}",
        scenery.hall.id, scenery.fan.token
    );
    let crowd = (0..24).map(|n| ask(&process, fan, if n % 2 == 0 { deep } else { &halls }));
    for outcome in futures_util::future::join_all(crowd).await {
        // Halls are written one after the other, one person has a share of the server, and a wait that is too long is told.
        let codes = ["ok", "QUERY_TOO_COMPLEX", "OVERLOADED", "RATE_LIMITED"];
        assert!(codes.contains(&outcome.code.as_str()), "{outcome:?}");
        assert!(outcome.bytes < HALL_BYTES_MAX, "{outcome:?}");
    }
    println!("slowest pulse {:?}, peak {} kB", pulse.slowest().await, status(&process, "VmHWM"));
    assert!(status(&process, "VmHWM") < MEMORY_KB_MAX, "the server used too much memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_of_the_schema_nested_in_every_way_stays_small() {
    let world = World::new().await;
    let (scenery, process) = scenery::build(&world).await;
    let fan = &scenery.fan.client;
    let walker = Walker::new(&fan.data(GRAPHQL_JS, json!({})).await, &scenery);
    let lists = walker.lists();
    assert!(lists.contains("Concert.schedules") && lists.contains("Query.seats"), "{lists:?}");
    let pulse = Pulse::of(&process);
    let (mut allowed, mut refused, mut dearest) =
        (0, 0, Outcome { code: String::new(), bytes: 0, cpu_ms: 0 });
    let organizer = scenery.hall.organizer.at(process.address);
    for document in walker.documents() {
        let theirs = ["scheduleReservations(", "myConcerts("];
        let theirs = theirs.iter().any(|field| document.contains(field));
        let client = if theirs { &organizer } else { fan };
        let outcome = ask(&process, client, &document).await;
        let hall = document.contains("seats(scheduleId");
        within(&outcome, if hall { HALL_BYTES_MAX } else { ANSWER_BYTES_MAX }, &document);
        if outcome.code == "ok" {
            allowed += 1
        } else {
            refused += 1
        }
        if !hall && outcome.cpu_ms > dearest.cpu_ms {
            println!("{outcome:?} {}", document.chars().take(200).collect::<String>());
            dearest = outcome;
        }
    }
    println!(
        "{allowed} allowed, {refused} refused, slowest pulse {:?}, peak {} kB",
        pulse.slowest().await,
        status(&process, "VmHWM")
    );
    assert!(allowed > 0 && refused > 0, "{allowed} allowed, {refused} refused");
    assert!(status(&process, "VmHWM") < MEMORY_KB_MAX, "the server used too much memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_usually_ask_passes() {
    let world = World::new().await;
    let (scenery, process) = scenery::build(&world).await;
    let (fan, stranger) = (&scenery.fan.client, process.client());
    for (tool, document) in [("graphql-js", GRAPHQL_JS), ("Rover", ROVER), ("GraphiQL", GRAPHIQL)] {
        let outcome = ask(&process, &stranger, document).await;
        println!("{tool}: {outcome:?}");
        assert_eq!(outcome.code, "ok", "{tool}");
    }
    let (concert, hall, token) = (&scenery.hall.concert_id, &scenery.hall.id, &scenery.fan.token);
    let mine = "balance walletEntries { nodes { kind delta balanceAfter payment { status } } }
                reservations { nodes { id status totalPrice seats { section row number grade price }
                    schedule { startsAt concert { title venue } } payment { status amount } } pageInfo { hasNextPage endCursor } }";
    for document in [
        format!("{{ schedules(concertId: \"{concert}\", status: null) {{ id startsAt remainingSeats
                    grades {{ grade price remaining }} waitingRoom {{ status waitingCount }} }} }}"),
        "{ concerts { nodes { id title artist venue description } pageInfo { hasNextPage endCursor } } }".to_owned(),
        "{ concerts(first: 100) { edges { cursor node { id title venue } } } }".to_owned(),
        "{ concerts(search: \"test\", first: 50) { nodes { id title } } }".to_owned(),
        format!("{{ {mine} }}"),
        format!("{{ seats(scheduleId: \"{hall}\", queueToken: \"{token}\") {{ id section row number grade price status version }} }}"),
    ] {
        let outcome = ask(&process, fan, &document).await;
        println!("{outcome:?}");
        assert_eq!(outcome.code, "ok", "{document}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_hall_is_answered_as_a_small_one_is() {
    let world = World::new().await;
    let instance = world.instance().await;
    let setup = shop::Setup { rows: 4, seats_per_row: 400, ..shop::Setup::default() };
    let show = shop::show(&world, &instance, setup).await;
    let buyer = crate::support::buying::buyer(&world, &instance, &show).await;
    let arguments = format!("scheduleId: \"{}\", queueToken: \"{}\"", show.id, buyer.token);
    // With these fields the hall is beyond what other answers may hold; with each alone it is not.
    let whole = buyer.client.data(&format!("{{ it: seats({arguments}) {{ ...F __typename status grade version }} }} fragment F on Seat {{ number key: id }}"), json!({})).await;
    let ids = buyer.client.data(&format!("{{ seats({arguments}) {{ id }} }}"), json!({})).await;
    let (whole, ids) = (whole["it"].as_array().unwrap(), ids["seats"].as_array().unwrap());
    assert_eq!((whole.len(), ids.len()), (1_600, 1_600));
    for (seat, id) in whole.iter().zip(ids) {
        assert_eq!(seat.as_object().unwrap().len(), 6, "{seat}");
        assert_eq!(seat["key"], id["id"]);
        assert_eq!((&seat["__typename"], &seat["status"]), (&json!("Seat"), &json!("AVAILABLE")));
    }
    let twice =
        format!("{{ seats({arguments}) {{ id }} ... {{ seats({arguments}) {{ status }} }} }}");
    let merged = buyer.client.data(&twice, json!({})).await;
    assert_eq!(merged["seats"][1_599], json!({ "id": ids[1_599]["id"], "status": "AVAILABLE" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_can_be_switched_off() {
    let world = World::new().await;
    let instance = world.quiet_instance(&["--introspection=false"]).await;
    let client = instance.client();
    for document in [
        GRAPHQL_JS,
        "{ __type(name: \"Query\") { name } }",
        "{ ...F } fragment F on Query { it: __schema { description } }",
    ] {
        assert_eq!(client.error_code(document, json!({})).await, "BAD_REQUEST", "{document}");
    }
    assert_eq!(client.data("{ __typename }", json!({})).await["__typename"], "Query");
}

/// Transactions of this world's database, once nobody but the test has connections to it: the others have told theirs then.
async fn transactions(world: &World) -> i64 {
    // A pool that is closed while it opens a connection leaves one behind that never asked for anything.
    // One of the test's own goes in by the server's door. Of an instance that was asked for nothing yet there is one, and one more
    // that asks every two seconds which sessions have ended.
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND application_name = 'frontrow' AND query <> ''";
    eventually("all others to have left", async || (world.number(others).await <= 3).then_some(()))
        .await;
    let sql = "SELECT (xact_commit + xact_rollback)::bigint FROM pg_stat_database WHERE datname = current_database()";
    world.number(sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rooms_of_an_answer_are_read_together_with_redis_and_without() {
    const ROOMS: usize = 101;
    let world = World::new().await;
    let (scenery, process) = scenery::build(&world).await;
    drop(process);
    let query = format!(
        "{{ schedules(concertId: \"{}\", status: null) {{ id waitingRoom {{ status waitingCount maxActive }} }} }}",
        scenery.hall.concert_id
    );
    // Nothing runs by itself there, and nothing listens on port 1.
    for flags in [&[] as &[&str], &["--redis-url=redis://127.0.0.1:1", "--redis-timeout-ms=100"]] {
        let instance = world.quiet_instance(flags).await;
        let before = transactions(&world).await;
        let answer = instance.client().data(&query, json!({})).await;
        instance.app.db.clone().close().await;
        let used = transactions(&world).await - before;
        let schedules = answer["schedules"].as_array().unwrap();
        assert_eq!(schedules.len(), ROOMS);
        assert!(schedules.iter().all(|it| it["waitingRoom"]["maxActive"] == 1_000), "{answer}");
        println!("{used} transactions");
        // Starting takes some, and so does waiting for the end; a statement for each room would be more by itself.
        assert!(usize::try_from(used).unwrap() < ROOMS, "{used} transactions for {ROOMS} rooms");
    }
}
