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
    sleep(Duration::from_millis(100)).await;
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
    sleep(Duration::from_millis(100)).await;
    let started = tokio::time::Instant::now();
    server.stopping.cancel();
    server.ended.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(8));
}
