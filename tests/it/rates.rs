//! How often somebody may do something: by address, by person, by account. And that it costs more and more to let holds lapse.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    buying,
    client::{Client, refusal},
    eventually,
    redis::PrivateRedis,
    shop::{self, Setup},
    world::{Instance, World},
};

const PASSWORD: &str = "correct horse battery";
const LOG_IN: &str = "mutation ($input: LogInInput!) { logIn(input: $input) {
    session { accessToken } userErrors { code } } }";
const SIGN_UP: &str = "mutation ($input: SignUpInput!) { signUp(input: $input) {
    session { accessToken } userErrors { code } } }";
/// Where the tests' proxy says that a request comes from.
const HOME: &str = "198.51.100.7";
const CAFE: &str = "203.0.113.9";

/// A request as a proxy on this machine passes it on.
async fn from(address: &str, client: &Client, media: &str, body: &Value) -> reqwest::Response {
    let request = client
        .http
        .post(format!("http://{}/graphql", client.address))
        .header("x-forwarded-for", address)
        .header("accept", media)
        .json(body);
    request.send().await.unwrap()
}

async fn ask(address: &str, client: &Client, query: &str, variables: Value) -> Value {
    let body = json!({ "query": query, "variables": variables });
    from(address, client, "application/json", &body).await.json().await.unwrap()
}

async fn log_in(address: &str, client: &Client, email: &str, password: &str) -> Value {
    ask(address, client, LOG_IN, json!({ "input": { "email": email, "password": password } })).await
}

async fn signed_up(instance: &Instance, email: &str) {
    let input = json!({ "email": email, "password": PASSWORD, "name": "Mina" });
    let payload = instance.client().payload(SIGN_UP, json!({ "input": input })).await;
    assert_eq!(refusal(&payload), None, "{payload}");
}

/// What became of a log-in.
fn outcome(answer: &Value) -> &str {
    if let Some(code) = answer["errors"][0]["extensions"]["code"].as_str() {
        return code;
    }
    refusal(&answer["data"]["logIn"]).unwrap_or("ok")
}

