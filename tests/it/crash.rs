//! Instances that die, clients that hang up, and an orderly end.

mod cards;
mod steps;

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    client::{Client, refusal},
    eventually,
    process::Process,
    random::Random,
    shop::{self, Setup, Show},
    socket::Pushed,
    world::World,
};
use crate::waiting_room::assert_admitted_properly;

fn room(max_active: i32, admit_per_round: i32) -> Value {
    json!({ "maxActive": max_active, "admitPerRound": admit_per_round, "roundSeconds": 0.1 })
}

/// Waits until somebody's status is as given, asked at an instance that lives.
async fn is(fan: &Client, schedule_id: &str, status: &str) {
    eventually(&format!("to be {status}"), async || {
        (fan.queue_status(schedule_id).await["status"] == status).then_some(())
    })
    .await;
}

/// Sends a request to an instance that may be dead; nothing when there is no answer without errors.
async fn try_send(fan: &Client, query: &str, variables: Value) -> Option<Value> {
    let request = fan
        .http
        .post(format!("http://{}/graphql", fan.address))
        .bearer_auth(fan.token.as_deref()?)
        .json(&json!({ "query": query, "variables": variables }));
    let answer: Value = request.send().await.ok()?.json().await.ok()?;
    answer.get("errors").is_none().then_some(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instance_goes_on_when_the_one_that_admits_is_killed() {
    let world = World::new().await;
    let office = world.quiet_instance(&[]).await;
    let mut a = Process::start(&world, &[]).await;
    let show =
        shop::show(&world, &office, Setup { waiting_room: room(2, 1), ..Setup::default() }).await;
    let fans = shop::fans(&world, &office, 12).await;
    for fan in &fans {
        assert_eq!(refusal(&fan.at(a.address).enter(&show.id).await), None);
    }
    is(&fans[0].at(a.address), &show.id, "ACTIVE").await;
    let mut watch = fans[11].at(a.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["status"], "WAITING");
    let b = Process::start(&world, &[]).await;
    a.kill();
    assert!(matches!(watch.next().await, Pushed::Closed(_)));
    // The watcher comes back elsewhere, and finds the place as it was.
    let mut watch = fans[11].at(b.address).watch_queue(&show.id).await;
    assert_eq!(watch.field().await["status"], "WAITING");
    for fan in &fans[..11] {
        let fan = fan.at(b.address);
        is(&fan, &show.id, "ACTIVE").await;
        assert_eq!(refusal(&fan.leave(&show.id).await), None);
    }
    watch.until("ACTIVE", |token| token["status"] == "ACTIVE").await;
    let inversions = "SELECT count(*) FROM queue_token a JOIN queue_token b ON a.number < b.number
                      WHERE a.activated_at > b.activated_at";
    assert_eq!(world.number(inversions).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_acknowledged_is_in_line_once_though_instances_are_killed_while_they_enter() {
    let world = World::new().await;
    let office = world.quiet_instance(&[]).await;
    let mut a = Process::start(&world, &[]).await;
    let mut b = Process::start(&world, &[]).await;
    let show =
        shop::show(&world, &office, Setup { waiting_room: room(3, 2), ..Setup::default() }).await;
    let fans = shop::fans(&world, &office, 60).await;
    let (at_a, at_b) = (a.address, b.address);
    let people = join_all(fans.iter().enumerate().map(async |(i, fan)| {
        let mut here = i % 2 == 0;
        // As a client would: again, elsewhere, until there is an answer.
        let start = Instant::now();
        let mut active = false;
        while !active {
            assert!(start.elapsed() < Duration::from_secs(60), "never served");
            let fan = fan.at(if here { at_a } else { at_b });
            let query =
                "mutation ($id: ID!) { enterQueue(scheduleId: $id) { queueToken { status } } }";
            active = match try_send(&fan, query, json!({ "id": show.id })).await {
                Some(answer) => answer["data"]["enterQueue"]["queueToken"]["status"] == "ACTIVE",
                None => {
                    here = !here;
                    false
                }
            };
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let query = "mutation ($id: ID!) { leaveQueue(scheduleId: $id) { queueToken { status } } }";
        while try_send(&fan.at(if here { at_a } else { at_b }), query, json!({ "id": show.id }))
            .await
            .is_none()
        {
            here = !here;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }));
    let killer = async {
        for round in 0..4_usize {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let victim = if round % 2 == 0 { &mut a } else { &mut b };
            let address = victim.address;
            victim.kill();
            *victim = Process::start_at(&world, address, &[]).await;
        }
    };
    tokio::join!(people, killer);
    let count = async |condition: &str| {
        world.number(&format!("SELECT count(*) FROM queue_token t WHERE {condition}")).await
    };
    assert_eq!(count("t.activated_at IS NOT NULL").await, 60, "everybody was in, and once");
    let inversions = "EXISTS (SELECT 1 FROM queue_token o WHERE o.number < t.number AND o.activated_at > t.activated_at)";
    assert_eq!(count(inversions).await, 0);
    let crowded = "3 < (SELECT count(*) FROM queue_token o
                        WHERE o.activated_at <= t.activated_at AND (o.ended_at IS NULL OR o.ended_at > t.activated_at))";
    assert_eq!(count(crowded).await, 0);
}

/// A fan who goes from instance to instance until one answers.
struct Wanderer {
    fan: Client,
    addresses: Vec<std::net::SocketAddr>,
    random: Random,
    patience: Instant,
}

impl Wanderer {
    /// Sends a request again and again, anywhere, until somebody answers; the root field.
    async fn send(&mut self, query: &str, variables: Value) -> Value {
        loop {
            assert!(self.patience.elapsed() < Duration::from_secs(90), "never served");
            let address = self.addresses[self.random.below(self.addresses.len())];
            if let Some(mut answer) =
                try_send(&self.fan.at(address), query, variables.clone()).await
            {
                let fields = answer["data"].as_object_mut().expect("data");
                return fields.values_mut().next().expect("a root field").take();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Enters, and polls until admitted; the queue token.
    async fn get_in(&mut self, show: &Show) -> String {
        const ENTER: &str =
            "mutation ($id: ID!) { enterQueue(scheduleId: $id) { queueToken { status } } }";
        const LOOK: &str = "query ($id: ID!) { queueStatus(scheduleId: $id) { status token } }";
        self.send(ENTER, json!({ "id": show.id })).await;
        loop {
            let place = self.send(LOOK, json!({ "id": show.id })).await;
            match place["status"].as_str() {
                Some("ACTIVE") => return place["token"].as_str().expect("a token").to_owned(),
                Some("WAITING") => {}
                other => panic!("{other:?} before having been in"),
            }
            let pause = 500 + u64::try_from(self.random.below(700)).unwrap();
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Buys a seat that nobody else wants.
    async fn buy(&mut self, show: &Show, seat: &str, token: &str) {
        const HOLD: &str =
            "mutation ($input: HoldSeatInput!) { holdSeat(input: $input) { userErrors { code } } }";
        const HELD: &str = "{ reservations(first: 1) { nodes { id } } }";
        const CHARGE: &str =
            "mutation ($input: ChargeInput!) { charge(input: $input) { balance } }";
        const PAY: &str = "mutation ($input: PayInput!) { pay(input: $input) { payment { status } userErrors { code } } }";
        let input = json!({ "scheduleId": show.id, "seatId": seat, "queueToken": token });
        // The answer may have been lost with an instance, and the second try is refused then: what counts is what is held.
        self.send(HOLD, json!({ "input": input })).await;
        let held = self.send(HELD, json!({})).await;
        let id = held["nodes"][0]["id"].as_str().expect("held").to_owned();
        self.send(CHARGE, json!({ "input": { "amount": 1_000, "idempotencyKey": "c" } })).await;
        let input = json!({ "reservationId": id, "method": "POINT", "amount": 1_000, "idempotencyKey": "p" });
        let paid = self.send(PAY, json!({ "input": input })).await;
        assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    }
}

/// Instances are killed for so long at least, and on until there were so many kills, but not much longer: people lose
/// patience.
const KILLING: Duration = Duration::from_secs(25);
const KILLS: u32 = 15;
const KILLING_AT_MOST: Duration = Duration::from_secs(60);

/// Kills and restarts an instance again and again, until that was enough; `kills` counts those of all instances.
async fn killed_at_random(
    world: &World,
    mut process: Process,
    mut random: Random,
    kills: &AtomicU32,
) -> Process {
    let start = Instant::now();
    let enough = || {
        let many = kills.load(Ordering::Relaxed) >= KILLS;
        start.elapsed() >= if many { KILLING } else { KILLING_AT_MOST }
    };
    let mut pause = |least: usize, most: usize| {
        Duration::from_millis(u64::try_from(least + random.below(most - least)).unwrap())
    };
    while !enough() {
        tokio::time::sleep(pause(300, 3_000)).await;
        let address = process.address;
        process.kill();
        kills.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(pause(1, 800)).await;
        process = Process::start_at(world, address, &[]).await;
    }
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_people_are_served_in_order_while_three_instances_are_killed_at_random() {
    let mut random = Random::seeded();
    let world = World::new().await;
    let office = world.quiet_instance(&[]).await;
    let room = json!({ "maxActive": 12, "admitPerRound": 8, "roundSeconds": 0.2 });
    let show =
        shop::show(&world, &office, Setup { rows: 12, waiting_room: room, ..Setup::default() })
            .await;
    let fans = shop::fans(&world, &office, 300).await;
    let processes = [
        Process::start(&world, &[]).await,
        Process::start(&world, &[]).await,
        Process::start(&world, &[]).await,
    ];
    let addresses = processes.each_ref().map(|process| process.address).to_vec();
    let (over, kills) = (AtomicBool::new(false), AtomicU32::new(0));
    let people = join_all(fans.iter().enumerate().map(|(i, fan)| {
        let arrival = Duration::from_millis(u64::try_from(random.below(18_000)).unwrap());
        let (fan, addresses, random) =
            (fan.clone(), addresses.clone(), Random::from(random.next()));
        let show = &show;
        async move {
            tokio::time::sleep(arrival).await;
            let mut wanderer = Wanderer { fan, addresses, random, patience: Instant::now() };
            let token = wanderer.get_in(show).await;
            if i % 3 == 0 {
                wanderer.buy(show, &show.seats[i / 3], &token).await;
            } else {
                let leave =
                    "mutation ($id: ID!) { leaveQueue(scheduleId: $id) { queueToken { status } } }";
                wanderer.send(leave, json!({ "id": show.id })).await;
            }
        }
    }));
    let killers = join_all(processes.into_iter().map(|process| {
        let random = Random::from(random.next());
        killed_at_random(&world, process, random, &kills)
    }));
    let count = async |condition: &str| {
        world.number(&format!("SELECT count(*) FROM queue_token t WHERE {condition}")).await
    };
    let watch = async {
        let mut most = 0;
        while !over.load(Ordering::Relaxed) {
            most = most.max(count("status = 'ACTIVE'").await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        most
    };
    let play = async {
        // Those started last live until everybody was served.
        drop(join(people, killers).await);
        over.store(true, Ordering::Relaxed);
    };
    let (most, ()) = tokio::join!(watch, play);
    let kills = kills.load(Ordering::Relaxed);
    assert!(kills >= KILLS, "only {kills} were killed");
    assert!(most <= 12, "{most} were in at once");
    assert_eq!(count("t.activated_at IS NOT NULL").await, 300, "everybody was in, and once");
    assert_eq!(count("t.status = 'USED'").await, 100);
    assert_admitted_properly(&world, &show, 12, 8, 200).await;
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_a_killed_instance_lapses_and_somebody_else_holds_the_seat_at_that_very_moment() {
    let world = World::new().await;
    // Long enough for somebody to be refused the seat before that.
    let flags = ["--hold-seconds=3"];
    let office = world.quiet_instance(&flags).await;
    let mut a = Process::start(&world, &flags).await;
    let show = shop::show(&world, &office, Setup::default()).await;
    let fans = shop::fans(&world, &office, 2).await;
    let late = fans[0].at(a.address);
    let token = late.admitted(&show.id).await;
    let quick = fans[1].at(a.address);
    let quick_token = quick.admitted(&show.id).await;
    late.charge(1_000, "c").await;
    let held = late.held(&show.id, &show.seats[0], &token).await;
    a.kill();
    // Nothing sweeps on the instance that is left: what counts is the database's clock.
    let (late, quick) = (late.at(office.address), quick.at(office.address));
    let refused = quick.hold(&show.id, &show.seats[0], &quick_token).await;
    assert_eq!(refusal(&refused), Some("SEAT_HELD"));
    let mine = eventually("the seat to be free", async || {
        let mut payload = quick.hold(&show.id, &show.seats[0], &quick_token).await;
        (refusal(&payload).is_none()).then(|| payload["reservation"].take())
    })
    .await;
    let instant =
        |value: &Value| chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap();
    let gap = instant(&mine["heldAt"]) - instant(&held["expiresAt"]);
    assert!(gap >= chrono::TimeDelta::milliseconds(-1), "held before the other had lapsed: {gap}");
    assert!(gap < chrono::TimeDelta::seconds(1), "long after the other had lapsed: {gap}");
    let paid = late.pay(held["id"].as_str().unwrap(), 1_000, "p").await;
    assert_eq!(refusal(&paid), Some("HOLD_EXPIRED"), "{paid}");
    assert_eq!(late.balance().await, 1_000);
    quick.charge(1_000, "c").await;
    let paid = quick.pay(mine["id"].as_str().unwrap(), 1_000, "p").await;
    assert_eq!(refusal(&paid), None, "{paid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_buys_at_another_instance_when_the_one_that_admitted_them_is_killed() {
    let world = World::new().await;
    let office = world.quiet_instance(&[]).await;
    let mut a = Process::start(&world, &[]).await;
    let show = shop::show(&world, &office, Setup::default()).await;
    let fan = shop::fan(&world, &office).await.at(a.address);
    let token = fan.admitted(&show.id).await;
    let held = fan.held(&show.id, &show.seats[0], &token).await;
    a.kill();
    let b = Process::start(&world, &[]).await;
    let fan = fan.at(b.address);
    assert_eq!(fan.queue_status(&show.id).await["expiresAt"], held["expiresAt"]);
    fan.charge(1_000, "c").await;
    assert_eq!(refusal(&fan.pay(held["id"].as_str().unwrap(), 1_000, "p").await), None);
    is(&fan, &show.id, "USED").await;
}

/// Sends a request by hand; the connection, on which the answer is to come.
async fn sent(fan: &Client, query: &str) -> TcpStream {
    let body = json!({ "query": query }).to_string();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        fan.address,
        fan.token.as_deref().unwrap(),
        body.len()
    );
    let mut stream = TcpStream::connect(fan.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Waits until a statement of this world waits for a lock.
async fn stuck(world: &World) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("a statement to wait for a lock", async || {
        (world.number(sql).await > 0).then_some(())
    })
    .await;
}

const CHARGE: &str =
    r#"mutation { charge(input: { amount: 500, idempotencyKey: "slow" }) { balance } }"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_runs_to_its_end_though_the_client_hangs_up() {
    let world = World::new().await;
    let office = world.quiet_instance(&[]).await;
    let process = Process::start(&world, &[]).await;
    let fan = shop::fan(&world, &office).await.at(process.address);
    assert_eq!(fan.charge(100, "first").await["balance"], 100);
    let lock = world.pool.begin().await.unwrap();
    lock.execute_unprepared("SELECT 1 FROM wallet FOR UPDATE").await.unwrap();
    let mut stream = sent(&fan, CHARGE).await;
    stuck(&world).await;
    stream.shutdown().await.unwrap();
    // The server hangs up as well: it has noticed that nobody waits any more.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"", "no answer");
    lock.rollback().await.unwrap();
    eventually("the charge", async || (fan.balance().await == 600).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_runs_closes_sockets_and_ends_with_exit_code_0() {
    let world = World::new().await;
    let office = world.quiet_instance(&[]).await;
    let mut process = Process::start(&world, &[]).await;
    let show = shop::show(&world, &office, Setup::default()).await;
    let fan = shop::fan(&world, &office).await.at(process.address);
    fan.admitted(&show.id).await;
    let mut watch = fan.watch_queue(&show.id).await;
    assert_eq!(watch.field().await["status"], "ACTIVE");
    assert_eq!(fan.charge(100, "first").await["balance"], 100);
    let lock = world.pool.begin().await.unwrap();
    lock.execute_unprepared("SELECT 1 FROM wallet FOR UPDATE").await.unwrap();
    let mut stream = sent(&fan, CHARGE).await;
    stuck(&world).await;
    process.terminate();
    let closed = loop {
        match watch.next().await {
            Pushed::Closed(code) => break code,
            Pushed::Next(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(closed, 1001);
    eventually("new connections to be refused", async || {
        TcpStream::connect(process.address).await.is_err().then_some(())
    })
    .await;
    lock.rollback().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("600"), "{answer}");
    assert_eq!(process.ended().await, Some(0));
    assert_eq!(fan.at(office.address).balance().await, 600);
}
