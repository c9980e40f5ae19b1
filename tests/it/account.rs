//! Signing up and logging in: every refusal, every limit, and what nobody may learn.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, refusal},
    world::World,
};

const PASSWORD: &str = "correct horse battery";

async fn sign_up(client: &Client, email: &str, password: &str, name: &str) -> Value {
    client
        .payload(
            "mutation ($input: SignUpInput!) { signUp(input: $input) {
                session { accessToken expiresAt user { id email name role createdAt } }
                userErrors { code message path } } }",
            json!({ "input": { "email": email, "password": password, "name": name } }),
        )
        .await
}

async fn log_in(client: &Client, email: &str, password: &str) -> Value {
    client
        .payload(
            "mutation ($input: LogInInput!) { logIn(input: $input) {
                session { accessToken expiresAt user { id email } } userErrors { code message path } } }",
            json!({ "input": { "email": email, "password": password } }),
        )
        .await
}

fn assert_refused(payload: &Value, code: &str, field: &str) {
    assert_eq!(refusal(payload), Some(code), "{payload}");
    assert_eq!(payload["userErrors"][0]["path"], json!(["input", field]), "{payload}");
    assert_eq!(payload["session"], Value::Null, "{payload}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_up_is_a_fan_with_a_session() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let payload = sign_up(&a.client(), "  Mina.Park@Example.com ", PASSWORD, " 박민아 ").await;
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
    let session = &payload["session"];
    let user = &session["user"];
    assert_eq!(user["email"], "Mina.Park@Example.com");
    assert_eq!((&user["name"], &user["role"]), (&json!("박민아"), &json!("FAN")));
    let instant =
        |value: &Value| chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap();
    let left = instant(&session["expiresAt"]) - instant(&user["createdAt"]);
    assert!((3_598..=3_600).contains(&left.num_seconds()), "{left}");

    let known = b.client().with_token(session["accessToken"].as_str().unwrap());
    let me = known.data("{ me { id email name role createdAt } }", json!({})).await;
    assert_eq!(&me["me"], user);
    let again = log_in(&b.client(), "mina.park@EXAMPLE.com", PASSWORD).await;
    assert_eq!(again["session"]["user"]["id"], user["id"], "{again}");
    let hashes = world.texts("SELECT password_hash FROM person").await;
    assert!(hashes[0].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashes:?}");

    world.sql("DELETE FROM person").await;
    assert_eq!(known.error_code("{ me { id } }", json!({})).await, "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_sign_up_holds() {
    let world = World::new().await;
    let instance = world.instance().await;
    let client = instance.client();
    let mut n = 0;
    let mut mail = || {
        n += 1;
        format!("n{n}@example.com")
    };
    for (password, fine) in [
        ("pässwör7".to_owned(), true),
        ("7 chars".to_owned(), false),
        (String::new(), false),
        ("äbcdefgi".repeat(16), true),
        (format!("{}c", "äbcdefgi".repeat(16)), false),
        ("a".repeat(20), false),
    ] {
        let payload = sign_up(&client, &mail(), &password, "Name").await;
        if fine {
            assert_eq!(refusal(&payload), None, "{password:?}: {payload}");
        } else {
            assert_refused(&payload, "PASSWORD_WEAK", "password");
        }
    }
    let own = mail();
    assert_refused(
        &sign_up(&client, &own, &own.to_uppercase(), "N").await,
        "PASSWORD_WEAK",
        "password",
    );
    for (name, fine) in [
        ("é".repeat(100), true),
        ("é".repeat(101), false),
        ("  ".to_owned(), false),
        ("a\nb".to_owned(), false),
        ("a\0".to_owned(), false),
    ] {
        let payload = sign_up(&client, &mail(), PASSWORD, &name).await;
        if fine {
            assert_eq!(payload["session"]["user"]["name"], name.as_str(), "{payload}");
        } else {
            assert_refused(&payload, "NAME_INVALID", "name");
        }
    }
    let of_length = |length: usize| format!("{}@example.com", "a".repeat(length - 12));
    assert_eq!(refusal(&sign_up(&client, &of_length(254), PASSWORD, "N").await), None);
    for email in
        [&of_length(255), "", "mina", "@", "a@", "@b.c", "a b@c.d", "a@b@c.d", "a@b..c", "a\0@b.c"]
    {
        assert_refused(&sign_up(&client, email, PASSWORD, "N").await, "EMAIL_INVALID", "email");
    }
}

/// What many people have, as they write it to have it accepted.
const COMMON: [&str; 25] = [
    "password",
    "password1",
    "Password1!",
    "P@ssw0rd",
    "12345678",
    "123456789",
    "qwertyuiop",
    "qwerty123",
    "Qwerty2026",
    "1q2w3e4r",
    "1qaz2wsx",
    "iloveyou",
    "ILoveYou2",
    "sunshine",
    "princess1",
    "football",
    "baseball!",
    "superman7",
    "trustno1",
    "welcome1",
    "Welcome2026!",
    "letmein123",
    "admin1234",
    "abc12345",
    "frontrow2026",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_tried_first_protects_no_account() {
    let world = World::new().await;
    let instance = world.instance().await;
    let client = instance.client();
    let email = "mina.park@harbour-mail.example";
    for password in
        COMMON.into_iter().chain(["minapark84", "Mina.Park!", "harbourmail1", "19870412"])
    {
        let payload = sign_up(&client, email, password, "Mina Park").await;
        assert_refused(&payload, "PASSWORD_WEAK", "password");
        let told = payload["userErrors"][0]["message"].as_str().unwrap();
        assert!(told.contains("Take several words"), "{password}: {told}");
    }
    let payload = sign_up(&client, email, "seven opossums in spring", "Mina Park").await;
    assert_eq!(payload["userErrors"], json!([]));
    let mina = client.with_token(payload["session"]["accessToken"].as_str().unwrap());
    let change = "mutation ($input: ChangePasswordInput!) { changePassword(input: $input) { userErrors { code path } } }";
    for password in ["iloveyou2", "minapark84"] {
        let input = json!({ "oldPassword": "seven opossums in spring", "newPassword": password });
        let payload = mina.payload(change, json!({ "input": input })).await;
        let told = json!([{ "code": "PASSWORD_WEAK", "path": ["input", "newPassword"] }]);
        assert_eq!(payload["userErrors"], told, "{password}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_sign_ups_of_one_address_make_one_account() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let attempts = (0..20).map(|n| {
        let client = if n % 2 == 0 { a.client() } else { b.client() };
        let email = if n % 3 == 0 { "Same@Example.com" } else { "same@example.COM" };
        async move { sign_up(&client, email, PASSWORD, &format!("Number {n}")).await }
    });
    let answers = join_all(attempts).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| refusal(answer).is_none());
    assert_eq!(made.len(), 1, "{answers:?}");
    for payload in refused {
        assert_refused(payload, "EMAIL_TAKEN", "email");
    }
    assert_eq!(world.number("SELECT count(*) FROM person").await, 1);
    let logged_in = log_in(&a.client(), "SAME@EXAMPLE.COM", PASSWORD).await;
    assert_eq!(logged_in["session"]["user"]["id"], made[0]["session"]["user"]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_who_has_an_account_by_logging_in() {
    let world = World::new().await;
    // More wrong passwords are given here than would be answered.
    let instance = world.instance_with(&["--wrong-passwords-per-account=0"]).await;
    let client = instance.client();
    assert_eq!(refusal(&sign_up(&client, "mina@example.com", PASSWORD, "Mina").await), None);
    let wrong = log_in(&client, "mina@example.com", "wrong password").await;
    assert_eq!(refusal(&wrong), Some("WRONG_CREDENTIALS"));
    assert_eq!(wrong["userErrors"][0]["path"], Value::Null);
    let long = PASSWORD.repeat(10);
    for (email, password) in [
        ("nobody@example.com", PASSWORD),
        ("mina@example.com", ""),
        ("mina@example.com", "Correct horse battery"),
        ("mina@example.com", &long),
        ("nobody@example.com", &long),
        ("no address", PASSWORD),
        ("", ""),
        ("mina\0@example.com", PASSWORD),
        ("%", PASSWORD),
    ] {
        assert_eq!(log_in(&client, email, password).await, wrong, "{email:?}");
    }
    // An address that nobody has takes as long as a wrong password. Both in turn, because the machine may be busy for a while; the
    // quickest of some tries is the least disturbed, and more tries only come nearer to what it takes.
    let timed = async |email: &str| {
        let start = Instant::now();
        log_in(&client, email, "wrong password").await;
        start.elapsed()
    };
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    let mut ratio = f64::MAX;
    for tries in 1..=60 {
        known = known.min(timed("mina@example.com").await);
        unknown = unknown.min(timed("nobody@example.com").await);
        ratio = unknown.as_secs_f64() / known.as_secs_f64();
        if tries >= 7 && (0.5..2.0).contains(&ratio) {
            break;
        }
    }
    assert!((0.5..2.0).contains(&ratio), "{known:?} for an account, {unknown:?} for none");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_case_of_letters_beyond_ascii_makes_no_second_account() {
    let world = World::new().await;
    let instance = world.instance().await;
    let query = "mutation ($input: SignUpInput!) { signUp(input: $input) { userErrors { code } } }";
    let sign_up = async |email: &str| {
        let input = json!({ "email": email, "password": "a fair long password", "name": "Ö" });
        instance.client().payload(query, json!({ "input": input })).await
    };
    assert_eq!(sign_up("jörg@example.com").await["userErrors"], json!([]));
    assert_eq!(sign_up("JÖRG@example.com").await["userErrors"][0]["code"], "EMAIL_TAKEN");
}
