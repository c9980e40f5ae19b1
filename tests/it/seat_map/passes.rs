//! Whose turn it is to look at seats, as an instance knows it without asking Postgres; and that nobody looks longer than that.

use futures_util::future::join_all;

use super::*;

/// Runs something while Postgres knows of no place in line.
async fn without_the_journal<T>(world: &World, work: impl Future<Output = T>) -> T {
    world.sql("ALTER TABLE queue_token RENAME TO away").await;
    let result = work.await;
    world.sql("ALTER TABLE away RENAME TO queue_token").await;
    result
}

/// The code that looking at seats is refused with; empty when it is not.
async fn refused(viewer: &Buyer, show: &Show) -> String {
    let variables = json!({ "id": show.id, "token": viewer.token });
    let answer = viewer.client.send(buying::SEATS, variables).await;
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
}

/// Looks at seats until the instance knows that the viewer may.
async fn known(world: &World, viewer: &Buyer, show: &Show) {
    eventually("the viewer to be known", async || {
        assert_eq!(refused(viewer, show).await, "");
        let code = without_the_journal(world, refused(viewer, show)).await;
        code.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_knows_who_may_look_and_asks_when_it_may_have_missed_something() {
    let (world, a, _b, show) = world(Setup::default()).await;
    let c = world.quiet_instance(&[]).await;
    let people = buying::buyers(&world, &[&a], &show, 2).await;
    let [viewer, stranger] = [people[0].at(&c), people[1].at(&c)];
    known(&world, &viewer, &show).await;
    let asked = without_the_journal(&world, async {
        assert_eq!(refused(&stranger, &show).await, "INTERNAL", "nobody has said so of them");
        assert_eq!(
            refused(&Buyer { token: stranger.token.clone(), ..viewer.clone() }, &show).await,
            "QUEUE_TOKEN_INVALID"
        );
        let channel = format!("room:{{{}}}:events", show.id);
        let told = Instant::now();
        a.app.kv.publish(&channel, b"gossip".to_vec()).await.expect("published");
        let code = async || (refused(&viewer, &show).await == "INTERNAL").then_some(());
        eventually("doubt", code).await;
        // Not only when nobody has said anything of them for too long.
        assert!(told.elapsed() < Duration::from_secs(6), "{:?}", told.elapsed());
    });
    asked.await;
    known(&world, &viewer, &show).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_known_and_leaves_is_refused_on_every_instance() {
    let (world, a, _b, show) = world(Setup::default()).await;
    let (c, d) = (world.quiet_instance(&[]).await, world.quiet_instance(&[]).await);
    // Where they leave, at once: each of them asks before a message is likely to have come round.
    let crowd = buying::buyers(&world, &[&a], &show, 30).await;
    let crowd: Vec<Buyer> = crowd.iter().map(|buyer| buyer.at(&c)).collect();
    known(&world, &crowd[0], &show).await;
    join_all(crowd.iter().map(|viewer| refused(viewer, &show))).await;
    let codes = join_all(crowd.iter().map(async |viewer| {
        viewer.client.leave(&show.id).await;
        refused(viewer, &show).await
    }));
    assert_eq!(codes.await, vec!["QUEUE_ENDED"; crowd.len()]);
    let viewer = buying::buyer(&world, &a, &show).await;
    let (here, there) = (viewer.at(&c), viewer.at(&d));
    known(&world, &there, &show).await;
    here.client.leave(&show.id).await;
    // Not only when nobody has said anything of them for too long.
    let told = Instant::now();
    eventually("the other instance to be told", async || {
        (refused(&there, &show).await == "QUEUE_ENDED").then_some(())
    })
    .await;
    assert!(told.elapsed() < Duration::from_secs(6), "{:?}", told.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_known_is_refused_when_the_time_is_over() {
    let room =
        json!({ "maxActive": 10, "admitPerRound": 10, "roundSeconds": 0.1, "activeSeconds": 5 });
    let (world, a, _b, show) = world(Setup { waiting_room: room, ..Setup::default() }).await;
    let viewer = buying::buyer(&world, &a, &show).await;
    known(&world, &viewer, &show).await;
    let ends = format!(
        "SELECT count(*) FROM queue_token WHERE person_id = '{}' AND expires_at <= clock_timestamp()",
        viewer.person_id()
    );
    eventually("the end", async || {
        refused(&viewer, &show).await;
        (world.number(&ends).await == 1).then_some(())
    })
    .await;
    assert_eq!(refused(&viewer, &show).await, "QUEUE_ENDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nobody_is_known() {
    let (world, a, _b, show) = world(Setup::default()).await;
    let (_nowhere, mute) = mute_instance(&world).await;
    let viewer = buying::buyer(&world, &a, &show).await.at(&mute);
    for _ in 0..3 {
        assert_eq!(refused(&viewer, &show).await, "");
        let code = without_the_journal(&world, refused(&viewer, &show)).await;
        assert_eq!(code, "INTERNAL");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_seats_follows_the_place_that_was_checked_and_no_later_one() {
    use sea_orm::{ConnectionTrait, TransactionTrait};
    let (world, a, _b, show) = world(Setup::default()).await;
    // Nobody has watched here, so watching begins with a look at the room, and that looks at its seats.
    let c = world.quiet_instance(&[]).await;
    let people = buying::buyers(&world, &[&a], &show, 2).await;
    let viewer = people[0].at(&c);
    world.sql("UPDATE waiting_room SET paused = true").await;
    world.sql("UPDATE queue_token SET last_action_at = last_action_at - interval '30 s'").await;
    let gate = world.pool.begin().await.unwrap();
    gate.execute_unprepared("LOCK TABLE seat IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let variables = json!({ "id": show.id, "token": viewer.token });
    let mut watch = viewer.client.subscribe(SEAT_CHANGES, variables).await;
    let mine = format!("schedule_id = '{}' AND person_id = '{}'", show.id, viewer.person_id());
    let checked = format!(
        "SELECT count(*) FROM queue_token WHERE {mine} AND last_action_at > clock_timestamp() - interval '20 s'"
    );
    eventually("the check", async || (world.number(&checked).await == 1).then_some(())).await;
    // They leave, and enter again.
    let leave = format!(
        "UPDATE queue_token SET status = 'EXPIRED', ended_at = clock_timestamp() WHERE {mine}"
    );
    gate.execute_unprepared(&leave).await.unwrap();
    let enter = format!(
        "INSERT INTO queue_token (id, schedule_id, person_id, number, entered_at)
         SELECT gen_random_uuid(), schedule_id, person_id, number + 1000, clock_timestamp() FROM queue_token WHERE {mine}"
    );
    gate.execute_unprepared(&enter).await.unwrap();
    gate.commit().await.unwrap();
    assert_eq!(viewer.client.queue_status(&show.id).await["status"], "WAITING");
    people[1].held(&show, 0).await;
    assert_eq!(watch.next().await, Pushed::Complete);
}
