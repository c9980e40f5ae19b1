//! Servers that die while cards are charged: before the gateway is asked, while it is, before its answer is written down, and before
//! the buyer hears of it. Every payment ends with its seats, or without money.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::try_send;
use crate::support::{
    buying::{self, Buyer},
    cards::{RETURN_URL, agree, answer, card_input, free_address},
    process::Process,
    random::Random,
    sandbox::{Sandbox, flags_for},
    shop::{self, Setup, Show},
    trials,
    world::World,
};

/// A payment or a charge has to be decided this long after the last kill.
const DECIDED_WITHIN: Duration = Duration::from_secs(60);
/// Payments under way at once, at each kill.
const AT_ONCE: usize = 6;
const TOKENS: [&str; 6] =
    ["tok_ok", "tok_challenge", "tok_500", "tok_timeout", "tok_slow", "tok_webhook_twice"];

const PAY: &str = "mutation ($input: PayInput!) { pay(input: $input) {
    payment { status action { redirectUrl } reservation { status } } userErrors { code } } }";
const CHARGE: &str = "mutation ($input: ChargeInput!) { charge(input: $input) {
    entry { delta } status action { redirectUrl } userErrors { code } } }";

/// Asks an instance that is killed meanwhile, and passes the bank's challenge if there is one.
async fn ask(buyer: &Buyer, query: &str, input: &Value) {
    let Some(told) = try_send(&buyer.client, query, json!({ "input": input })).await else {
        return;
    };
    let payload = told["data"].as_object().and_then(|data| data.values().next()).cloned();
    let payload = payload.unwrap_or_default();
    let action = if payload["payment"].is_object() { &payload["payment"] } else { &payload };
    if let Some(url) = action["action"]["redirectUrl"].as_str() {
        answer(url, "pass").await;
    }
}

/// What one person buys in one round.
struct Round {
    buyer: Buyer,
    token: &'static str,
    pay: Value,
    charge: Value,
}

async fn prepared(
    world: &World,
    office: &crate::support::world::Instance,
    show: &Show,
    seats: usize,
) -> Vec<Round> {
    let people = buying::buyers(world, &[office], show, AT_ONCE).await;
    join_all(people.into_iter().enumerate().map(async |(n, buyer)| {
        let id = buyer.held(show, seats + n).await;
        let token = TOKENS[n % TOKENS.len()];
        let charge = json!({ "amount": 500, "idempotencyKey": "charge", "cardToken": token, "returnUrl": RETURN_URL });
        Round { buyer, token, pay: card_input(&id, "pay", token), charge }
    }))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_card_payment_ends_with_its_seats_or_without_money_though_servers_are_killed() {
    let mut random = Random::seeded();
    let world = World::new().await;
    let rounds = trials(12).div_ceil(AT_ONCE);
    let address = free_address().await;
    let flags = flags_for(&format!("http://{address}"));
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    flags.extend(["--gateway-timeout-ms=1500", "--card-action-seconds=5"]);
    let office = world.quiet_instance(&flags).await;
    let helper = world.instance().await;
    let mut a = Process::start(&world, &flags).await;
    let b = Process::start(&world, &flags).await;
    let sandbox =
        Sandbox::start_at(&address, &format!("http://{}/webhooks/sandbox", b.address), &[]).await;
    let rows = i32::try_from(rounds).expect("rows");
    let setup =
        Setup { rows, seats_per_row: i32::try_from(AT_ONCE).expect("seats"), ..Setup::default() };
    let show = shop::show(&world, &helper, setup).await;
    let mut all = Vec::new();
    for round in 0..rounds {
        let people = prepared(&world, &helper, &show, round * AT_ONCE).await;
        let delay = Duration::from_millis(u64::try_from(random.below(900)).expect("a delay"));
        let at = a.address;
        let asked = join_all(people.iter().map(async |person| {
            let buyer = Buyer { client: person.buyer.client.at(at), ..person.buyer.clone() };
            tokio::join!(ask(&buyer, PAY, &person.pay), ask(&buyer, CHARGE, &person.charge));
        }));
        let killed = async {
            tokio::time::sleep(delay).await;
            a.kill();
        };
        tokio::join!(asked, killed);
        a = Process::start_at(&world, at, &flags).await;
        all.extend(people);
    }
    let start = Instant::now();
    let pending = "SELECT count(*) FROM payment WHERE status = 'PENDING'";
    while world.number(pending).await > 0 {
        assert!(start.elapsed() < DECIDED_WITHIN, "payments are not decided");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for person in &all {
        let client = person.buyer.client.at(office.address);
        // Whoever asks again is told what has become of it, and a payment that never began is made now.
        let paid = client.pay_as(person.pay.clone()).await;
        let stands =
            (paid["payment"]["status"].as_str(), paid["payment"]["reservation"]["status"].as_str());
        match (stands, paid["payment"]["failureCode"].as_str()) {
            ((Some("APPROVED"), Some("CONFIRMED")), None)
            | ((Some("FAILED"), Some("HOLD" | "EXPIRED")), Some("GATEWAY_UNAVAILABLE")) => {}
            ((Some("FAILED"), _), Some("CARD_ACTION_FAILED")) | ((Some("PENDING"), _), None)
                if person.token == "tok_challenge" => {}
            ((Some("PENDING"), _), None) => {}
            other => panic!("{other:?}: {paid}"),
        }
        client.charge_as(person.charge.clone()).await;
    }
    while world.number(pending).await > 0 {
        assert!(start.elapsed() < 2 * DECIDED_WITHIN, "payments are not decided");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.books_are_true().await;
    agree(&world, &sandbox).await;
    let lost = "SELECT count(*) FROM payment p WHERE p.status = 'APPROVED' AND p.refund_status IS NULL
        AND CASE p.purpose
            WHEN 'SEATS' THEN NOT EXISTS (SELECT 1 FROM seat WHERE reservation_id = p.reservation_id AND status = 'SOLD_OUT')
            ELSE NOT EXISTS (SELECT 1 FROM wallet_entry e WHERE e.payment_id = p.id AND e.delta = p.amount) END";
    assert_eq!(world.number(lost).await, 0);
}
