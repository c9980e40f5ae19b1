//! Tasks that die in a running server: readiness, the log and the metrics tell, and what can go on does.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    eventually,
    shop::{self, Setup},
    world::{Instance, World},
};

async fn ready(instance: &Instance) -> (u16, Value) {
    let answer = reqwest::get(format!("http://{}/health/ready", instance.address)).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vital_task_that_keeps_dying_makes_the_server_unready_and_is_counted() {
    let world = World::new().await;
    let instance = world.instance().await;
    assert_eq!(ready(&instance).await.0, 200);
    let stop = CancellationToken::new();
    let planted =
        instance.app.tasks.keep_vital("planted", stop.clone(), || async { panic!("planted") });
    let (_, told) =
        eventually("to be unready", async || Some(ready(&instance).await).filter(|it| it.0 == 503))
            .await;
    assert_eq!(told["reason"], "a task died: planted");
    assert_eq!((&told["postgres"], &told["redis"]), (&json!("ok"), &json!("ok")));
    let counted = eventually("three deaths", async || {
        let page = instance.app.metrics.render();
        let line =
            page.lines().find(|line| line.contains("_panics_total{task=\"planted\"}"))?.to_owned();
        let (_, deaths) = line.rsplit_once(' ').unwrap();
        deaths.parse::<u32>().ok().filter(|deaths| *deaths >= 3)
    })
    .await;
    assert!(counted < 20, "it is tried ever more rarely");
    stop.cancel();
    planted.await.unwrap();
    // It is down no more, and has died several times just now.
    assert_eq!(ready(&instance).await.1["reason"], "a task died: planted");
    // Everything else goes on.
    let show = shop::show(&world, &instance, Setup::default()).await;
    shop::fan(&world, &instance).await.admitted(&show.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_can_live_again_does() {
    let world = World::new().await;
    let instance = world.instance().await;
    let starts = Arc::new(AtomicUsize::new(0));
    let count = starts.clone();
    instance.app.tasks.keep_vital("planted", CancellationToken::new(), move || {
        let turn = count.fetch_add(1, Ordering::Relaxed);
        async move {
            assert!(turn > 0, "planted");
            pending().await
        }
    });
    eventually("to be well again", async || {
        (starts.load(Ordering::Relaxed) == 2 && ready(&instance).await.0 == 200).then_some(())
    })
    .await;
}
