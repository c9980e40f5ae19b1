//! Servers that are killed between each two steps of what moves money, with two of them running. Each kill is at a moment that the test
//! names, and what has to come of it is certain: it is asserted, and not only that it is one of several legal ends. `FRONTROW_TEST_TRIALS` says
//! how often each step is tried.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use uuid::Uuid;

use super::try_send;
use crate::support::{
    buying::{self, Buyer},
    cards::{RETURN_URL, card_input},
    client::{Client, refusal},
    eventually,
    owners::{self, Owner, PRICE},
    pair::Pair,
    relay::Moment,
    shop::{self, Setup, Show},
    trials,
};

/// People who are in at once: they wait inside for their turn to be killed, and that may not take long.
const INSIDE: usize = 20;

const PAY: &str = "mutation ($input: PayInput!) { pay(input: $input) {
    payment { status reservation { status } } userErrors { code } } }";
const CHARGE: &str =
    "mutation ($input: ChargeInput!) { charge(input: $input) { status userErrors { code } } }";
const CANCEL: &str = "mutation ($id: ID!) { cancelReservation(id: $id) { reservation { status } userErrors { code } } }";
const CALL_OFF: &str = "mutation ($id: ID!) { cancelSchedule(scheduleId: $id) { schedule { status } userErrors { code } } }";

/// The words by which steps are known: of statements, and of requests to the gateway.
mod step {
    pub(super) const BEGIN: &str = "-- A payment by card begins";
    pub(super) const BEGIN_CHARGE: &str = "INSERT INTO payment (id, person_id, purpose, method";
    pub(super) const ASK: &str = "POST /payments HTTP";
    pub(super) const APPROVE: &str = "-- A card was charged for seats";
    pub(super) const CREDIT: &str = "-- A card was charged for points";
    pub(super) const READ: &str = "p.purpose = 'SEATS' AND p.idempotency_key = $2";
    pub(super) const READ_CHARGE: &str =
        "FROM payment WHERE person_id = $1 AND purpose = 'CHARGE' AND idempotency_key = $2";
    pub(super) const CANCEL: &str = "-- A cancellation.";
    pub(super) const REFUND: &str = "/refunds HTTP";
    pub(super) const REFUNDED: &str = "SET status = 'REFUNDED', refunded_at = clock_timestamp()";
    pub(super) const CALL_OFF: &str = "UPDATE schedule SET status";
}

/// What a kill between two steps of a payment leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// Nothing: the order never began. The buyer repeats it, under the same key, and it is an order like any other: paid, unless the
    /// gateway could not be asked in time.
    Nothing,
    /// A payment that the gateway never heard of. If nobody repeats the order it is called off; it is FAILED, and no money moves.
    Unasked,
    /// The same, and the buyer repeats the order: the gateway is asked then, and it is paid, unless a worker was quicker and has called
    /// it off. What the buyer is told is how it stays.
    UnaskedAndRepeated,
    /// The money has moved, and nobody wrote that down yet: the payment is APPROVED as soon as somebody looks.
    Money,
    /// It is written down that the money has moved.
    Record,
}

