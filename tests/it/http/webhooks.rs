//! Webhooks of the card gateway: a genuine one is taken and looked into, all others change nothing and learn little.

use std::time::{Duration, SystemTime};

use frontrow::gateway::{TOLERANCE, sign};
use secrecy::SecretString;
use serde_json::json;

use crate::support::{
    buying::{self, Buyer},
    cards::{CardShop, answer, redirect},
    client::refusal,
    eventually,
    sandbox::{SECRET, Sandbox},
    shop::{self, Setup},
    world::{Instance, World},
};

/// Sends a webhook; status and body of the answer.
async fn send(
    instance: &Instance,
    gateway: &str,
    signature: Option<&str>,
    body: String,
) -> (u16, String) {
    let url = format!("http://{}/webhooks/{gateway}", instance.address);
    let mut request = reqwest::Client::new().post(url).header("content-type", "application/json");
    if let Some(signature) = signature {
        request = request.header("sandbox-signature", signature);
    }
    let answer = request.body(body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

fn signed(secret: &str, at: SystemTime, body: &str) -> String {
    sign(&SecretString::from(secret), at, body.as_bytes())
}

/// A payment that waits for its buyer, at a shop where nobody looks by themselves: no worker runs, and no webhook of the sandbox
/// arrives.
struct Waiting {
    world: World,
    /// Without a gateway.
    office: Instance,
    shop: Instance,
    buyer: Buyer,
    reservation: String,
    payment: String,
    challenge: String,
    _sandbox: Sandbox,
}

/// Whether somebody looks into the payment soon.
const FAR: &str = "SELECT count(*) FROM payment WHERE look_at > now() + interval '10 minutes'";

async fn waiting() -> Waiting {
    let world = World::new().await;
    let sandbox = Sandbox::start().await;
    let flags = sandbox.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (office, shop) = (world.instance().await, world.quiet_instance(&flags).await);
    let show = shop::show(&world, &office, Setup::default()).await;
    let buyer = buying::buyer(&world, &office, &show).await.at(&shop);
    let reservation = buyer.held(&show, 0).await;
    let paid = buyer.client.pay_card(&reservation, "pay", "tok_challenge").await;
    let payment = paid["payment"]["id"].as_str().expect("an id").to_owned();
    let challenge = redirect(&paid);
    world.sql("UPDATE payment SET look_at = now() + interval '1 hour'").await;
    Waiting { world, office, shop, buyer, reservation, payment, challenge, _sandbox: sandbox }
}

fn event(payment: &str, kind: &str) -> String {
    json!({ "eventId": "e", "type": kind, "paymentId": payment }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_stale_or_foreign_webhook_changes_nothing_and_learns_little() {
    let Waiting { world, office, shop, payment, .. } = waiting().await;
    let (now, late) = (SystemTime::now(), Duration::from_secs(120));
    let body = event(&payment, "payment.charged");
    let elsewhere = event("01a1fd5a-b478-76e1-bca7-9a7ec0994ed9", "payment.charged");
    let with = |secret: &str, at, signed_body: &str| Some(signed(secret, at, signed_body));
    for (what, gateway, signature, body, status) in [
        ("unsigned", "sandbox", None, body.clone(), 400),
        ("nonsense", "sandbox", Some("t=1,v1=".to_owned()), body.clone(), 400),
        ("forged", "sandbox", with("guessed", now, &body), body.clone(), 400),
        ("another body", "sandbox", with(SECRET, now, "{}"), body.clone(), 400),
        ("stale", "sandbox", with(SECRET, now - TOLERANCE - late, &body), body.clone(), 400),
        ("early", "sandbox", with(SECRET, now + TOLERANCE + late, &body), body.clone(), 400),
        ("a list", "sandbox", with(SECRET, now, "[]"), "[]".to_owned(), 400),
        ("half", "sandbox", with(SECRET, now, "{"), "{".to_owned(), 400),
        ("foreign", "sandbox", with(SECRET, now, &elsewhere), elsewhere.clone(), 204),
        ("another gateway", "stripe", with(SECRET, now, &body), body.clone(), 404),
        ("nobody", "none", with(SECRET, now, &body), body.clone(), 404),
        ("too large", "sandbox", with(SECRET, now, &body), "x".repeat(70_000), 413),
    ] {
        let (told, text) = send(&shop, gateway, signature.as_deref(), body).await;
        assert_eq!(told, status, "{what}: {text}");
        assert!(!text.contains("secret") && !text.contains(&payment), "{what}: {text}");
        assert_eq!(world.number(FAR).await, 1, "{what}");
    }
    let (told, _) = send(&office, "sandbox", Some(&signed(SECRET, now, &body)), body.clone()).await;
    assert_eq!(told, 404, "there is no gateway here");
    assert_eq!(world.number(FAR).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_genuine_webhook_makes_somebody_look_and_is_not_believed() {
    let Waiting { world, shop, buyer, reservation, payment, challenge, _sandbox, .. } =
        waiting().await;
    let tell = async |kind: &str| {
        let body = event(&payment, kind);
        let signature = signed(SECRET, SystemTime::now(), &body);
        send(&shop, "sandbox", Some(&signature), body).await
    };
    let status = async || world.texts("SELECT status FROM payment").await.concat();
    // Twice, and it lies: the gateway itself says that it waits for the buyer.
    for _ in 0..2 {
        assert_eq!(tell("payment.charged").await, (204, String::new()));
        assert_eq!(world.number(FAR).await, 0);
    }
    eventually("somebody to look", async || {
        shop.app.payments.settle_due().await.expect("a look");
        let later =
            "SELECT count(*) FROM payment WHERE look_at > now() + interval '500 milliseconds'";
        (world.number(later).await == 1).then_some(())
    })
    .await;
    assert_eq!(status().await, "PENDING");
    // And the other way round.
    answer(&challenge, "pass").await;
    tell("payment.declined").await;
    eventually("the payment to be decided", async || {
        shop.app.payments.settle_due().await.expect("a look");
        (status().await != "PENDING").then_some(())
    })
    .await;
    let told = buyer.client.pay_card(&reservation, "pay", "tok_challenge").await;
    assert_eq!((refusal(&told), &told["payment"]["status"]), (None, &json!("APPROVED")), "{told}");
    // Once more when all is over.
    assert_eq!(tell("payment.declined").await.0, 204);
    assert_eq!(status().await, "APPROVED");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_posted_and_nothing_else_is() {
    let shop = CardShop::open(Setup { open_sale: false, ..Setup::default() }, &[], &[]).await;
    let url = format!("http://{}/webhooks/sandbox", shop.a.address);
    let answer = reqwest::get(&url).await.expect("an answer");
    assert_eq!(answer.status(), 405);
    let answer = reqwest::get(format!("{url}/more")).await.expect("an answer");
    assert_eq!(answer.status(), 404);
}
