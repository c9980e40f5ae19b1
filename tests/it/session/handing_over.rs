//! A session handed over to an open WebSocket: nobody loses the place because time goes by.

use std::time::Instant;

use super::*;
use crate::support::{
    shop::{self, Setup},
    socket::Subscription,
};

const SECONDS: u64 = 3;

/// A room with one place, which somebody has, and its next in line: a fan with sessions of three seconds.
struct Stage {
    a: Instance,
    b: Instance,
    world: World,
    show: shop::Show,
    inside: Client,
    fan: Person,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let short = format!("--session-seconds={SECONDS}");
        let (a, b) = (world.instance_with(&[&short]).await, world.instance_with(&[&short]).await);
        // The scenery needs sessions that last.
        let calm = world.quiet_instance(&[]).await;
        let room = json!({ "maxActive": 1, "admitPerRound": 1, "roundSeconds": 0.1 });
        let setup = Setup { waiting_room: room, ..Setup::default() };
        let show = shop::show(&world, &calm, setup).await;
        let inside = shop::fan(&world, &calm).await.at(a.address);
        inside.admitted(&show.id).await;
        let fan = Person::sign_up(&a.client(), "mina").await;
        assert_eq!(fan.at(&a).enter(&show.id).await["queueToken"]["position"], 1);
        Self { a, b, world, show, inside, fan }
    }

    /// Somebody else's turn is over.
    async fn free_the_place(&self) {
        self.inside.leave(&self.show.id).await;
    }
}

/// What a socket says until `time` has passed; with a fresh session for each announcement that one is about to end.
async fn wait(stage: &mut Stage, socket: &mut Subscription, time: Duration) -> (Vec<Value>, usize) {
    let (start, mut told, mut renewals) = (Instant::now(), Vec::new(), 0);
    while let Some(left) = time.checked_sub(start.elapsed()) {
        let Ok(message) = tokio::time::timeout(left, socket.message_with_pings()).await else {
            break;
        };
        let message = message.unwrap_or_else(|code| panic!("closed with {code}"));
        match message["type"].as_str() {
            Some("ping") if message["payload"]["sessionExpiresAt"].is_string() => {
                let left = message["payload"]["sessionSecondsLeft"].as_u64().unwrap();
                assert!(left < SECONDS, "{message}");
                // By HTTP, at the other instance.
                let payload = refresh(&stage.b.client(), &stage.fan.refresh).await;
                stage.fan = Person::of(&stage.fan.email, &payload);
                let kind = if renewals % 2 == 0 { "ping" } else { "pong" };
                let authorization = format!("Bearer {}", stage.fan.access);
                socket
                    .send(json!({ "type": kind, "payload": { "authorization": authorization } }))
                    .await;
                renewals += 1;
            }
            Some("pong") => {
                assert_eq!(message["payload"]["refused"], Value::Null, "{message}");
                assert!(message["payload"]["sessionExpiresAt"].is_string(), "{message}");
                assert!(!message.to_string().contains("eyJ"), "the session comes back");
            }
            Some("next") => told.push(message["payload"]["data"]["queueStatus"].clone()),
            _ => panic!("{message}"),
        }
    }
    (told, renewals)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_who_waits_through_many_sessions_is_admitted_in_turn_on_the_same_socket() {
    let mut stage = Stage::new().await;
    let mut socket = stage.fan.at(&stage.a).watch_queue(&stage.show.id).await;
    let (told, renewals) = wait(&mut stage, &mut socket, Duration::from_secs(15)).await;
    assert!(renewals >= 4, "{renewals}");
    assert!(
        told.iter().all(|place| place["status"] == "WAITING" && place["position"] == 1),
        "{told:?}"
    );
    let away =
        "SELECT count(*) FROM queue_token WHERE passed_over_at IS NOT NULL OR absences IS NOT NULL";
    assert_eq!(stage.world.number(away).await, 0);
    stage.free_the_place().await;
    let (told, _) = wait(&mut stage, &mut socket, Duration::from_secs(2)).await;
    assert_eq!(told.last().unwrap()["status"], "ACTIVE", "{told:?}");
    stage.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hands_nothing_over_is_closed_and_keeps_the_place_by_coming_back() {
    let mut stage = Stage::new().await;
    for _ in 0..3 {
        let mut socket = stage.fan.at(&stage.a).watch_queue(&stage.show.id).await;
        assert_eq!(socket.field().await["position"], 1);
        let (mut warned, start) = (false, Instant::now());
        let code = loop {
            match socket.message_with_pings().await {
                Ok(message) => warned |= message["payload"]["sessionExpiresAt"].is_string(),
                Err(code) => break code,
            }
        };
        assert!(warned && code == 4403 && start.elapsed() < Duration::from_secs(SECONDS + 1));
        // As a client does when it comes back.
        stage.fan =
            Person::of(&stage.fan.email, &refresh(&stage.b.client(), &stage.fan.refresh).await);
    }
    let mut socket = stage.fan.at(&stage.b).watch_queue(&stage.show.id).await;
    assert_eq!(socket.field().await["position"], 1);
    stage.free_the_place().await;
    socket.until("ACTIVE", |place| place["status"] == "ACTIVE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_session_of_the_same_person_is_taken_over() {
    let world = World::new().await;
    let a = world.instance().await;
    let person = Person::sign_up(&a.client(), "mina").await;
    let again = person.log_in(&a.client(), PASSWORD).await;
    let other = Person::sign_up(&a.client(), "joon").await;
    let hand_over = async |client: &Client, token: &str| {
        let mut socket = client.subscribe(NEVER, json!({})).await;
        let payload = json!({ "authorization": format!("Bearer {token}") });
        socket.send(json!({ "type": "ping", "payload": payload })).await;
        (socket.message_with_pings().await, socket)
    };
    // What is not good changes nothing.
    let (answer, mut socket) = hand_over(&person.at(&a), "none").await;
    assert_eq!(answer.unwrap()["payload"]["refused"], "UNAUTHENTICATED");
    assert_eq!(socket.soon().await, None);
    // Somebody else's closes the socket, and so does anybody's where nobody was known.
    let (answer, _) = hand_over(&person.at(&a), &other.access).await;
    assert_eq!(answer.err(), Some(4403));
    let mut nobody = a.client().connect().await.unwrap();
    let payload = json!({ "authorization": format!("Bearer {}", person.access) });
    nobody.send(json!({ "type": "ping", "payload": payload })).await;
    assert_eq!(nobody.message_with_pings().await.err(), Some(4403));
    // A socket goes with the session that it was handed: the one before may end.
    let (answer, mut socket) = hand_over(&person.at(&a), &again.access).await;
    assert_eq!(answer.unwrap()["payload"]["refused"], Value::Null);
    log_out(&person.at(&a)).await;
    assert_eq!(socket.soon().await, None);
    log_out(&again.at(&a)).await;
    assert_eq!(socket.next().await, Pushed::Closed(4403));
}
