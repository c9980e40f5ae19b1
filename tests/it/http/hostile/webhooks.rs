//! Webhooks: unsigned, forged, stale, of another gateway, or not what a gateway says.

use std::time::{Duration, SystemTime};

use frontrow::gateway::{TOLERANCE, sign};
use secrecy::SecretString;
use serde_json::json;

use super::{
    asking::{Http, Row, row},
    scene::Scene,
};
use crate::support::sandbox::SECRET;

const BAD: &str = "400 BAD_REQUEST";
const NOWHERE: &str = "404 NOT_FOUND";

fn signed(secret: &str, at: SystemTime, body: &str) -> String {
    sign(&SecretString::from(secret), at, body.as_bytes())
}

fn webhook(path: &str, signature: &str, body: &str) -> Http {
    Http::new(&format!("POST {path} HTTP/1.1"))
        .header("content-type: application/json")
        .header(format!("sandbox-signature: {signature}"))
        .body(body)
}

pub(super) fn rows(_: &Scene) -> Vec<Row> {
    let (now, late) = (SystemTime::now(), Duration::from_secs(600));
    let body =
        json!({ "eventId": "e", "type": "payment.charged", "paymentId": uuid::Uuid::now_v7() })
            .to_string();
    let good = signed(SECRET, now, &body);
    let tag = good.split_once("v1=").expect("a tag").1;
    let to = |signature: &str| webhook("/webhooks/sandbox", signature, &body);
    let saying = |body: &str| webhook("/webhooks/sandbox", &signed(SECRET, now, body), body);
    let other = json!({ "eventId": 7, "type": [], "paymentId": {} }).to_string();
    [
        ("unsigned", to("").without("sandbox-signature"), BAD),
        ("an empty signature", to(""), BAD),
        ("nonsense", to("ECHO-ME-NOT"), BAD),
        ("a guessed secret", to(&signed("guessed", now, &body)), BAD),
        ("an empty secret", to(&signed("", now, &body)), BAD),
        ("another body's signature", to(&signed(SECRET, now, "{}")), BAD),
        ("long ago", to(&signed(SECRET, now - TOLERANCE - late, &body)), BAD),
        ("in the future", to(&signed(SECRET, now + TOLERANCE + late, &body)), BAD),
        ("another time under the old signature", to(&format!("t=1,v1={tag}")), BAD),
        ("two times", to(&format!("t=1,{good}")), BAD),
        ("no time", to(&format!("v1={tag}")), BAD),
        ("half a signature", to(&good[..good.len() - 2]), BAD),
        ("a thousand signatures", to(&format!("t=1{}", ",v1=00".repeat(1_000))), BAD),
        ("bytes that are no text", to("\u{fc}"), BAD),
        ("of another gateway", webhook("/webhooks/stripe", &good, &body), NOWHERE),
        ("of no gateway", webhook("/webhooks/none", &good, &body), NOWHERE),
        ("of a gateway that is no text", webhook("/webhooks/%ff", &good, &body), NOWHERE),
        ("of a path", webhook("/webhooks/..%2fgraphql", &good, &body), NOWHERE),
        ("to nowhere", webhook("/webhooks/", &good, &body), NOWHERE),
        ("a list", saying("[]"), BAD),
        ("half of it", saying("{"), BAD),
        ("nothing", saying(""), BAD),
        ("other types", saying(&other), BAD),
        ("more than 64 KiB", saying(&"x".repeat(70_000)), "413 BAD_REQUEST"),
        ("read instead of told", Http::new("GET /webhooks/sandbox HTTP/1.1"), "405 BAD_REQUEST"),
        // Genuine, of a payment that nobody knows: taken, and nothing follows.
        ("of a payment that is not here", to(&good), "204"),
    ]
    .map(|(name, sent, expected)| row(format!("a webhook: {name}"), sent, expected))
    .into()
}
