//! One spelling for what looks the same: addresses, passwords, names, titles, sections and what is looked for. And what nobody sees is
//! none of these.

use argon2::{Argon2, PasswordHasher};
use serde_json::{Value, json};

use crate::support::{
    buying,
    client::{Client, refusal},
    shop::{self, Setup},
    world::World,
};

/// The same text, as a keyboard for each letter and as one for each sound writes it.
const HANGUL: &str = "한글";
const JAMO: &str = "\u{1112}\u{1161}\u{11AB}\u{1100}\u{1173}\u{11AF}";
/// A password and the same with letters that are not composed, and a blank from another keyboard.
const PASSWORD: &str = "zoë im café 한글";
const APART: &str =
    "zoe\u{308} im cafe\u{301}\u{A0}\u{1112}\u{1161}\u{11AB}\u{1100}\u{1173}\u{11AF}";

async fn sign_up(client: &Client, email: &str, password: &str, name: &str) -> Value {
    client
        .payload(
            "mutation ($input: SignUpInput!) { signUp(input: $input) {
                session { user { id email name } } userErrors { code message path } } }",
            json!({ "input": { "email": email, "password": password, "name": name } }),
        )
        .await
}

/// Whose account an address and a password open.
async fn opened(client: &Client, email: &str, password: &str) -> Option<String> {
    let payload = client
        .payload(
            "mutation ($input: LogInInput!) { logIn(input: $input) {
                session { user { id } } userErrors { code message } } }",
            json!({ "input": { "email": email, "password": password } }),
        )
        .await;
    payload["session"]["user"]["id"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_opens_however_its_address_and_password_are_written() {
    let world = World::new().await;
    let instance = world.instance().await;
    let client = instance.client();
    let email = format!(" {JAMO}.zoe\u{308}@xn--bcher-kva.example");
    let made = sign_up(&client, &email, APART, JAMO).await;
    let user = &made["session"]["user"];
    let stored = format!("{HANGUL}.zoë@bücher.example");
    assert_eq!((&user["email"], &user["name"]), (&json!(stored), &json!(HANGUL)), "{made}");
    let id = user["id"].as_str().map(str::to_owned);
    let spellings = [
        stored.clone(),
        email,
        format!("{HANGUL}.ZOË@XN--BCHER-KVA.example"),
        format!("{JAMO}.zoë@bu\u{308}cher.example"),
        format!("{HANGUL}.zoe\u{308}@BÜCHER。example"),
    ];
    for email in &spellings {
        for password in [PASSWORD, APART] {
            assert_eq!(opened(&client, email, password).await, id, "{email:?} {password:?}");
        }
        let taken = sign_up(&client, email, PASSWORD, "Other").await;
        assert_eq!(refusal(&taken), Some("EMAIL_TAKEN"), "{email:?}: {taken}");
    }
    assert_eq!(opened(&client, &stored, "zoe im cafe 한글").await, None);
    // Nobody's own words are hidden from the rules by another spelling.
    let own = sign_up(&client, "b@c.example", &format!("{JAMO}{JAMO}1984"), HANGUL).await;
    assert_eq!(refusal(&own), Some("PASSWORD_WEAK"), "{own}");
}

/// Writes an account as it was written before there was one spelling; its id.
async fn from_before(world: &World, email: &str, password: &str) -> String {
    let hash = Argon2::default().hash_password(password.as_bytes()).unwrap().to_string();
    let sql = format!(
        "INSERT INTO person (id, email, name, password_hash, role)
         VALUES (gen_random_uuid(), '{email}', 'Somebody', '{hash}', 'FAN') RETURNING id::text"
    );
    world.texts(&sql).await.pop().unwrap()
}

const MIGRATION: &str = include_str!("../../migration/src/sql/0026_one_spelling.sql");

#[tokio::test(flavor = "multi_thread")]
async fn accounts_from_before_go_on_opening() {
    let world = World::new().await;
    let instance = world.instance().await;
    let client = instance.client();
    let ascii = from_before(&world, "mina@xn--bcher-kva.example", APART).await;
    let apart = from_before(&world, "ange\u{301}@example.com", "opossums").await;
    let (one, other) = ("ine\u{301}s@example.com", "inés@example.com");
    let one_of_two = from_before(&world, one, "first opossum").await;
    let other_of_two = from_before(&world, other, "second opossum").await;
    for migrated in [false, true] {
        if migrated {
            world.sql(MIGRATION).await;
        }
        // A password that was stored as it was given opens as it was given.
        assert_eq!(opened(&client, "mina@xn--bcher-kva.example", APART).await, Some(ascii.clone()));
        assert_eq!(opened(&client, "MINA@bücher.example", APART).await, Some(ascii.clone()));
        assert_eq!(
            opened(&client, "ange\u{301}@example.com", "opossums").await,
            Some(apart.clone())
        );
        // Two accounts that differ by nothing else stay two.
        assert_eq!(opened(&client, one, "first opossum").await, Some(one_of_two.clone()));
        assert_eq!(opened(&client, other, "second opossum").await, Some(other_of_two.clone()));
        assert_eq!(opened(&client, other, "first opossum").await, None);
        for email in ["mina@bücher.example", one, other, "ange\u{301}@example.com"] {
            let taken = sign_up(&client, email, PASSWORD, "Other").await;
            assert_eq!(refusal(&taken), Some("EMAIL_TAKEN"), "{email:?}");
        }
    }
    assert_eq!(opened(&client, "angé@example.com", "opossums").await, Some(apart));
    let taken = sign_up(&client, "angé@example.com", PASSWORD, "Other").await;
    assert_eq!(refusal(&taken), Some("EMAIL_TAKEN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_before_gets_the_one_spelling() {
    let world = World::new().await;
    let organizer = from_before(&world, "o@example.com", "opossums").await;
    world.sql(&format!(
        "UPDATE person SET name = '{JAMO}' WHERE id = '{organizer}';
         INSERT INTO concert (id, organizer_id, title, artist, venue, description, time_zone)
         VALUES (gen_random_uuid(), '{organizer}', 'Cafe\u{301}', '{JAMO}', 'Hall', 'Zoe\u{308}', 'UTC')"
    ))
    .await;
    for _ in 0..2 {
        world.sql(MIGRATION).await;
        assert_eq!(world.texts("SELECT name FROM person").await, [HANGUL]);
        let texts = world.texts("SELECT title || artist || description FROM concert").await;
        assert_eq!(texts, ["Café한글Zoë"]);
    }
}

async fn create_concert(organizer: &Client, title: &str, artist: &str) -> Value {
    organizer
        .payload(
            "mutation ($input: CreateConcertInput!) { createConcert(input: $input) {
                concert { id title artist } userErrors { code path } } }",
            json!({ "input": { "title": title, "artist": artist, "venue": "Hall", "description": "", "timeZone": "Asia/Seoul" } }),
        )
        .await
}

async fn create_schedule(organizer: &Client, concert_id: &str, sections: &[(&str, &str)]) -> Value {
    let sections: Vec<Value> = sections
        .iter()
        .map(|(name, grade)| json!({ "name": name, "grade": grade, "price": 1_000, "rows": 1, "seatsPerRow": 4 }))
        .collect();
    organizer
        .payload(
            "mutation ($input: CreateScheduleInput!) { createSchedule(input: $input) {
                schedule { id grades { grade } } userErrors { code path } } }",
            json!({ "input": {
                "concertId": concert_id, "startsAt": "2100-01-03T00:00:00Z", "salesOpenAt": "2001-01-01T00:00:00Z",
                "salesCloseAt": "2100-01-02T00:00:00Z", "sections": sections,
                "waitingRoom": { "maxActive": 100, "admitPerRound": 100, "roundSeconds": 0.1 },
            } }),
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_and_grades_are_compared_and_found_in_every_spelling() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let concert = create_concert(&organizer, "Cafe\u{301}", JAMO).await;
    assert_eq!(concert["concert"]["title"], "Café");
    let concert_id = concert["concert"]["id"].as_str().unwrap();
    for twin in ["Cafe\u{301}", "Ca\u{200B}fé", "Café\u{FE0F}"] {
        let refused = create_schedule(&organizer, concert_id, &[("Café", "R"), (twin, "R")]).await;
        let expected =
            json!([{ "code": "VALUE_INVALID", "path": ["input", "sections", "1", "name"] }]);
        assert_eq!(refused["userErrors"], expected, "{twin:?}");
    }
    let sections = [("Cafe\u{301}", "Zoe\u{308}"), ("Floor", "Zoë")];
    let made = create_schedule(&organizer, concert_id, &sections).await;
    assert_eq!(made["schedule"]["grades"], json!([{ "grade": "Zoë" }]), "{made}");
    let id = made["schedule"]["id"].as_str().unwrap();
    let open = "mutation ($id: ID!) { openSale(scheduleId: $id) { userErrors { code } } }";
    organizer.payload(open, json!({ "id": id })).await;
    let fan = shop::fan(&world, &instance).await;
    let token = fan.admitted(id).await;
    let seats = async |section: &str, grade: &str| {
        let query = "query ($id: ID!, $token: String!, $section: String, $grade: String) {
            seats(scheduleId: $id, queueToken: $token, section: $section, grade: $grade) { section grade } }";
        let variables = json!({ "id": id, "token": token, "section": section, "grade": grade });
        fan.data(query, variables).await["seats"].as_array().unwrap().len()
    };
    assert_eq!(seats("Café", "Zoe\u{308}").await, 4);
    assert_eq!(seats("Cafe\u{301}", "Zoë").await, 4);
    let best = fan
        .payload(
            "mutation ($input: HoldBestSeatsInput!) { holdBestSeats(input: $input) {
                reservation { seats { section } } userErrors { code } } }",
            json!({ "input": { "scheduleId": id, "grade": "Zoe\u{308}", "count": 1, "queueToken": token } }),
        )
        .await;
    assert_eq!(best["userErrors"], json!([]), "{best}");
    // Halls from before have the spelling that they were made with.
    world.sql(&format!("UPDATE seat SET section = 'Cafe\u{301}' WHERE section = 'Café' AND schedule_id = '{id}'")).await;
    let other = world.instance().await;
    let fan = fan.at(other.address);
    let query = "query ($id: ID!, $token: String!) { seats(scheduleId: $id, queueToken: $token, section: \"Café\") { section } }";
    let found = fan.data(query, json!({ "id": id, "token": token })).await;
    assert_eq!(found["seats"].as_array().map(Vec::len), Some(4), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_every_spelling() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    world
        .sql(&format!(
            "UPDATE concert SET title = 'Café {HANGUL}' WHERE id = '{}'",
            show.concert_id
        ))
        .await;
    let titles = async |search: &str| {
        let query = "query ($search: String) { concerts(search: $search) { nodes { title } } }";
        let found = instance.client().data(query, json!({ "search": search })).await;
        found["concerts"]["nodes"].as_array().unwrap().len()
    };
    for (search, count) in
        [("café", 1), ("CAFE\u{301}", 1), (JAMO, 1), ("\u{FEFF}caf", 1), ("cafe", 0)]
    {
        assert_eq!(titles(search).await, count, "{search:?}");
    }
    let people = buying::buyers(&world, &[&instance], &show, 2).await;
    for (place, buyer) in people.iter().enumerate() {
        buyer.held(&show, place).await;
        let person = buyer.client.person_id.as_deref().unwrap();
        let domain = ["bücher.example", "xn--bcher-kva.example"][place];
        world.sql(&format!("UPDATE person SET email = 'zoë-{place}@{domain}', name = '{HANGUL}' WHERE id = '{person}'")).await;
    }
    let found = async |search: &str| {
        let query = "query ($id: ID!, $search: String) {
            scheduleReservations(scheduleId: $id, search: $search) { edges { node { id } } } }";
        let found = show.organizer.data(query, json!({ "id": show.id, "search": search })).await;
        found["scheduleReservations"]["edges"].as_array().unwrap().len()
    };
    for (search, count) in [
        ("bücher.example", 2),
        ("@xn--bcher-kva.example", 2),
        ("ZOE\u{308}-0@bu\u{308}cher.example", 1),
        ("zoë-1@BÜCHER.example", 1),
        (JAMO, 2),
        ("nobody@bücher.example", 0),
    ] {
        assert_eq!(found(search).await, count, "{search:?}");
    }
}

