//! A gateway that is away, silent, wrong or talkative: what happened is told apart from what may have.

use std::time::Duration;

use frontrow::kernel::FaultKind;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{begin, payment};
use crate::{
    cli::run,
    support::sandbox::{SECRET, Sandbox, gateway_at},
};

/// A server that answers every request with these bytes, and says nothing more. With nothing it never answers.
async fn answering(bytes: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(bytes.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

fn http(status: &str, body: &str) -> String {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    format!("{head}location: http://127.0.0.1:9/S3cr3t\r\n\r\n{body}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_happened_is_told_apart_from_what_did_not() {
    use FaultKind::{Internal, Unanswered, Unavailable};
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let pad = "x".repeat(1024 * 1024);
    let long = json!({"status": "charged", "amount": 500, "pad": pad}).to_string();
    for (url, kind) in [
        (format!("http://{refused}"), Unavailable),
        ("http://no-such-host.invalid".to_owned(), Unavailable),
        (answering(http("429 Too Many Requests", "{}")).await, Unavailable),
        (answering(http("401 Unauthorized", "{}")).await, Internal),
        (answering(http("403 Forbidden", "{}")).await, Internal),
        (answering(http("302 Found", "")).await, Internal),
        (answering(http("400 Bad Request", "{}")).await, Internal),
        (answering(http("500 Internal Server Error", "{}")).await, Unanswered),
        (answering(http("503 Service Unavailable", "{}")).await, Unanswered),
        (answering(http("200 OK", "S3cr3t")).await, Unanswered),
        (answering(http("200 OK", "{\"status\": \"S3cr3t\"}")).await, Internal),
        (answering(http("200 OK", &long)).await, Unanswered),
        (
            answering("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"S3cr3t".to_owned()).await,
            Unanswered,
        ),
        (answering("S3cr3t\r\n\r\n".to_owned()).await, Unanswered),
        (answering(String::new()).await, Unanswered),
    ] {
        let gateway = gateway_at(&url, "S3cr3t-sandbox", Duration::from_millis(1500));
        let fault = begin(&gateway, &payment(), "tok_S3cr3t").await.unwrap_err();
        assert_eq!(fault.kind(), kind, "{url}: {}", fault.report());
        let told = format!("{} {fault:?} {gateway:?}", fault.report());
        assert!(!told.contains("S3cr3t"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_a_person_s_to_mend() {
    let sandbox = Sandbox::start().await;
    let gateway = gateway_at(&sandbox.url, &SECRET.to_uppercase(), Duration::from_secs(20));
    let fault = begin(&gateway, &payment(), "tok_ok").await.unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Internal);
    assert!(fault.report().to_string().contains("refuses our secret"));
    assert!(sandbox.list().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_set_up_wrongly_is_named_and_no_secret_shown() {
    let base = [
        ("DATABASE_URL", "postgres://u:p@127.0.0.1:1/db"),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("FRONTROW_JWT_SECRET", "a-secret-of-at-least-32-bytes-length"),
    ];
    let sandbox = ("FRONTROW_CARD_GATEWAY", "sandbox");
    let secret = ("FRONTROW_SANDBOX_SECRET", "S3cr3t");
    let stripe = ("FRONTROW_CARD_GATEWAY", "stripe");
    for (set, says) in [
        (vec![("FRONTROW_CARD_GATEWAY", "visa")], "FRONTROW_CARD_GATEWAY cannot be 'visa'"),
        (vec![sandbox, secret], "FRONTROW_SANDBOX_URL is not set"),
        (
            vec![sandbox, ("FRONTROW_SANDBOX_URL", "http://h:1")],
            "FRONTROW_SANDBOX_SECRET is not set",
        ),
        (
            vec![sandbox, secret, ("FRONTROW_SANDBOX_URL", "http://S3cr3t@h:1")],
            "FRONTROW_SANDBOX_URL cannot be used",
        ),
        (
            vec![sandbox, secret, ("FRONTROW_SANDBOX_URL", "http://h:1/S3cr3t")],
            "FRONTROW_SANDBOX_URL cannot be used",
        ),
        (
            vec![sandbox, ("FRONTROW_SANDBOX_URL", "http://h:1"), ("FRONTROW_SANDBOX_SECRET", "")],
            "FRONTROW_SANDBOX_SECRET",
        ),
        (vec![stripe], "FRONTROW_STRIPE_SECRET_KEY and FRONTROW_STRIPE_WEBHOOK_SECRET are not set"),
        (
            vec![("FRONTROW_STRIPE_PUBLISHABLE_KEY", "sk_S3cr3t")],
            "FRONTROW_STRIPE_PUBLISHABLE_KEY cannot be used",
        ),
        (vec![("FRONTROW_CURRENCY", "won.")], "FRONTROW_CURRENCY cannot be 'won.'"),
        (vec![("FRONTROW_GATEWAY_TIMEOUT_MS", "1")], "FRONTROW_GATEWAY_TIMEOUT_MS cannot be '1'"),
    ] {
        let environment: Vec<_> = base.into_iter().chain(set).collect();
        let ended = run(&["serve"], &environment, "").await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains(says), "{says}: {ended:?}");
        assert!(
            !ended.err.contains("S3cr3t") && ended.err.trim().lines().count() == 1,
            "{ended:?}"
        );
    }
    for (flags, says) in [
        (["--webhook-url", "http://u:S3cr3t@h/"], "--webhook-url"),
        (["--webhook-url", "S3cr3t"], "--webhook-url"),
        (["--public-url", "http://S3cr3t@h"], "--public-url"),
    ] {
        let ended = run(&["sandbox-gateway", flags[0], flags[1]], &[secret], "").await;
        assert!(ended.code == 2 && ended.err.contains(says), "{ended:?}");
        assert!(!ended.err.contains("S3cr3t"), "{ended:?}");
    }
    let ended = run(&["sandbox-gateway"], &[], "").await;
    assert!(ended.err.contains("FRONTROW_SANDBOX_SECRET is not set"), "{ended:?}");
    let ended =
        run(&["serve", "--help"], &[secret, ("FRONTROW_STRIPE_SECRET_KEY", "S3cr3t")], "").await;
    assert!(ended.code == 0 && !ended.out.contains("S3cr3t"), "{ended:?}");
}
