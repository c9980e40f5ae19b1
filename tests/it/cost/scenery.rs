//! A shop whose lists are as long as they become: concerts with a hundred performances each and long descriptions, a hall of
//! 20,000 seats and one of 1,000, and somebody with a hundred reservations.

use serde_json::{Value, json};

use crate::support::{
    buying::{self, Buyer},
    process::Process,
    shop::{self, Setup, Show},
    world::World,
};

/// What documents are asked about.
pub(super) struct Scenery {
    pub(super) fan: Buyer,
    /// 20,000 seats; `fan` is admitted.
    pub(super) hall: Show,
    /// 1,000 seats, and the queue token for it.
    pub(super) small: (Show, String),
}

/// Builds it with an instance of this process, and hands over a server to be asked.
pub(super) async fn build(world: &World) -> (Scenery, Process) {
    let instance = world.instance().await;
    let room = Setup { rows: 40, seats_per_row: 500, ..Setup::default() };
    let hall = shop::show(world, &instance, room).await;
    let small = Setup { rows: 2, seats_per_row: 500, ..Setup::default() };
    let small = shop::show(world, &instance, small).await;
    let fan = buying::buyer(world, &instance, &hall).await;
    let token = fan.client.admitted(&small.id).await;
    for statement in plant(&hall, &fan) {
        world.sql(&statement).await;
    }
    instance.app.db.clone().close().await;
    let process = Process::start(world, &[]).await;
    let fan = Buyer { client: fan.client.at(process.address), ..fan };
    (Scenery { fan, hall, small: (small, token) }, process)
}

/// Statements that fill the lists.
fn plant(hall: &Show, fan: &Buyer) -> Vec<String> {
    let (concert, schedule, person) = (&hall.concert_id, &hall.id, fan.person_id());
    let copy = |table: &str| {
        format!(
            "INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object('schedule_id', p.id))).*
             FROM {table} t, planted p WHERE t.schedule_id = '{schedule}'"
        )
    };
    vec![
        // The longest description, of letters that take three bytes each; the first three get the performances.
        format!("UPDATE concert SET description = repeat('가', 5000) WHERE id = '{concert}'"),
        format!(
            "INSERT INTO concert (id, organizer_id, title, artist, venue, description, time_zone)
             SELECT gen_random_uuid(), organizer_id, repeat('가', 200), repeat('\"', 200), venue, description, time_zone
             FROM concert, generate_series(1, 120) WHERE id = '{concert}'"
        ),
        format!(
            "CREATE TABLE planted AS SELECT gen_random_uuid() AS id, c.id AS concert_id, n
             FROM (SELECT id FROM concert ORDER BY id <> '{concert}' LIMIT 3) c, generate_series(1, 100) n"
        ),
        format!(
            "INSERT INTO schedule SELECT (jsonb_populate_record(s, jsonb_build_object(
                 'id', p.id, 'concert_id', p.concert_id, 'seat_count', 20))).*
             FROM schedule s, planted p WHERE s.id = '{schedule}'"
        ),
        // Nobody sees a concert of which nothing is published.
        format!(
            "INSERT INTO schedule SELECT (jsonb_populate_record(s, jsonb_build_object(
                 'id', gen_random_uuid(), 'concert_id', c.id, 'seat_count', 20, 'status', 'CLOSED'))).*
             FROM schedule s, concert c
             WHERE s.id = '{schedule}' AND NOT EXISTS (SELECT FROM schedule other WHERE other.concert_id = c.id)"
        ),
        copy("waiting_room"),
        copy("admission"),
        copy("queue_counter"),
        "INSERT INTO seat (id, schedule_id, section, row_label, row_index, number, grade, price, preference)
         SELECT gen_random_uuid(), p.id, repeat('가', 50), 'A', 0, seat, repeat('가', 18) || seat % 4, 1000 + seat % 4, seat
         FROM planted p, generate_series(1, 20) seat"
            .to_owned(),
        format!(
            "INSERT INTO reservation (id, person_id, schedule_id, queue_token_id, status, seat_count, total_price, held_at,
                                      expires_at)
             SELECT gen_random_uuid(), '{person}', p.id, t.id, 'EXPIRED', 20, 20000, t.entered_at, t.entered_at
             FROM planted p, queue_token t WHERE t.person_id = '{person}' AND t.schedule_id = '{schedule}' AND p.n <= 40"
        ),
        "INSERT INTO reservation_seat SELECT r.id, s.id, s.price FROM reservation r JOIN seat s USING (schedule_id)".to_owned(),
        // A page of them at the hall itself, for its organizer, of somebody with the longest name.
        format!(
            "INSERT INTO reservation (id, person_id, schedule_id, queue_token_id, status, seat_count, total_price, held_at,
                                      expires_at)
             SELECT gen_random_uuid(), '{person}', t.schedule_id, t.id, 'EXPIRED', 20, 20000, t.entered_at, t.entered_at
             FROM generate_series(1, 100), queue_token t WHERE t.person_id = '{person}' AND t.schedule_id = '{schedule}'"
        ),
        format!(
            "INSERT INTO reservation_seat SELECT r.id, s.id, s.price
             FROM reservation r, (SELECT id, price FROM seat WHERE schedule_id = '{schedule}' LIMIT 20) s
             WHERE r.schedule_id = '{schedule}'"
        ),
        format!(
            "UPDATE person SET name = repeat('가', 100), email = repeat('x', 240) || '@test.example' WHERE id = '{person}'"
        ),
        format!(
            "INSERT INTO payment (id, person_id, reservation_id, method, amount, status, failure_code, idempotency_key,
                                  fingerprint, created_at)
             SELECT gen_random_uuid(), '{person}', id, 'POINT', 20000, 'FAILED', 'HOLD_EXPIRED', id, '', held_at
             FROM reservation"
        ),
        format!("INSERT INTO wallet (person_id) VALUES ('{person}') ON CONFLICT DO NOTHING"),
        format!(
            "INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, payment_id, created_at)
             SELECT gen_random_uuid(), '{person}', 'DEDUCT', 0, 0, 'PAYMENT', id, id, created_at FROM payment"
        ),
    ]
}

impl Scenery {
    /// What a field's argument is given, so that its list is as long as it can be. A new argument that has to be given needs
    /// a line here.
    pub(super) fn argument(&self, field: &str, argument: &Value) -> Option<Value> {
        let name = argument["name"].as_str().expect("a name");
        Some(match (field, name) {
            ("concert", "id") | ("schedules", "concertId") => json!(self.hall.concert_id),
            ("schedule", "id")
            | ("seats" | "queueStatus" | "scheduleReservations", "scheduleId") => {
                json!(self.hall.id)
            }
            ("seats", "queueToken") => json!(self.fan.token),
            ("reservation", "id") => json!("00000000-0000-0000-0000-000000000000"),
            (_, "first") => json!(100),
            (_, "status") => Value::Null,
            (_, "availableOnly") => json!(false),
            _ if argument["type"]["kind"] != "NON_NULL" => return None,
            _ => panic!(
                "no value for `{name}` of `{field}`; give it one in tests/it/cost/scenery.rs"
            ),
        })
    }
}
