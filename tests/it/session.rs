//! Sessions: refreshed, ended, and ended everywhere at once.

mod deleting;
mod handing_over;
mod keys;
mod provider;

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, refusal},
    eventually,
    socket::Pushed,
    world::{Instance, World},
};

const PASSWORD: &str = "correct horse battery";
const SESSION: &str =
    "session { accessToken expiresAt refreshToken refreshExpiresAt user { id email role } }
                       userErrors { code message path }";
const NEVER: &str = "subscription { reservationChanges { id } }";

/// Somebody with a session of two tokens.
#[derive(Debug, Clone)]
struct Person {
    email: String,
    access: String,
    refresh: String,
}

impl Person {
    async fn sign_up(client: &Client, name: &str) -> Self {
        let email = format!("{name}-{}@test.example", uuid::Uuid::new_v4().simple());
        let query =
            format!("mutation ($input: SignUpInput!) {{ signUp(input: $input) {{ {SESSION} }} }}");
        let input = json!({ "email": email, "password": PASSWORD, "name": name });
        let payload = client.payload(&query, json!({ "input": input })).await;
        Self::of(&email, &payload)
    }

    /// The same person with another session.
    async fn log_in(&self, client: &Client, password: &str) -> Self {
        Self::of(&self.email, &log_in(client, &self.email, password).await)
    }

    fn of(email: &str, payload: &Value) -> Self {
        let session = &payload["session"];
        let text = |name: &str| session[name].as_str().unwrap_or_else(|| panic!("{payload}"));
        Self {
            email: email.to_owned(),
            access: text("accessToken").to_owned(),
            refresh: text("refreshToken").to_owned(),
        }
    }

    fn at(&self, instance: &Instance) -> Client {
        instance.client().with_token(&self.access)
    }
}

async fn log_in(client: &Client, email: &str, password: &str) -> Value {
    let query =
        format!("mutation ($input: LogInInput!) {{ logIn(input: $input) {{ {SESSION} }} }}");
    client.payload(&query, json!({ "input": { "email": email, "password": password } })).await
}

async fn refresh(client: &Client, token: &str) -> Value {
    let query = format!(
        "mutation ($token: String!) {{ refreshSession(refreshToken: $token) {{ {SESSION} }} }}"
    );
    client.payload(&query, json!({ "token": token })).await
}

async fn log_out(client: &Client) -> Value {
    client.send("mutation { logOut { userErrors { code } } }", json!({})).await
}

async fn change_password(client: &Client, old: &str, new: &str) -> Value {
    let query = format!(
        "mutation ($input: ChangePasswordInput!) {{ changePassword(input: $input) {{ {SESSION} }} }}"
    );
    client.payload(&query, json!({ "input": { "oldPassword": old, "newPassword": new } })).await
}

async fn is_in(client: &Client) -> bool {
    let answer = client.send("{ me { id } }", json!({})).await;
    let code = answer["errors"][0]["extensions"]["code"].as_str();
    assert!(code.is_none_or(|code| code == "UNAUTHENTICATED"), "{answer}");
    code.is_none()
}

/// Another instance hears of it as soon as Redis carries it there.
async fn is_out_soon(client: &Client) {
    eventually("the session to be over", async || (!is_in(client).await).then_some(())).await;
}

