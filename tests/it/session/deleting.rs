//! Deleting an account: the person goes, the books stay.

use frontrow::kernel::{Fault, FaultKind};
use sea_orm::ConnectionTrait;

use super::*;
use crate::support::shop::{self, Setup, Show};

async fn delete_account(client: &Client, password: &str) -> Value {
    let query = "mutation ($p: String!) { deleteAccount(password: $p) { userErrors { code message path } } }";
    client.payload(query, json!({ "p": password })).await
}

/// Somebody with a password, as the tests' tools know people.
async fn fan(instance: &Instance) -> (Person, Client) {
    let person = Person::sign_up(&instance.client(), "mina").await;
    let client = person.at(instance);
    let id = client.data("{ me { id } }", json!({})).await["me"]["id"].as_str().map(str::to_owned);
    (person, Client { person_id: id, ..client })
}

async fn bought(client: &Client, show: &Show, seat: usize) -> String {
    let token = client.admitted(&show.id).await;
    let held = client.held(&show.id, &show.seats[seat], &token).await;
    let id = held["id"].as_str().unwrap().to_owned();
    let paid = client.pay(&id, 1_000, &format!("pay-{seat}")).await;
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_goes_and_the_books_stay() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup { max_seats_per_person: 2, ..Setup::default() }).await;
    let past = shop::show(&world, &a, Setup::default()).await;
    let (person, client) = fan(&a).await;
    let other = person.log_in(&b.client(), PASSWORD).await;
    client.charge(10_000, "c").await;
    let owned = bought(&client, &past, 0).await;
    let given_back = bought(&client, &show, 1).await;
    assert_eq!(client.cancel(&given_back).await["reservation"]["status"], "CANCELLED");
    client.enter(&show.id).await;
    let mut place = other.at(&b).watch_queue(&show.id).await;
    place.field().await;

    // Owned for the future.
    let refused = delete_account(&client, PASSWORD).await;
    assert_eq!(refusal(&refused), Some("STILL_HAS_SEATS"), "{refused}");
    let wrong = delete_account(&client, "wrong password").await;
    assert_eq!(refusal(&wrong), Some("WRONG_CREDENTIALS"));
    assert_eq!(wrong["userErrors"][0]["path"], json!(["password"]));
    assert_eq!(client.queue_status(&show.id).await["status"], "ACTIVE", "nothing was done");
    world
        .sql(&format!(
            "UPDATE schedule SET starts_at = clock_timestamp() - interval '1 s', sales_close_at = clock_timestamp() - interval '2 s'
             WHERE id = '{}'",
            past.id
        ))
        .await;
    assert_eq!(delete_account(&client, PASSWORD).await["userErrors"], json!([]));

    // Whichever comes first: the end of the place, or of the session.
    loop {
        match place.next().await {
            Pushed::Closed(code) => break assert_eq!(code, 4403),
            Pushed::Next(_) | Pushed::Complete => {}
            Pushed::Error(errors) => panic!("{errors}"),
        }
    }
    for ended in [&person, &other] {
        assert!(!is_in(&ended.at(&a)).await);
        is_out_soon(&ended.at(&b)).await;
        assert_ended(&refresh(&a.client(), &ended.refresh).await);
    }
    let gone = log_in(&a.client(), &person.email, PASSWORD).await;
    assert_eq!(refusal(&gone), Some("WRONG_CREDENTIALS"));
    let id = client.person_id.clone().unwrap();
    let left =
        world.texts(&format!("SELECT row_to_json(p)::text FROM person p WHERE id = '{id}'")).await;
    assert!(!left[0].contains("mina") && !left[0].contains("argon2"), "{left:?}");
    let live = "SELECT count(*) FROM queue_token WHERE status IN ('WAITING', 'ACTIVE')";
    assert_eq!(world.number(live).await, 0);
    // The organizer sees that somebody owned the seat, and not who; the books agree.
    let query = "query ($id: ID!) { scheduleReservations(scheduleId: $id) { nodes { id person { name email } } } }";
    let seen = past.organizer.data(query, json!({ "id": past.id })).await;
    let node = &seen["scheduleReservations"]["nodes"][0];
    assert_eq!((&node["id"], &node["person"]["name"]), (&json!(owned), &json!("Deleted account")));
    assert!(node["person"]["email"].as_str().unwrap().ends_with("@deleted.invalid"), "{node}");
    assert_eq!(
        world.number(&format!("SELECT balance FROM wallet WHERE person_id = '{id}'")).await,
        9_000
    );
    for check in frontrow::audit::audit(&world.db).await.expect("an audit") {
        // Time was moved for the performance.
        assert!(check.count == 0 || check.name == "sales_keep_their_times", "{check:#?}");
    }
    // The address is free for somebody else.
    let again = json!({ "email": person.email, "password": PASSWORD, "name": "mina" });
    let query =
        format!("mutation ($input: SignUpInput!) {{ signUp(input: $input) {{ {SESSION} }} }}");
    let anew = a.client().payload(&query, json!({ "input": again })).await;
    assert_ne!(anew["session"]["user"]["id"], json!(id), "{anew}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_seat_is_refused_until_it_is_given_back() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let (_, client) = fan(&a).await;
    let token = client.admitted(&show.id).await;
    let held = client.held(&show.id, &show.seats[0], &token).await;
    let refused = delete_account(&client, PASSWORD).await;
    assert_eq!(refusal(&refused), Some("STILL_HAS_SEATS"), "{refused}");
    assert_eq!(client.queue_status(&show.id).await["status"], "ACTIVE");
    client.cancel(held["id"].as_str().unwrap()).await;
    assert_eq!(delete_account(&client, PASSWORD).await["userErrors"], json!([]));
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_at_the_same_instant_keeps_the_account_or_gets_no_seat() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup { rows: 2, ..Setup::default() }).await;
    for round in 0..crate::support::trials(8) {
        let (_, client) = fan(&a).await;
        let token = client.admitted(&show.id).await;
        let there = client.at(b.address);
        let hold = "mutation ($input: HoldSeatInput!) { holdSeat(input: $input) { reservation { id } userErrors { code } } }";
        let input =
            json!({ "scheduleId": show.id, "seatId": show.seats[round], "queueToken": token });
        let (deleted, held) = tokio::join!(
            delete_account(&client, PASSWORD),
            there.send(hold, json!({ "input": input }))
        );
        let was_held = held["data"]["holdSeat"]["reservation"]["id"].is_string();
        let was_deleted = refusal(&deleted).is_none();
        assert!(was_held != was_deleted, "{deleted} and {held}");
        let id = client.person_id.as_deref().unwrap();
        let seats = format!("SELECT count(*) FROM reservation WHERE person_id = '{id}'");
        assert_eq!(world.number(&seats).await, i64::from(was_held));
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_was_taken_at_the_last_instant_ends_as_well() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    fan.enter(&show.id).await;
    // As if the deletion had not seen it. The session is good: only the account is gone.
    let id = fan.person_id.clone().unwrap();
    world
        .sql(&format!(
            "UPDATE person SET password_hash = NULL, erased_at = clock_timestamp() WHERE id = '{id}'"
        ))
        .await;
    eventually("the place to end", async || {
        let live = "SELECT count(*) FROM queue_token WHERE status IN ('WAITING', 'ACTIVE')";
        (world.number(live).await == 0).then_some(())
    })
    .await;
    let enter = "mutation ($id: ID!) { enterQueue(scheduleId: $id) { userErrors { code } } }";
    assert_eq!(fan.error_code(enter, json!({ "id": show.id })).await, "UNAUTHENTICATED");
    for query in ["{ me { id } }", "{ balance }", "{ reservations { nodes { id } } }"] {
        assert_eq!(fan.error_code(query, json!({})).await, "UNAUTHENTICATED", "{query}");
    }
    assert_eq!(world.number("SELECT count(*) FROM queue_token").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organizer_who_sells_is_refused() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, Setup::default()).await;
    // Of the fan who has just signed up.
    let hash = "SELECT password_hash FROM person ORDER BY created_at DESC LIMIT 1";
    let (_, _) = fan(&a).await;
    let hash = world.texts(hash).await.remove(0);
    let id = show.organizer.person_id.clone().unwrap();
    world.sql(&format!("UPDATE person SET password_hash = '{hash}' WHERE id = '{id}'")).await;
    let refused = delete_account(&show.organizer, PASSWORD).await;
    assert_eq!(refusal(&refused), Some("STILL_HAS_SEATS"), "{refused}");
    let call_off =
        "mutation ($id: ID!) { cancelSchedule(scheduleId: $id) { userErrors { code } } }";
    show.organizer.payload(call_off, json!({ "id": show.id })).await;
    assert_eq!(delete_account(&show.organizer, PASSWORD).await["userErrors"], json!([]));
    assert!(!is_in(&show.organizer).await);
    let query = "query ($id: ID!) { schedule(id: $id) { status concert { title } } }";
    let seen = a.client().data(query, json!({ "id": show.id })).await;
    assert_eq!(seen["schedule"]["status"], "CANCELLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_constraint_that_names_a_person_says_that_their_account_is_gone() {
    let world = World::new().await;
    let names = "SELECT conname::text FROM pg_constraint WHERE contype = 'f' AND confrelid = 'person'::regclass";
    let names = world.texts(names).await;
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let sql =
            format!("DO $$ BEGIN RAISE foreign_key_violation USING CONSTRAINT = '{name}'; END $$");
        let error = world.pool.execute_unprepared(&sql).await.expect_err("a violation");
        assert_eq!(Fault::from(error).kind(), FaultKind::CallerGone, "{name}");
    }
}
