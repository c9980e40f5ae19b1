//! Postgres that says nothing, that forgets connections, that fails over, and one row that somebody does not let go.

mod several;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use frontrow::{
    db::{Db, DbSettings, Session, Tx},
    kernel::{Fault, FaultKind},
    tasks::Tasks,
    turns::deadline,
};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, DbErr, TransactionTrait};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{
    buying::{self, Buyer},
    client::{Client, refusal},
    eventually,
    postgres::PrivatePostgres,
    shop::{self, Setup, Show},
    wire::{OUTAGE, Wire},
    world::{Instance, World},
};

/// Shorter than an outage by far, so that nobody can have waited for its end.
const SHORT: [&str; 2] = ["--patience-ms=1000", "--request-ms=2000"];
/// The deadline of such a request, with some time for a busy machine.
const NOBODY_WAITS: Duration = Duration::from_secs(4);

const CHARGE: &str = "mutation ($input: ChargeInput!) { charge(input: $input) {
    entry { id } balance userErrors { code } } }";

fn one_point(key: &str) -> Value {
    json!({ "input": { "amount": 1, "idempotencyKey": key } })
}

/// An instance that reaches Postgres over a wire.
async fn wired(world: &World, url: &str) -> (Wire, Instance) {
    let (wire, url) = Wire::to_url(url).await;
    let url = format!("--database-url={url}");
    (wire, world.instance_with(&[&url, SHORT[0], SHORT[1]]).await)
}

