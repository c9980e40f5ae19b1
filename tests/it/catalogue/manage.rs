//! What organizers do, and every reason why not.

use serde_json::{Value, json};

use super::{at, concert, concert_input, create_concert, create_schedule, schedule_input};
use crate::support::{
    client::{Client, refusal},
    shop::{self, Setup},
    world::World,
};
use frontrow::kernel::ScheduleId;

/// Calls a mutation that takes a schedule and nothing else; the payload.
pub(super) async fn change(organizer: &Client, field: &str, schedule_id: &str) -> Value {
    let query = format!(
        "mutation ($id: ID!) {{ {field}(scheduleId: $id) {{ schedule {{ id status }} userErrors {{ code message path }} }} }}"
    );
    organizer.payload(&query, json!({ "id": schedule_id })).await
}

async fn configure(organizer: &Client, schedule_id: &str, input: Value) -> Value {
    organizer
        .payload(
            "mutation ($id: ID!, $input: WaitingRoomInput!) { configureWaitingRoom(scheduleId: $id, input: $input) {
                schedule { waitingRoom { status maxActive admitPerRound roundSeconds } }
                userErrors { code message path } } }",
            json!({ "id": schedule_id, "input": input }),
        )
        .await
}

fn assert_invalid(payload: &Value, path: &[&str]) {
    assert_eq!(refusal(payload), Some("VALUE_INVALID"), "{path:?}: {payload}");
    assert_eq!(payload["userErrors"][0]["path"], json!(path), "{payload}");
    let (_, object) =
        payload.as_object().unwrap().iter().find(|(name, _)| *name != "userErrors").unwrap();
    assert_eq!(*object, Value::Null, "{payload}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concert_is_kept_as_given() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let made = create_concert(
        &organizer,
        json!({ "title": " 밤의 배 ", "artist": "é".repeat(200), "venue": "V", "description": "one\n\ttwo",
                "timeZone": "America/Argentina/Buenos_Aires" }),
    )
    .await;
    let mut concert = made["concert"].clone();
    let id = concert["id"].take();
    assert_eq!(
        concert,
        json!({ "id": null, "title": "밤의 배", "artist": "é".repeat(200), "venue": "V", "description": "one\n\ttwo",
                "timeZone": "America/Argentina/Buenos_Aires" })
    );
    let query = "query ($id: ID!) { concert(id: $id) { title schedules { id } } }";
    let found = organizer.data(query, json!({ "id": id })).await;
    assert_eq!(found["concert"], json!({ "title": "밤의 배", "schedules": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_a_concert_holds() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let with = |field: &str, value: &str| {
        let mut input = concert_input("Title");
        input[field] = json!(value);
        input
    };
    for field in ["title", "artist", "venue"] {
        for value in ["", "  ", "two\nlines", "a\0", &"é".repeat(201)] {
            assert_invalid(
                &create_concert(&organizer, with(field, value)).await,
                &["input", field],
            );
        }
    }
    for (value, fine) in
        [("é".repeat(5_000), true), ("é".repeat(5_001), false), ("a\0".to_owned(), false)]
    {
        let payload = create_concert(&organizer, with("description", &value)).await;
        if fine {
            assert_eq!(refusal(&payload), None, "{payload}");
        } else {
            assert_invalid(&payload, &["input", "description"]);
        }
    }
    for zone in [
        "",
        "Mars/Base",
        "Seoul",
        "+09:00",
        "posix/Asia/Seoul",
        "right/UTC",
        "localtime",
        "posixrules",
        "a\0",
    ] {
        assert_invalid(
            &create_concert(&organizer, with("timeZone", zone)).await,
            &["input", "timeZone"],
        );
    }
    for zone in ["UTC", "Europe/Berlin"] {
        assert_eq!(refusal(&create_concert(&organizer, with("timeZone", zone)).await), None);
    }
    assert_eq!(world.number("SELECT count(*) FROM concert").await, 3);
}

/// Makes a schedule that differs from a good one; `path` names the field at fault, if one is.
async fn try_schedule(organizer: &Client, concert_id: &str, changes: Value, path: Option<&[&str]>) {
    let mut input = schedule_input(concert_id);
    for (name, value) in changes.as_object().unwrap() {
        input[name] = value.clone();
    }
    let payload = create_schedule(organizer, input).await;
    match path {
        None => assert_eq!(refusal(&payload), None, "{changes}: {payload}"),
        Some(path) => assert_invalid(&payload, &[&["input"], path].concat()),
    }
}

fn section(field: &str, value: Value) -> Value {
    let mut section = json!({ "name": "A", "grade": "R", "price": 1, "rows": 1, "seatsPerRow": 1 });
    section[field] = value;
    section
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_a_schedule_holds() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let concert_id = concert(&organizer, "Limits").await;
    let (now, open, close) = (at(0), at(100), at(200));
    let named = |count: usize| {
        (0..count).map(|n| section("name", json!(format!("{n}")))).collect::<Value>()
    };
    let huge = |name: &str, rows: i32| json!({ "name": name, "grade": "R", "price": 1, "rows": rows, "seatsPerRow": 500 });
    let bad_close = Some(&["salesCloseAt"][..]);
    let bad_count = Some(&["maxSeatsPerPerson"][..]);
    let bad_sections = Some(&["sections"][..]);
    for (changes, path) in [
        (json!({ "salesOpenAt": open, "salesCloseAt": open }), bad_close),
        (json!({ "salesOpenAt": close, "salesCloseAt": open }), bad_close),
        (json!({ "salesOpenAt": now, "salesCloseAt": close, "startsAt": open }), bad_close),
        (json!({ "salesOpenAt": now, "salesCloseAt": close, "startsAt": close }), None),
        // Years of our time, and whichever is the first that is not.
        (json!({ "salesOpenAt": "0001-01-01T00:00:00Z" }), Some(&["salesOpenAt"])),
        (json!({ "salesOpenAt": "1999-12-31T23:59:59.999Z" }), Some(&["salesOpenAt"])),
        (json!({ "salesOpenAt": "2000-01-01T00:00:00Z" }), None),
        (json!({ "salesCloseAt": "2200-01-01T00:00:00Z" }), Some(&["salesCloseAt"])),
        (json!({ "startsAt": "2199-12-31T23:59:59.999Z" }), None),
        (json!({ "startsAt": "2200-01-01T00:00:00Z" }), Some(&["startsAt"])),
        (json!({ "startsAt": "9999-12-31T23:59:59Z" }), Some(&["startsAt"])),
        (json!({ "maxSeatsPerPerson": -1 }), bad_count),
        (json!({ "maxSeatsPerPerson": 0 }), bad_count),
        (json!({ "maxSeatsPerPerson": 20 }), None),
        (json!({ "maxSeatsPerPerson": 21 }), bad_count),
        (json!({ "cancelUntil": at(3_000), "startsAt": at(3_000) }), None),
        (json!({ "cancelUntil": at(-3_000) }), None),
        (json!({ "cancelUntil": at(9_000) }), Some(&["cancelUntil"][..])),
        (json!({ "cancelUntil": "1999-12-31T23:59:59Z" }), Some(&["cancelUntil"][..])),
        (json!({ "sections": [] }), bad_sections),
        (json!({ "sections": named(50) }), None),
        (json!({ "sections": named(51) }), bad_sections),
        (json!({ "sections": [huge("A", 101), huge("B", 100)] }), bad_sections),
        (
            json!({ "sections": [section("rows", json!(1)), section("rows", json!(2))] }),
            Some(&["sections", "1", "name"]),
        ),
        (
            json!({ "sections": [section("name", json!("B")), section("price", json!(2))] }),
            Some(&["sections", "1", "price"]),
        ),
    ] {
        try_schedule(&organizer, &concert_id, changes, path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_a_section_holds() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let concert_id = concert(&organizer, "Sections").await;
    for (field, value, fine) in [
        ("rows", json!(0), false),
        ("rows", json!(200), true),
        ("rows", json!(201), false),
        ("seatsPerRow", json!(0), false),
        ("seatsPerRow", json!(500), true),
        ("seatsPerRow", json!(501), false),
        ("price", json!(0), true),
        ("price", json!(10_000_000_000_i64), true),
        ("price", json!(10_000_000_001_i64), false),
        ("name", json!(""), false),
        ("name", json!("é".repeat(50)), true),
        ("name", json!("é".repeat(51)), false),
        ("grade", json!(" "), false),
        ("grade", json!("é".repeat(20)), true),
        ("grade", json!("é".repeat(21)), false),
        ("grade", json!("a\0"), false),
    ] {
        let mut tried = section(field, value);
        // A grade has one price, so the second section gets a grade of its own unless that is what is tried.
        if field != "grade" {
            tried["grade"] = json!("S");
        }
        let sections = json!({ "sections": [section("name", json!("First")), tried] });
        let path = ["sections", "1", field];
        try_schedule(&organizer, &concert_id, sections, (!fine).then_some(&path)).await;
    }
    let count = world.number("SELECT count(*) FROM schedule").await;
    assert_eq!(world.number("SELECT count(*) FROM waiting_room").await, count);
    let seats = world.number("SELECT count(*) FROM seat").await;
    assert_eq!(world.number("SELECT sum(seat_count) FROM schedule").await, seats);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_hall_can_be_made() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let mut input = schedule_input(&concert(&organizer, "Stadium").await);
    input["sections"] =
        json!([{ "name": "All", "grade": "R", "price": 1, "rows": 200, "seatsPerRow": 500 }]);
    let made = create_schedule(&organizer, input).await;
    assert_eq!(refusal(&made), None, "{made}");
    assert_eq!(made["schedule"]["remainingSeats"], 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_starts_as_a_draft_with_the_defaults() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let concert_id = concert(&organizer, "Defaults").await;
    let mut input = schedule_input(&concert_id);
    input["startsAt"] = json!("2035-05-05T19:30:00.123999+09:00");
    let made = create_schedule(&organizer, input.clone()).await["schedule"].take();
    assert_eq!(made["status"], "DRAFT");
    assert_eq!(made["startsAt"], "2035-05-05T10:30:00.123Z");
    assert_eq!(
        (&made["salesOpenAt"], &made["salesCloseAt"]),
        (&input["salesOpenAt"], &input["salesCloseAt"])
    );
    assert_eq!(made["maxSeatsPerPerson"], 1);
    assert_eq!(made["concert"]["id"], concert_id.as_str());
    let room = json!({ "status": "CLOSED", "waitingCount": 0, "activeCount": 0, "maxActive": 100,
                       "admitPerRound": 50, "roundSeconds": 1.0 });
    assert_eq!(made["waitingRoom"], room);
    for nothing in [uuid::Uuid::now_v7().to_string(), "x".to_owned()] {
        let refused = create_schedule(&organizer, schedule_input(&nothing)).await;
        assert_eq!(refusal(&refused), Some("NOT_FOUND"));
        assert_eq!(refused["userErrors"][0]["path"], json!(["input", "concertId"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_named_like_columns_of_a_sheet_and_seats_numbered_from_1() {
    let world = World::new().await;
    let instance = world.instance().await;
    let setup = Setup { rows: 54, seats_per_row: 3, ..Setup::default() };
    let show = shop::show(&world, &instance, setup).await;
    let fan = shop::fan(&world, &instance).await;
    let token = fan.admitted(&show.id).await;
    let query = "query ($id: ID!, $token: String!) { seats(scheduleId: $id, queueToken: $token) { section row number } }";
    let seats = fan.data(query, json!({ "id": show.id, "token": token })).await["seats"].take();
    let mut expected = Vec::new();
    for row in ('A'..='Z')
        .map(String::from)
        .chain(('A'..='Z').map(|c| format!("A{c}")))
        .chain(["BA".into(), "BB".into()])
    {
        expected.extend(
            (1..=3).map(|number| json!({ "section": "Floor", "row": row, "number": number })),
        );
    }
    assert_eq!(seats, json!(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_opens_once_and_closes_for_good() {
    let world = World::new().await;
    let instance = world.instance().await;
    let setup = Setup { open_sale: false, ..Setup::default() };
    let show = shop::show(&world, &instance, setup).await;
    let go = async |field: &str| change(&show.organizer, field, &show.id).await;
    let assert_wrong = |payload: &Value| {
        assert_eq!(refusal(payload), Some("WRONG_STATE"), "{payload}");
        assert_eq!(payload["userErrors"][0]["path"], json!(["scheduleId"]));
        assert_eq!(payload["schedule"], Value::Null);
    };
    assert_wrong(&go("closeSale").await);
    for (field, status) in [
        ("openSale", "ON_SALE"),
        ("openSale", "ON_SALE"),
        ("closeSale", "CLOSED"),
        ("closeSale", "CLOSED"),
    ] {
        let changed = go(field).await;
        assert_eq!(changed["schedule"], json!({ "id": show.id, "status": status }), "{changed}");
    }
    assert_wrong(&go("openSale").await);

    // A sale also ends by itself, at salesCloseAt, and does not open after it.
    let show = shop::show(&world, &instance, Setup::default()).await;
    let draft = shop::show(&world, &instance, Setup { open_sale: false, ..Setup::default() }).await;
    world
        .sql("UPDATE schedule SET sales_open_at = now() - interval '2 hours', sales_close_at = now() - interval '1 s'")
        .await;
    let query = "query ($id: ID!, $c: ID!) { schedule(id: $id) { status waitingRoom { status } } schedules(concertId: $c) { id } }";
    let seen = instance.client().data(query, json!({ "id": show.id, "c": show.concert_id })).await;
    let closed = json!({ "status": "CLOSED", "waitingRoom": { "status": "CLOSED" } });
    assert_eq!(seen, json!({ "schedule": closed, "schedules": [] }));
    assert_wrong(&change(&show.organizer, "openSale", &show.id).await);
    assert_wrong(&change(&draft.organizer, "openSale", &draft.id).await);
    let closed = change(&show.organizer, "closeSale", &show.id).await;
    assert_eq!(closed["schedule"]["status"], "CLOSED", "{closed}");
    let fan = shop::fan(&world, &instance).await;
    assert_eq!(refusal(&fan.enter(&show.id).await), Some("SALE_CLOSED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_schedule_of_ones_own_is_not_found() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    for id in [uuid::Uuid::now_v7().to_string(), "x".to_owned(), String::new()] {
        let configured = configure(&organizer, &id, json!({})).await;
        for payload in [
            change(&organizer, "openSale", &id).await,
            change(&organizer, "closeSale", &id).await,
            configured,
        ] {
            assert_eq!(refusal(&payload), Some("NOT_FOUND"), "{payload}");
            assert_eq!(payload["userErrors"][0]["path"], json!(["scheduleId"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_room_changes_while_it_runs() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup::default()).await;
    let go = async |input: Value| configure(&show.organizer, &show.id, input).await;
    let room = |status: &str, max: i32, admit: i32, seconds: f64| json!({ "status": status, "maxActive": max, "admitPerRound": admit, "roundSeconds": seconds });
    assert_eq!(go(json!({})).await["schedule"]["waitingRoom"], room("OPEN", 1_000, 1_000, 0.1));
    let changed = go(json!({ "maxActive": 7, "roundSeconds": 0.25 })).await;
    assert_eq!(changed["schedule"]["waitingRoom"], room("OPEN", 7, 1_000, 0.25), "the rest stays");
    let changed = go(json!({ "admitPerRound": 3, "maxActive": null, "paused": true })).await;
    assert_eq!(changed["schedule"]["waitingRoom"], room("PAUSED", 7, 3, 0.25));
    assert_eq!(go(json!({ "paused": null })).await["schedule"]["waitingRoom"]["status"], "PAUSED");

    // Nobody is admitted, and everybody is as soon as it goes on, on the other instance too.
    let fan = shop::fan(&world, &b).await;
    assert_eq!(fan.enter(&show.id).await["queueToken"]["status"], "WAITING");
    for instance in [&a, &b, &a] {
        let id = ScheduleId::parse(&show.id).unwrap();
        assert!(instance.app.waiting_rooms.run_round(id).await.is_ok());
    }
    assert_eq!(fan.queue_status(&show.id).await["status"], "WAITING");
    assert_eq!(
        go(json!({ "paused": false })).await["schedule"]["waitingRoom"],
        room("OPEN", 7, 3, 0.25)
    );
    fan.admitted(&show.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_a_waiting_room_holds() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    for (field, low, high) in [
        ("maxActive", 1, 1_000_000),
        ("admitPerRound", 1, 100_000),
        ("idleSeconds", 5, 86_400),
        ("activeSeconds", 5, 86_400),
    ] {
        for (value, fine) in
            [(low, true), (high, true), (low - 1, false), (high + 1, false), (-1, false)]
        {
            let payload = configure(&show.organizer, &show.id, json!({ field: value })).await;
            if fine {
                assert_eq!(refusal(&payload), None, "{field} {value}: {payload}");
            } else {
                assert_invalid(&payload, &["input", field]);
            }
        }
    }
    for (value, fine) in [
        (0.1, true),
        (600.0, true),
        (0.099, false),
        (600.001, false),
        (0.0, false),
        (-1.0, false),
        (1e300, false),
    ] {
        let payload = configure(&show.organizer, &show.id, json!({ "roundSeconds": value })).await;
        if fine {
            assert_eq!(payload["schedule"]["waitingRoom"]["roundSeconds"], value, "{payload}");
        } else {
            assert_invalid(&payload, &["input", "roundSeconds"]);
        }
    }
    let mut input = schedule_input(&show.concert_id);
    input["waitingRoom"] = json!({ "maxActive": 0 });
    assert_invalid(
        &create_schedule(&show.organizer, input).await,
        &["input", "waitingRoom", "maxActive"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn instants_stay_within_the_years_that_can_be_written() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let concert_id = concert(&organizer, "Far away").await;
    let starts = |at: &str| {
        let mut input = schedule_input(&concert_id);
        input["startsAt"] = json!(at);
        input
    };
    let made = create_schedule(&organizer, starts("2199-12-31T23:59:59.999Z")).await;
    assert_eq!(made["schedule"]["startsAt"], "2199-12-31T23:59:59.999Z", "{made}");
    let query = "mutation ($input: CreateScheduleInput!) { createSchedule(input: $input) { userErrors { code } } }";
    // Written down in UTC, these are years of five digits, or before the first.
    for at in ["9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01"] {
        let code = organizer.error_code(query, json!({ "input": starts(at) })).await;
        assert_eq!(code, "BAD_REQUEST", "{at}");
    }
}
