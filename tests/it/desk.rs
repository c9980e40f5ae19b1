//! What an organizer sees of a performance: what was sold, who holds and owns seats, and the export.

use serde_json::{Value, json};

use crate::{
    cli::{Ended, run},
    support::{
        buying::{self, Buyer},
        client::Client,
        eventually,
        shop::{self, Setup, Show},
        world::{Instance, World},
    },
};

const SALES: &str = "sales { held sold revenue refunded grades { grade sold revenue } }";

async fn sales(client: &Client, show: &Show) -> Value {
    let query = format!("query ($id: ID!) {{ schedule(id: $id) {{ {SALES} }} }}");
    client.data(&query, json!({ "id": show.id })).await["schedule"]["sales"].take()
}

const PAGE: &str = "query ($id: ID!, $first: Int, $after: String, $status: [ReservationStatus!], $search: String) {
    scheduleReservations(scheduleId: $id, first: $first, after: $after, status: $status, search: $search) {
        edges { cursor node { id status person { id name email } seats { number } payment { id } } }
        pageInfo { hasNextPage hasPreviousPage endCursor } } }";

async fn page(client: &Client, show: &Show, more: Value) -> Value {
    let mut variables = json!({ "id": show.id });
    for (name, value) in more.as_object().unwrap() {
        variables[name] = value.clone();
    }
    client.data(PAGE, variables).await["scheduleReservations"].take()
}

fn ids(page: &Value) -> Vec<String> {
    let edges = page["edges"].as_array().unwrap().iter();
    edges.map(|edge| edge["node"]["id"].as_str().unwrap().to_owned()).collect()
}

/// A performance with one of everything: bought, given back, held, lapsed.
struct Desk {
    world: World,
    instance: Instance,
    show: Show,
    people: Vec<Buyer>,
    /// Oldest first.
    bought: String,
    given_back: String,
    held: String,
    lapsed: String,
}

