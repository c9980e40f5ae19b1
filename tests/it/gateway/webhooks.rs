//! Webhooks: those of the sandbox arrive, again and again where they have to; those of strangers are not believed.

use std::time::{Duration, SystemTime};

use frontrow::{
    gateway::{HeaderMap, TOLERANCE, WebhookRefusal, sign},
    kernel::PaymentId,
};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{begin, payment, refund};
use crate::support::{
    sandbox::{SECRET, Sandbox, gateway_at},
    webhooks::Webhooks,
};

pub(super) fn headers(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_tells_what_has_happened_until_it_is_heard() {
    let webhooks = Webhooks::start(3).await;
    let sandbox = Sandbox::start_with(&webhooks.url, &[]).await;
    let (gateway, payment) = (sandbox.gateway(), payment());
    begin(&gateway, &payment, "tok_ok").await.unwrap();
    // Three are answered with 500.
    let came = webhooks.wait_for(4).await;
    gateway.refund(&refund(&payment, 1)).await.unwrap();
    let refunded = webhooks.wait_for(5).await;
    let now = SystemTime::now();
    let mut events = Vec::new();
    for (headers, body) in came.iter().chain(refunded.last()) {
        let notice = gateway.verify(headers, body, now).unwrap();
        assert_eq!(notice.payment_id, Some(payment.id));
        events.push(serde_json::from_slice::<Value>(body).unwrap());
    }
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[..4], ["payment.charged"; 4]);
    assert_eq!(kinds[4], "refund.done");
    // One event, told again.
    assert!(events[..4].iter().all(|event| event["eventId"] == events[0]["eventId"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn some_webhooks_come_twice() {
    let webhooks = Webhooks::start(0).await;
    let sandbox = Sandbox::start_with(&webhooks.url, &[]).await;
    begin(&sandbox.gateway(), &payment(), "tok_webhook_twice").await.unwrap();
    let came = webhooks.wait_for(2).await;
    assert_eq!(came[0].1, came[1].1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_a_stranger_is_not_believed() {
    use WebhookRefusal::{Forged, Malformed, Stale, Unsigned};
    let gateway = gateway_at("http://127.0.0.1:9", SECRET, Duration::from_secs(1));
    let (now, secret) = (SystemTime::now(), SecretString::from(SECRET));
    let body = json!({"paymentId": PaymentId::new()}).to_string();
    let signed = |at| headers("sandbox-signature", &sign(&secret, at, body.as_bytes()));
    assert!(gateway.verify(&signed(now), body.as_bytes(), now).is_ok());
    let wrong = sign(&SecretString::from("wrong"), now, body.as_bytes());
    let nothing = headers("sandbox-signature", &sign(&secret, now, b"{}"));
    for (headers, body, why) in [
        (signed(now - TOLERANCE - Duration::from_secs(1)), body.as_str(), Stale),
        (signed(now + TOLERANCE + Duration::from_secs(2)), &body, Stale),
        (signed(now), "{\"paymentId\": \"x\"}", Forged),
        (headers("sandbox-signature", &wrong), &body, Forged),
        (nothing, "{}", Malformed),
        (headers("stripe-signature", &wrong), &body, Unsigned),
        (HeaderMap::new(), &body, Unsigned),
    ] {
        assert_eq!(gateway.verify(&headers, body.as_bytes(), now), Err(why), "{body}");
    }
}
