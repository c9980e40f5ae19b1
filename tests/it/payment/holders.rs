//! Crowds who hold seats and have points, made in the database: a thousand of them in a moment.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    client::{Client, refusal},
    shop::{self, Show},
    world::{Instance, World},
};

/// Somebody who holds one seat and has a thousand points, the seat's price.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) client: Client,
    pub(super) reservation: String,
    pub(super) queue_token: String,
}

impl Holder {
    /// The same person at another instance.
    pub(super) fn at(&self, instance: &Instance) -> Client {
        self.client.at(instance.address)
    }

    /// Pays for the seat; the code of a refusal.
    pub(super) async fn pays(&self, key: &str) -> Option<String> {
        let paid = pay(&self.client, &self.reservation, key).await;
        let code = refusal(&paid).map(str::to_owned);
        assert_eq!(code.is_none(), paid["payment"]["status"] == "APPROVED", "{paid}");
        code
    }
}

const PAY: &str = "mutation ($input: PayInput!) { pay(input: $input) { payment { id status } userErrors { code } } }";

fn order(reservation: &str, key: &str) -> Value {
    json!({ "input": { "reservationId": reservation, "method": "POINT", "amount": 1_000, "idempotencyKey": key } })
}

/// Pays the thousand points of a seat; the payload.
pub(super) async fn pay(client: &Client, reservation: &str, key: &str) -> Value {
    told(client, PAY, order(reservation, key)).await
}

/// Asks once; the payload, or nothing when there is none.
pub(super) async fn try_to_pay(client: &Client, reservation: &str, key: &str) -> Option<Value> {
    let mut answer = sent(client, PAY, &order(reservation, key)).await?;
    let payload = answer["data"]["pay"].take();
    payload.is_object().then_some(payload)
}

/// Gives a seat back; the payload.
pub(super) async fn cancel(client: &Client, reservation: &str) -> Value {
    const CANCEL: &str = "mutation ($id: ID!) { cancelReservation(id: $id) {
        reservation { status } userErrors { code } } }";
    told(client, CANCEL, json!({ "id": reservation })).await
}

/// Holds a seat; the payload.
pub(super) async fn hold(client: &Client, show: &Show, seat: usize, queue_token: &str) -> Value {
    const HOLD: &str = "mutation ($input: HoldSeatInput!) { holdSeat(input: $input) {
        reservation { id } userErrors { code } } }";
    let input =
        json!({ "scheduleId": show.id, "seatId": show.seats[seat], "queueToken": queue_token });
    told(client, HOLD, json!({ "input": input })).await
}

/// Sends a mutation until it is told what became of it; the payload. A machine that is as busy as that of a test may keep
/// somebody waiting for a lock for too long, and lose a connection.
async fn told(client: &Client, query: &str, variables: Value) -> Value {
    loop {
        if let Some(mut answer) = sent(client, query, &variables).await
            && answer["errors"][0]["extensions"]["code"] != "OVERLOADED"
        {
            assert!(answer.get("errors").is_none(), "{query}: {answer}");
            let data = answer["data"].as_object_mut().expect("data");
            return data.values_mut().next().expect("one field").take();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The whole answer, or nothing when the connection broke.
async fn sent(client: &Client, query: &str, variables: &Value) -> Option<Value> {
    let request = client
        .http
        .post(format!("http://{}/graphql", client.address))
        .bearer_auth(client.token.as_deref()?)
        .json(&json!({ "query": query, "variables": variables }));
    request.send().await.ok()?.json().await.ok()
}

fn list<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    format!("'{{{}}}'::uuid[]", ids.into_iter().collect::<Vec<_>>().join(","))
}

/// People who are ACTIVE and hold the seats from `first` on, one each.
pub(super) async fn holders(
    world: &World,
    instance: &Instance,
    show: &Show,
    first: usize,
    count: usize,
) -> Vec<Holder> {
    let fans = shop::fans(world, instance, count).await;
    let people = list(fans.iter().map(|fan| fan.person_id.as_deref().unwrap()));
    let seats = list(show.seats[first..first + count].iter().map(String::as_str));
    let sql = format!(
        "WITH ask AS MATERIALIZED (
             SELECT *, gen_random_uuid() AS token, gen_random_uuid() AS reservation, clock_timestamp() AS now
             FROM unnest({people}, {seats}) WITH ORDINALITY AS a (person, seat, n)
         ),
         counted AS (
             UPDATE queue_counter SET last_number = last_number + {count} WHERE schedule_id = '{show}'
             RETURNING last_number - {count} AS before
         ),
         entered AS (
             INSERT INTO queue_token (id, schedule_id, person_id, number, status, entered_at, activated_at, last_action_at, expires_at)
             SELECT token, '{show}', person, counted.before + n, 'ACTIVE', now, now, now, now + interval '1 hour'
             FROM ask, counted
         ),
         held AS (
             INSERT INTO reservation (id, person_id, schedule_id, queue_token_id, seat_count, total_price, held_at, expires_at)
             SELECT reservation, person, '{show}', token, 1, 1000, now, now + interval '1 hour' FROM ask
         ),
         lines AS (
             INSERT INTO reservation_seat (reservation_id, seat_id, price) SELECT reservation, seat, 1000 FROM ask
         ),
         claimed AS (
             UPDATE seat SET status = 'HOLD', reservation_id = reservation, hold_expires_at = now + interval '1 hour',
                             version = seat.version + 1
             FROM ask WHERE seat.id = ask.seat
         ),
         funded AS (INSERT INTO wallet (person_id, balance) SELECT person, 1000 FROM ask),
         entry AS (
             INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, created_at)
             SELECT gen_random_uuid(), person, 'CHARGE', 1000, 1000, 'CHARGE', 'start', now FROM ask
         )
         SELECT reservation::text || ' ' || token::text FROM ask ORDER BY n",
        show = show.id
    );
    let rows = world.texts(&sql).await;
    // One for all: a client each would open a connection each.
    let http = fans[0].http.clone();
    let holder = |(fan, row): (Client, String)| {
        let (reservation, token) = row.split_once(' ').unwrap();
        Holder {
            reservation: reservation.to_owned(),
            queue_token: shop::signed(instance, &fan, show, token),
            client: Client { http: http.clone(), ..fan },
        }
    };
    fans.into_iter().zip(rows).map(holder).collect()
}

/// Has these holds lapse one after the other, a few milliseconds apart, from now on.
pub(super) async fn lapse_in_turn(world: &World, holders: &[Holder], apart_ms: f64) {
    let ids = list(holders.iter().map(|holder| holder.reservation.as_str()));
    world
        .sql(&format!(
            "WITH due AS MATERIALIZED (
                 SELECT a.id, now.at + a.n * interval '{apart_ms} ms' AS at
                 FROM unnest({ids}) WITH ORDINALITY AS a (id, n), (SELECT clock_timestamp() AS at) now
             ),
             held AS (UPDATE reservation r SET expires_at = due.at FROM due WHERE r.id = due.id)
             UPDATE seat SET hold_expires_at = due.at FROM due WHERE seat.reservation_id = due.id"
        ))
        .await;
}

/// How many payments shared a statement with others.
pub(super) async fn shared_statements(world: &World) -> i64 {
    world
        .number(
            "SELECT coalesce(sum(people), 0)::bigint FROM (
                 SELECT count(*) AS people FROM wallet_entry WHERE kind = 'DEDUCT'
                 GROUP BY xmin::text HAVING count(*) > 1) shared",
        )
        .await
}
