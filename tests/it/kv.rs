//! Listening: many listeners behind one connection to Redis.

use std::time::{Duration, Instant};

use frontrow::{
    kv::{Kv, KvSettings, Signal},
    tasks::Tasks,
    telemetry::Metrics,
};
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

use crate::support::eventually;

fn redis_url() -> String {
    std::env::var("REDIS_URL").expect("REDIS_URL is not set; run the tests with `./dev test`")
}

async fn connect(url: String, prefix: &str) -> Kv {
    let settings = KvSettings { url, prefix: prefix.to_owned(), timeout: Duration::from_secs(2) };
    let metrics = Metrics::new();
    let kv = Kv::connect(&settings, &metrics, &Tasks::new(&metrics)).expect("the URL is good");
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
        .call("", async move |mut connection| {
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

/// A way to Redis on which every request takes its time; its URL.
async fn slow_way(delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("redis://{}/", listener.local_addr().expect("an address"));
    let server = redis_url();
    let server = server.trim_start_matches("redis://").trim_end_matches('/').to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.expect("Redis is there");
            let (mut requests, mut to_client) = client.into_split();
            let (mut answers, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to_client).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 4_096];
                while let Ok(length @ 1..) = requests.read(&mut buffer).await {
                    tokio::time::sleep(delay).await;
                    to_server.write_all(&buffer[..length]).await.expect("sent");
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listened_before_the_subscription_stood_is_told_of_a_gap() {
    let prefix = prefix();
    let teller = connect(redis_url(), &prefix).await;
    let kv = connect(slow_way(Duration::from_millis(250)).await, &prefix).await;
    let names: Vec<String> = (0..8).map(|number| format!("channel-{number}")).collect();
    let mut topics = join_all(names.iter().map(|name| kv.listen(name))).await;
    let mut last = topics.pop().expect("eight");
    assert!(subscribed(&teller).await < 8, "the last one has not waited for its subscription");
    teller.publish("channel-7", b"lost".to_vec()).await.expect("published");
    let told = tokio::time::timeout(Duration::from_secs(5), last.next()).await;
    assert_eq!(told.expect("told in time"), Some(Signal::Gap));
    assert!(kv.listening(), "and not because the connection was lost");
}
