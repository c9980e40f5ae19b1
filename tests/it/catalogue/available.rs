//! What is sold out can be left out, and what is not published is in nobody's list but its organizer's.

use serde_json::{Value, json};

use super::{concert, create_schedule, manage::change, page, published, schedule_input};
use crate::support::{
    client::{Client, refusal},
    shop,
    world::World,
};

/// Makes a performance of two seats and opens its sale; its id.
async fn on_sale(organizer: &Client, concert_id: &str) -> String {
    let made = create_schedule(organizer, schedule_input(concert_id)).await;
    let id = made["schedule"]["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    assert_eq!(refusal(&change(organizer, "openSale", &id).await), None);
    id
}

/// Has so many of the two seats of a performance sold, or held, by somebody.
async fn take(world: &World, schedule_id: &str, count: i32, status: &str) {
    let (reserved, until, confirmed) = match status {
        "HOLD" => ("HOLD", "now() + interval '1 hour'", "NULL"),
        _ => ("CONFIRMED", "NULL", "now()"),
    };
    let number = world.number("SELECT count(*) + 1 FROM queue_token").await;
    world
        .sql(&format!(
            "WITH token AS (
                 INSERT INTO queue_token (id, schedule_id, person_id, number, status, entered_at, activated_at, ended_at)
                 SELECT gen_random_uuid(), '{schedule_id}', id, {number}, 'USED', now(), now(), now() FROM person LIMIT 1
                 RETURNING id, schedule_id, person_id
             ),
             taken AS (
                 INSERT INTO reservation (id, person_id, schedule_id, queue_token_id, status, seat_count, total_price,
                                          held_at, expires_at, confirmed_at)
                 SELECT gen_random_uuid(), person_id, schedule_id, id, '{reserved}', {count}, 0, now(),
                        now() + interval '1 hour', {confirmed} FROM token
                 RETURNING id
             )
             UPDATE seat SET status = '{status}', reservation_id = taken.id, hold_expires_at = {until}
             FROM taken WHERE schedule_id = '{schedule_id}' AND number <= {count}"
        ))
        .await;
}

