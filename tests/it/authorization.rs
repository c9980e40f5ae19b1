//! Who may do what: every root field has a row here, and every row is tried.

mod tokens;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    schema::promises,
    support::{
        client::Client,
        shop::{self, Setup, Show},
        socket::Pushed,
        world::World,
    },
};

/// Who may call a root field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Nobody needs to know who.
    Anyone,
    /// Everybody with a session, for what is their own.
    SignedIn,
    /// Organizers, for what is their own.
    Organizer,
}

use Who::{Anyone, Organizer, SignedIn};

/// Root, field, who, and an operation with the least that the field takes. `$schedule`, `$concert` and `$seat` stand for ids
/// of things that exist, `$mail` for an address that is new each time.
const TABLE: &[(&str, &str, Who, &str)] = &[
    ("Query", "concerts", Anyone, "{ concerts { nodes { id } } }"),
    // What nothing is published of is its organizer's.
    ("Query", "concert", Anyone, "{ concert(id: \"$concert\") { id } }"),
    ("Query", "myConcerts", Organizer, "{ myConcerts { nodes { id } } }"),
    // Drafts are their organizer's.
    ("Query", "schedules", Anyone, "{ schedules(concertId: \"$concert\") { id } }"),
    ("Query", "schedule", Anyone, "{ schedule(id: \"$schedule\") { id } }"),
    // With the caller's own ACTIVE queue token.
    ("Query", "seats", SignedIn, "{ seats(scheduleId: \"$schedule\", queueToken: \"x\") { id } }"),
    ("Query", "cardGateway", Anyone, "{ cardGateway { name } }"),
    ("Query", "me", SignedIn, "{ me { id } }"),
    ("Query", "queueStatus", SignedIn, "{ queueStatus(scheduleId: \"$schedule\") { status } }"),
    ("Query", "balance", SignedIn, "{ balance }"),
    ("Query", "walletEntries", SignedIn, "{ walletEntries { nodes { id } } }"),
    ("Query", "reservation", SignedIn, "{ reservation(id: \"$schedule\") { id } }"),
    ("Query", "reservations", SignedIn, "{ reservations { nodes { id } } }"),
    (
        "Query",
        "scheduleReservations",
        Organizer,
        "{ scheduleReservations(scheduleId: \"$schedule\") { nodes { id } } }",
    ),
    (
        "Mutation",
        "signUp",
        Anyone,
        "mutation { signUp(input: { email: \"$mail\", password: \"x\", name: \"A\" }) { userErrors { code } } }",
    ),
    (
        "Mutation",
        "logIn",
        Anyone,
        "mutation { logIn(input: { email: \"$mail\", password: \"wrong-password\" }) { userErrors { code } } }",
    ),
    // What it shows is its own proof.
    (
        "Mutation",
        "refreshSession",
        Anyone,
        "mutation { refreshSession(refreshToken: \"x\") { userErrors { code } } }",
    ),
    ("Mutation", "logOut", SignedIn, "mutation { logOut { userErrors { code } } }"),
    // These two need the caller's own password.
    (
        "Mutation",
        "changePassword",
        SignedIn,
        "mutation { changePassword(input: { oldPassword: \"x\", newPassword: \"another-password\" }) { userErrors { code } } }",
    ),
    ("Mutation", "deleteAccount", SignedIn, "mutation { deleteAccount(password: \"x\") { userErrors { code } } }"),
    ("Mutation", "enterQueue", SignedIn, "mutation { enterQueue(scheduleId: \"$schedule\") { userErrors { code } } }"),
    ("Mutation", "leaveQueue", SignedIn, "mutation { leaveQueue(scheduleId: \"$schedule\") { userErrors { code } } }"),
    // The holds need the caller's own ACTIVE queue token.
    (
        "Mutation",
        "holdSeat",
        SignedIn,
        "mutation { holdSeat(input: { scheduleId: \"$schedule\", seatId: \"$seat\", queueToken: \"x\" })
                    { userErrors { code } } }",
    ),
    (
        "Mutation",
        "holdSeats",
        SignedIn,
        "mutation { holdSeats(input: { scheduleId: \"$schedule\", seatIds: [\"$seat\"], queueToken: \"x\" })
                    { userErrors { code } } }",
    ),
    (
        "Mutation",
        "holdBestSeats",
        SignedIn,
        "mutation { holdBestSeats(input: { scheduleId: \"$schedule\", grade: \"R\", count: 1, queueToken: \"x\" })
                    { userErrors { code } } }",
    ),
    ("Mutation", "extendHold", SignedIn, "mutation { extendHold(reservationId: \"$schedule\") { userErrors { code } } }"),
    ("Mutation", "cancelReservation", SignedIn, "mutation { cancelReservation(id: \"$schedule\") { userErrors { code } } }"),
    (
        "Mutation",
        "pay",
        SignedIn,
        "mutation { pay(input: { reservationId: \"$schedule\", method: POINT, amount: 1, idempotencyKey: \"k\" })
                    { userErrors { code } } }",
    ),
    (
        "Mutation",
        "charge",
        SignedIn,
        "mutation { charge(input: { amount: 1, idempotencyKey: \"k\" }) { userErrors { code } } }",
    ),
    (
        "Mutation",
        "createConcert",
        Organizer,
        "mutation { createConcert(input: { title: \"T\", artist: \"A\", venue: \"V\", description: \"\",
                                           timeZone: \"Asia/Seoul\" }) { userErrors { code } } }",
    ),
    (
        "Mutation",
        "createSchedule",
        Organizer,
        "mutation { createSchedule(input: { concertId: \"$concert\", startsAt: \"2030-01-03T00:00:00Z\",
                      salesOpenAt: \"2030-01-01T00:00:00Z\", salesCloseAt: \"2030-01-02T00:00:00Z\",
                      sections: [{ name: \"A\", grade: \"R\", price: 1, rows: 1, seatsPerRow: 1 }] })
                    { userErrors { code } } }",
    ),
    ("Mutation", "openSale", Organizer, "mutation { openSale(scheduleId: \"$schedule\") { userErrors { code } } }"),
    ("Mutation", "closeSale", Organizer, "mutation { closeSale(scheduleId: \"$schedule\") { userErrors { code } } }"),
    ("Mutation", "cancelSchedule", Organizer, "mutation { cancelSchedule(scheduleId: \"$schedule\") { userErrors { code } } }"),
    (
        "Mutation",
        "refundReservation",
        Organizer,
        "mutation { refundReservation(id: \"$schedule\") { userErrors { code } } }",
    ),
    (
        "Mutation",
        "configureWaitingRoom",
        Organizer,
        "mutation { configureWaitingRoom(scheduleId: \"$schedule\", input: {}) { userErrors { code } } }",
    ),
    ("Subscription", "queueStatus", SignedIn, "subscription { queueStatus(scheduleId: \"$schedule\") { status } }"),
    // With the caller's own ACTIVE queue token.
    (
        "Subscription",
        "seatChanges",
        SignedIn,
        "subscription { seatChanges(scheduleId: \"$schedule\", queueToken: \"x\") { id } }",
    ),
    ("Subscription", "reservationChanges", SignedIn, "subscription { reservationChanges { id } }"),
];

