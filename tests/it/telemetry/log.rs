//! The log of a real process: what is in its lines, what is not, and that each is JSON.

use std::{
    process::{Command, Stdio},
    thread,
};

use frontrow::{
    tasks::{self, Tasks},
    telemetry::{self, LogFormat},
};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{Said, lines};
use crate::{
    cli::run,
    support::{
        client::{Client, refusal},
        eventually,
        process::Process,
        shop::{self, Setup},
        world::World,
    },
};

const PASSWORD: &str = "correct horse battery";

/// The lines of requests for a root field.
fn about<'a>(lines: &'a [Value], field: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["message"] == "request" && line["field"] == field).collect()
}

async fn sign_up(client: &Client, email: &str) -> Client {
    let query = "mutation SignMeUp($input: SignUpInput!) { signUp(input: $input) {
        session { accessToken refreshToken user { id } } userErrors { code } } }";
    let input = json!({ "email": email, "password": PASSWORD, "name": "Wilhelmina Murmel" });
    let signed = client.payload(query, json!({ "input": input })).await;
    let session = &signed["session"];
    Client {
        person_id: Some(session["user"]["id"].as_str().unwrap().to_owned()),
        ..client.with_token(session["accessToken"].as_str().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_json_holds_nothing_else_and_no_secrets_and_says_what_was_refused() {
    let world = World::new().await;
    let quiet = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &quiet, Setup::default()).await;
    let (said, file) = Said::file();
    let mut process = Process::start_telling(&world, &file, &["--slow-ms=0"]).await;

    let email = "wilhelmina.murmel@post.example";
    let nobody = process.client();
    let fan = sign_up(&nobody, email).await;
    let log_in = "mutation LogMeIn($input: LogInInput!) {
        logIn(input: $input) { userErrors { code } } }";
    let wrong = json!({ "input": { "email": email, "password": "a wrong one, surely" } });
    assert_eq!(refusal(&nobody.payload(log_in, wrong).await), Some("WRONG_CREDENTIALS"));
    let token = fan.admitted(&show.id).await;
    fan.held(&show.id, &show.seats[0], &token).await;
    let gone = "0190a000-0000-7000-8000-000000000000";
    assert_eq!(refusal(&fan.hold(&show.id, gone, &token).await), Some("SEAT_NOT_FOUND"));
    assert_eq!(
        fan.with_token("no.session.at-all").error_code("query Mine { me { id } }", json!({})).await,
        "UNAUTHENTICATED"
    );
    drop(fan.watch_queue(&show.id).await.field().await);
    eventually("the socket to be gone", async || {
        (!about(&said.lines(), "queueStatus").is_empty()).then_some(())
    })
    .await;
    process.terminate();
    assert_eq!(process.ended().await, Some(0));

    let (text, lines) = (said.text(), said.lines());
    assert!(text.ends_with('\n'), "{text}");
    let told = |message: &str| lines.iter().filter(|line| line["message"] == message).count();
    assert_eq!((told("listening"), told("stopping"), told("stopped")), (1, 1, 1), "{text}");
    for secret in [
        PASSWORD,
        "a wrong one",
        email,
        "post.example",
        "Wilhelmina",
        "Murmel",
        &token,
        fan.token.as_deref().unwrap(),
        "no.session",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let [signed] = about(&lines, "signUp")[..] else { panic!("{text}") };
    assert_eq!((&signed["operation"], &signed["outcome"]), (&json!("SignMeUp"), &json!("ok")));
    let [failed] = about(&lines, "logIn")[..] else { panic!("{text}") };
    assert_eq!(failed["operation"], "LogMeIn");
    assert_eq!((&failed["outcome"], &failed["code"]), (&json!("refused"), &json!("ok")));
    assert_eq!(failed["refusal"], "WRONG_CREDENTIALS");
    let [held, refused] = about(&lines, "holdSeat")[..] else { panic!("{text}") };
    assert_eq!((&held["outcome"], &held["refusal"]), (&json!("ok"), &Value::Null));
    assert_eq!(refused["refusal"], "SEAT_NOT_FOUND");
    assert_eq!(held["person_id"].as_str(), fan.person_id.as_deref());
    assert!(held["request_id"].is_string() && held["duration_us"].is_u64(), "{held}");
    let [refused] = about(&lines, "me")[..] else { panic!("{text}") };
    assert_eq!(
        (&refused["operation"], &refused["code"]),
        (&json!("Mine"), &json!("UNAUTHENTICATED"))
    );
    assert_eq!(refused["outcome"], "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_start_says_so_in_a_line_of_json() {
    let world = World::new().await;
    let environment = world.environment();
    let mut environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    environment.push(("FRONTROW_LISTEN", &address));
    let ended = run(&["serve"], &environment, "").await;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
    let said = lines(&ended.err);
    let last = said.last().unwrap();
    assert_eq!(last["level"], "ERROR", "{last}");
    assert!(last["why"].as_str().unwrap().contains(&address), "{last}");
}

/// Set in a process that is started to panic.
const PANICS: &str = "FRONTROW_TEST_PANICS";

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_line_of_json() {
    if std::env::var_os(PANICS).is_some() {
        return panic_everywhere().await;
    }
    let own = std::env::current_exe().unwrap();
    let ended = spawn_blocking(move || {
        let mut command = Command::new(own);
        command.args(["--exact", "telemetry::log::a_panic_is_a_line_of_json", "--nocapture"]);
        command.env(PANICS, "yes").stdin(Stdio::null()).output().unwrap()
    });
    let ended = ended.await.unwrap();
    let (out, err) =
        (String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap());
    // Its own frame speaks to standard output; everything of ours is on the other one.
    assert!(ended.status.success() && out.contains("1 passed"), "{out}{err}");
    let said = lines(&err);
    let panicked: Vec<&Value> =
        said.iter().filter(|line| line["message"] == "something panicked").collect();
    assert_eq!(panicked.len(), 3, "{err}");
    assert!(
        panicked.iter().all(|line| line["place"].as_str().unwrap().contains("log.rs:")),
        "{err}"
    );
    assert!(err.contains("known words") && !err.contains("person@post.example"), "{err}");
}

/// As a server would: in a thread, in a task, and with words that hold what a client sent.
async fn panic_everywhere() {
    telemetry::init_log("info", LogFormat::Json);
    tasks::log_panics();
    assert!(thread::spawn(|| panic!("known words")).join().is_err());
    let tasks = Tasks::default();
    assert_eq!(tasks.spawn("planted", async { panic!("known words") }).await.unwrap(), None::<()>);
    let email = String::from("person@post.example");
    assert!(tokio::spawn(async move { panic!("{email}") }).await.is_err());
}