/// What shows nothing, or turns what stands beside it.
const HIDDEN: [&str; 12] = [
    "\u{200B}",
    "\u{200C}\u{200D}",
    "\u{3164}",
    "\u{115F}\u{1160}\u{FFA0}",
    "\u{202E}",
    "\u{2066}\u{2069}",
    "\u{2028}",
    "\u{2029}\u{200E}",
    "\u{2800}",
    "\u{FEFF}\u{2060}",
    "\u{E0041}",
    "\u{FE0F}",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_sees_is_no_name_no_title_no_section_and_no_address() {
    let world = World::new().await;
    let instance = world.instance().await;
    let organizer = shop::person(&world, &instance, "ORGANIZER").await;
    let concert = create_concert(&organizer, "Title", "Artist").await;
    let concert_id = concert["concert"]["id"].as_str().unwrap();
    let path = |payload: &Value| payload["userErrors"][0]["path"].clone();
    for (n, hidden) in HIDDEN.into_iter().enumerate() {
        let name = sign_up(&organizer, &format!("n{n}@example.com"), PASSWORD, hidden).await;
        assert_eq!(
            (refusal(&name), path(&name)),
            (Some("NAME_INVALID"), json!(["input", "name"])),
            "{hidden:?}"
        );
        let email = sign_up(&organizer, &format!("{hidden}@example.com"), PASSWORD, "N").await;
        assert_eq!(refusal(&email), Some("EMAIL_INVALID"), "{hidden:?}");
        let email = sign_up(&organizer, &format!("mi{hidden}na@example.com"), PASSWORD, "N").await;
        assert_eq!(refusal(&email), Some("EMAIL_INVALID"), "{hidden:?}");
        for (title, artist, field) in [(hidden, "A", "title"), ("T", hidden, "artist")] {
            let refused = create_concert(&organizer, title, artist).await;
            assert_eq!(path(&refused), json!(["input", field]), "{hidden:?}");
        }
        for (name, grade, field) in [(hidden, "R", "name"), ("Floor", hidden, "grade")] {
            let refused = create_schedule(&organizer, concert_id, &[(name, grade)]).await;
            assert_eq!(path(&refused), json!(["input", "sections", "0", field]), "{hidden:?}");
        }
    }
    for turned in ["Mi\u{202E}na", "Mi\u{2067}na", "Mi\u{2028}na"] {
        let refused = sign_up(&organizer, "m@example.com", PASSWORD, turned).await;
        assert_eq!(refusal(&refused), Some("NAME_INVALID"), "{turned:?}");
    }
    assert_eq!(world.number("SELECT count(*) FROM person WHERE role = 'FAN'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_joins_letters_stays_in_a_name() {
    let world = World::new().await;
    let instance = world.instance().await;
    let client = instance.client();
    for (n, name) in
        ["Kim 👩‍👩‍👧‍👦", "می‌خواهم", "श्री क्‍ष", "דן\u{200F}!", "❤\u{FE0F} Mina"].into_iter().enumerate()
    {
        let made = sign_up(&client, &format!("n{n}@example.com"), PASSWORD, name).await;
        assert_eq!(made["session"]["user"]["name"], name, "{made}");
    }
    let pasted = sign_up(&client, "p@example.com", PASSWORD, "\u{FEFF}Mina\u{200B} ").await;
    assert_eq!(pasted["session"]["user"]["name"], "Mina", "{pasted}");
}
