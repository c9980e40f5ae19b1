//! Ten thousand people, four of ten away: nobody blocks the line, and nobody loses a place.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;

use super::*;
use crate::support::{random::Random, redis};

const CROWD: usize = 10_000;
const AWAY: usize = 4_000;
/// So many of those away stand at the very front, one behind the other.
const AWAY_IN_FRONT: usize = 1_500;
const MAX_ACTIVE: usize = 100;
const ROUND: Duration = Duration::from_secs(1);

/// Puts the crowd into the journal as if it had entered two minutes ago; the people in order of their numbers.
async fn crowd(world: &World, show: &Show) -> Vec<PersonId> {
    world
        .sql(&format!(
            "WITH fan AS (
                 INSERT INTO person (id, email, name, password_hash, role)
                 SELECT gen_random_uuid(), 'fan-' || n || '@test.example', 'Fan', '-', 'FAN'
                 FROM generate_series(1, {CROWD}) n RETURNING id
             )
             INSERT INTO queue_token (id, schedule_id, person_id, number, entered_at)
             SELECT gen_random_uuid(), '{id}', fan.id, row_number() OVER (), clock_timestamp() - interval '2 minutes'
             FROM fan;
             UPDATE queue_counter SET last_number = {CROWD} WHERE schedule_id = '{id}'",
            id = show.id
        ))
        .await;
    let sql = format!(
        "SELECT person_id::text FROM queue_token WHERE schedule_id = '{}' ORDER BY number",
        show.id
    );
    world.texts(&sql).await.iter().map(|id| PersonId::parse(id).unwrap()).collect()
}

/// Has Redis hold exactly these people to be present, for the next ten minutes.
async fn present(instance: &Instance, show: &Show, people: &[PersonId]) {
    let key = instance.app.kv.name(&format!("room:{{{}}}:seen", show.id));
    let until = (chrono::Utc::now() + chrono::TimeDelta::minutes(10)).timestamp_millis();
    let mut script = ::redis::pipe();
    script.atomic().del(&key);
    for person in people {
        script.zadd(&key, person.0.as_bytes(), until).ignore();
    }
    let done = instance
        .app
        .kv
        .call(&key, async |mut connection| script.query_async::<()>(&mut connection).await);
    done.await.unwrap_or_else(|fault| panic!("{}", fault.report()));
}

