//! A form is told everything that is wrong with it at once, each field by an entry of its own with its path.

use serde_json::{Value, json};

use crate::support::{
    buying,
    client::Client,
    shop::{self, Setup},
    world::{Instance, World},
};

const PASSWORD: &str = "correct horse battery";

/// The code and the path of every entry, in their order: `CODE input.field`.
fn faults(payload: &Value) -> Vec<String> {
    let errors = payload["userErrors"].as_array().unwrap_or_else(|| panic!("{payload}")).iter();
    let steps = |error: &Value| -> Vec<String> {
        let path = error["path"].as_array().into_iter().flatten();
        path.map(|step| step.as_str().unwrap().to_owned()).collect()
    };
    errors
        .map(|error| format!("{} {}", error["code"].as_str().unwrap(), steps(error).join(".")))
        .collect()
}

/// Sends a mutation with one input; what is wrong with it.
async fn tried(client: &Client, mutation: &str, input: &str, value: Value) -> Vec<String> {
    let query = format!(
        "mutation ($input: {input}!) {{ {mutation}(input: $input) {{ userErrors {{ code message path }} }} }}"
    );
    faults(&client.payload(&query, json!({ "input": value })).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_up_and_another_password() {
    let world = World::new().await;
    let instance = world.instance().await;
    let nobody = instance.client();
    let sign_up = async |email: &str, password: &str, name: &str| {
        let input = json!({ "email": email, "password": password, "name": name });
        tried(&nobody, "signUp", "SignUpInput", input).await
    };
    assert_eq!(
        sign_up("", "", "").await,
        ["EMAIL_INVALID input.email", "PASSWORD_WEAK input.password", "NAME_INVALID input.name"]
    );
    assert_eq!(
        sign_up("mina@example.com", "short", " ").await,
        ["PASSWORD_WEAK input.password", "NAME_INVALID input.name"]
    );
    assert_eq!(world.number("SELECT count(*) FROM person").await, 0);
    assert_eq!(sign_up("mina@example.com", PASSWORD, "Mina").await, Vec::<String>::new());
    // That somebody has an address is told to nobody whose form is wrong besides.
    assert_eq!(
        sign_up("mina@example.com", "short", "Mina").await,
        ["PASSWORD_WEAK input.password"]
    );
    assert_eq!(sign_up("mina@example.com", PASSWORD, "Mina").await, ["EMAIL_TAKEN input.email"]);

    let log_in =
        "mutation ($input: LogInInput!) { logIn(input: $input) { session { accessToken } } }";
    let input = json!({ "email": "mina@example.com", "password": PASSWORD });
    let session = nobody.payload(log_in, json!({ "input": input })).await["session"].take();
    let mina = nobody.with_token(session["accessToken"].as_str().unwrap());
    let change = async |old: &str, new: &str| {
        let input = json!({ "oldPassword": old, "newPassword": new });
        tried(&mina, "changePassword", "ChangePasswordInput", input).await
    };
    assert_eq!(
        change("wrong password", "MINA@example.com").await,
        ["WRONG_CREDENTIALS input.oldPassword", "PASSWORD_WEAK input.newPassword"]
    );
    assert_eq!(change(PASSWORD, "short").await, ["PASSWORD_WEAK input.newPassword"]);
    assert_eq!(change(PASSWORD, "another long password").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn concerts_schedules_and_waiting_rooms() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let concert =
        async |value: Value| tried(&organizer, "createConcert", "CreateConcertInput", value).await;
    let text = "é".repeat(5_001);
    let all = ["title", "artist", "venue", "description", "timeZone"];
    let all = all.map(|field| format!("VALUE_INVALID input.{field}"));
    for zone in ["", "Mars/Base"] {
        let bad = json!({ "title": "", "artist": "a\nb", "venue": " ", "description": text, "timeZone": zone });
        assert_eq!(concert(bad).await, all, "{zone:?}");
    }
    let sound = json!({ "title": "", "artist": "A", "venue": "V", "description": "", "timeZone": " Asia/Seoul " });
    assert_eq!(concert(sound).await, ["VALUE_INVALID input.title"]);
    assert_eq!(world.number("SELECT count(*) FROM concert").await, 0);

    let show = shop::show(&world, &instance, Setup::default()).await;
    let section = json!({ "name": "", "grade": "R", "price": 10_000_000_001_i64, "rows": 0, "seatsPerRow": 501 });
    let mut bad = json!({
        "concertId": show.concert_id, "startsAt": "1999-01-01T00:00:00Z", "salesOpenAt": "2030-01-02T00:00:00Z",
        "salesCloseAt": "2030-01-01T00:00:00Z", "maxSeatsPerPerson": 21, "cancelUntil": "2200-01-01T00:00:00Z",
        "sections": [{ "name": "A", "grade": "R", "price": 1, "rows": 1, "seatsPerRow": 1 }, section],
        "waitingRoom": { "maxActive": 0, "roundSeconds": 601.0, "idleSeconds": 4 },
    });
    let schedule = async |value: &Value| {
        tried(&show.organizer, "createSchedule", "CreateScheduleInput", value.clone()).await
    };
    let expected = [
        "startsAt",
        "salesCloseAt",
        "cancelUntil",
        "maxSeatsPerPerson",
        "sections.1.name",
        "sections.1.price",
        "sections.1.rows",
        "sections.1.seatsPerRow",
        "waitingRoom.maxActive",
        "waitingRoom.idleSeconds",
        "waitingRoom.roundSeconds",
    ];
    let expected = expected.map(|field| format!("VALUE_INVALID input.{field}"));
    assert_eq!(schedule(&bad).await, expected);
    // Another organizer's concert does not exist, and the rest of the form is looked at all the same.
    let others = shop::show(&world, &instance, Setup::default()).await;
    for id in [others.concert_id.as_str(), "x"] {
        bad["concertId"] = json!(id);
        let found = schedule(&bad).await;
        assert_eq!(found[0], "NOT_FOUND input.concertId");
        assert_eq!(found[1..], expected);
    }

    let query = "mutation ($id: ID!, $input: WaitingRoomInput!) { configureWaitingRoom(scheduleId: $id, input: $input) {
                 schedule { id } userErrors { code message path } } }";
    let input = json!({ "maxActive": 0, "admitPerRound": 0, "roundSeconds": 0.0, "idleSeconds": 0,
                        "activeSeconds": 0, "paused": true });
    let told = show.organizer.payload(query, json!({ "id": show.id, "input": input })).await;
    let fields = ["maxActive", "admitPerRound", "idleSeconds", "activeSeconds", "roundSeconds"];
    assert_eq!(faults(&told), fields.map(|field| format!("VALUE_INVALID input.{field}")));
    assert_eq!(told["schedule"], Value::Null);
    let paused = "SELECT count(*) FROM waiting_room WHERE paused";
    assert_eq!(world.number(paused).await, 0, "nothing was changed");
}

async fn pay(client: &Client, value: Value) -> Vec<String> {
    tried(client, "pay", "PayInput", value).await
}

async fn charge(client: &Client, value: Value) -> Vec<String> {
    tried(client, "charge", "ChargeInput", value).await
}

#[tokio::test(flavor = "multi_thread")]
async fn paying_and_charging() {
    let world = World::new().await;
    let instance: Instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let buyer = buying::buyer(&world, &instance, &show).await;
    let id = buyer.held(&show, 0).await;
    let client = &buyer.client;
    let elsewhere = "https://elsewhere.example/";
    let key = "é".repeat(256);

    let card = json!({ "reservationId": id, "method": "CARD", "amount": 1_000, "idempotencyKey": key, "returnUrl": elsewhere });
    assert_eq!(
        pay(client, card.clone()).await,
        [
            "IDEMPOTENCY_KEY_INVALID input.idempotencyKey",
            "CARD_TOKEN_MISSING input.cardToken",
            "RETURN_URL_INVALID input.returnUrl"
        ]
    );
    let keyed = |mut value: Value, key: &str| {
        value["idempotencyKey"] = json!(key);
        value
    };
    assert_eq!(
        pay(client, keyed(card.clone(), "k")).await,
        ["CARD_TOKEN_MISSING input.cardToken", "RETURN_URL_INVALID input.returnUrl"]
    );
    let nothing =
        json!({ "reservationId": "x", "method": "CARD", "amount": 1, "idempotencyKey": "" });
    assert_eq!(
        pay(client, nothing.clone()).await,
        [
            "RESERVATION_NOT_FOUND input.reservationId",
            "IDEMPOTENCY_KEY_INVALID input.idempotencyKey",
            "CARD_TOKEN_MISSING input.cardToken"
        ]
    );
    // With points nobody asks about cards.
    let mut points = keyed(card, "");
    points["method"] = json!("POINT");
    assert_eq!(pay(client, points).await, ["IDEMPOTENCY_KEY_INVALID input.idempotencyKey"]);

    let bad = json!({ "amount": 0, "idempotencyKey": key, "cardToken": "t".repeat(501), "returnUrl": elsewhere });
    assert_eq!(
        charge(client, bad).await,
        [
            "AMOUNT_INVALID input.amount",
            "IDEMPOTENCY_KEY_INVALID input.idempotencyKey",
            "CARD_TOKEN_MISSING input.cardToken",
            "RETURN_URL_INVALID input.returnUrl"
        ]
    );
    let gift = json!({ "amount": 10_000_001, "idempotencyKey": "" });
    assert_eq!(
        charge(client, gift).await,
        ["AMOUNT_INVALID input.amount", "IDEMPOTENCY_KEY_INVALID input.idempotencyKey"]
    );
    assert_eq!(world.number("SELECT count(*) FROM payment").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM wallet_entry").await, 0);
}
