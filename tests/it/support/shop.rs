//! The usual scenery: an organizer, a performance on sale, fans, and the steps of a fan's way.

use std::sync::atomic::{AtomicU32, Ordering};

use frontrow::{
    kernel::{PersonId, QueueTokenId, ScheduleId},
    waiting_room::{QueueStatus, QueueToken},
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::{
    client::Client,
    eventually,
    world::{Instance, World},
};

static PEOPLE: AtomicU32 = AtomicU32::new(0);

/// Of a password that nobody knows.
const HASH: &str =
    "$argon2id$v=19$m=8,t=1,p=1$ZnJvbnRyb3cgbm9ib2R5IQ$b25seSB0aGUgdGltZSB0aGF0IGl0IHRha2VzIGNvdW4";

/// Somebody with a session, whose password nobody knows: made in the database, which is a thousand times faster than hashing.
pub(crate) async fn person(world: &World, instance: &Instance, role: &str) -> Client {
    let id = PersonId::new();
    let n = PEOPLE.fetch_add(1, Ordering::Relaxed);
    world
        .sql(&format!(
            "INSERT INTO person (id, email, name, password_hash, role)
             VALUES ('{id}', 'person-{n}-{id}@test.example', 'Person {n}', '{HASH}', '{role}')"
        ))
        .await;
    let role = frontrow::kernel::Role::parse(role).expect("a role");
    let session = instance.app.sessions.open(id, role, chrono::Utc::now()).expect("a session");
    Client {
        person_id: Some(id.to_string()),
        ..instance.client().with_token(&session.access_token)
    }
}

pub(crate) async fn fan(world: &World, instance: &Instance) -> Client {
    person(world, instance, "FAN").await
}

/// More fans than this share their connections.
const SHARE_FROM: usize = 1_000;

/// Many fans at once, in one statement.
pub(crate) async fn fans(world: &World, instance: &Instance, count: usize) -> Vec<Client> {
    let ids: Vec<PersonId> = (0..count).map(|_| PersonId::new()).collect();
    let rows: Vec<String> = ids
        .iter()
        .map(|id| format!("('{id}', 'fan-{id}@test.example', 'Fan', '{HASH}', 'FAN')"))
        .collect();
    if !rows.is_empty() {
        let sql = format!(
            "INSERT INTO person (id, email, name, password_hash, role) VALUES {}",
            rows.join(",")
        );
        world.pool.execute_unprepared(&sql).await.expect("fans");
    }
    let session = |id: &PersonId| {
        let session =
            instance.app.sessions.open(*id, frontrow::kernel::Role::Fan, chrono::Utc::now());
        session.expect("a session").access_token
    };
    // A connection pool of their own takes a few milliseconds each: thousands share one.
    let shared = (count > SHARE_FROM).then(|| instance.client());
    let client = |id: &PersonId| Client {
        person_id: Some(id.to_string()),
        ..shared.clone().unwrap_or_else(|| instance.client()).with_token(&session(id))
    };
    ids.iter().map(client).collect()
}

/// The text of a queue token that was written into the database by hand.
pub(crate) fn signed(instance: &Instance, fan: &Client, show: &Show, token_id: &str) -> String {
    let now = chrono::Utc::now();
    let person_id = fan.person_id.as_deref().and_then(PersonId::parse).expect("a person");
    let token = QueueToken {
        id: QueueTokenId::parse(token_id).expect("a token"),
        schedule_id: ScheduleId::parse(&show.id).expect("a schedule"),
        person_id,
        number: 1,
        status: QueueStatus::Active,
        version: 0,
        entered_at: now,
        passed_over_at: None,
        activated_at: None,
        expires_at: None,
        ended_because: None,
        now,
    };
    instance.app.waiting_rooms.sign(&token).expect("a signature")
}

/// How a performance is set up; the default is ten seats, on sale, with room for everybody.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) rows: i32,
    pub(crate) seats_per_row: i32,
    pub(crate) price: i64,
    pub(crate) max_seats_per_person: i32,
    pub(crate) waiting_room: Value,
    /// Seconds from now until the sale opens; negative when it has.
    pub(crate) opens_in: i64,
    pub(crate) open_sale: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            rows: 1,
            seats_per_row: 10,
            price: 1_000,
            max_seats_per_person: 1,
            waiting_room: json!({ "maxActive": 1000, "admitPerRound": 1000, "roundSeconds": 0.1 }),
            opens_in: -60,
            open_sale: true,
        }
    }
}