fn operation(template: &str, show: &Show) -> String {
    let mail = format!("{}@test.example", uuid::Uuid::new_v4());
    template
        .replace("$schedule", &show.id)
        .replace("$concert", &show.concert_id)
        .replace("$seat", &show.seats[0])
        .replace("$mail", &mail)
}

/// The code of the first error, if there is one, and whether any data came with it.
async fn tried(client: &Client, root: &str, operation: &str) -> (Option<String>, bool) {
    let code = |errors: &Value| errors[0]["extensions"]["code"].as_str().map(str::to_owned);
    if root == "Subscription" {
        let mut subscription = client.subscribe(operation, json!({})).await;
        // A subscription that may run may also have nothing to tell.
        return match subscription.soon().await {
            Some(Pushed::Error(errors)) => (code(&errors), false),
            Some(Pushed::Closed(close)) => panic!("closed with {close}: {operation}"),
            _ => (None, true),
        };
    }
    let answer = client.send(operation, json!({})).await;
    (code(&answer["errors"]), answer.get("data").is_some_and(|data| !data.is_null()))
}

#[test]
fn every_root_field_has_a_row() {
    let sdl: BTreeSet<(String, String)> = promises(&frontrow::api::sdl())
        .iter()
        .filter(|line| !line.contains('('))
        .filter_map(|line| line.split_once(": ")?.0.split_once('.'))
        .filter(|(name, _)| ["Query", "Mutation", "Subscription"].contains(name))
        .map(|(root, field)| (root.to_owned(), field.to_owned()))
        .collect();
    let rows: BTreeSet<(String, String)> =
        TABLE.iter().map(|(root, field, ..)| ((*root).to_owned(), (*field).to_owned())).collect();
    assert_eq!(rows.len(), TABLE.len(), "a field has two rows");
    assert_eq!(sdl, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_holds() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let callers = [
        ("nobody", instance.client()),
        ("a fan", shop::fan(&world, &instance).await),
        ("another organizer", shop::person(&world, &instance, "ORGANIZER").await),
        ("the organizer", show.organizer.clone()),
    ];
    for (root, field, who, template) in TABLE {
        for (name, caller) in &callers {
            // Who has logged out could not try the rest.
            let again = match *name {
                "a fan" if *field == "logOut" => shop::fan(&world, &instance).await,
                _ if *field == "logOut" && caller.token.is_some() => {
                    shop::person(&world, &instance, "ORGANIZER").await
                }
                _ => caller.clone(),
            };
            let caller = &again;
            let (code, data) = tried(caller, root, &operation(template, &show)).await;
            let code = code.as_deref();
            let told = format!("{root}.{field} by {name}: {code:?}");
            match (who, *name) {
                (SignedIn | Organizer, "nobody") => {
                    assert_eq!((code, data), (Some("UNAUTHENTICATED"), false), "{told}");
                }
                (Organizer, "a fan") => {
                    assert_eq!((code, data), (Some("FORBIDDEN"), false), "{told}")
                }
                _ => assert!(!matches!(code, Some("UNAUTHENTICATED" | "FORBIDDEN")), "{told}"),
            }
        }
    }
    // What was refused has left no trace: nobody but the organizers has made anything.
    assert_eq!(world.number("SELECT count(*) FROM concert").await, 3);
    assert_eq!(world.number("SELECT count(*) FROM schedule").await, 2);
}

/// A session lives on when its account is deleted. It is nobody's then, whatever is asked.
#[tokio::test(flavor = "multi_thread")]
async fn the_session_of_a_deleted_account_is_nobodys() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let draft = shop::show(&world, &instance, Setup { open_sale: false, ..Setup::default() }).await;
    for (root, field, who, template) in TABLE.iter().filter(|(_, _, who, _)| *who != Anyone) {
        let role = if *who == Organizer { "ORGANIZER" } else { "FAN" };
        let person = shop::person(&world, &instance, role).await;
        world
            .sql(&format!("DELETE FROM person WHERE id = '{}'", person.person_id.as_ref().unwrap()))
            .await;
        for show in [&show, &draft] {
            let (code, data) = tried(&person, root, &operation(template, show)).await;
            let told = format!("{root}.{field}: {code:?}");
            assert_eq!((code.as_deref(), data), (Some("UNAUTHENTICATED"), false), "{told}");
        }
        let nonsense =
            operation(template, &show).replace(&show.id, "x").replace(&show.concert_id, "x");
        let (code, _) = tried(&person, root, &nonsense).await;
        assert_eq!(code.as_deref(), Some("UNAUTHENTICATED"), "{root}.{field}, of nothing");
    }
    for table in ["queue_token", "reservation", "wallet", "payment"] {
        assert_eq!(world.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_costs_nobody_else_a_place() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let fans = shop::fans(&world, &instance, 60).await;
    for gone in fans.iter().step_by(3) {
        let id = gone.person_id.as_ref().unwrap();
        world.sql(&format!("DELETE FROM person WHERE id = '{id}'")).await;
    }
    let query = "mutation ($id: ID!) { enterQueue(scheduleId: $id) { queueToken { status } userErrors { code } } }";
    let entering = fans.iter().map(|fan| fan.send(query, json!({ "id": show.id })));
    let answers = futures_util::future::join_all(entering).await;
    for (at, answer) in answers.iter().enumerate() {
        if at % 3 == 0 {
            assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{answer}");
        } else {
            assert!(answer["data"]["enterQueue"]["queueToken"]["status"].is_string(), "{answer}");
        }
    }
    assert_eq!(world.number("SELECT count(*) FROM queue_token").await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organizers_things_do_not_exist() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup { open_sale: false, ..Setup::default() }).await;
    let other = shop::person(&world, &instance, "ORGANIZER").await;
    for (root, field, _, template) in TABLE.iter().filter(|(_, _, who, _)| *who == Organizer) {
        // These two name nothing of anybody's.
        if ["createConcert", "myConcerts"].contains(field) {
            continue;
        }
        let missing = operation(template, &show)
            .replace(&show.id, &uuid::Uuid::now_v7().to_string())
            .replace(&show.concert_id, &uuid::Uuid::now_v7().to_string());
        if *root == "Query" {
            for operation in [operation(template, &show), missing] {
                assert_eq!(other.error_code(&operation, json!({})).await, "NOT_FOUND", "{field}");
            }
            continue;
        }
        let theirs = other.payload(&operation(template, &show), json!({})).await;
        let none = other.payload(&missing, json!({})).await;
        let code = theirs["userErrors"][0]["code"].as_str().expect("a code");
        assert!(["NOT_FOUND", "RESERVATION_NOT_FOUND"].contains(&code), "{field}: {code}");
        assert_eq!(theirs, none, "{field}");
    }
    assert_eq!(
        world.texts("SELECT status FROM schedule").await,
        ["DRAFT"],
        "the schedule is as it was"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_session_learns_nothing() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let owner = shop::fan(&world, &instance).await;
    let stranger = shop::fan(&world, &instance).await;
    let token = owner.admitted(&show.id).await;
    let held = owner.held(&show.id, &show.seats[0], &token).await;
    let id = held["id"].as_str().unwrap();
    let nothing = uuid::Uuid::now_v7().to_string();

    let look = "query ($id: ID!) { reservation(id: $id) { id status payment { id } } }";
    assert_eq!(
        stranger.send(look, json!({ "id": id })).await,
        json!({ "data": { "reservation": null } })
    );
    assert_eq!(
        stranger.send(look, json!({ "id": nothing })).await["data"]["reservation"],
        Value::Null
    );
    let list = "{ reservations { nodes { id } } walletEntries { nodes { id } } balance }";
    let empty =
        json!({ "reservations": { "nodes": [] }, "walletEntries": { "nodes": [] }, "balance": 0 });
    owner.charge(5_000, "k").await;
    assert_eq!(stranger.data(list, json!({})).await, empty);

    assert_eq!(stranger.cancel(id).await, stranger.cancel(&nothing).await);
    stranger.charge(5_000, "k").await;
    let pay = async |id: &str, amount: i64, key: &str| stranger.pay(id, amount, key).await;
    for amount in [1_000, 7] {
        assert_eq!(pay(id, amount, "s1").await, pay(&nothing, amount, "s2").await);
        assert_eq!(pay(id, amount, "s3").await["userErrors"][0]["code"], "RESERVATION_NOT_FOUND");
    }
    // The owner's key is another key in a stranger's hand.
    assert_eq!(owner.pay(id, 1_000, "p").await["payment"]["status"], "APPROVED");
    for key in ["p", "q"] {
        assert_eq!(pay(id, 1_000, key).await, pay(&nothing, 1_000, key).await);
        assert_eq!(pay(id, 1_000, key).await["userErrors"][0]["code"], "RESERVATION_NOT_FOUND");
    }
    assert_eq!(stranger.cancel(id).await, stranger.cancel(&nothing).await);
    assert_eq!(stranger.balance().await, 5_000);
    assert_eq!(stranger.queue_status(&show.id).await, Value::Null);
    assert_eq!(
        owner.send(look, json!({ "id": id })).await["data"]["reservation"]["status"],
        "CONFIRMED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_changes_are_not_pushed() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let (owner, stranger) =
        (shop::fan(&world, &instance).await, shop::fan(&world, &instance).await);
    let changes = "subscription { reservationChanges { id status } }";
    let mut seen = owner.subscribe(changes, json!({})).await;
    let mut unseen = stranger.subscribe(changes, json!({})).await;
    assert_eq!(unseen.soon().await, None);
    let token = owner.admitted(&show.id).await;
    let held = owner.held(&show.id, &show.seats[0], &token).await;
    assert_eq!(seen.field().await["id"], held["id"]);
    assert_eq!(unseen.soon().await, None);
    // Whoever has no place in the line is told so, whoever else has one.
    let mut watch = stranger.watch_queue(&show.id).await;
    let Pushed::Error(errors) = watch.next().await else { panic!("a place of nobody is shown") };
    assert_eq!(errors[0]["extensions"]["code"], "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_its_organizers_alone() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup { open_sale: false, ..Setup::default() }).await;
    let other = shop::person(&world, &instance, "ORGANIZER").await;
    let fan = shop::fan(&world, &instance).await;
    let query = "query ($s: ID!, $c: ID!) { schedule(id: $s) { id } schedules(concertId: $c, status: null) { id }
                   concert(id: $c) { id schedules(status: [DRAFT]) { id } } }";
    let variables = json!({ "s": show.id, "c": show.concert_id });
    let strangers = [instance.client(), fan.clone(), other.clone()];
    for nobody in &strangers {
        let seen = nobody.data(query, variables.clone()).await;
        assert_eq!(seen, json!({ "schedule": null, "schedules": [], "concert": null }));
    }
    let seen = show.organizer.data(query, variables.clone()).await;
    assert_eq!(seen["schedule"]["id"], show.id.as_str());
    assert_eq!(seen["schedules"], json!([{ "id": show.id }]));
    assert_eq!(seen["concert"]["schedules"], json!([{ "id": show.id }]));

    // No list has it but its organizer's own.
    let all = "{ concerts { nodes { id } } }";
    for client in strangers.iter().chain([&show.organizer]) {
        assert_eq!(client.data(all, json!({})).await["concerts"]["nodes"], json!([]));
    }
    let own = "{ myConcerts { nodes { id schedules(status: null) { id status } } } }";
    assert_eq!(other.data(own, json!({})).await["myConcerts"]["nodes"], json!([]));
    let mine = show.organizer.data(own, json!({})).await;
    let draft =
        json!({ "id": show.concert_id, "schedules": [{ "id": show.id, "status": "DRAFT" }] });
    assert_eq!(mine["myConcerts"]["nodes"], json!([draft]));

    // One performance that is published makes its concert public, and its other drafts nobody's.
    let published = "INSERT INTO schedule SELECT (jsonb_populate_record(s, jsonb_build_object(
                         'id', gen_random_uuid(), 'status', 'CLOSED'))).* FROM schedule s";
    world.sql(published).await;
    for nobody in &strangers {
        let seen = nobody.data(query, variables.clone()).await;
        let concert = json!({ "id": show.concert_id, "schedules": [] });
        assert_eq!((&seen["schedule"], &seen["concert"]), (&Value::Null, &concert));
        assert_eq!(
            nobody.data(all, json!({})).await["concerts"]["nodes"].as_array().unwrap().len(),
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_tells_a_stranger_that_there_is_a_draft() {
    let world = World::new().await;
    let instance = world.instance().await;
    let draft = shop::show(&world, &instance, Setup { open_sale: false, ..Setup::default() }).await;
    let nothing = uuid::Uuid::now_v7().to_string();
    let strangers = [
        shop::fan(&world, &instance).await,
        shop::person(&world, &instance, "ORGANIZER").await,
        shop::show(&world, &instance, Setup::default()).await.organizer,
    ];
    let about_it = TABLE.iter().filter(|(.., template)| template.contains("$schedule"));
    for (root, field, _, template) in about_it {
        let asked = operation(template, &draft).replace(&draft.seats[0], &nothing);
        let missing = asked.replace(&draft.id, &nothing);
        for stranger in &strangers {
            let told = format!("{root}.{field}");
            let answers = async |operation: &str| {
                let mut answer = if *root == "Subscription" {
                    let first = stranger.subscribe(operation, json!({})).await.soon().await;
                    let Some(Pushed::Error(errors)) = first else { panic!("{told}: {first:?}") };
                    json!({ "errors": errors })
                } else {
                    stranger.send(operation, json!({})).await
                };
                // Every request has its own.
                let error = answer["errors"].get_mut(0);
                if let Some(extensions) = error.and_then(|error| error.get_mut("extensions")) {
                    extensions["requestId"].take();
                }
                answer
            };
            assert_eq!(answers(&asked).await, answers(&missing).await, "{told}");
        }
    }
    for stranger in &strangers {
        for payload in [stranger.enter(&draft.id).await, stranger.leave(&draft.id).await] {
            assert_eq!(payload["userErrors"][0]["code"], "SCHEDULE_NOT_FOUND", "{payload}");
        }
    }
    // Its organizer is told what is the matter.
    let told = draft.organizer.enter(&draft.id).await;
    assert_eq!(told["userErrors"][0]["code"], "SALE_NOT_OPEN", "{told}");
    let told = draft.organizer.leave(&draft.id).await;
    assert_eq!(told["userErrors"][0]["code"], "NOT_IN_QUEUE", "{told}");
}
