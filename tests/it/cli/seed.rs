//! `frontrow seed` and `frontrow add-organizer`: what they do twice.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{run, serving, with};
use crate::support::{client::Client, world::World};

async fn log_in(client: &Client, email: &str, password: &str) -> Value {
    client
        .payload(
            "mutation ($input: LogInInput!) { logIn(input: $input) {
                session { accessToken user { role name } } userErrors { code } } }",
            json!({ "input": { "email": email, "password": password } }),
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_makes_the_demo_once() {
    let world = World::new().await;
    let all = serving(&world.database.url);
    let (one, two) = tokio::join!(run(&["seed"], &all, ""), run(&["seed"], &all, ""));
    let told = [one.went_well(), two.went_well()];
    assert_eq!(told.iter().filter(|out| out.starts_with("Made demo data")).count(), 1, "{told:?}");
    let counts =
        "SELECT (SELECT count(*) FROM person) * 1000000 + (SELECT count(*) FROM schedule) * 100
                       + (SELECT count(*) FROM concert)";
    let made = world.number(counts).await;
    assert!(
        run(&["seed"], &all, "").await.went_well().starts_with("The demo data are there already.")
    );
    assert_eq!(world.number(counts).await, made);
    // Performances that are over are followed by new ones.
    world
        .sql("UPDATE schedule SET sales_open_at = now() - interval '2 days', sales_close_at = now() - interval '1 day'")
        .await;
    assert!(run(&["seed"], &all, "").await.went_well().starts_with("Made demo data"));

    let instance = world.instance().await;
    let told = told.concat();
    for (email, role) in
        [("organizer@frontrow.example", "ORGANIZER"), ("fan@frontrow.example", "FAN")]
    {
        assert!(told.contains(email) && told.contains("front-row-demo"), "{told}");
        let logged_in = log_in(&instance.client(), email, "front-row-demo").await;
        assert_eq!(logged_in["session"]["user"]["role"], role, "{logged_in}");
    }
    let query = "{ concerts { nodes { title schedules { seatCount grades { grade } } } } }";
    let concerts = instance.client().data(query, json!({})).await["concerts"]["nodes"].take();
    assert_eq!(concerts.as_array().unwrap().len(), 4);
    let halls: Vec<i64> = concerts
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|concert| concert["schedules"].as_array().unwrap())
        .map(|schedule| schedule["seatCount"].as_i64().unwrap())
        .collect();
    assert!(
        halls.iter().all(|seats| [50, 20_000].contains(seats)) && halls.contains(&20_000),
        "{halls:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fans_for_rehearsals_have_sessions_that_work() {
    let world = World::new().await;
    let all = serving(&world.database.url);
    let same_secret = with(&all, "FRONTROW_JWT_SECRET", Some(&world.secret));
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.jsonl", uuid::Uuid::now_v7()));
    let file = path.to_str().unwrap();
    let seed = async |count: &str| -> Vec<Value> {
        let ended = run(&["seed", "--fans", count, "--sessions", file], &same_secret, "").await;
        assert!(ended.went_well().contains(&format!("{count} fans")), "{ended:?}");
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let first = seed("3").await;
    let again = seed("5").await;
    assert_eq!((first.len(), again.len()), (3, 5));
    let ids = |of: &[Value]| -> Vec<String> {
        of.iter().map(|line| line["personId"].to_string()).collect()
    };
    assert_eq!(ids(&first), ids(&again[..3]), "those that are there are used again");
    let instance = world.instance().await;
    for line in first.iter().chain(&again) {
        assert_eq!(line.as_object().unwrap().len(), 2, "{line}");
        let fan = instance.client().with_token(line["accessToken"].as_str().unwrap());
        let me = fan.data("{ me { id role } }", json!({})).await;
        assert_eq!(me["me"], json!({ "id": line["personId"], "role": "FAN" }));
    }
    std::fs::remove_file(file).unwrap();

    let no_secret = with(&all, "FRONTROW_JWT_SECRET", None);
    run(&["seed", "--fans", "1", "--sessions", file], &no_secret, "")
        .await
        .said(&["FRONTROW_JWT_SECRET is not set"]);
    let nowhere = ["seed", "--fans", "1", "--sessions", "/nowhere/at/all"];
    let ended = run(&nowhere, &all, "").await;
    assert!(
        ended.code > 0 && ended.err.contains("cannot be written to /nowhere/at/all"),
        "{ended:?}"
    );
    for arguments in [
        &["seed", "--fans", "1"][..],
        &["seed", "--sessions", file],
        &["seed", "--fans", "0", "--sessions", file],
    ] {
        assert!(run(arguments, &all, "").await.code > 0, "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn organizers_are_added_with_a_password_from_standard_input() {
    let world = World::new().await;
    let all = serving(&world.database.url);
    let add = async |email: &str, name: &str, input: &str| {
        run(&["add-organizer", "--email", email, "--name", name], &all, input).await
    };
    let ended = add("Org@Example.com", "Orga", "correct horse\r\nnot this line\n").await;
    assert!(ended.went_well().contains("Org@Example.com is an organizer now"), "{ended:?}");
    let instance = world.instance().await;
    let logged_in = log_in(&instance.client(), "org@example.com", "correct horse").await;
    assert_eq!(
        logged_in["session"]["user"],
        json!({ "role": "ORGANIZER", "name": "Orga" }),
        "{logged_in}"
    );
    let organizer =
        instance.client().with_token(logged_in["session"]["accessToken"].as_str().unwrap());
    let create = "mutation { createConcert(input: { title: \"T\", artist: \"A\", venue: \"V\", description: \"\",
                                                    timeZone: \"UTC\" }) { userErrors { code } } }";
    assert_eq!(organizer.payload(create, json!({})).await["userErrors"], json!([]));

    add("ORG@example.com", "Again", "correct horse\n").await.said(&["There is an account"]);
    add("nobody", "A", "correct horse\n").await.said(&["--email"]);
    add("a@b.c", " ", "correct horse\n").await.said(&["--name"]);
    for password in ["", "short\n"] {
        add("a@b.c", "A", password).await.said(&["password", "8 to 128 characters"]);
    }
    for (password, why) in [
        ("Password2026\n", "Many people"),
        ("aaaaaaaaaa\n", "repeat"),
        ("mina.park.84\n", "Your name"),
    ] {
        add("a@b.c", "Mina Park", password).await.said(&["first line of standard input", why]);
    }
    assert_eq!(world.number("SELECT count(*) FROM person").await, 1);
}