#[track_caller]
fn seconds(answer: &Value) -> u64 {
    let extensions = &answer["errors"][0]["extensions"];
    assert_eq!(
        (&extensions["code"], &extensions["retryable"]),
        (&json!("RATE_LIMITED"), &json!(true))
    );
    extensions["retryAfterSeconds"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

fn limited(instance: &Instance, limit: &'static str) -> u64 {
    let labels = frontrow::telemetry::LimitLabels { limit };
    instance.app.metrics.rate_limited.get_or_create(&labels).get()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_asks_too_often_is_told_when_to_come_back() {
    let world = World::new().await;
    // Ten at once.
    let instance = world.quiet_instance(&["--requests-per-address=1"]).await;
    let client = instance.client();
    let body = json!({ "query": "{ __typename }" });
    let media = ["application/graphql-response+json", "application/json"];
    let flood = join_all((0..40).map(|_| from(HOME, &client, media[0], &body))).await;
    let status = |status| flood.iter().filter(|answer| answer.status() == status).count();
    let (served, refused) = (status(StatusCode::OK), status(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(served + refused, 40);
    assert!((10..30).contains(&served), "{served}");
    for (media, status) in media.into_iter().zip([429, 200]) {
        let refused = from(HOME, &client, media, &body).await;
        let headers = refused.headers().clone();
        assert_eq!(refused.status().as_u16(), status, "{media}");
        assert_eq!(headers["content-type"], format!("{media}; charset=utf-8"));
        assert_eq!(headers["retry-after"], "1");
        let answer: Value = refused.json().await.unwrap();
        assert_eq!(seconds(&answer), 1);
        assert!(answer.get("data").is_none(), "{answer}");
    }
    // Everything counts, and nobody else does. What a client adds on the left is not believed.
    let get = |address: &str| {
        let url = format!("http://{}/health/live", instance.address);
        client.http.get(url).header("x-forwarded-for", address).send()
    };
    assert_eq!(get(HOME).await.unwrap().status(), 429);
    assert_eq!(get(&format!("{CAFE}, {HOME}")).await.unwrap().status(), 429);
    assert_eq!(get(CAFE).await.unwrap().status(), 200);
    // A network of IPv6 is one address.
    for last in 0..40 {
        drop(get(&format!("2001:db8:0:1::{last}")).await.unwrap());
    }
    assert_eq!(get("2001:db8:0:1::ffff").await.unwrap().status(), 429);
    assert_eq!(get("2001:db8:0:2::1").await.unwrap().status(), 200);
    // A proxy that does not say whom it speaks for speaks for everybody.
    for _ in 0..20 {
        client.data("{ __typename }", json!({})).await;
    }
    assert!(limited(&instance, "address") >= u64::try_from(refused).unwrap() + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_for_an_account_are_few_on_all_instances_together() {
    let world = World::new().await;
    let (a, b) = (world.quiet_instance(&[]).await, world.quiet_instance(&[]).await);
    let clients = [a.client(), b.client()];
    signed_up(&a, "mina@example.com").await;
    // Right ones do not count, however many.
    for n in 0..12 {
        let answer = log_in(HOME, &clients[n % 2], "mina@example.com", PASSWORD).await;
        assert_eq!(outcome(&answer), "ok", "{answer}");
    }
    let mut answers = Vec::new();
    for _ in 0..10 {
        // Three at once, at both instances.
        let tries = ["mina@example.com", "MINA@Example.com", "mina@example.COM"];
        let tries = tries.iter().zip(clients.iter().cycle());
        answers.extend(
            join_all(tries.map(|(email, at)| log_in(HOME, at, email, "not this one"))).await,
        );
    }
    let wrong = answers.iter().filter(|answer| outcome(answer) == "WRONG_CREDENTIALS").count();
    let refused: Vec<_> =
        answers.iter().filter(|answer| outcome(answer) == "RATE_LIMITED").collect();
    assert_eq!((wrong, refused.len()), (10, 20), "{answers:?}");
    assert!(refused.iter().all(|answer| (1..=60).contains(&seconds(answer))), "{refused:?}");
    // The right one is not looked at either: nobody learns that it is.
    let told = log_in(HOME, &clients[0], "mina@example.com", PASSWORD).await;
    assert_eq!(outcome(&told), "RATE_LIMITED", "{told}");
    // Its owner, elsewhere, gets in; and so does the neighbour.
    let told = log_in(CAFE, &clients[1], "mina@example.com", PASSWORD).await;
    assert_eq!(outcome(&told), "ok", "{told}");
    signed_up(&a, "jun@example.com").await;
    let told = log_in(HOME, &clients[0], "jun@example.com", PASSWORD).await;
    assert_eq!(outcome(&told), "ok", "{told}");
    // An address that nobody has is told the same.
    answers.clear();
    for _ in 0..14 {
        answers.push(log_in(HOME, &clients[0], "nobody@example.com", PASSWORD).await);
    }
    let wrong = answers.iter().filter(|answer| outcome(answer) == "WRONG_CREDENTIALS").count();
    assert_eq!(wrong, 10, "{answers:?}");
    assert!(limited(&a, "wrong_passwords_account") >= 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_addresses_together_get_few_wrong_passwords_for_one_account() {
    let world = World::new().await;
    let instance = world.quiet_instance(&["--wrong-passwords-per-account=2"]).await;
    let client = instance.client();
    let address = |n: usize| format!("198.51.100.{n}");
    let mut wrong = 0;
    for n in 0..30 {
        let told = log_in(&address(n), &client, "mina@example.com", "not this one").await;
        wrong += usize::from(outcome(&told) == "WRONG_CREDENTIALS");
    }
    // Five times as many as from one.
    assert_eq!(wrong, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_wrong_passwords_are_counted_more_strictly() {
    let world = World::new().await;
    let mut redis = PrivateRedis::stopped().await;
    let flag = redis.flag();
    let instance = world.quiet_instance(&[&flag]).await;
    let client = instance.client();
    signed_up(&instance, "mina@example.com").await;
    let tries = async || {
        let mut told = Vec::new();
        for n in 0..12 {
            let answer = log_in(HOME, &client, "mina@example.com", &format!("wrong-{n}")).await;
            told.push(outcome(&answer).to_owned());
        }
        told.iter().filter(|told| *told == "WRONG_CREDENTIALS").count()
    };
    assert_eq!(tries().await, 3);
    let told = log_in(CAFE, &client, "mina@example.com", PASSWORD).await;
    assert_eq!(outcome(&told), "ok", "{told}");
    redis.start().await;
    eventually("Redis to be seen", async || instance.app.kv.ping().await.ok()).await;
    assert_eq!(tries().await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_tries_few_passwords_makes_few_accounts_and_logs_in_so_often() {
    let world = World::new().await;
    let flags =
        ["--wrong-passwords-per-address=5", "--sign-ups-per-address=4", "--log-ins-per-address=10"];
    let instance = world.quiet_instance(&flags).await;
    let client = instance.client();
    signed_up(&instance, "mina@example.com").await;
    let tries = (0..12).map(async |n| {
        let email = format!("nobody-{n}@example.com");
        let answer = log_in(HOME, &client, &email, "password").await;
        outcome(&answer).to_owned()
    });
    let told = join_all(tries).await;
    let wrong = told.iter().filter(|told| *told == "WRONG_CREDENTIALS").count();
    assert!((5..8).contains(&wrong), "{told:?}");
    assert!(limited(&instance, "wrong_passwords_address") > 0);
    let told = log_in(CAFE, &client, "mina@example.com", PASSWORD).await;
    assert_eq!(outcome(&told), "ok", "{told}");
    // Log-ins count whether they are right or not.
    let mut told = Vec::new();
    for _ in 0..20 {
        told.push(outcome(&log_in(CAFE, &client, "mina@example.com", PASSWORD).await).to_owned());
    }
    let refused = told.iter().filter(|told| *told == "RATE_LIMITED").count();
    assert!((5..=11).contains(&refused), "{told:?}");
    assert!(limited(&instance, "log_in") > 0);

    let sign_ups = (0..12).map(async |n| {
        let email = format!("new-{n}@example.com");
        let input = json!({ "email": email, "password": PASSWORD, "name": "New" });
        ask(HOME, &client, SIGN_UP, json!({ "input": input })).await
    });
    let told = join_all(sign_ups).await;
    let refused: Vec<_> = told.iter().filter(|told| told.get("errors").is_some()).collect();
    assert!((6..=8).contains(&refused.len()), "{told:?}");
    assert!(refused.iter().all(|told| (1..=60).contains(&seconds(told))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_enters_holds_and_pays_so_often_and_gives_back_as_they_like() {
    let world = World::new().await;
    let flags = ["--orders-per-person=8", "--requests-per-person=30"];
    let instance = world.instance_with(&flags).await;
    let setup = Setup { max_seats_per_person: 20, seats_per_row: 20, ..Setup::default() };
    let show = shop::show(&world, &instance, setup).await;
    let fan = shop::fan(&world, &instance).await;
    let code = |answer: &Value| {
        answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("ok").to_owned()
    };
    let token = fan.admitted(&show.id).await;
    let enter = "mutation ($id: ID!) { enterQueue(scheduleId: $id) { userErrors { code } } }";
    let mut told = Vec::new();
    for _ in 0..8 {
        told.push(code(&fan.send(enter, json!({ "id": show.id })).await));
    }
    assert_eq!(told.last().unwrap(), "RATE_LIMITED", "{told:?}");
    // Holding and paying have a count of their own.
    let hold = "mutation ($input: HoldSeatInput!) { holdSeat(input: $input) {
        reservation { id } userErrors { code } } }";
    let mut held = Vec::new();
    for seat in &show.seats[..10] {
        let input = json!({ "scheduleId": show.id, "seatId": seat, "queueToken": token });
        held.push(fan.send(hold, json!({ "input": input })).await);
    }
    let refused: Vec<_> = held.iter().filter(|held| code(held) != "ok").collect();
    assert!((4..=6).contains(&refused.len()), "{held:?}");
    assert!((1..=8).contains(&seconds(refused[0])), "{refused:?}");
    fan.charge(1_000, "k").await;
    for held in
        held.iter().filter_map(|held| held["data"]["holdSeat"]["reservation"]["id"].as_str())
    {
        let cancelled = fan.cancel(held).await;
        assert_eq!(refusal(&cancelled), None, "{cancelled}");
    }
    // Somebody else does not notice.
    let other = shop::fan(&world, &instance).await;
    let token = other.admitted(&show.id).await;
    other.held(&show.id, &show.seats[0], &token).await;
    let told = ["enter", "hold", "pay"].map(|limit| limited(&instance, limit) > 0);
    assert_eq!(told, [true, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_asks_without_end_is_told_on_every_way_in() {
    let world = World::new().await;
    let instance = world.quiet_instance(&["--requests-per-person=1"]).await;
    let fan = shop::fan(&world, &instance).await;
    let mut told = Vec::new();
    for _ in 0..30 {
        let answer = fan.send("{ balance }", json!({})).await;
        told.push(answer["errors"][0]["extensions"]["code"].as_str().map(str::to_owned));
    }
    assert!(told[..10].iter().all(Option::is_none), "{told:?}");
    assert!(told.iter().flatten().count() > 10, "{told:?}");
    let mut socket = fan.subscribe("subscription { reservationChanges { id } }", json!({})).await;
    match socket.soon().await {
        Some(crate::support::socket::Pushed::Error(errors)) => {
            assert_eq!(errors[0]["extensions"]["code"], "RATE_LIMITED", "{errors}");
            assert!(errors[0]["extensions"]["retryAfterSeconds"].is_u64(), "{errors}");
        }
        other => panic!("{other:?}"),
    }
    assert!(
        shop::fan(&world, &instance).await.send("{ balance }", json!({})).await["errors"].is_null()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn letting_holds_lapse_costs_more_and_more_and_says_so() {
    let world = World::new().await;
    let flags = ["--lapsed-holds=2"];
    let (a, b) = (world.instance_with(&flags).await, world.instance_with(&flags).await);
    let show = shop::show(&world, &a, Setup::default()).await;
    let mina = buying::buyer(&world, &a, &show).await;
    let hold = async |at: &Instance, seat: usize| {
        let query = "mutation ($input: HoldSeatInput!) { holdSeat(input: $input) {
            reservation { id } userErrors { code } } }";
        let input =
            json!({ "scheduleId": show.id, "seatId": show.seats[seat], "queueToken": mina.token });
        mina.client.at(at.address).send(query, json!({ "input": input })).await
    };
    // It counts whether somebody has tidied it or not.
    let lapse = async |held: &Value| {
        let id = held["data"]["holdSeat"]["reservation"]["id"].as_str();
        world.lapse(id.unwrap_or_else(|| panic!("{held}"))).await;
    };
    for _ in 0..3 {
        lapse(&hold(&a, 0).await).await;
    }
    let mut rests = Vec::new();
    for _ in 0..6 {
        for (at, seat) in [(&a, 0), (&b, 1)] {
            let refused = hold(at, seat).await;
            let message = refused["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains("pay in time, or give back"), "{refused}");
            rests.push(seconds(&refused));
        }
        // Time passes.
        world
            .sql("UPDATE reservation SET held_at = held_at - interval '1 hour', expires_at = expires_at - interval '1 hour',
                      extendable_until = extendable_until - interval '1 hour'")
            .await;
        lapse(&hold(&b, 1).await).await;
    }
    // A fifth of the 300 s that a hold lasts, then twice as much each time, up to three times those.
    let expected = [60, 120, 240, 480, 900, 900];
    for (told, expected) in rests.chunks(2).zip(expected) {
        let fits = |told: &u64| *told <= expected && *told + 20 >= expected;
        assert!(told.iter().all(fits), "{rests:?}");
    }
    let best = "mutation ($input: HoldBestSeatsInput!) { holdBestSeats(input: $input) { userErrors { code } } }";
    let input =
        json!({ "scheduleId": show.id, "grade": "R", "count": 1, "queueToken": mina.token });
    let refused = mina.client.send(best, json!({ "input": input })).await;
    assert!(seconds(&refused) > 800, "{refused}");
    // Giving back costs nothing, and others do not notice.
    let jun = buying::buyer(&world, &b, &show).await;
    for _ in 0..6 {
        let held = jun.held(&show, 1).await;
        let cancelled = jun.client.cancel(&held).await;
        assert_eq!(refusal(&cancelled), None, "{cancelled}");
    }
    jun.held(&show, 1).await;
    assert!(limited(&a, "lapsed_holds") > 0 && limited(&b, "lapsed_holds") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pays_and_gives_back_is_finished_while_everything_else_is_refused() {
    let world = World::new().await;
    let instance = world.instance_with(&["--requests-at-once=1"]).await;
    let setup = Setup { max_seats_per_person: 2, ..Setup::default() };
    let show = shop::show(&world, &instance, setup).await;
    let buyer = buying::buyer(&world, &instance, &show).await;
    buyer.client.charge(10_000, "c").await;
    let (one, two) = (buyer.held(&show, 0).await, buyer.held(&show, 1).await);
    // Somebody locks the room's counter, and somebody who enters has the one place until that is over.
    let lock = sea_orm::TransactionTrait::begin(&world.pool).await.unwrap();
    let counter =
        format!("SELECT 1 FROM queue_counter WHERE schedule_id = '{}' FOR UPDATE", show.id);
    sea_orm::ConnectionTrait::execute_unprepared(&lock, &counter).await.unwrap();
    let enters = shop::fan(&world, &instance).await;
    let enter = "mutation ($id: ID!) { enterQueue(scheduleId: $id) { userErrors { code } } }";
    let variables = json!({ "id": show.id });
    let waits = tokio::spawn(async move { enters.send(enter, variables).await });
    eventually("the place to be taken", async || {
        (instance.app.metrics.in_flight.get() == 1).then_some(())
    })
    .await;
    let stranger = shop::fan(&world, &instance).await;
    let refused = stranger.send("{ balance }", json!({})).await;
    let extensions = &refused["errors"][0]["extensions"];
    assert_eq!(
        (&extensions["code"], &extensions["retryAfterSeconds"]),
        (&json!("OVERLOADED"), &json!(1))
    );
    let paid = buyer.client.pay(&one, 1_000, "p").await;
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    let cancelled = buyer.client.cancel(&two).await;
    assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "{cancelled}");
    assert!(instance.app.metrics.shed.get() > 0);
    lock.rollback().await.unwrap();
    drop(waits.await.unwrap());
    eventually("everything to be well", async || {
        stranger.send("{ balance }", json!({})).await["errors"].is_null().then_some(())
    })
    .await;
    world.books_are_true().await;
}