/// A performance and who runs it.
#[derive(Debug, Clone)]
pub(crate) struct Show {
    pub(crate) organizer: Client,
    pub(crate) concert_id: String,
    pub(crate) id: String,
    /// In the order of the hall.
    pub(crate) seats: Vec<String>,
}

fn instant(seconds: i64) -> String {
    (chrono::Utc::now() + chrono::TimeDelta::seconds(seconds)).to_rfc3339()
}

/// Makes a performance through the API, as an organizer would.
pub(crate) async fn show(world: &World, instance: &Instance, setup: Setup) -> Show {
    let organizer = person(world, instance, "ORGANIZER").await;
    let concert = organizer
        .payload(
            "mutation ($input: CreateConcertInput!) {
                createConcert(input: $input) { concert { id } userErrors { code message path } } }",
            json!({ "input": { "title": "Test", "artist": "Tester", "venue": "Hall", "description": "",
                               "timeZone": "Asia/Seoul" } }),
        )
        .await;
    let concert_id =
        concert["concert"]["id"].as_str().unwrap_or_else(|| panic!("{concert}")).to_owned();
    let schedule = organizer
        .payload(
            "mutation ($input: CreateScheduleInput!) {
                createSchedule(input: $input) { schedule { id } userErrors { code message path } } }",
            json!({ "input": {
                "concertId": concert_id,
                "startsAt": instant(30 * 86_400),
                "salesOpenAt": instant(setup.opens_in),
                "salesCloseAt": instant(29 * 86_400),
                "maxSeatsPerPerson": setup.max_seats_per_person,
                "sections": [{ "name": "Floor", "grade": "R", "price": setup.price, "rows": setup.rows,
                               "seatsPerRow": setup.seats_per_row }],
                "waitingRoom": setup.waiting_room,
            } }),
        )
        .await;
    let id = schedule["schedule"]["id"].as_str().unwrap_or_else(|| panic!("{schedule}")).to_owned();
    if setup.open_sale {
        let query = "mutation ($id: ID!) { openSale(scheduleId: $id) { userErrors { code } } }";
        let opened = organizer.payload(query, json!({ "id": id })).await;
        assert_eq!(opened["userErrors"], json!([]));
    }
    let sql = format!(
        "SELECT id::text FROM seat WHERE schedule_id = '{id}' ORDER BY section, row_index, number"
    );
    let seats = world.texts(&sql).await;
    Show { organizer, concert_id, id, seats }
}

/// Everything that tests look at in a queue token.
pub(crate) const QUEUE_TOKEN: &str = "token scheduleId status endedBecause roomStatus everythingHeld position waitingCount estimatedWaitSeconds enteredAt \
                                      activatedAt expiresAt remainingSeconds pollAfterSeconds";