/// Has everybody go who is in, about a quarter of a second after they came, until it is over.
async fn come_and_go(world: &World, instance: &Instance, show: &Show, over: &AtomicBool) {
    let leave = format!(
        "UPDATE queue_token SET status = 'EXPIRED', ended_at = clock_timestamp()
         WHERE schedule_id = '{}' AND status = 'ACTIVE'
           AND activated_at < clock_timestamp() - (number % 10) * interval '50 ms'",
        show.id
    );
    while !over.load(Ordering::Relaxed) {
        world.sql(&leave).await;
        instance.app.waiting_rooms.kick(schedule(show));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The longest time in milliseconds that a place was free: the n-th that got free was taken by the n-th who came in after
/// the room was full for the first time.
async fn longest_idle(world: &World, show: &Show) -> i64 {
    let sql = format!(
        "SELECT coalesce(max(ceil(extract(epoch FROM came.at - went.at) * 1000)), 0)::bigint
         FROM (SELECT activated_at AS at, row_number() OVER (ORDER BY activated_at) - {MAX_ACTIVE} AS n
               FROM queue_token WHERE schedule_id = '{id}' AND activated_at IS NOT NULL) came
         JOIN (SELECT ended_at AS at, row_number() OVER (ORDER BY ended_at) AS n
               FROM queue_token WHERE schedule_id = '{id}' AND activated_at IS NOT NULL AND ended_at IS NOT NULL) went
           ON went.n = came.n",
        id = show.id
    );
    world.number(&sql).await
}

/// How many were admitted before one who had come back half a second earlier and stood before them.
async fn overtaken(world: &World, show: &Show, returned: &[(PersonId, String)]) -> i64 {
    let rows: Vec<String> =
        returned.iter().map(|(id, at)| format!("('{id}'::uuid, '{at}'::timestamptz)")).collect();
    let sql = format!(
        "SELECT count(*) FROM (VALUES {}) AS back (person_id, at)
         JOIN queue_token t ON t.schedule_id = '{id}' AND t.person_id = back.person_id
         JOIN queue_token other ON other.schedule_id = t.schedule_id AND other.number > t.number
          AND other.activated_at > back.at + interval '500 ms' AND other.activated_at < t.activated_at",
        rows.join(","),
        id = show.id
    );
    world.number(&sql).await
}

/// Has people at the front come back who were passed over, one every tenth of a second, until everybody who is there has
/// been in. Returns who came back, and when.
async fn come_back(
    world: &World,
    instance: &Instance,
    show: &Show,
    away: &[PersonId],
    random: &mut Random,
) -> Vec<(PersonId, String)> {
    let mut returned: Vec<(PersonId, String)> = Vec::new();
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let now = tokens(world, show, "activated_at IS NOT NULL").await;
        if now > last {
            (last, since) = (now, Instant::now());
        }
        if now >= i64::try_from(CROWD - AWAY + returned.len()).unwrap() {
            return returned;
        }
        assert!(since.elapsed() < Duration::from_secs(10), "it stands still after {now} people");
        let person_id = away[random.below(away.len())];
        if returned.len() < 60 && now > 500 && !returned.iter().any(|(id, _)| *id == person_id) {
            assert!(
                instance.app.waiting_rooms.status(person(person_id), schedule(show)).await.is_ok()
            );
            let at = world.texts("SELECT clock_timestamp()::text").await.remove(0);
            returned.push((person_id, at));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn person(person_id: PersonId) -> Actor {
    Actor {
        person_id,
        role: Role::Fan,
        session_id: None,
        expires_at: chrono::Utc::now() + chrono::TimeDelta::hours(1),
    }
}

/// A paused room with the crowd in line, and the places of those who are away.
async fn scene(
    world: &World,
    a: &Instance,
    random: &mut Random,
) -> (Show, Vec<PersonId>, BTreeSet<usize>) {
    let show = shop::show(world, a, setup(100, 600, ROUND.as_secs_f64())).await;
    configure(&show, json!({ "paused": true })).await;
    let everybody = crowd(world, &show).await;
    // The first to look finds no line in Redis, and has it built from the journal.
    assert!(a.app.waiting_rooms.status(person(everybody[0]), schedule(&show)).await.is_ok());
    eventually("the line in Redis", async || {
        (redis::indexed(&a.app.kv, &show.id).await.len() == CROWD).then_some(())
    })
    .await;
    let behind = random.shuffled(CROWD - AWAY_IN_FRONT).into_iter().map(|n| n + AWAY_IN_FRONT);
    let away: BTreeSet<usize> =
        (0..AWAY_IN_FRONT).chain(behind.take(AWAY - AWAY_IN_FRONT)).collect();
    let here = (0..CROWD).filter(|place| !away.contains(place)).map(|place| everybody[place]);
    present(a, &show, &here.collect::<Vec<_>>()).await;
    (show, everybody, away)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_four_thousand_are_away_and_no_place_is_idle_for_more_than_two_rounds() {
    let mut random = Random::seeded();
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let (show, everybody, away) = scene(&world, &a, &mut random).await;
    configure(&show, json!({ "paused": false })).await;
    let over = AtomicBool::new(false);
    let play = async {
        let front = &everybody[..AWAY_IN_FRONT];
        let returned = come_back(&world, &b, &show, front, &mut random).await;
        over.store(true, Ordering::Relaxed);
        returned
    };
    let ((), returned) = tokio::join!(come_and_go(&world, &a, &show, &over), play);

    let idle = longest_idle(&world, &show).await;
    assert!(Duration::from_millis(u64::try_from(idle).unwrap()) <= 2 * ROUND, "{idle} ms idle");
    assert!(returned.len() > 20, "only {} came back", returned.len());
    assert_eq!(overtaken(&world, &show, &returned).await, 0, "the returned are first");
    let back: BTreeSet<PersonId> = returned.iter().map(|(id, _)| *id).collect();
    let came = "SELECT person_id::text FROM queue_token WHERE activated_at IS NOT NULL";
    let came = world.texts(came).await;
    let came: BTreeSet<PersonId> = came.iter().map(|id| PersonId::parse(id).unwrap()).collect();
    for place in &away {
        let person = everybody[*place];
        assert_eq!(
            came.contains(&person),
            back.contains(&person),
            "away and let in, or back and not"
        );
    }
    assert_eq!(came.len(), CROWD - AWAY + back.len());
    let most = "SELECT max(people)::bigint FROM (
         SELECT sum(change) OVER (ORDER BY at, change) AS people FROM (
             SELECT activated_at AS at, 1 AS change FROM queue_token WHERE activated_at IS NOT NULL
             UNION ALL SELECT ended_at, -1 FROM queue_token WHERE activated_at IS NOT NULL AND ended_at IS NOT NULL
         ) step) p";
    assert!(world.number(most).await <= 100, "never above maxActive");
    world.books_are_true().await;
}