async fn desk() -> Desk {
    let world = World::new().await;
    let instance = world.instance().await;
    let setup = Setup { max_seats_per_person: 3, ..Setup::default() };
    let show = shop::show(&world, &instance, setup).await;
    let people = buying::buyers(&world, &[&instance], &show, 4).await;
    let bought = people[0].bought(&show, 0, 1_000).await;
    let given_back = people[1].bought(&show, 1, 1_000).await;
    people[1].client.cancel(&given_back).await;
    let held = people[2].hold_seats(&show, &[2, 3]).await;
    let held = held["reservation"]["id"].as_str().unwrap().to_owned();
    let lapsed = people[3].held(&show, 4).await;
    world.lapse(&lapsed).await;
    Desk { world, instance, show, people, bought, given_back, held, lapsed }
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_are_what_was_paid_and_not_refunded_and_nobody_elses_business() {
    let Desk { world, instance, show, people, .. } = desk().await;
    let told = sales(&show.organizer, &show).await;
    let expected = json!({ "held": 2, "sold": 1, "revenue": 1_000, "refunded": 1_000,
                           "grades": [{ "grade": "R", "sold": 1, "revenue": 1_000 }] });
    assert_eq!(told, expected);
    for stranger in [
        people[0].client.clone(),
        shop::person(&world, &instance, "ORGANIZER").await,
        instance.client(),
    ] {
        assert_eq!(sales(&stranger, &show).await, Value::Null);
    }
    // Money that is on its way back is not back.
    people[0].client.cancel(&desk_reservation(&world, &people[0]).await).await;
    world
        .sql(
            "UPDATE payment SET method = 'CARD', status = 'APPROVED', refunded_at = NULL, refund_status = 'PENDING',
                    refund_id = gen_random_uuid(), refund_asked_at = now(), refund_try_at = now() + interval '1 day'
             WHERE status = 'REFUNDED' AND id = (SELECT max(id::text)::uuid FROM payment WHERE status = 'REFUNDED')",
        )
        .await;
    let told = sales(&show.organizer, &show).await;
    assert_eq!(
        (&told["sold"], &told["revenue"], &told["refunded"]),
        (&json!(0), &json!(1_000), &json!(1_000))
    );
    assert_eq!(told["grades"], json!([{ "grade": "R", "sold": 0, "revenue": 1_000 }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_of_a_performance_that_was_called_off_are_counted() {
    let Desk { world, instance: _instance, show, people, .. } = desk().await;
    people[3].bought(&show, 9, 1_000).await;
    let query =
        "query ($id: ID!) { schedule(id: $id) { sales { refunds { total done failed } } } }";
    let refunds = async || {
        let mut told = show.organizer.data(query, json!({ "id": show.id })).await;
        told["schedule"]["sales"]["refunds"].take()
    };
    assert_eq!(refunds().await, Value::Null);
    world.sql("UPDATE schedule SET sales_close_at = now(), status = 'CLOSED'").await;
    assert_eq!(refunds().await, Value::Null);
    world.sql("UPDATE schedule SET status = 'CANCELLED', cancelled_at = now()").await;
    // What was given back before is counted, too.
    eventually("everybody to have their money", async || {
        (refunds().await == json!({ "total": 3, "done": 3, "failed": 0 })).then_some(())
    })
    .await;
    world.books_are_true().await;
}

async fn desk_reservation(world: &World, buyer: &Buyer) -> String {
    let sql = format!("SELECT id::text FROM reservation WHERE person_id = '{}'", buyer.person_id());
    world.texts(&sql).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_schedules_costs_one_statement() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    world
        .sql(&format!(
            "CREATE TABLE planted AS SELECT gen_random_uuid() AS id FROM generate_series(1, 19);
             INSERT INTO schedule SELECT (jsonb_populate_record(s, jsonb_build_object('id', p.id))).*
             FROM schedule s, planted p WHERE s.id = '{0}';
             INSERT INTO seat (id, schedule_id, section, row_label, row_index, number, grade, price, preference)
             SELECT gen_random_uuid(), p.id, 'A', 'A', 0, 1, 'R', 1000, 1 FROM planted p",
            show.id
        ))
        .await;
    let query =
        format!("query ($id: ID!) {{ schedules(concertId: $id, status: null) {{ id {SALES} }} }}");
    let told = show.organizer.data(&query, json!({ "id": show.concert_id })).await;
    let schedules = told["schedules"].as_array().unwrap();
    assert_eq!(schedules.len(), 20);
    assert!(
        schedules
            .iter()
            .all(|it| it["sales"]["sold"] == 0 && it["sales"]["grades"][0]["grade"] == "R")
    );
    // So many are too many.
    let more = "CREATE TABLE more AS SELECT gen_random_uuid() AS id FROM generate_series(1, 40)";
    world.sql(more).await;
    world
        .sql(&format!(
            "INSERT INTO schedule SELECT (jsonb_populate_record(s, jsonb_build_object('id', p.id))).*
             FROM schedule s, more p WHERE s.id = '{}'",
            show.id
        ))
        .await;
    let code = show.organizer.error_code(&query, json!({ "id": show.concert_id })).await;
    assert_eq!(code, "QUERY_TOO_COMPLEX");
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_are_listed_newest_first_by_pages_and_states() {
    let Desk { show, people, bought, given_back, held, lapsed, world: _world, instance: _instance } =
        desk().await;
    let all = page(&show.organizer, &show, json!({})).await;
    assert_eq!(ids(&all), [&lapsed, &held, &given_back, &bought].map(String::as_str));
    let newest = &all["edges"][0]["node"];
    assert_eq!(
        (&newest["status"], &newest["person"]["id"]),
        (&json!("EXPIRED"), &json!(people[3].person_id()))
    );
    let first = page(&show.organizer, &show, json!({ "first": 3 })).await;
    assert_eq!((ids(&first).len(), &first["pageInfo"]["hasNextPage"]), (3, &json!(true)));
    let rest = json!({ "first": 3, "after": first["pageInfo"]["endCursor"] });
    let rest = page(&show.organizer, &show, rest).await;
    assert_eq!(
        (ids(&rest), &rest["pageInfo"]["hasNextPage"]),
        (vec![bought.clone()], &json!(false))
    );
    for (status, expected) in [
        (json!(["CONFIRMED"]), vec![&bought]),
        (json!(["EXPIRED", "HOLD"]), vec![&lapsed, &held]),
        (json!(["CANCELLED"]), vec![&given_back]),
        (json!([]), vec![]),
    ] {
        let found = page(&show.organizer, &show, json!({ "status": status })).await;
        assert_eq!(ids(&found).iter().collect::<Vec<_>>(), expected, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_names_addresses_and_ids_and_takes_signs_as_they_are() {
    let Desk { world, instance: _instance, show, people, bought, held, .. } = desk().await;
    let rename = |buyer: &Buyer, name: &str, email: &str| {
        format!(
            "UPDATE person SET name = '{name}', email = '{email}' WHERE id = '{}'",
            buyer.person_id()
        )
    };
    world.sql(&rename(&people[0], "Ärger 100%_sicher", "zoe@one.example")).await;
    world.sql(&rename(&people[2], "김민준", "UPPER@two.example")).await;
    let payment =
        world.texts("SELECT id::text FROM payment WHERE status = 'APPROVED'").await.remove(0);
    let (tail, person) = (&payment[24..], people[2].person_id().to_uppercase());
    for (search, expected) in [
        ("ärger", &bought),
        ("100%_s", &bought),
        ("%", &bought),
        ("_", &bought),
        (" zoe@one ", &bought),
        ("민준", &held),
        ("upper@TWO", &held),
        (&bought[20..], &bought),
        (tail, &bought),
        (&person, &held),
    ] {
        let found = page(&show.organizer, &show, json!({ "search": search })).await;
        assert_eq!(ids(&found), [expected.as_str()], "{search}");
    }
    for nothing in ["100_%", "\\", "nobody", "' OR 1=1 --", "abc"] {
        let found = page(&show.organizer, &show, json!({ "search": nothing })).await;
        assert_eq!(ids(&found), [""; 0], "{nothing}");
    }
    assert_eq!(ids(&page(&show.organizer, &show, json!({ "search": "" })).await).len(), 4);
    let long = json!({ "id": show.id, "search": "x".repeat(101) });
    assert_eq!(show.organizer.error_code(PAGE, long).await, "BAD_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_is_shown_to_them_and_to_the_organizer_only() {
    let Desk { world, instance, show, people, bought, .. } = desk().await;
    let other = shop::show(&world, &instance, Setup::default()).await;
    let variables = json!({ "id": show.id });
    assert_eq!(people[0].client.error_code(PAGE, variables.clone()).await, "FORBIDDEN");
    assert_eq!(instance.client().error_code(PAGE, variables.clone()).await, "UNAUTHENTICATED");
    assert_eq!(other.organizer.error_code(PAGE, variables).await, "NOT_FOUND");
    assert_eq!(show.organizer.error_code(PAGE, json!({ "id": "x" })).await, "NOT_FOUND");
    let mine = "query ($id: ID!) { reservation(id: $id) { person { id email } } }";
    let told = people[0].client.data(mine, json!({ "id": bought })).await;
    assert_eq!(told["reservation"]["person"]["id"], people[0].person_id());
    assert_eq!(
        people[1].client.data(mine, json!({ "id": bought })).await["reservation"],
        Value::Null
    );
    // By every way that leads to a reservation, it is one's own.
    let ways = "{ walletEntries { nodes { payment { reservation { person { id } } } } }
                  reservations { nodes { person { id } payment { reservation { person { id } } } } } }";
    let told = people[0].client.data(ways, json!({})).await;
    assert!(
        !told.to_string().contains(people[1].person_id())
            && told.to_string().contains(people[0].person_id())
    );
}

async fn export(world: &World, arguments: &[&str]) -> Ended {
    let url = [("DATABASE_URL", world.database.url.as_str())];
    run(&[&["export"], arguments].concat(), &url, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_a_line_for_each_seat_that_is_taken_or_was_paid_for() {
    let Desk { world, instance: _instance, show, people, bought, given_back, held, .. } =
        desk().await;
    let formula = "=HYPERLINK(\"http://x.example\", \"a\")";
    world
        .sql(&format!(
            "UPDATE person SET name = '{formula}' WHERE id = '{}'",
            people[0].person_id()
        ))
        .await;
    let json = export(&world, &["--schedule", &show.id, "--format", "jsonl"]).await;
    assert_eq!((json.code, json.err.as_str()), (0, ""), "{json:?}");
    let lines: Vec<Value> =
        json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|it| it["reservationId"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [&bought, &given_back, &held].map(String::as_str),
        "what lapsed unpaid is left out"
    );
    let (sale, refund, hold) = (&lines[0], &lines[1], &lines[2]);
    assert_eq!(
        (&sale["status"], &sale["paid"], &sale["method"]),
        (&json!("CONFIRMED"), &json!(1_000), &json!("POINT"))
    );
    assert_eq!(
        sale["seats"],
        json!([{ "section": "Floor", "row": "A", "number": 1, "grade": "R", "price": 1_000 }])
    );
    assert_eq!(
        (&sale["name"], &sale["refundStatus"], &sale["refunded"]),
        (&json!(formula), &Value::Null, &json!(0))
    );
    assert_eq!(
        (&refund["status"], &refund["refundStatus"], &refund["refunded"]),
        (&json!("CANCELLED"), &json!("DONE"), &json!(1_000))
    );
    assert_eq!(
        (&hold["status"], &hold["paid"], &hold["totalPrice"]),
        (&json!("HOLD"), &json!(0), &json!(2_000))
    );

    let csv = export(&world, &["--schedule", &show.id]).await;
    assert_eq!(csv.code, 0, "{csv:?}");
    let rows: Vec<&str> = csv.out.split("\r\n").collect();
    assert_eq!((rows.len(), rows[4]), (5, ""));
    assert!(rows[0].starts_with("reservation,status,name,email,person,seats,"), "{}", rows[0]);
    assert!(
        rows[1].contains("\"'=HYPERLINK(\"\"http://x.example\"\", \"\"a\"\")\""),
        "{}",
        rows[1]
    );
    assert!(rows[3].contains("\"Floor A 3; Floor A 4\",2,2000,0,"), "{}", rows[3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_nothing_is_a_header_and_of_no_performance_a_sentence() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let csv = export(&world, &["--schedule", &show.id]).await;
    assert_eq!((csv.code, csv.out.lines().count()), (0, 1), "{csv:?}");
    let json = export(&world, &["--schedule", &show.id, "--format=jsonl"]).await;
    assert_eq!((json.code, json.out.as_str()), (0, ""));
    let nothing = "00000000-0000-0000-0000-000000000000";
    let ended = export(&world, &["--schedule", nothing]).await;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(ended.err.contains("There is no performance"), "{ended:?}");
    for wrong in [&["--schedule", "x"][..], &["--schedule", nothing, "--format", "xlsx"], &[]] {
        assert_eq!(export(&world, wrong).await.code, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_many_comes_whole() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup { seats_per_row: 10, ..Setup::default() }).await;
    let buyer = buying::buyer(&world, &instance, &show).await;
    buyer.bought(&show, 0, 1_000).await;
    // Copies of a purchase; the books are not true any more.
    world
        .sql(
            "CREATE TABLE copies AS SELECT r.id AS old, gen_random_uuid() AS id FROM reservation r, generate_series(1, 2600);
             INSERT INTO reservation SELECT (jsonb_populate_record(r, jsonb_build_object('id', c.id))).*
             FROM reservation r JOIN copies c ON c.old = r.id;
             INSERT INTO reservation_seat SELECT c.id, l.seat_id, l.price FROM reservation_seat l JOIN copies c ON c.old = l.reservation_id",
        )
        .await;
    let json = export(&world, &["--schedule", &show.id, "--format=jsonl"]).await;
    assert_eq!((json.code, json.out.lines().count()), (0, 2_601), "{}", json.err);
}
