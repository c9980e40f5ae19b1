//! The sandbox, by its client and by a browser.

use std::time::Duration;

use frontrow::{
    gateway::{Decline, RefundStanding, Standing},
    kernel::FaultKind,
};
use futures_util::future::join_all;
use serde_json::json;

use super::{begin, card, ended, look, payment, refund};
use crate::support::{
    eventually,
    sandbox::{SECRET, Sandbox},
    world::World,
};

fn declined(why: Decline, code: &str) -> Standing {
    Standing::Declined { why, code: code.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_has_its_outcome() {
    let sandbox = Sandbox::start().await;
    let gateway = sandbox.gateway();
    for (token, outcome, charged) in [
        ("tok_ok", Ok(Standing::Charged), 500),
        ("tok_declined", Ok(declined(Decline::CardDeclined, "card_declined")), 0),
        ("tok_slow", Ok(Standing::Charged), 500),
        ("tok_500", Err(FaultKind::Unanswered), 500),
        ("tok_refund_late", Ok(Standing::Charged), 500),
        ("tok_refund_fails_twice", Ok(Standing::Charged), 500),
        ("tok_refund_fails", Ok(Standing::Charged), 500),
        ("tok_webhook_twice", Ok(Standing::Charged), 500),
        ("pm_1", Ok(declined(Decline::CardInvalid, "token_unknown")), 0),
    ] {
        let payment = payment();
        assert_eq!(look(&gateway, &payment).await, Standing::Unknown);
        let told = begin(&gateway, &payment, token).await.map_err(|fault| fault.kind());
        assert_eq!(told, outcome, "{token}");
        let stands = look(&gateway, &payment).await;
        assert_eq!(stands == Standing::Charged, charged > 0, "{token}: {stands:?}");
        // As often as one likes.
        assert_eq!(begin(&gateway, &payment, token).await.unwrap(), stands, "{token}");
        let line = sandbox.list().await.pop().unwrap();
        let told =
            json!({"paymentId": payment.id, "amount": 500, "charged": charged, "refunded": 0});
        assert_eq!(line, told, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_in_time_is_found_by_looking() {
    let sandbox = Sandbox::start().await;
    let hasty = sandbox.gateway_within(Duration::from_millis(500));
    let (never, slow) = (payment(), payment());
    for (payment, token) in [(&never, "tok_timeout"), (&slow, "tok_slow")] {
        let fault = begin(&hasty, payment, token).await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Unanswered, "{token}");
    }
    let gateway = sandbox.gateway();
    assert_eq!(look(&gateway, &never).await, Standing::Charged);
    eventually("the slow bank to decide", async || {
        let standing = look(&gateway, &slow).await;
        assert!(matches!(standing, Standing::Pending | Standing::Charged), "{standing:?}");
        (standing == Standing::Charged).then_some(())
    })
    .await;
    let charged: i64 =
        sandbox.list().await.iter().filter_map(|line| line["charged"].as_i64()).sum();
    assert_eq!(charged, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_passes_the_challenge_or_fails() {
    let sandbox = Sandbox::start().await;
    let gateway = sandbox.gateway();
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let browser = browser.build().unwrap();
    for (outcome, stands) in
        [("pass", Standing::Charged), ("fail", declined(Decline::ActionFailed, "challenge_failed"))]
    {
        let payment = payment();
        let Standing::Action(action) = begin(&gateway, &payment, "tok_challenge").await.unwrap()
        else {
            panic!("no action")
        };
        assert!(action.expires_at.is_some() && action.client_secret.is_none());
        assert_eq!(look(&gateway, &payment).await, Standing::Action(action.clone()));
        let url = action.redirect_url.unwrap();
        let page = browser.get(&url).send().await.unwrap();
        assert_eq!(page.status(), 200);
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("'none'"));
        let html = page.text().await.unwrap();
        for part in ["<html lang=\"en\">", "<h1>", "500 KRW", "value=\"pass\"", "value=\"fail\""] {
            assert!(html.contains(part), "{part}: {html}");
        }
        let post = |body: &str| {
            let request = browser.post(&url).body(body.to_owned());
            request.header("content-type", "application/x-www-form-urlencoded").send()
        };
        assert_eq!(post("outcome=maybe").await.unwrap().status(), 400);
        assert!(matches!(look(&gateway, &payment).await, Standing::Action(_)));
        // The first answer counts, and whoever comes again is sent on as well.
        let other = if outcome == "pass" { "fail" } else { "pass" };
        for answer in [outcome, other] {
            let answer = post(&format!("x=1&outcome={answer}")).await.unwrap();
            assert_eq!(answer.status(), 303);
            assert_eq!(answer.headers()["location"], "https://shop.example/back?to=1");
        }
        assert_eq!(gateway.advance(&payment, None).await.unwrap().standing, stands);
        let html = browser.get(&url).send().await.unwrap().text().await.unwrap();
        assert!(html.contains("Back to the shop"), "{html}");
    }
    let nowhere = format!("{}/challenges/{}", sandbox.url, payment().id);
    assert_eq!(browser.get(&nowhere).send().await.unwrap().status(), 404);
    assert_eq!(browser.post(&nowhere).body("outcome=pass").send().await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_challenge_is_declined() {
    let sandbox = Sandbox::start_with("http://127.0.0.1:9/", &["--challenge-seconds", "1"]).await;
    let (gateway, payment) = (sandbox.gateway(), payment());
    let begun = begin(&gateway, &payment, "tok_challenge").await.unwrap();
    assert!(matches!(begun, Standing::Action(_)));
    let stands = eventually("the challenge to expire", async || {
        let stands = look(&gateway, &payment).await;
        (!matches!(stands, Standing::Action(_))).then_some(stands)
    })
    .await;
    assert_eq!(stands, declined(Decline::ActionExpired, "challenge_expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_arrive_or_fail_as_their_token_says() {
    let sandbox = Sandbox::start().await;
    let gateway = sandbox.gateway();
    for (token, failures) in [
        ("tok_ok", 0),
        ("tok_refund_late", 0),
        ("tok_refund_fails_twice", 2),
        ("tok_refund_fails", 4),
    ] {
        let payment = payment();
        begin(&gateway, &payment, token).await.unwrap();
        let mut refund = refund(&payment, 1);
        assert_eq!(gateway.look_at_refund(&refund).await.unwrap(), RefundStanding::Unknown);
        for attempt in 1..=4 {
            refund.attempt = attempt;
            assert_eq!(gateway.refund(&refund).await.unwrap(), RefundStanding::Pending, "{token}");
            let standing = ended(&gateway, &refund).await;
            // The same attempt again tells the same again.
            assert_eq!(gateway.refund(&refund).await.unwrap(), standing);
            if attempt > failures {
                assert_eq!(standing, RefundStanding::Done, "{token}");
                break;
            }
            assert_eq!(standing, RefundStanding::Failed { code: "refund_failed".to_owned() });
        }
        let line = sandbox.list().await.pop().unwrap();
        assert_eq!(line["refunded"], if failures == 4 { 0 } else { 500 }, "{token}");
        // Not a point more than was charged.
        refund.attempt = 9;
        if failures < 4 {
            let code = "amount_exceeds_charge".to_owned();
            assert_eq!(gateway.refund(&refund).await.unwrap(), RefundStanding::Failed { code });
        }
    }
    let unpaid = payment();
    begin(&gateway, &unpaid, "tok_declined").await.unwrap();
    let code = "not_charged".to_owned();
    let told = gateway.refund(&refund(&unpaid, 1)).await.unwrap();
    assert_eq!(told, RefundStanding::Failed { code });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_called_off_is_not_charged_later() {
    let sandbox = Sandbox::start().await;
    let gateway = sandbox.gateway();
    let off = declined(Decline::CalledOff, "called_off");
    let late = payment();
    assert_eq!(gateway.call_off(&late).await.unwrap().standing, off);
    assert_eq!(begin(&gateway, &late, "tok_ok").await.unwrap(), off);
    let waiting = payment();
    begin(&gateway, &waiting, "tok_challenge").await.unwrap();
    assert_eq!(gateway.call_off(&waiting).await.unwrap().standing, off);
    let paid = payment();
    begin(&gateway, &paid, "tok_ok").await.unwrap();
    assert_eq!(gateway.call_off(&paid).await.unwrap().standing, Standing::Charged);
    let charged: i64 =
        sandbox.list().await.iter().filter_map(|line| line["charged"].as_i64()).sum();
    assert_eq!(charged, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_charge_once_for_each_payment() {
    let sandbox = Sandbox::start().await;
    let gateway = sandbox.gateway();
    let payments: Vec<_> = (0..10).map(|_| payment()).collect();
    let asked = payments.iter().cycle().take(200).map(|payment| begin(&gateway, payment, "tok_ok"));
    for told in join_all(asked).await {
        assert_eq!(told.unwrap(), Standing::Charged);
    }
    let refunds: Vec<_> = payments.iter().map(|payment| refund(payment, 1)).collect();
    let asked = refunds.iter().cycle().take(200).map(|refund| gateway.refund(refund));
    assert!(join_all(asked).await.iter().all(Result::is_ok));
    for refund in &refunds {
        assert_eq!(ended(&gateway, refund).await, RefundStanding::Done);
    }
    let list = sandbox.list().await;
    assert_eq!(list.len(), 10);
    assert!(list.iter().all(|line| line["charged"] == 500 && line["refunded"] == 500), "{list:?}");
    let listing = gateway.list(None).await.unwrap();
    assert_eq!((listing.payments.len(), listing.next), (10, None));
    assert!(listing.payments.iter().all(|of| of.charged == of.refunded && of.charged.get() == 500));
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_is_made_and_ended() {
    let sandbox = Sandbox::start().await;
    let gateway = sandbox.gateway();
    for (does, stands) in [(false, Standing::Unknown), (true, Standing::Charged)] {
        let payment = payment();
        sandbox.trouble(600, does).await;
        let fault = begin(&gateway, &payment, "tok_ok").await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Unanswered);
        assert!(gateway.look(&payment).await.is_err());
        sandbox.trouble(0, does).await;
        assert_eq!(look(&gateway, &payment).await, stands);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_survives_whatever_it_is_asked() {
    let sandbox = Sandbox::start().await;
    let http = reqwest::Client::new();
    let id = payment().id;
    let large = format!("{{\"x\": \"{}\"}}", "x".repeat(20_000));
    let ask = json!({"paymentId": id, "amount": 0, "currency": "krw", "cardToken": "tok_ok"});
    let bad_url = json!({"paymentId": id, "amount": 1, "currency": "krw", "cardToken": "tok_ok", "returnUrl": "javascript:x"});
    for (method, path, body, status) in [
        ("POST", "/payments".to_owned(), "{".to_owned(), 400),
        ("POST", "/payments".to_owned(), "null".to_owned(), 400),
        ("POST", "/payments".to_owned(), ask.to_string(), 400),
        ("POST", "/payments".to_owned(), bad_url.to_string(), 400),
        ("POST", "/payments".to_owned(), large, 413),
        ("GET", "/payments/1".to_owned(), String::new(), 400),
        ("GET", format!("/payments/{id}"), String::new(), 404),
        ("POST", format!("/payments/{id}/refunds"), "{}".to_owned(), 400),
        (
            "POST",
            format!("/payments/{id}/refunds"),
            json!({"refundId": "r", "amount": 1}).to_string(),
            404,
        ),
        ("GET", format!("/payments/{id}/refunds/r"), String::new(), 404),
        ("GET", "/payments?limit=0".to_owned(), String::new(), 400),
        ("GET", "/payments?limit=5&after=x".to_owned(), String::new(), 400),
        ("GET", "/challenges/x".to_owned(), String::new(), 404),
        ("POST", "/challenges/%ff".to_owned(), String::new(), 400),
        ("POST", "/trouble".to_owned(), json!({"seconds": 601}).to_string(), 400),
        ("DELETE", "/payments".to_owned(), String::new(), 405),
        ("GET", "/".to_owned(), String::new(), 404),
        ("GET", "/health".to_owned(), String::new(), 200),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = http.request(method, format!("{}{path}", sandbox.url)).bearer_auth(SECRET);
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}: {}", answer.text().await.unwrap());
    }
    // What is the shop's needs the secret.
    for (method, path) in
        [("POST", "/payments"), ("GET", &format!("/payments/{id}")), ("POST", "/trouble")]
    {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        for secret in ["", "wrong"] {
            let request = http.request(method.clone(), format!("{}{path}", sandbox.url));
            let answer = request.bearer_auth(secret).body("{}").send().await.unwrap();
            assert_eq!(answer.status(), 401, "{path}");
        }
    }
    assert_eq!(begin(&sandbox.gateway(), &payment(), "tok_ok").await.unwrap(), Standing::Charged);
    // The same payment with another amount is another payment.
    let mut again = payment();
    begin(&sandbox.gateway(), &again, "tok_ok").await.unwrap();
    again.amount = frontrow::kernel::Points::new(501).unwrap();
    let fault = sandbox.gateway().begin(&again, card("tok_ok")).await.unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Internal);
    let fault = sandbox.gateway().look(&again).await.unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Internal);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_told_which_gateway_there_is() {
    let world = World::new().await;
    let sandbox = Sandbox::start().await;
    let flags = sandbox.flags();
    let stripe = [
        "--card-gateway=stripe",
        "--stripe-secret-key=sk_test_1",
        "--stripe-webhook-secret=whsec_1",
        "--stripe-publishable-key=pk_test_1",
    ];
    for (flags, told) in [
        (Vec::new(), json!(null)),
        (
            flags.iter().map(String::as_str).collect(),
            json!({"name": "sandbox", "publishableKey": null}),
        ),
        (stripe.to_vec(), json!({"name": "stripe", "publishableKey": "pk_test_1"})),
    ] {
        let instance = world.quiet_instance(&flags).await;
        let query = "{ cardGateway { name publishableKey } }";
        assert_eq!(instance.client().data(query, json!({})).await["cardGateway"], told);
    }
}