/// The performances of a concert by both ways to them, which agree.
async fn schedules(client: &Client, concert_id: &str, arguments: &str) -> Vec<String> {
    let query = format!(
        "{{ schedules(concertId: \"{concert_id}\", {arguments}) {{ id }}
            concert(id: \"{concert_id}\") {{ schedules({arguments}) {{ id }} }} }}"
    );
    let data = client.data(&query, json!({})).await;
    assert_eq!(data["schedules"], data["concert"]["schedules"]);
    let found = data["schedules"].as_array().unwrap().iter();
    found.map(|schedule| schedule["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn performances_that_are_sold_out_can_be_left_out() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let id = concert(&organizer, "Tour").await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(on_sale(&organizer, &id).await);
    }
    let [free, held, one_left, sold_out, closed] = &made[..] else { panic!("five") };
    take(&world, held, 2, "HOLD").await;
    take(&world, one_left, 1, "SOLD_OUT").await;
    take(&world, sold_out, 2, "SOLD_OUT").await;
    change(&organizer, "closeSale", closed).await;
    let nobody = instance.client();
    let sorted = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        ids.sort_unstable();
        ids
    };
    let all_but_closed = sorted(&[free, held, one_left, sold_out]);
    let available = sorted(&[free, held, one_left]);
    for (arguments, expected) in [
        ("availableOnly: false", all_but_closed.clone()),
        ("status: [ON_SALE]", all_but_closed),
        ("availableOnly: true", available.clone()),
        // Whatever else is asked for, what is not on sale cannot be had.
        ("availableOnly: true, status: null", available),
        ("availableOnly: true, status: [CLOSED]", vec![]),
    ] {
        let mut found = schedules(&nobody, &id, arguments).await;
        found.sort_unstable();
        assert_eq!(found, expected, "{arguments}");
    }
    // A seat that came back is there at once, and a sale that is over is not.
    world
        .sql(&format!(
            "UPDATE seat SET status = 'AVAILABLE', reservation_id = NULL WHERE schedule_id = '{sold_out}' AND number = 1"
        ))
        .await;
    assert!(schedules(&nobody, &id, "availableOnly: true").await.contains(sold_out));
    world
        .sql(&format!(
            "UPDATE schedule SET sales_open_at = now() - interval '2 s', sales_close_at = now() - interval '1 s' WHERE id = '{free}'"
        ))
        .await;
    assert!(!schedules(&nobody, &id, "availableOnly: true").await.contains(free));
    let wrong = format!("{{ schedules(concertId: \"{id}\", availableOnly: null) {{ id }} }}");
    assert_eq!(nobody.error_code(&wrong, json!({})).await, "BAD_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_what_is_left_are_full() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let nobody = instance.client();
    // Of three concerts one has seats; the others are sold out, over or drafts.
    let mut with_seats = Vec::new();
    for n in 0..12 {
        let title = format!("n{n}");
        let id = concert(&organizer, &title).await;
        match n % 3 {
            0 => {
                on_sale(&organizer, &id).await;
                let other = on_sale(&organizer, &id).await;
                take(&world, &other, 2, "SOLD_OUT").await;
                with_seats.insert(0, title);
            }
            1 => {
                let only = on_sale(&organizer, &id).await;
                take(&world, &only, 2, "SOLD_OUT").await;
            }
            _ if n % 2 == 0 => {
                let over = on_sale(&organizer, &id).await;
                change(&organizer, "closeSale", &over).await;
            }
            _ => _ = create_schedule(&organizer, schedule_input(&id)).await,
        }
    }
    assert_eq!(page(&nobody, "(availableOnly: true, first: 100)").await.0, with_seats);
    let (first, info) = page(&nobody, "(availableOnly: true, first: 3)").await;
    assert_eq!((first.as_slice(), &info["hasNextPage"]), (&with_seats[..3], &json!(true)));
    let after = format!("(availableOnly: true, first: 3, after: {})", info["endCursor"]);
    let (last, info) = page(&nobody, &after).await;
    assert_eq!((last.as_slice(), &info["hasNextPage"]), (&with_seats[3..], &json!(false)));
    let (found, _) = page(&nobody, "(availableOnly: true, search: \"n3\")").await;
    assert_eq!(found, ["n3"]);
    let (found, _) = page(&nobody, "(availableOnly: true, search: \"n4\")").await;
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(page(&nobody, "(first: 100)").await.0.len(), 10, "all but the two drafts");
}

/// Titles of the caller's own concerts.
async fn own(organizer: &Client, arguments: &str) -> (Vec<String>, Value) {
    let query = format!(
        "{{ myConcerts{arguments} {{ nodes {{ title }} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let mut found = organizer.data(&query, json!({})).await["myConcerts"].take();
    let titles = found["nodes"].as_array().unwrap().iter();
    let titles = titles.map(|concert| concert["title"].as_str().unwrap().to_owned()).collect();
    (titles, found["pageInfo"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organizer_sees_drafts_of_their_own_and_nobody_elses() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let other = shop::person(&world, &instance, "ORGANIZER").await;
    for n in 0..3 {
        concert(&organizer, &format!("draft {n}")).await;
        published(&world, &other, &format!("other {n}")).await;
        published(&world, &organizer, &format!("public {n}")).await;
    }
    let mine = ["public 2", "draft 2", "public 1", "draft 1", "public 0", "draft 0"];
    assert_eq!(own(&organizer, "").await.0, mine);
    let (first, info) = own(&organizer, "(first: 4)").await;
    assert_eq!(
        (first.as_slice(), &info["hasNextPage"]),
        (&mine.map(str::to_owned)[..4], &json!(true))
    );
    let (rest, info) = own(&organizer, &format!("(first: 4, after: {})", info["endCursor"])).await;
    assert_eq!(
        (rest.as_slice(), &info["hasNextPage"]),
        (&mine.map(str::to_owned)[4..], &json!(false))
    );
    assert_eq!(own(&other, "").await.0, ["other 2", "other 1", "other 0"]);
    // The public list is the same for everybody.
    let public = ["public 2", "other 2", "public 1", "other 1", "public 0", "other 0"];
    for client in [&organizer, &other, &instance.client()] {
        assert_eq!(page(client, "").await.0, public);
    }
}