impl Client {
    /// Enters the queue; the payload.
    pub(crate) async fn enter(&self, schedule_id: &str) -> Value {
        let query = format!(
            "mutation ($id: ID!) {{ enterQueue(scheduleId: $id) {{
                queueToken {{ {QUEUE_TOKEN} }} userErrors {{ code message path }} }} }}"
        );
        self.payload(&query, json!({ "id": schedule_id })).await
    }

    /// Leaves the queue; the payload.
    pub(crate) async fn leave(&self, schedule_id: &str) -> Value {
        let query = format!(
            "mutation ($id: ID!) {{ leaveQueue(scheduleId: $id) {{
                queueToken {{ {QUEUE_TOKEN} }} userErrors {{ code message path }} }} }}"
        );
        self.payload(&query, json!({ "id": schedule_id })).await
    }

    /// The queue token, as a poll shows it; null if there never was one.
    pub(crate) async fn queue_status(&self, schedule_id: &str) -> Value {
        let query =
            format!("query ($id: ID!) {{ queueStatus(scheduleId: $id) {{ {QUEUE_TOKEN} }} }}");
        self.data(&query, json!({ "id": schedule_id })).await["queueStatus"].take()
    }

    /// Enters and waits to be ACTIVE; the signed queue token.
    pub(crate) async fn admitted(&self, schedule_id: &str) -> String {
        let entered = self.enter(schedule_id).await;
        assert_eq!(entered["userErrors"], json!([]), "{entered}");
        eventually("to be ACTIVE", async || {
            let status = self.queue_status(schedule_id).await;
            (status["status"] == "ACTIVE")
                .then(|| status["token"].as_str().expect("a token").to_owned())
        })
        .await
    }

    /// Holds one seat; the payload.
    pub(crate) async fn hold(&self, schedule_id: &str, seat_id: &str, queue_token: &str) -> Value {
        self.payload(
            "mutation ($input: HoldSeatInput!) { holdSeat(input: $input) {
                reservation { id status totalPrice heldAt expiresAt remainingSeconds seats { id status version } }
                userErrors { code message path seatIds } } }",
            json!({ "input": { "scheduleId": schedule_id, "seatId": seat_id, "queueToken": queue_token } }),
        )
        .await
    }

    /// Holds one seat, which has to succeed; the reservation.
    pub(crate) async fn held(&self, schedule_id: &str, seat_id: &str, queue_token: &str) -> Value {
        let mut held = self.hold(schedule_id, seat_id, queue_token).await;
        assert_eq!(held["userErrors"], json!([]), "{held}");
        held["reservation"].take()
    }

    /// Adds points; the payload.
    pub(crate) async fn charge(&self, amount: i64, key: &str) -> Value {
        self.charge_as(json!({ "amount": amount, "idempotencyKey": key })).await
    }

    /// Charges with any input; the payload.
    pub(crate) async fn charge_as(&self, input: Value) -> Value {
        self.payload(
            "mutation ($input: ChargeInput!) { charge(input: $input) {
                entry { id kind delta balanceAfter createdAt } balance status
                action { redirectUrl expiresAt } userErrors { code message path } } }",
            json!({ "input": input }),
        )
        .await
    }

    /// Pays with points; the payload.
    pub(crate) async fn pay(&self, reservation_id: &str, amount: i64, key: &str) -> Value {
        self.pay_as(json!({ "reservationId": reservation_id, "method": "POINT", "amount": amount,
                            "idempotencyKey": key }))
            .await
    }

    /// Pays with any input; the payload.
    pub(crate) async fn pay_as(&self, input: Value) -> Value {
        self.payload(
            "mutation ($input: PayInput!) { pay(input: $input) {
                payment { id method amount status failureCode createdAt approvedAt refundedAt
                          action { redirectUrl clientSecret expiresAt }
                          reservation { id status expiresAt confirmedAt seats { id status } } }
                userErrors { code message path } } }",
            json!({ "input": input }),
        )
        .await
    }

    /// Cancels a reservation; the payload.
    pub(crate) async fn cancel(&self, reservation_id: &str) -> Value {
        self.payload(
            "mutation ($id: ID!) { cancelReservation(id: $id) {
                reservation { id status cancelledAt payment { status refundedAt } seats { id status } }
                userErrors { code message path } } }",
            json!({ "id": reservation_id }),
        )
        .await
    }

    /// The caller's points.
    pub(crate) async fn balance(&self) -> i64 {
        self.data("{ balance }", json!({})).await["balance"].as_i64().expect("points")
    }
}
