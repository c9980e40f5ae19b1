//! Concerts and schedules: finding them, making them, and running a sale.

mod available;
mod manage;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    eventually,
    shop::{self, Setup},
    world::World,
};

/// An instant some seconds from now, as the API writes it.
fn at(seconds: i64) -> String {
    (Utc::now() + TimeDelta::seconds(seconds)).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn concert_input(title: &str) -> Value {
    json!({ "title": title, "artist": "Artist", "venue": "Venue", "description": "", "timeZone": "Asia/Seoul" })
}

async fn create_concert(organizer: &Client, input: Value) -> Value {
    organizer
        .payload(
            "mutation ($input: CreateConcertInput!) { createConcert(input: $input) {
                concert { id title artist venue description timeZone } userErrors { code message path } } }",
            json!({ "input": input }),
        )
        .await
}

/// Makes a concert; its id.
async fn concert(organizer: &Client, title: &str) -> String {
    let made = create_concert(organizer, concert_input(title)).await;
    made["concert"]["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

/// Makes a concert of which something is published: a performance whose sale is over.
async fn published(world: &World, organizer: &Client, title: &str) -> String {
    let id = concert(organizer, title).await;
    publish(world, &id).await;
    id
}

/// Publishes a concert by a performance of long ago, without seats.
async fn publish(world: &World, concert_id: &str) {
    world
        .sql(&format!(
            "INSERT INTO schedule (id, concert_id, status, starts_at, sales_open_at, sales_close_at, max_seats_per_person, seat_count)
             VALUES (gen_random_uuid(), '{concert_id}', 'CLOSED', '2001-01-03', '2001-01-01', '2001-01-02', 1, 1)"
        ))
        .await;
}

fn schedule_input(concert_id: &str) -> Value {
    json!({
        "concertId": concert_id, "startsAt": at(3_000), "salesOpenAt": at(-60), "salesCloseAt": at(2_000),
        "sections": [{ "name": "Floor", "grade": "R", "price": 1_000, "rows": 1, "seatsPerRow": 2 }],
    })
}

async fn create_schedule(organizer: &Client, input: Value) -> Value {
    organizer
        .payload(
            "mutation ($input: CreateScheduleInput!) { createSchedule(input: $input) {
                schedule { id status startsAt salesOpenAt salesCloseAt seatCount maxSeatsPerPerson remainingSeats
                           concert { id } grades { grade price total remaining }
                           waitingRoom { status waitingCount activeCount maxActive admitPerRound roundSeconds } }
                userErrors { code message path } } }",
            json!({ "input": input }),
        )
        .await
}

/// The titles of a page of concerts, and the page's info.
async fn page(client: &Client, arguments: &str) -> (Vec<String>, Value) {
    let query = format!(
        "{{ concerts{arguments} {{ nodes {{ title }} edges {{ cursor node {{ title }} }}
            pageInfo {{ hasPreviousPage hasNextPage startCursor endCursor }} }} }}"
    );
    let mut concerts = client.data(&query, json!({})).await["concerts"].take();
    let titles = |of: &Value, at: &str| -> Vec<String> {
        let items = of.as_array().unwrap().iter();
        items.map(|item| item.pointer(at).unwrap().as_str().unwrap().to_owned()).collect()
    };
    let nodes = titles(&concerts["nodes"], "/title");
    assert_eq!(nodes, titles(&concerts["edges"], "/node/title"));
    let cursors = titles(&concerts["edges"], "/cursor");
    let info = concerts["pageInfo"].take();
    assert_eq!(info["startCursor"], json!(cursors.first()));
    assert_eq!(info["endCursor"], json!(cursors.last()));
    (nodes, info)
}

