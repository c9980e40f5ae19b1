use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

#[tokio::test]
async fn shutdown_waits_for_what_has_begun_and_takes_nothing_new() {
    let server = Server::start().await;
    let url = server.url("/graphql");
    let running = tokio::spawn(async move {
        let body = json!({"query": "mutation { work }"});
        let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    });
    until(|| server.metrics.in_flight.get() == 1).await;
    server.stopping.cancel();
    assert_eq!(running.await.unwrap(), json!({"data": {"work": true}}));
    server.ended.await.unwrap().unwrap();
    assert_eq!(server.done.0.load(Ordering::SeqCst), 1);
    assert!(reqwest::get(format!("http://{}/health/live", server.address)).await.is_err());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let server = Server::start().await;
    let url = server.url("/graphql");
    tokio::spawn(async move {
        let body = json!({"query": "{ slow }"});
        drop(reqwest::Client::new().post(url).json(&body).send().await);
    });
    until(|| server.metrics.in_flight.get() == 1).await;
    let started = tokio::time::Instant::now();
    server.stopping.cancel();
    server.ended.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn what_was_sent_before_the_end_was_known_is_answered() {
    let server = Server::start().await;
    let connect = async || TcpStream::connect(server.address).await.unwrap();
    let (mut kept, mut fresh, mut silent) = (connect().await, connect().await, connect().await);
    kept.write_all(ASKED).await.unwrap();
    let first = answer(&mut kept).await;
    assert!(first.ends_with(ANSWERED) && !first.contains("connection: close"), "{first}");
    server.stopping.cancel();
    until(|| std::net::TcpStream::connect(server.address).is_err()).await;
    // As a proxy does that has heard nothing yet, on a connection that it kept and on one that it has just opened.
    for stream in [&mut kept, &mut fresh] {
        stream.write_all(ASKED).await.unwrap();
        let last = answer(stream).await;
        assert!(last.ends_with(ANSWERED) && last.contains("connection: close"), "{last}");
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    server.ended.await.unwrap().unwrap();
}

const ASKED: &[u8] = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 21\r\n\r\n\
                       {\"query\":\"{ hello }\"}";
const ANSWERED: &str = r#"{"data":{"hello":"hello "}}"#;

/// One answer, to its end.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(ANSWERED.as_bytes()) {
        assert!(stream.read_buf(&mut text).await.unwrap() > 0, "{}", text.escape_ascii());
    }
    String::from_utf8(text).unwrap()
}