fn assert_ended(payload: &Value) {
    assert_eq!(refusal(payload), Some("SESSION_ENDED"), "{payload}");
    assert_eq!(payload["session"], Value::Null);
    assert_eq!(payload["userErrors"][0]["path"], json!(["refreshToken"]), "{payload}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_by_its_refresh_token_at_any_instance() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let mut person = Person::sign_up(&a.client(), "mina").await;
    let me = person.at(&a).data("{ me { id } }", json!({})).await["me"]["id"].clone();
    let mut seen = vec![person.refresh.clone()];
    for instance in [&b, &a, &b] {
        let payload = refresh(&instance.client(), &person.refresh).await;
        assert_eq!(payload["userErrors"], json!([]), "{payload}");
        assert_eq!(payload["session"]["user"]["id"], me);
        let instant = |name: &str| {
            let text = payload["session"][name].as_str().unwrap();
            chrono::DateTime::parse_from_rfc3339(text).unwrap()
        };
        let left = instant("refreshExpiresAt") - instant("expiresAt");
        assert!((2_588_390..=2_588_410).contains(&left.num_seconds()), "{left}");
        person = Person::of(&person.email, &payload);
        assert!(!seen.contains(&person.refresh), "a used token is given out again");
        seen.push(person.refresh.clone());
        assert!(is_in(&person.at(&a)).await && is_in(&person.at(&b)).await);
    }
    // Nothing that could be shown is in the database.
    let texts = "SELECT row_to_json(s)::text FROM session s";
    let rows = world.texts(texts).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    for token in &seen {
        let digits = token.strip_prefix("frt_").unwrap();
        for part in [&digits[..32], &digits[32..]] {
            assert!(!rows[0].contains(part), "{rows:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lost_the_answer_gets_the_same_again() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let person = Person::sign_up(&a.client(), "mina").await;
    // A phone that asks again and again, and two tabs at once.
    let attempts = (0..12).map(|n| {
        let client = if n % 2 == 0 { a.client() } else { b.client() };
        let token = person.refresh.clone();
        async move { refresh(&client, &token).await }
    });
    let answers = join_all(attempts).await;
    for answer in &answers {
        assert_eq!(answer["session"]["refreshToken"], answers[0]["session"]["refreshToken"]);
        assert_eq!(answer["session"]["accessToken"], answers[0]["session"]["accessToken"]);
    }
    let next = Person::of(&person.email, &answers[0]);
    assert!(is_in(&next.at(&a)).await);
    // All of them go on from there.
    assert_eq!(refusal(&refresh(&a.client(), &next.refresh).await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_token_that_comes_late_ends_the_session_and_closes_its_sockets() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let stolen = Person::sign_up(&a.client(), "mina").await;
    let other = stolen.log_in(&a.client(), PASSWORD).await;
    let thief = Person::of(&stolen.email, &refresh(&a.client(), &stolen.refresh).await);
    let mut socket = thief.at(&b).subscribe(NEVER, json!({})).await;
    assert_eq!(socket.soon().await, None);
    world.sql("UPDATE session SET refreshed_at = refreshed_at - interval '61 s'").await;
    assert_ended(&refresh(&b.client(), &stolen.refresh).await);
    assert_eq!(socket.next().await, Pushed::Closed(4403));
    assert_ended(&refresh(&a.client(), &thief.refresh).await);
    for ended in [&stolen, &thief] {
        is_out_soon(&ended.at(&a)).await;
        assert!(!is_in(&ended.at(&b)).await);
        assert_eq!(ended.at(&b).connect().await.err(), Some(4403));
    }
    assert!(is_in(&other.at(&a)).await, "another log-in is another family");
    assert_eq!(refusal(&refresh(&a.client(), &other.refresh).await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_two_uses_ago_ends_the_session_at_once() {
    let world = World::new().await;
    let a = world.instance().await;
    let first = Person::sign_up(&a.client(), "mina").await;
    let second = Person::of(&first.email, &refresh(&a.client(), &first.refresh).await);
    let third = Person::of(&first.email, &refresh(&a.client(), &second.refresh).await);
    assert!(is_in(&third.at(&a)).await);
    assert_ended(&refresh(&a.client(), &first.refresh).await);
    assert_ended(&refresh(&a.client(), &third.refresh).await);
    for ended in [&first, &second, &third] {
        assert!(!is_in(&ended.at(&a)).await);
    }
    assert_eq!(world.number("SELECT count(*) FROM session").await, 0);
    let counted = a.app.metrics.render();
    assert!(counted.contains("frontrow_sessions_total{event=\"reused\"} 1"), "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_refresh_token_is_told_so_and_ends_nothing() {
    let world = World::new().await;
    let a = world.instance().await;
    let person = Person::sign_up(&a.client(), "mina").await;
    let other = Person::sign_up(&a.client(), "joon").await;
    // Half of one family's name and half of another's: nobody's.
    let mixed = format!("{}{}", &other.refresh[..20], &person.refresh[20..]);
    let long = "x".repeat(10_000);
    let made_up = format!("frt_{}", "0".repeat(96));
    for token in ["", "x", &long, &person.access, &person.refresh[..99], &made_up, "frt_\0", &mixed]
    {
        assert_ended(&refresh(&a.client(), token).await);
    }
    assert_eq!(refusal(&refresh(&a.client(), &person.refresh).await), None);
    assert_eq!(refusal(&refresh(&a.client(), &other.refresh).await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_ends_when_nobody_uses_it() {
    let world = World::new().await;
    let a = world.instance().await;
    let person = Person::sign_up(&a.client(), "mina").await;
    world.sql("UPDATE session SET expires_at = clock_timestamp()").await;
    let unused = refresh(&a.client(), &person.refresh).await;
    assert_ended(&unused);
    assert_eq!(why(&unused), "This session was not used for too long; log in again.");
    // The access token lives to its own end, and a day later the row is tidied away.
    assert!(is_in(&person.at(&a)).await);
    world.sql("UPDATE session SET expires_at = expires_at - interval '1 day'").await;
    eventually("to be tidied", async || {
        (world.number("SELECT count(*) FROM session").await == 0).then_some(())
    })
    .await;
}

fn why(payload: &Value) -> &str {
    payload["userErrors"][0]["message"].as_str().expect("a message")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_outlives_its_age_however_often_it_is_refreshed() {
    const DAYS: i64 = 90;
    let world = World::new().await;
    let a = world.instance().await;
    let person = Person::sign_up(&a.client(), "mina").await;
    let age = async |days: i64, seconds: i64| {
        let sql = format!(
            "UPDATE session SET opened_at = clock_timestamp() - interval '{days} days' + interval '{seconds} s'"
        );
        world.sql(&sql).await;
    };
    // Ten minutes before its end it goes on for ten minutes, and so do its tokens.
    age(DAYS, 600).await;
    let payload = refresh(&a.client(), &person.refresh).await;
    assert_eq!(refusal(&payload), None, "{payload}");
    for name in ["expiresAt", "refreshExpiresAt"] {
        let text = payload["session"][name].as_str().unwrap();
        let left =
            chrono::DateTime::parse_from_rfc3339(text).unwrap().to_utc() - chrono::Utc::now();
        assert!((540..=600).contains(&left.num_seconds()), "{name}: {left}");
    }
    let person = Person::of(&person.email, &payload);
    assert!(is_in(&person.at(&a)).await);
    // Whoever knows the password begins it anew.
    let changed = change_password(&person.at(&a), PASSWORD, "another long password").await;
    let person = Person::of(&person.email, &changed);
    let text = changed["session"]["refreshExpiresAt"].as_str().unwrap();
    let left = chrono::DateTime::parse_from_rfc3339(text).unwrap().to_utc() - chrono::Utc::now();
    assert_eq!(left.num_days(), 29, "{left}");
    // Then it is over, though it was refreshed a moment ago.
    age(DAYS, 0).await;
    let aged = refresh(&a.client(), &person.refresh).await;
    assert_ended(&aged);
    assert_eq!(why(&aged), "This session is as old as sessions become; log in again.");
    person.log_in(&a.client(), "another long password").await;
    // A shorter time that an operator sets holds for sessions that are open.
    let short = world.instance_with(&["--session-max-seconds=60"]).await;
    let other = Person::sign_up(&a.client(), "joon").await;
    age(0, -61).await;
    assert_ended(&refresh(&short.client(), &other.refresh).await);
    assert_eq!(refusal(&refresh(&a.client(), &other.refresh).await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_does_not_outlive_its_session() {
    let world = World::new().await;
    let a = world.instance_with(&["--session-max-seconds=4"]).await;
    let person = Person::sign_up(&a.client(), "mina").await;
    let mut socket = person.at(&a).subscribe(NEVER, json!({})).await;
    assert_eq!(socket.next().await, Pushed::Closed(4403));
    assert!(!is_in(&person.at(&a)).await);
    // Tokens end with a whole second, the session itself less than a second later.
    let young = "SELECT count(*) FROM session WHERE opened_at + interval '4 s' > clock_timestamp()";
    eventually("the session to end", async || (world.number(young).await == 0).then_some(())).await;
    assert_ended(&refresh(&a.client(), &person.refresh).await);
}

/// A client's link sends the session by habit, also where it has ended.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_in_the_header_does_no_harm_where_none_is_needed() {
    let world = World::new().await;
    let a = world.instance_with(&["--session-seconds=1"]).await;
    let person = Person::sign_up(&a.client(), "mina").await;
    let habit = person.at(&a);
    eventually("the access token to end", async || (!is_in(&habit).await).then_some(())).await;
    let document = "mutation Refresh($token: String!) { ...Again }
                    fragment Again on Mutation { renewed: refreshSession(refreshToken: $token) { session { refreshToken } } }";
    let refreshed = habit.data(document, json!({ "token": person.refresh })).await;
    assert!(refreshed["renewed"]["session"]["refreshToken"].is_string(), "{refreshed}");
    assert_eq!(refusal(&log_in(&habit, &person.email, PASSWORD).await), None);
    Person::sign_up(&habit, "another").await;
    let garbage = a.client().with_token("garbage");
    assert_eq!(refusal(&log_in(&garbage, &person.email, PASSWORD).await), None);
    // Everything else is refused as before, whatever else is wrong with it.
    for (client, query) in [
        (&habit, "{ concerts { nodes { id } } }"),
        (&habit, "mutation { enterQueue(scheduleId: \"x\") { userErrors { code } } }"),
        (
            &habit,
            "mutation { logOut { userErrors { code } } refreshSession(refreshToken: \"x\") { userErrors { code } } }",
        ),
        (&habit, "mutation {"),
        (&garbage, "mutation { logOut { userErrors { code } } }"),
    ] {
        assert_eq!(client.error_code(query, json!({})).await, "UNAUTHENTICATED", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_ends_one_session_everywhere_and_is_safe_to_repeat() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let person = Person::sign_up(&a.client(), "mina").await;
    let other = person.log_in(&a.client(), PASSWORD).await;
    let renewed = Person::of(&person.email, &refresh(&a.client(), &person.refresh).await);
    let mut near = renewed.at(&a).subscribe(NEVER, json!({})).await;
    let mut far = renewed.at(&b).subscribe(NEVER, json!({})).await;
    let mut others = other.at(&b).subscribe(NEVER, json!({})).await;
    assert_eq!((near.soon().await, far.soon().await), (None, None));
    let done = json!({ "data": { "logOut": { "userErrors": [] } } });
    assert_eq!(log_out(&person.at(&a)).await, done);
    assert_eq!(near.next().await, Pushed::Closed(4403));
    assert_eq!(far.next().await, Pushed::Closed(4403));
    for ended in [&person, &renewed] {
        assert!(!is_in(&ended.at(&a)).await);
        is_out_soon(&ended.at(&b)).await;
        assert_ended(&refresh(&b.client(), &ended.refresh).await);
        for instance in [&a, &b] {
            assert_eq!(log_out(&ended.at(instance)).await, done, "safe to repeat");
        }
    }
    assert!(is_in(&other.at(&b)).await);
    assert_eq!(others.soon().await, None);
    assert_eq!(
        a.client().error_code("mutation { logOut { userErrors { code } } }", json!({})).await,
        "UNAUTHENTICATED"
    );
}

/// Who logs out after the access token has ended wants the refresh token to be of no use either.
#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_that_has_ended_still_logs_out() {
    let world = World::new().await;
    let a = world.instance_with(&["--session-seconds=1"]).await;
    let person = Person::sign_up(&a.client(), "mina").await;
    eventually("to end", async || (!is_in(&person.at(&a)).await).then_some(())).await;
    let done = json!({ "data": { "logOut": { "userErrors": [] } } });
    assert_eq!(log_out(&person.at(&a)).await, done);
    assert_ended(&refresh(&a.client(), &person.refresh).await);
    assert_eq!(log_out(&person.at(&a)).await, done);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_starts_later_or_hears_nothing_from_redis_knows_ended_sessions() {
    let world = World::new().await;
    let nowhere = "--redis-url=redis://127.0.0.1:1";
    let (a, deaf) = (world.instance().await, world.instance_with(&[nowhere]).await);
    let (one, two) =
        (Person::sign_up(&a.client(), "one").await, Person::sign_up(&a.client(), "two").await);
    assert!(is_in(&one.at(&deaf)).await);
    let mut socket = two.at(&deaf).subscribe(NEVER, json!({})).await;
    log_out(&one.at(&a)).await;
    is_out_soon(&one.at(&deaf)).await;
    log_out(&two.at(&a)).await;
    assert_eq!(socket.next().await, Pushed::Closed(4403));
    // From its first request on, though no worker has run yet.
    let late = world.quiet_instance(&[]).await;
    assert!(!is_in(&one.at(&late)).await && !is_in(&two.at(&late)).await);
    // They are forgotten when their last token is over by itself.
    world.sql("UPDATE ended_session SET until = clock_timestamp()").await;
    eventually("to be tidied", async || {
        (world.number("SELECT count(*) FROM ended_session").await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_password_ends_all_other_sessions() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let person = Person::sign_up(&a.client(), "mina").await;
    let other = person.log_in(&b.client(), PASSWORD).await;
    let mut kept = person.at(&b).subscribe(NEVER, json!({})).await;
    let mut closed = other.at(&b).subscribe(NEVER, json!({})).await;
    assert_eq!(closed.soon().await, None);

    let wrong = change_password(&person.at(&a), "wrong password", "another long password").await;
    assert_eq!(refusal(&wrong), Some("WRONG_CREDENTIALS"));
    assert_eq!(wrong["userErrors"][0]["path"], json!(["input", "oldPassword"]));
    for weak in ["short", "aaaaaaaaaa", &person.email] {
        let weak = change_password(&person.at(&a), PASSWORD, weak).await;
        assert_eq!(refusal(&weak), Some("PASSWORD_WEAK"));
        assert_eq!(weak["userErrors"][0]["path"], json!(["input", "newPassword"]));
    }
    assert!(is_in(&other.at(&a)).await, "what was refused has ended nothing");

    let changed = change_password(&person.at(&a), PASSWORD, "another long password").await;
    assert_eq!(changed["userErrors"], json!([]), "{changed}");
    assert_eq!(closed.next().await, Pushed::Closed(4403));
    let new = Person::of(&person.email, &changed);
    assert!(is_in(&new.at(&a)).await && is_in(&new.at(&b)).await);
    assert!(is_in(&person.at(&b)).await, "the session that changed it goes on");
    assert_eq!(kept.soon().await, None);
    is_out_soon(&other.at(&b)).await;
    assert_ended(&refresh(&a.client(), &other.refresh).await);
    assert_eq!(
        refusal(&log_in(&a.client(), &person.email, PASSWORD).await),
        Some("WRONG_CREDENTIALS")
    );
    person.log_in(&a.client(), "another long password").await;
    // The refresh token of before is used up, and in nobody's hands.
    assert_eq!(refusal(&refresh(&a.client(), &new.refresh).await), None);
    assert_ended(&refresh(&a.client(), &person.refresh).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_in_by_the_old_password_outlives_the_change() {
    let world = World::new().await;
    let a = world.instance().await;
    let person = Person::sign_up(&a.client(), "mina").await;
    let instance = &a;
    let email = &person.email;
    let log_ins = join_all((0..6).map(|n| async move {
        tokio::time::sleep(Duration::from_millis(15 * n)).await;
        log_in(&instance.client(), email, PASSWORD).await
    }));
    let client = person.at(&a);
    let change = change_password(&client, PASSWORD, "another long password");
    let (log_ins, changed) = tokio::join!(log_ins, change);
    assert_eq!(changed["userErrors"], json!([]), "{changed}");
    for payload in log_ins.iter().filter(|payload| refusal(payload).is_none()) {
        let opened = Person::of(&person.email, payload);
        assert!(!is_in(&opened.at(&a)).await, "opened by the old password");
        assert_ended(&refresh(&a.client(), &opened.refresh).await);
    }
    assert_eq!(world.number("SELECT count(*) FROM session").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_twenty_sessions_and_the_one_that_rested_longest_ends() {
    let world = World::new().await;
    let a = world.instance().await;
    let first = Person::sign_up(&a.client(), "mina").await;
    let mut others = Vec::new();
    for _ in 0..19 {
        others.push(first.log_in(&a.client(), PASSWORD).await);
    }
    let first = Person::of(&first.email, &refresh(&a.client(), &first.refresh).await);
    first.log_in(&a.client(), PASSWORD).await;
    assert_eq!(world.number("SELECT count(*) FROM session").await, 20);
    assert!(!is_in(&others[0].at(&a)).await);
    assert!(is_in(&first.at(&a)).await && is_in(&others[1].at(&a)).await);
}