/// Each two steps of a payment by card, of seats or of points.
fn between(
    begin: &'static str,
    record: &'static str,
    read: &'static str,
) -> [(&'static str, Moment, Leaves); 7] {
    [
        ("before it is begun", Moment::before(begin), Leaves::Nothing),
        ("before the call", Moment::before(step::ASK), Leaves::Unasked),
        ("before the call, and repeated", Moment::before(step::ASK), Leaves::UnaskedAndRepeated),
        ("after the gateway charged", Moment::done(step::ASK), Leaves::Money),
        ("before recording", Moment::before(record), Leaves::Money),
        ("after recording, unheard", Moment::done(record), Leaves::Record),
        // Everybody has been told of it, but for the buyer.
        ("after recording, before answering", Moment::before(read).second(), Leaves::Record),
    ]
}

fn bytes(id: &str) -> Vec<u8> {
    Uuid::parse_str(id).unwrap().as_bytes().to_vec()
}

/// Sends what may be repeated until it is answered without an error, as the error's text asks for; the payload.
async fn patiently(client: &Client, query: &str, variables: Value) -> Value {
    let start = Instant::now();
    loop {
        if let Some(mut told) = try_send(client, query, variables.clone()).await {
            let fields = told["data"].as_object_mut().unwrap();
            return fields.values_mut().next().unwrap().take();
        }
        assert!(start.elapsed() < Duration::from_secs(60), "never answered: {query}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn wide_show(pair: &Pair, seats: usize) -> Show {
    let room = json!({ "maxActive": 100_000, "admitPerRound": 1_000, "roundSeconds": 0.1 });
    let rows = i32::try_from(seats.div_ceil(100)).unwrap();
    let setup = Setup { rows, seats_per_row: 100, waiting_room: room, ..Setup::default() };
    shop::show(&pair.world, &pair.office, setup).await
}

/// Kills a server at a step of this order of one person's, and sees how it ends: whether it is paid. `payment` is what finds the payment.
async fn ends_well(
    pair: &mut Pair,
    (name, moment, leaves): (&'static str, Moment, Leaves),
    (client, query, input): (&Client, &'static str, &Value),
    (trial, payment): (usize, &str),
) -> bool {
    let at = client.at(pair.servers[trial % 2].process.address);
    let order = try_send(&at, query, json!({ "input": input }));
    let (told, killed_at) = pair.killed(moment, name, order).await;
    assert_eq!(told, None, "{name}: nobody can have answered");
    // Where it stood: what the gateway has charged, and what our books say.
    let ids = pair.world.texts(&format!("SELECT id::text FROM payment WHERE {payment}")).await;
    let list = pair.sandbox.list().await;
    let charged = list.iter().any(|line| {
        ids.contains(&line["paymentId"].as_str().unwrap().to_owned()) && line["charged"] != 0
    });
    let recorded = format!("SELECT count(*) FROM payment WHERE {payment} AND status = 'APPROVED'");
    let recorded = pair.world.number(&recorded).await == 1;
    match leaves {
        Leaves::Nothing => assert!(ids.is_empty(), "{name}"),
        Leaves::Unasked | Leaves::UnaskedAndRepeated => {
            assert!(ids.len() == 1 && !charged && !recorded, "{name}")
        }
        Leaves::Money => assert!(ids.len() == 1 && charged, "{name}"),
        Leaves::Record => assert!(ids.len() == 1 && charged && recorded, "{name}"),
    }
    let told = if matches!(leaves, Leaves::Nothing | Leaves::UnaskedAndRepeated) {
        // At the other one, as a client does whose connection broke.
        let other = client.at(pair.servers[(trial + 1) % 2].process.address);
        let told = patiently(&other, query, json!({ "input": input })).await;
        told["status"].as_str().or(told["payment"]["status"].as_str()).unwrap().to_owned()
    } else {
        "PENDING".to_owned()
    };
    let paid = "(status = 'APPROVED' AND refund_status IS NULL)";
    let unpaid = "(status = 'FAILED' AND failure_code = 'GATEWAY_UNAVAILABLE')";
    let end = match (leaves, told.as_str()) {
        (Leaves::Money | Leaves::Record, _) | (_, "APPROVED") => paid.to_owned(),
        (Leaves::Unasked, _) | (_, "FAILED") => unpaid.to_owned(),
        // Nobody knew it when the buyer was told so.
        _ => format!("({paid} OR {unpaid})"),
    };
    pair.settled(name, killed_at, &format!("{payment} AND {end}")).await;
    let paid = format!("SELECT count(*) FROM payment WHERE {payment} AND {paid}");
    pair.world.number(&paid).await == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_payment_survives_a_kill_between_each_two_steps() {
    let mut pair = Pair::start().await;
    let steps = between(step::BEGIN, step::APPROVE, step::READ);
    let show = wide_show(&pair, steps.len() * trials(1)).await;
    let mut seats = 0..show.seats.len();
    for step in steps {
        let mut left = trials(1);
        while left > 0 {
            let people = INSIDE.min(left);
            left -= people;
            for buyer in buying::buyers(&pair.world, &[&pair.office], &show, people).await {
                let seat = seats.next().unwrap();
                pay(&mut pair, &show, &buyer, seat, step.clone()).await;
            }
        }
    }
    pair.ends("a card payment").await;
}

async fn pay(
    pair: &mut Pair,
    show: &Show,
    buyer: &Buyer,
    seat: usize,
    step: (&'static str, Moment, Leaves),
) {
    let id = buyer.held(show, seat).await;
    let token = ["tok_ok", "tok_webhook_twice"][seat / 2 % 2];
    let name = step.0;
    let input = card_input(&id, "pay", token);
    let payment = format!("reservation_id = '{id}'");
    let paid = ends_well(pair, step, (&buyer.client, PAY, &input), (seat, &payment)).await;
    // The same order tells its end, and the seat is the buyer's or, while time is left, still held.
    let told = patiently(&buyer.client, PAY, json!({ "input": input })).await;
    let (status, reservation, place) =
        if paid { ("APPROVED", "CONFIRMED", "SOLD_OUT") } else { ("FAILED", "HOLD", "HOLD") };
    assert_eq!(told["payment"]["status"], status, "{name}: {told}");
    assert_eq!(told["payment"]["reservation"]["status"], reservation, "{name}: {told}");
    let sql = format!(
        "SELECT count(*) FROM seat WHERE id = '{}' AND reservation_id = '{id}' AND status = '{place}'",
        show.seats[seat]
    );
    assert_eq!(pair.world.number(&sql).await, 1, "{name}: the seat is {place}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_charge_survives_a_kill_between_each_two_steps() {
    let mut pair = Pair::start().await;
    let mut trial = 0;
    for step in between(step::BEGIN_CHARGE, step::CREDIT, step::READ_CHARGE) {
        for fan in shop::fans(&pair.world, &pair.office, trials(1)).await {
            trial += 1;
            let token = ["tok_ok", "tok_webhook_twice"][trial / 2 % 2];
            let input = json!({ "amount": 500, "idempotencyKey": "charge", "cardToken": token, "returnUrl": RETURN_URL });
            let person = fan.person_id.clone().unwrap();
            let payment = format!("person_id = '{person}' AND purpose = 'CHARGE'");
            let name = step.0;
            let order = (&fan, CHARGE, &input);
            let paid = ends_well(&mut pair, step.clone(), order, (trial, &payment)).await;
            let told = patiently(&fan, CHARGE, json!({ "input": input })).await;
            let (status, points) = if paid { ("APPROVED", 500) } else { ("FAILED", 0) };
            assert_eq!(told["status"], status, "{name}: {told}");
            assert_eq!(fan.balance().await, points, "{name}");
        }
    }
    pair.ends("a card charge").await;
}

/// Each two steps of giving a card's money back, once the reservation is cancelled.
fn between_refunds(owner: &Owner) -> [(&'static str, Moment); 5] {
    let (id, raw) = (owner.payment_id.as_str(), bytes(&owner.payment_id));
    [
        ("before the call for a refund", Moment::before(step::REFUND).about(id)),
        ("after the gateway took the refund on", Moment::done(step::REFUND).about(id)),
        (
            "after the gateway gave the money back",
            Moment::done(step::REFUND).about(id).saying(r#""status":"done""#),
        ),
        ("before recording a refund", Moment::before(step::REFUNDED).about(raw.clone())),
        ("after recording a refund, unheard", Moment::done(step::REFUNDED).about(raw)),
    ]
}

/// Somebody whose money has to go back, and since when.
struct Waiting {
    name: &'static str,
    killed_at: SystemTime,
    owner: Owner,
}

/// The reservations are cancelled, their seats free, and the money is back; each soon after its own kill, though more came then.
async fn refunded(pair: &mut Pair, waiting: &[Waiting]) {
    for Waiting { name, killed_at, owner } in waiting {
        let end = format!(
            "p.id = '{}' AND p.status = 'REFUNDED' AND EXISTS (
                 SELECT 1 FROM reservation r WHERE r.id = p.reservation_id AND r.status = 'CANCELLED'
                   AND NOT EXISTS (SELECT 1 FROM seat WHERE seat.reservation_id = r.id))",
            owner.payment_id
        );
        pair.settled(name, *killed_at, &end).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_survives_a_kill_between_each_two_steps() {
    let mut pair = Pair::start().await;
    let gateway = pair.sandbox.gateway();
    let count = trials(1);
    // Two steps of the cancellation, and five of the refund.
    let show = wide_show(&pair, 7 * count).await;
    let tokens = vec![Some("tok_ok"); 7 * count];
    let owners = owners::owners(&pair.world, &pair.office, Some(&gateway), &show, &tokens).await;
    let mut waiting = Vec::new();
    for (trial, owner) in owners.into_iter().enumerate() {
        let reservation = bytes(&owner.reservation_id);
        let mut steps = vec![
            ("before the cancellation", Moment::before(step::CANCEL).about(reservation.clone())),
            ("after the cancellation, unheard", Moment::done(step::CANCEL).about(reservation)),
        ];
        steps.extend(between_refunds(&owner));
        let (name, moment) = steps.swap_remove(trial % 7);
        let at = owner.client.at(pair.servers[trial / 7 % 2].process.address);
        let order = try_send(&at, CANCEL, json!({ "id": owner.reservation_id }));
        let (told, killed_at) = pair.killed(moment, name, order).await;
        match trial % 7 {
            0 => {
                assert_eq!(told, None, "{name}: nobody can have answered");
                assert_eq!(owner.stands().await, ("APPROVED".to_owned(), Value::Null), "{name}");
                // Nothing was cancelled. It may be repeated.
                let id = json!({ "id": owner.reservation_id });
                assert_eq!(refusal(&patiently(&owner.client, CANCEL, id).await), None);
            }
            1 => assert_eq!(told, None, "{name}: nobody can have answered"),
            // The worker of either server may have been the first; the answer came or not.
            _ => assert!(told.is_none_or(|told| {
                told["data"]["cancelReservation"]["reservation"]["status"] == "CANCELLED"
            })),
        }
        waiting.push(Waiting { name, killed_at, owner });
    }
    refunded(&mut pair, &waiting).await;
    pair.ends("a refund").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calling_a_performance_off_survives_a_kill_between_each_two_steps() {
    let mut pair = Pair::start().await;
    let gateway = pair.sandbox.gateway();
    let (mut waiting, mut points, mut holds) = (Vec::new(), Vec::new(), Vec::new());
    for trial in 0..9 * trials(1) {
        let show = wide_show(&pair, 3).await;
        let tokens = [Some("tok_ok"), None];
        let owners =
            owners::owners(&pair.world, &pair.office, Some(&gateway), &show, &tokens).await;
        let holder = buying::buyer(&pair.world, &pair.office, &show).await;
        let held = holder.held(&show, 2).await;
        let (id, raw) = (show.id.clone(), bytes(&show.id));
        let reservation = bytes(&owners[0].reservation_id);
        let call_off = Moment::before(step::CALL_OFF).about(raw.clone()).then("COMMIT");
        let called_off = Moment::done(step::CALL_OFF).about(raw).then("COMMIT");
        let mut steps = vec![
            ("before it is called off", call_off),
            ("after it is called off, unheard", called_off),
            (
                "before a reservation is cancelled",
                Moment::before(step::CANCEL).about(reservation.clone()),
            ),
            (
                "after a reservation is cancelled, unheard",
                Moment::done(step::CANCEL).about(reservation),
            ),
        ];
        steps.extend(between_refunds(&owners[0]));
        let (name, moment) = steps.swap_remove(trial % 9);
        let at = show.organizer.at(pair.servers[trial / 9 % 2].process.address);
        let order = try_send(&at, CALL_OFF, json!({ "id": id }));
        let (told, killed_at) = pair.killed(moment, name, order).await;
        if trial % 9 < 2 {
            assert_eq!(told, None, "{name}: nobody can have answered");
        }
        let off =
            format!("SELECT count(*) FROM schedule WHERE id = '{id}' AND status = 'CANCELLED'");
        if trial % 9 == 0 {
            assert_eq!(pair.world.number(&off).await, 0, "{name}: nothing has changed");
            // It may be repeated.
            let told = patiently(&show.organizer, CALL_OFF, json!({ "id": id })).await;
            assert_eq!(refusal(&told), None, "{told}");
        }
        assert_eq!(pair.world.number(&off).await, 1, "{name}");
        points.push(owners[1].client.clone());
        holds.push(held);
        waiting.extend(owners.into_iter().map(|owner| Waiting { name, killed_at, owner }));
    }
    refunded(&mut pair, &waiting).await;
    for client in points {
        assert_eq!(client.balance().await, PRICE);
    }
    for held in holds {
        assert_eq!(
            pair.world.texts(&format!("SELECT status FROM reservation WHERE id = '{held}'")).await,
            ["CANCELLED"]
        );
    }
    let left = "SELECT (SELECT count(*) FROM seat WHERE status <> 'AVAILABLE')
                     + (SELECT count(*) FROM queue_token WHERE status IN ('WAITING', 'ACTIVE'))";
    eventually("everybody to have left", async || {
        (pair.world.number(left).await == 0).then_some(())
    })
    .await;
    pair.ends("calling a performance off").await;
}
