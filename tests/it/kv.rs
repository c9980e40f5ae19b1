//! Listening: many listeners behind one connection to Redis.

use std::time::{Duration, Instant};

use frontrow::{
    kv::{Kv, KvSettings, Signal},
    telemetry::Metrics,
};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::support::eventually;

fn redis_url() -> String {
    std::env::var("REDIS_URL").expect("REDIS_URL is not set; run the tests with `./dev test`")
}

async fn connect(url: String, prefix: &str) -> Kv {
    let settings = KvSettings { url, prefix: prefix.to_owned(), timeout: Duration::from_secs(2) };
    let kv = Kv::connect(&settings, &Metrics::new()).expect("the URL is good");
    eventually("to listen", async || kv.listening().then_some(())).await;
    kv
}

fn prefix() -> String {
    format!("test-{}", Uuid::now_v7().simple())
}

/// How many channels of this prefix are subscribed at the server.
async fn subscribed(kv: &Kv) -> usize {
    let pattern = kv.name("*");
    let names: Vec<String> = kv
        .call(async move |mut connection| {
            redis::cmd("PUBSUB").arg("CHANNELS").arg(pattern).query_async(&mut connection).await
        })
        .await
        .expect("an answer");
    names.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_given_up_soon_after_their_last_listener_is_gone() {
    let kv = connect(redis_url(), &prefix()).await;
    let names: Vec<String> = (0..4_000).map(|number| format!("channel-{number}")).collect();
    let mut topics = join_all(names.iter().map(|name| kv.listen(name))).await;
    eventually("all to stand", async || (subscribed(&kv).await == 4_000).then_some(())).await;
    let again = kv.listen("channel-1").await;
    let mut kept = topics.swap_remove(0);
    drop(topics);
    let start = Instant::now();
    eventually("two to be left", async || (subscribed(&kv).await == 2).then_some(())).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(again);
    kv.publish("channel-0", b"still here".to_vec()).await.expect("published");
    // A listener that waited too long for its subscription has been told of a gap before.
    while kept.next().await != Some(Signal::Message("still here".into())) {}
    let mut back = kv.listen("channel-2").await;
    kv.publish("channel-2", b"again".to_vec()).await.expect("published");
    assert_eq!(back.next().await, Some(Signal::Message("again".into())));
}