#[tokio::test(flavor = "multi_thread")]
async fn concerts_are_paged_forward_newest_first() {
    let world = World::new().await;
    let instance = world.instance().await;
    let (organizer, nobody) =
        (shop::person(&world, &instance, "ORGANIZER").await, instance.client());
    let none = (
        vec![],
        json!({ "hasPreviousPage": false, "hasNextPage": false, "startCursor": null, "endCursor": null }),
    );
    assert_eq!(page(&nobody, "").await, none);
    assert_eq!(page(&nobody, "(first: 0)").await, none);
    for n in 1..=25 {
        published(&world, &organizer, &format!("{n}")).await;
    }
    let titles =
        |from: u32, to: u32| -> Vec<String> { (to..=from).rev().map(|n| n.to_string()).collect() };

    let (found, info) = page(&nobody, "").await;
    assert_eq!((found, &info["hasNextPage"]), (titles(25, 6), &json!(true)));
    assert_eq!(page(&nobody, "(first: null)").await.0, titles(25, 6));
    assert_eq!(page(&nobody, "(first: 100)").await.0, titles(25, 1));
    let (found, info) = page(&nobody, "(first: 0)").await;
    assert_eq!((found, &info["hasNextPage"]), (vec![], &json!(true)));

    let (mut seen, mut after, mut sizes) = (Vec::new(), String::new(), Vec::new());
    loop {
        let (found, info) = page(&nobody, &format!("(first: 10{after})")).await;
        assert_eq!(info["hasPreviousPage"], json!(!seen.is_empty()));
        sizes.push(found.len());
        seen.extend(found);
        if info["hasNextPage"] == false {
            break;
        }
        after = format!(", after: {}", info["endCursor"]);
        // What is made meanwhile does not move the pages behind it.
        published(&world, &organizer, "new").await;
    }
    assert_eq!((seen, sizes), (titles(25, 1), vec![10, 10, 5]));

    for arguments in [
        "(first: 101)",
        "(first: -1)",
        "(first: 2147483647)",
        "(first: -2147483648)",
        "(after: \"\")",
        "(after: \"x\")",
        "(after: \"1\")",
        "(after: \"\\u0000\")",
        "(first: 2147483648)",
        "(first: 1.5)",
        "(last: 1)",
    ] {
        let query = format!("{{ concerts{arguments} {{ nodes {{ id }} }} }}");
        assert_eq!(nobody.error_code(&query, json!({})).await, "BAD_REQUEST", "{arguments}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_text_as_it_is() {
    let world = World::new().await;
    let instance = world.instance().await;
    let (organizer, nobody) =
        (shop::person(&world, &instance, "ORGANIZER").await, instance.client());
    for title in ["100% Live", "under_score", "back\\slash", "Straße ÄÖ", "plain"] {
        published(&world, &organizer, title).await;
    }
    let mut other = concert_input("Night");
    (other["artist"], other["venue"]) = (json!("Sora Lane"), json!("Harbour Hall"));
    let other = create_concert(&organizer, other).await;
    publish(&world, other["concert"]["id"].as_str().unwrap()).await;
    concert(&organizer, "plain draft").await;
    for (search, titles) in [
        ("%", &["100% Live"][..]),
        ("_", &["under_score"]),
        ("\\", &["back\\slash"]),
        ("0% l", &["100% Live"]),
        ("PLAIN", &["plain"]),
        ("äö", &["Straße ÄÖ"]),
        ("sora lane", &["Night"]),
        ("  harbour ", &["Night"]),
        ("nothing", &[]),
        ("' OR true --", &[]),
        ("", &["Night", "plain", "Straße ÄÖ", "back\\slash", "under_score", "100% Live"]),
    ] {
        let query = "query ($search: String) { concerts(search: $search) { nodes { title } } }";
        let found = nobody.data(query, json!({ "search": search })).await;
        let expected: Vec<Value> = titles.iter().map(|title| json!({ "title": title })).collect();
        assert_eq!(found["concerts"]["nodes"], json!(expected), "{search:?}");
    }
    assert_eq!(page(&nobody, "(search: null)").await.0.len(), 6);
    let (found, info) = page(&nobody, "(search: \"a\", first: 2)").await;
    assert_eq!((found.len(), &info["hasNextPage"]), (2, &json!(true)));
    for (search, fine) in
        [("é".repeat(100), true), ("é".repeat(101), false), ("a\0".to_owned(), false)]
    {
        let query = "query ($search: String) { concerts(search: $search) { nodes { title } } }";
        let answer = nobody.send(query, json!({ "search": search })).await;
        let code = answer["errors"][0]["extensions"]["code"].as_str();
        assert_eq!(code, (!fine).then_some("BAD_REQUEST"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_filtered_by_time_and_state_earliest_first() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let concert_id = concert(&organizer, "Calendar").await;
    let mut ids = Vec::new();
    // Made in another order than they are performed; each an hour after the other.
    let first = (Utc::now() + TimeDelta::days(1)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let hour = |n: i32| -> String {
        let instant =
            DateTime::parse_from_rfc3339(&first).unwrap().to_utc() + TimeDelta::hours(n.into());
        instant.to_rfc3339_opts(SecondsFormat::Millis, true)
    };
    for n in [2, 0, 1, 3] {
        let mut input = schedule_input(&concert_id);
        input["startsAt"] = json!(hour(n));
        let made = create_schedule(&organizer, input).await;
        let id = made["schedule"]["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        if n != 3 {
            manage::change(&organizer, "openSale", &id).await;
        }
        ids.push((n, id));
    }
    ids.sort_unstable();
    manage::change(&organizer, "closeSale", &ids[1].1).await;
    // Hours 0 and 2 are ON_SALE, 1 is CLOSED, 3 a DRAFT.
    let nobody = instance.client();
    let find = async |client: &Client, arguments: &str| -> Vec<usize> {
        let query = format!(
            "{{ schedules(concertId: \"{concert_id}\"{arguments}) {{ id }}
                concert(id: \"{concert_id}\") {{ schedules({arguments} __) {{ id }} }} }}"
        );
        let query =
            query.replace("(, ", "(").replace(" __", "").replace("schedules()", "schedules");
        let data = client.data(&query, json!({})).await;
        assert_eq!(data["schedules"], data["concert"]["schedules"], "both ways lead to the same");
        let found = data["schedules"].as_array().unwrap().iter();
        found
            .map(|found| ids.iter().position(|(_, id)| found["id"] == id.as_str()).unwrap())
            .collect()
    };
    for (arguments, seen, own) in [
        (String::new(), vec![0, 2], vec![0, 2]),
        (", status: null".to_owned(), vec![0, 1, 2], vec![0, 1, 2, 3]),
        (", status: []".to_owned(), vec![], vec![]),
        (", status: [DRAFT]".to_owned(), vec![], vec![3]),
        (", status: [CLOSED, ON_SALE, CLOSED]".to_owned(), vec![0, 1, 2], vec![0, 1, 2]),
        (format!(", from: \"{}\"", hour(2)), vec![2], vec![2]),
        (format!(", to: \"{}\"", hour(2)), vec![0], vec![0]),
        (
            format!(", status: null, from: \"{}\", to: \"{}\"", hour(1), hour(3)),
            vec![1, 2],
            vec![1, 2],
        ),
        (format!(", from: \"{}\", to: \"{}\"", hour(2), hour(1)), vec![], vec![]),
        (
            ", from: \"0000-01-01T00:00:00Z\", to: \"9999-12-31T23:59:59.999Z\"".to_owned(),
            vec![0, 2],
            vec![0, 2],
        ),
    ] {
        assert_eq!(find(&nobody, &arguments).await, seen, "{arguments}");
        assert_eq!(find(&organizer, &arguments).await, own, "{arguments} by the organizer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_for_is_told_from_what_is_not_there() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let (concert_id, nobody) = (concert(&organizer, "Calendar").await, instance.client());
    for arguments in
        ["from: \"now\"", "from: \"2030-01-01\"", "to: 0", "status: [OPEN]", "status: ON_SALE_"]
    {
        let query = format!("{{ schedules(concertId: \"{concert_id}\", {arguments}) {{ id }} }}");
        assert_eq!(nobody.error_code(&query, json!({})).await, "BAD_REQUEST", "{arguments}");
    }
    for id in ["x", "", &uuid::Uuid::now_v7().to_string()] {
        let query = "query ($id: ID!) { schedules(concertId: $id) { id } concert(id: $id) { id } schedule(id: $id) { id } }";
        let found = nobody.data(query, json!({ "id": id })).await;
        assert_eq!(found, json!({ "schedules": [], "concert": null, "schedule": null }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn remaining_seats_are_a_second_old_at_most() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let setup = Setup { rows: 2, seats_per_row: 5, ..Setup::default() };
    let show = shop::show(&world, &a, setup).await;
    let remaining = async |client: &Client| {
        let query = "query ($id: ID!) { schedule(id: $id) { remainingSeats grades { grade price total remaining } } }";
        let found = client.data(query, json!({ "id": show.id })).await;
        let remaining = found["schedule"]["remainingSeats"].clone();
        let grades = json!([{ "grade": "R", "price": 1_000, "total": 10, "remaining": remaining }]);
        assert_eq!(found["schedule"]["grades"], grades, "one answer agrees with itself");
        remaining.as_i64().unwrap()
    };
    assert_eq!(remaining(&b.client()).await, 10);
    let (fan, buyer) = (shop::fan(&world, &a).await, shop::fan(&world, &a).await);
    let (token, other) = (fan.admitted(&show.id).await, buyer.admitted(&show.id).await);
    let bought = buyer.held(&show.id, &show.seats[0], &other).await;
    buyer.charge(1_000, "c").await;
    assert_eq!(
        buyer.pay(bought["id"].as_str().unwrap(), 1_000, "p").await["payment"]["status"],
        "APPROVED"
    );
    let held = fan.held(&show.id, &show.seats[1], &token).await;
    // Not waited for: a second is what is promised.
    tokio::time::sleep(std::time::Duration::from_millis(1_010)).await;
    assert_eq!(
        remaining(&b.client()).await,
        8,
        "both are gone a second later, on the other instance"
    );
    world.lapse(held["id"].as_str().unwrap()).await;
    // The hold lapses and its seat comes back; what was bought does not.
    eventually("the lapsed hold's seat", async || {
        (remaining(&b.client()).await == 9).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grades_are_told_dearest_first_over_all_sections() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let mut input = schedule_input(&concert(&organizer, "Grades").await);
    let section = |name: &str, grade: &str, price: i64, rows: i32| json!({ "name": name, "grade": grade, "price": price, "rows": rows, "seatsPerRow": 10 });
    input["sections"] = json!([
        section("East", "S", 50, 2),
        section("Front", "VIP", 900, 1),
        section("West", "S", 50, 3),
        section("Box", "R", 100, 1),
        section("Standing", "A", 50, 1)
    ]);
    let made = create_schedule(&organizer, input).await;
    let grade = |grade: &str, price: i64, total: i32| json!({ "grade": grade, "price": price, "total": total, "remaining": total });
    assert_eq!(
        made["schedule"]["grades"],
        json!([grade("VIP", 900, 10), grade("R", 100, 10), grade("A", 50, 10), grade("S", 50, 50)])
    );
    assert_eq!(
        (&made["schedule"]["seatCount"], &made["schedule"]["remainingSeats"]),
        (&json!(80), &json!(80))
    );
}
