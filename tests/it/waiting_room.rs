//! The waiting room, rule by rule.

mod cluster;
mod cost;
mod crowd;
mod draw;
mod dying_tasks;
mod ends;
mod enter;
mod enter_script;
mod everything_held;
mod index;
mod limits;
mod live;
mod locks;
mod metrics;
mod model;
mod owners;
mod presence;
mod races;
mod redis_dies;
mod restored;
mod rounds;
mod settings;
mod sold_out;
mod watch;

use frontrow::kernel::{Actor, PersonId, Role, ScheduleId};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    eventually,
    shop::{self, Setup, Show},
    world::{Instance, World},
};

/// A hall of sixty seats with a waiting room as given.
fn setup(max_active: i32, admit_per_round: i32, round_seconds: f64) -> Setup {
    Setup {
        rows: 6,
        waiting_room: json!({ "maxActive": max_active, "admitPerRound": admit_per_round,
                              "roundSeconds": round_seconds }),
        ..Setup::default()
    }
}

/// The waiting room as everybody sees it.
async fn room(client: &Client, schedule_id: &str) -> Value {
    let query = "query ($id: ID!) { schedule(id: $id) { waitingRoom {
        status everythingHeld waitingCount activeCount maxActive admitPerRound roundSeconds estimatedWaitSeconds } } }";
    client.data(query, json!({ "id": schedule_id })).await["schedule"]["waitingRoom"].take()
}

/// Waits until an instance shows a status of the room.
async fn room_is(client: &Client, schedule_id: &str, status: &str) {
    eventually(&format!("the room to be {status}"), async || {
        (room(client, schedule_id).await["status"] == status).then_some(())
    })
    .await;
}

/// Changes the waiting room, as its organizer.
async fn configure(show: &Show, input: Value) {
    let query = "mutation ($id: ID!, $input: WaitingRoomInput!) {
        configureWaitingRoom(scheduleId: $id, input: $input) { userErrors { code message } } }";
    let payload = show.organizer.payload(query, json!({ "id": show.id, "input": input })).await;
    assert_eq!(payload["userErrors"], json!([]));
}

/// Closes the sale, as its organizer.
async fn close_sale(show: &Show) {
    let query = "mutation ($id: ID!) { closeSale(scheduleId: $id) { userErrors { code } } }";
    let payload = show.organizer.payload(query, json!({ "id": show.id })).await;
    assert_eq!(payload["userErrors"], json!([]));
}

/// Enters, which has to succeed; the queue token.
async fn entered(fan: &Client, schedule_id: &str) -> Value {
    let mut payload = fan.enter(schedule_id).await;
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
    payload["queueToken"].take()
}

/// People who enter one after the other.
async fn line(world: &World, instance: &Instance, show: &Show, count: usize) -> Vec<Client> {
    let fans = shop::fans(world, instance, count).await;
    for fan in &fans {
        entered(fan, &show.id).await;
    }
    fans
}

/// Waits until a poll shows a status; the queue token.
async fn poll_until(fan: &Client, schedule_id: &str, status: &str) -> Value {
    eventually(&format!("to be {status}"), async || {
        let token = fan.queue_status(schedule_id).await;
        (token["status"] == status).then_some(token)
    })
    .await
}

/// Waits until a poll shows a position.
async fn position_is(fan: &Client, schedule_id: &str, position: i64) {
    eventually(&format!("to be at {position}"), async || {
        (fan.queue_status(schedule_id).await["position"] == position).then_some(())
    })
    .await;
}

fn id_of(fan: &Client) -> &str {
    fan.person_id.as_deref().unwrap()
}

/// A fan as the services see them.
fn actor(fan: &Client) -> Actor {
    Actor {
        person_id: PersonId::parse(id_of(fan)).unwrap(),
        role: Role::Fan,
        session_id: None,
        expires_at: chrono::Utc::now() + chrono::TimeDelta::hours(1),
    }
}

fn schedule(show: &Show) -> ScheduleId {
    ScheduleId::parse(&show.id).unwrap()
}

/// How many tokens of a room fulfil a condition in SQL.
async fn tokens(world: &World, show: &Show, condition: &str) -> i64 {
    let sql = "SELECT count(*) FROM queue_token t WHERE t.schedule_id";
    world.number(&format!("{sql} = '{}' AND ({condition})", show.id)).await
}

/// Changes a fan's live token behind everybody's back.
async fn meddle(world: &World, fan: &Client, set: &str) {
    world
        .sql(&format!(
            "UPDATE queue_token SET {set} WHERE person_id = '{}' AND status IN ('WAITING', 'ACTIVE')",
            id_of(fan)
        ))
        .await;
}

/// Checks in the journal that nobody was admitted out of order, more than `max_active` were never in, and never more than
/// `admit_per_round` came in within any `round_ms`.
pub(crate) async fn assert_admitted_properly(
    world: &World,
    show: &Show,
    max_active: i64,
    admit_per_round: i64,
    round_ms: i64,
) {
    let inversions = format!(
        "SELECT count(*) FROM queue_token a JOIN queue_token b ON a.schedule_id = b.schedule_id
         WHERE a.schedule_id = '{}' AND a.number < b.number AND a.activated_at > b.activated_at",
        show.id
    );
    assert_eq!(world.number(&inversions).await, 0, "admitted out of order");
    let most = format!(
        "SELECT coalesce(max((SELECT count(*) FROM queue_token o WHERE o.schedule_id = t.schedule_id
                              AND o.activated_at <= t.activated_at
                              AND (o.ended_at IS NULL OR o.ended_at > t.activated_at))), 0)
         FROM queue_token t WHERE t.schedule_id = '{}' AND t.activated_at IS NOT NULL",
        show.id
    );
    let most = world.number(&most).await;
    assert!(most <= max_active, "{most} people were in at once");
    let busiest = format!(
        "SELECT coalesce(max((SELECT count(*) FROM queue_token o WHERE o.schedule_id = t.schedule_id
                              AND o.activated_at > t.activated_at - interval '{round_ms} ms'
                              AND o.activated_at <= t.activated_at)), 0)
         FROM queue_token t WHERE t.schedule_id = '{}' AND t.activated_at IS NOT NULL",
        show.id
    );
    let busiest = world.number(&busiest).await;
    assert!(busiest <= admit_per_round, "{busiest} people were admitted within one round's time");
}