/// Adds one point, and repeats it at one instance after the other until the answer is known. The longest wait for an answer.
async fn charge_until_told(fan: &Client, addresses: &[SocketAddr], key: &str) -> Duration {
    let mut longest = Duration::ZERO;
    for attempt in 0.. {
        let address = addresses[attempt % addresses.len()];
        let start = Instant::now();
        let answer = fan.at(address).send(CHARGE, one_point(key)).await;
        longest = longest.max(start.elapsed());
        if answer["data"]["charge"]["entry"]["id"].is_string() {
            break;
        }
        let error = &answer["errors"][0]["extensions"];
        let code = error["code"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(["OVERLOADED", "RATE_LIMITED"].contains(&code), "{answer}");
        assert_eq!(error["retryable"], true, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    longest
}

/// Fans who add one point after the other to their wallets.
struct Load {
    over: Arc<AtomicBool>,
    fans: Vec<JoinHandle<(String, i64, Duration)>>,
}

impl Load {
    async fn start(world: &World, instances: &[&Instance], fans: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let addresses: Vec<SocketAddr> = instances.iter().map(|it| it.address).collect();
        let fans = shop::fans(world, instances[0], fans).await.into_iter().enumerate();
        let fans = fans.map(|(n, fan)| {
            let (over, mut addresses) = (over.clone(), addresses.clone());
            let here = n % addresses.len();
            addresses.rotate_left(here);
            tokio::spawn(async move {
                let (mut told, mut longest) = (0, Duration::ZERO);
                while !over.load(Ordering::Relaxed) {
                    told += 1;
                    let key = format!("{told}");
                    longest = longest.max(charge_until_told(&fan, &addresses, &key).await);
                }
                (fan.person_id.unwrap(), told, longest)
            })
        });
        let fans = fans.collect();
        Self { over, fans }
    }

    /// Ends it; what was acknowledged is in the wallets, once, and nobody waited too long.
    async fn nothing_was_lost(self, world: &World) {
        self.over.store(true, Ordering::Relaxed);
        let (mut told, mut longest) = (0, Duration::ZERO);
        for fan in join_all(self.fans).await {
            let (person, acknowledged, waited) = fan.unwrap();
            let sql = format!("SELECT balance FROM wallet WHERE person_id = '{person}'");
            assert_eq!(world.number(&sql).await, acknowledged);
            (told, longest) = (told + acknowledged, longest.max(waited));
        }
        eprintln!("{told} charges acknowledged, none lost; nobody waited longer than {longest:?}");
        assert!(told > 15, "hardly a load: {told}");
        assert!(longest < NOBODY_WAITS, "somebody waited {longest:?}");
        world.books_are_true().await;
    }
}

async fn is_ready(instance: &Instance) -> bool {
    let ready = reqwest::get(format!("http://{}/health/ready", instance.address)).await;
    ready.is_ok_and(|answer| answer.status().is_success())
}

/// Waits until every instance is ready and adds a point; prints how long that took.
async fn all_well(instances: &[&Instance], fan: &Client, what: &str) {
    let start = Instant::now();
    join_all(instances.iter().map(async |instance| {
        eventually("the instance to be ready", async || is_ready(instance).await.then_some(()))
            .await;
        let fan = fan.at(instance.address);
        eventually("a charge", async || {
            let key = format!("{what} {} {:?}", instance.address, start.elapsed());
            let answer = fan.send(CHARGE, one_point(&key)).await;
            answer.get("errors").is_none().then_some(())
        })
        .await;
    }))
    .await;
    eprintln!("after {what}: all well within {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_over_soon_and_loses_nothing() {
    let world = World::new().await;
    let ((wire_a, a), (wire_b, b)) =
        tokio::join!(wired(&world, &world.database.url), wired(&world, &world.database.url));
    let fan = shop::fan(&world, &a).await;
    let load = Load::start(&world, &[&a, &b], 12).await;
    for round in 0..3 {
        wire_a.fall_silent();
        if round > 0 {
            wire_b.fall_silent();
        }
        tokio::time::sleep(OUTAGE).await;
        assert!(!is_ready(&a).await);
        assert_eq!(is_ready(&b).await, round == 0);
        wire_a.speak();
        wire_b.speak();
        all_well(&[&a, &b], &fan, &format!("silence {round}")).await;
    }
    load.nothing_was_lost(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_a_router_has_forgotten_are_given_up() {
    let world = World::new().await;
    let (wire, a) = wired(&world, &world.database.url).await;
    let fan = shop::fan(&world, &a).await;
    let load = Load::start(&world, &[&a], 6).await;
    for round in 0..2 {
        all_well(&[&a], &fan, "nothing").await;
        wire.forget();
        all_well(&[&a], &fan, &format!("router {round}")).await;
    }
    load.nothing_was_lost(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_answer_is_told_so_and_repeating_tells_what_happened() {
    let world = World::new().await;
    let (wire, a) = wired(&world, &world.database.url).await;
    let quiet = world.instance().await;
    let setup = Setup { max_seats_per_person: 4, ..Setup::default() };
    let show = shop::show(&world, &quiet, setup).await;
    let fan = shop::fan(&world, &a).await;
    let buyer = buying::buyer(&world, &quiet, &show).await.at(&a);
    let enter = "mutation ($id: ID!) { enterQueue(scheduleId: $id) { queueToken { token } } }";
    let hold = "mutation ($input: HoldSeatInput!) { holdSeat(input: $input) { reservation { id } userErrors { code } } }";
    let seat = json!({ "input": { "scheduleId": show.id, "seatId": show.seats[0],
                                  "queueToken": buyer.token } });
    let requests = [
        (&fan, CHARGE, one_point("lost")),
        (&fan, enter, json!({ "id": show.id })),
        (&buyer.client, hold, seat.clone()),
    ];
    for (client, query, variables) in requests {
        // Opens the connections that will carry the request, and has the statements prepared that it will run.
        all_well(&[&a], &fan, "nothing").await;
        buyer.hold(&show, 1).await;
        wire.swallow_replies();
        let answer = client.send(query, variables).await;
        wire.reply();
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "OVERLOADED", "{answer}");
        assert_eq!(error["extensions"]["retryable"], true);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("a change may have been made"), "{answer}");
    }
    let person = fan.person_id.as_deref().unwrap();
    let entries =
        format!("SELECT count(*) FROM wallet_entry WHERE person_id = '{person}' AND key = 'lost'");
    assert_eq!(world.number(&entries).await, 1, "the charge was made");
    all_well(&[&a], &fan, "swallowed replies").await;
    let again = fan.charge(1, "lost").await;
    assert_eq!(refusal(&again), None, "{again}");
    assert_eq!(world.number(&entries).await, 1);
    let again = fan.enter(&show.id).await;
    assert!(again["queueToken"]["token"].is_string(), "{again}");
    let places = format!("SELECT count(*) FROM queue_token WHERE person_id = '{person}'");
    assert_eq!(world.number(&places).await, 1);
    // A hold has no key: the seat says who has it, and the reservation is among the person's own.
    let again = eventually("the lost hold to be given up", async || {
        // Until then nothing else of the person's is held.
        let again = buyer.client.send(hold, seat.clone()).await;
        again["data"]["holdSeat"].is_object().then_some(again)
    })
    .await;
    assert_eq!(again["data"]["holdSeat"]["userErrors"][0]["code"], "SEAT_HELD", "{again}");
    let mine = "{ reservations { nodes { status seats { id } } } }";
    let mine = buyer.client.data(mine, json!({})).await;
    let nodes = mine["reservations"]["nodes"].as_array().unwrap();
    let seat_is_mine = |node: &Value| node["seats"][0]["id"] == show.seats[0].as_str();
    assert!(nodes.iter().any(seat_is_mine), "{mine}");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_a_synchronous_standby_loses_nothing() {
    let mut primary = PrivatePostgres::start().await;
    let standby = primary.standby().await;
    let (wire, url) = Wire::to_url(&primary.url("frontrow")).await;
    let world = World::elsewhere(url).await;
    let (a, b) = (world.instance_with(&SHORT).await, world.instance_with(&SHORT).await);
    let fan = shop::fan(&world, &a).await;
    let load = Load::start(&world, &[&a, &b], 8).await;
    all_well(&[&a, &b], &fan, "nothing").await;
    // The name leads to a standby before that is the primary.
    wire.lead_to(standby.address());
    primary.kill();
    eventually("nobody to be ready", async || (!is_ready(&a).await).then_some(())).await;
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert!(!is_ready(&a).await && !is_ready(&b).await, "a standby is no place to write");
        let answer = fan.at(b.address).send(CHARGE, one_point("to a standby")).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "OVERLOADED", "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    standby.promote().await;
    all_well(&[&a, &b], &fan, "promotion").await;
    // A primary that is told to take no writes, as before a planned change.
    standby.sql("ALTER SYSTEM SET default_transaction_read_only = on").await;
    standby.sql("SELECT pg_reload_conf()").await;
    eventually("nobody to be ready", async || (!is_ready(&a).await).then_some(())).await;
    let answer = fan.send(CHARGE, one_point("while read only")).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "OVERLOADED", "{answer}");
    standby.sql("ALTER SYSTEM RESET default_transaction_read_only").await;
    standby.sql("SELECT pg_reload_conf()").await;
    all_well(&[&a, &b], &fan, "being read only").await;
    load.nothing_was_lost(&world).await;
}

/// One of the strangers' rounds: points, a seat, and what they paid; how long the slowest step took.
async fn shops(buyer: &Buyer, show: &Show, seat: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    let mut start = Instant::now();
    let mut step = |slowest: &mut Duration| {
        *slowest = (*slowest).max(start.elapsed());
        start = Instant::now();
    };
    let charged = buyer.client.charge(1_000, "charge").await;
    assert_eq!(refusal(&charged), None, "{charged}");
    step(&mut slowest);
    let id = buyer.held(show, seat).await;
    step(&mut slowest);
    let paid = buyer.client.pay(&id, 1_000, "pay").await;
    assert_eq!(refusal(&paid), None, "{paid}");
    step(&mut slowest);
    slowest
}

#[tokio::test(flavor = "multi_thread")]
async fn one_locked_wallet_keeps_nobody_else_waiting() {
    let world = World::new().await;
    let (a, b) = (
        world.instance_with(&["--patience-ms=1000", "--request-ms=5000"]).await,
        world.instance_with(&["--patience-ms=1000", "--request-ms=5000"]).await,
    );
    let show = shop::show(&world, &a, Setup { seats_per_row: 40, ..Setup::default() }).await;
    let strangers = buying::buyers(&world, &[&a, &b], &show, 40).await;
    let unlucky = shop::fan(&world, &a).await;
    unlucky.charge(1, "first").await;
    let person = unlucky.person_id.as_deref().unwrap();
    let lock = world.pool.begin().await.unwrap();
    lock.execute_unprepared(&format!(
        "SELECT 1 FROM wallet WHERE person_id = '{person}' FOR UPDATE"
    ))
    .await
    .unwrap();
    let flood = (0..40).map(|n| {
        let fan = unlucky.at(if n % 2 == 0 { a.address } else { b.address });
        tokio::spawn(async move {
            let start = Instant::now();
            let answer = fan.send(CHARGE, one_point(&format!("{n}"))).await;
            (answer, start.elapsed())
        })
    });
    let flood: Vec<_> = flood.collect();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                   AND datname = current_database()";
    eventually("the flood to wait for the lock", async || {
        (world.number(waiting).await >= 4).then_some(())
    })
    .await;
    let mut slowest: Vec<Duration> = Vec::new();
    for (seat, stranger) in strangers.iter().enumerate() {
        slowest.push(shops(stranger, &show, seat).await);
    }
    let mut refused = Vec::new();
    for request in flood {
        let (answer, waited) = request.await.unwrap();
        let code = answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none").to_owned();
        // The deadline, which a lock's 2 s are well below, with some time for a busy machine.
        assert!(waited < Duration::from_secs(7), "{waited:?}: {answer}");
        refused.push((code, waited));
    }
    slowest.sort_unstable();
    refused.sort_unstable_by_key(|(_, waited)| *waited);
    eprintln!("strangers: median {:?}, slowest {:?}", slowest[20], slowest[39]);
    eprintln!("the flood: {:?} ... {:?}", refused[0], refused[39]);
    assert!(refused.iter().all(|(code, _)| ["OVERLOADED", "RATE_LIMITED"].contains(&&**code)));
    // Two of each instance wait for the lock, and time out on it; all others are sent away long before.
    let sent_away = refused.iter().filter(|(code, _)| code == "RATE_LIMITED").count();
    assert!(sent_away >= 30, "{refused:?}");
    lock.rollback().await.unwrap();
    all_well(&[&a, &b], &unlucky, "the lock").await;
    world.books_are_true().await;
}

#[tokio::test]
async fn a_request_has_one_deadline_for_all_that_it_asks_of_postgres() {
    const SLEEPS: &str = "SELECT pg_sleep(2)";
    let world = World::new().await;
    let kind = |error: DbErr| Fault::from(error).kind();
    let start = Instant::now();
    deadline::within(Duration::from_millis(300), async {
        // It was sent, and may have been done.
        let cut = world.db.run(SLEEPS, vec![]).await.unwrap_err();
        assert_eq!(kind(cut), FaultKind::Unanswered);
        assert!(start.elapsed() < Duration::from_secs(2));
        // Nothing is sent any more, so nothing is in doubt.
        let late = world.db.run("SELECT 1", vec![]).await.unwrap_err();
        assert_eq!(kind(late), FaultKind::Unavailable);
    })
    .await;
    // What is known to be long has its time.
    let patient = deadline::within(Duration::from_millis(300), async {
        let work = async |tx: &Tx| {
            tx.be_patient().await?;
            tx.run(SLEEPS, vec![]).await.map_err(Fault::from)
        };
        world.db.tx(work).await
    });
    assert_eq!(patient.await.unwrap(), 1);
    assert!(
        world.db.run(SLEEPS, vec![]).await.is_ok(),
        "without a deadline the pool's limits hold"
    );
}

#[tokio::test]
async fn nobody_waits_for_a_connection_beyond_the_deadline() {
    let world = World::new().await;
    let settings = DbSettings {
        url: world.database.url.clone(),
        pool_size: 1,
        patience: Duration::from_secs(60),
    };
    let db = Db::connect(&settings, &Tasks::default()).await.unwrap();
    let (holding, held) = tokio::sync::oneshot::channel::<()>();
    let holder = db.clone();
    let holder = tokio::spawn(async move {
        let work = async |_: &Tx| {
            drop(held.await);
            Ok::<(), Fault>(())
        };
        holder.tx(work).await
    });
    eventually("the only connection to be taken", async || {
        let turn = deadline::within(Duration::from_millis(50), db.run("SELECT 1", vec![])).await;
        turn.is_err().then_some(())
    })
    .await;
    let start = Instant::now();
    let late = deadline::within(Duration::from_millis(300), db.run("SELECT 1", vec![])).await;
    assert_eq!(Fault::from(late.unwrap_err()).kind(), FaultKind::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(10), "the line's own patience is a minute");
    drop(holding);
    holder.await.unwrap().unwrap();
    assert!(db.run("SELECT 1", vec![]).await.is_ok());
}
