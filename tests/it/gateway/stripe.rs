//! Stripe's client against localstripe: the wire format, and what is found out when answers are lost.

use std::time::{Duration, SystemTime};

use frontrow::{
    gateway::{Card, Decline, RefundStanding, Standing, TOLERANCE, WebhookRefusal, sign},
    kernel::FaultKind,
};
use secrecy::SecretString;
use serde_json::json;

use super::{begin, look, payment, refund};
use crate::support::{
    like_stripe::{LikeStripe, WEBHOOK_SECRET},
    webhooks::Webhooks,
};

const GOOD: &str = "4242424242424242";
const DECLINED: &str = "4000000000000341";
const CHALLENGED: &str = "4000002500003155";

fn declined(why: Decline, code: &str) -> Standing {
    Standing::Declined { why, code: code.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_charged_once_and_given_back_once() {
    let stripe = LikeStripe::start().await;
    let (gateway, mut payment) = (stripe.gateway(), payment());
    let card = stripe.card(GOOD).await;
    for _ in 0..2 {
        let seen = gateway.begin(&payment, Card { token: &card, return_url: None }).await.unwrap();
        assert_eq!(seen.standing, Standing::Charged);
        // With Stripe's name for it, and without.
        assert!(seen.reference.as_deref().unwrap().starts_with("pi_"));
        assert_eq!(look(&gateway, &payment).await, Standing::Charged);
        payment.reference = seen.reference;
    }
    let intents = stripe.intents(&payment.id.to_string()).await;
    assert_eq!(intents.len(), 1, "{intents:?}");
    assert_eq!((&intents[0]["amount"], &intents[0]["currency"]), (&500.into(), &"krw".into()));

    let refund = refund(&payment, 1);
    assert_eq!(gateway.look_at_refund(&refund).await.unwrap(), RefundStanding::Unknown);
    for _ in 0..2 {
        assert_eq!(gateway.refund(&refund).await.unwrap(), RefundStanding::Done);
        assert_eq!(gateway.look_at_refund(&refund).await.unwrap(), RefundStanding::Done);
    }
    let listing = gateway.list(None).await.unwrap();
    let listed: Vec<_> =
        listing.payments.iter().map(|of| (of.payment_id, of.charged, of.refunded)).collect();
    assert_eq!(listed, [(payment.id, payment.amount, payment.amount)]);
    // Somebody has given it back by hand already: there is nothing left to do.
    let again = frontrow::gateway::CardRefund { attempt: 2, ..refund };
    assert_eq!(gateway.refund(&again).await.unwrap(), RefundStanding::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_is_told_and_final() {
    let stripe = LikeStripe::start().await;
    let (gateway, payment) = (stripe.gateway(), payment());
    let card = stripe.card(DECLINED).await;
    let no = declined(Decline::CardDeclined, "card_declined");
    assert_eq!(begin(&gateway, &payment, &card).await.unwrap(), no);
    assert_eq!(look(&gateway, &payment).await, no);
    // The page could try another card with the secret it has, if the intent were not over.
    let intents = stripe.intents(&payment.id.to_string()).await;
    assert_eq!((intents.len(), &intents[0]["status"]), (1, &"canceled".into()));
    let unknown = super::payment();
    let told = begin(&gateway, &unknown, "pm_nothing").await.unwrap();
    assert_eq!(told, declined(Decline::CardInvalid, "resource_missing"));
    let called_off = declined(Decline::CalledOff, "canceled");
    assert_eq!(look(&gateway, &unknown).await, called_off);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_passed_failed_or_called_off() {
    let stripe = LikeStripe::start().await;
    let gateway = stripe.gateway();
    for (success, stands) in [
        (Some("true"), Standing::Charged),
        (Some("false"), declined(Decline::ActionFailed, "payment_intent_authentication_failure")),
        (None, declined(Decline::CalledOff, "canceled")),
    ] {
        let payment = payment();
        let card = stripe.card(CHALLENGED).await;
        let Standing::Action(action) = begin(&gateway, &payment, &card).await.unwrap() else {
            panic!("no action")
        };
        assert!(action.redirect_url.as_deref().is_some_and(|url| url.contains("hooks.example")));
        let secret = action.client_secret.clone().unwrap();
        assert_eq!(look(&gateway, &payment).await, Standing::Action(action));
        let told = match success {
            Some(success) => {
                let id = secret.split("_secret_").next().unwrap();
                let path = format!("/v1/payment_intents/{id}/_authenticate");
                let form = [("client_secret", secret.as_str()), ("success", success)];
                stripe.form(&path, &form).await;
                gateway.advance(&payment, Some("from the window")).await.unwrap()
            }
            None => gateway.call_off(&payment).await.unwrap(),
        };
        assert_eq!(told.standing, stands);
        assert_eq!(look(&gateway, &payment).await, stands);
        assert_eq!(gateway.call_off(&payment).await.unwrap().standing, stands);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_found_by_our_id() {
    let stripe = LikeStripe::start().await;
    let gateway = stripe.gateway();
    let card = stripe.card(GOOD).await;
    // Confirmed, and told by an error.
    let charged = payment();
    stripe.fails("/confirm", 500, true, 1).await;
    let fault = begin(&gateway, &charged, &card).await.unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unanswered);
    assert_eq!(look(&gateway, &charged).await, Standing::Charged);
    assert_eq!(begin(&gateway, &charged, &card).await.unwrap(), Standing::Charged);
    // Not confirmed, and told by the same error.
    let open = payment();
    stripe.fails("/confirm", 500, false, 1).await;
    assert!(begin(&gateway, &open, &card).await.is_err());
    assert_eq!(look(&gateway, &open).await, Standing::Unknown);
    let off = declined(Decline::CalledOff, "canceled");
    assert_eq!(gateway.call_off(&open).await.unwrap().standing, off);
    assert_eq!(begin(&gateway, &open, &card).await.unwrap(), off);
    // Never begun.
    let late = payment();
    assert_eq!(look(&gateway, &late).await, Standing::Unknown);
    assert_eq!(gateway.call_off(&late).await.unwrap().standing, off);
    assert_eq!(begin(&gateway, &late, &card).await.unwrap(), off);
    for (payment, count) in [(&charged, 1), (&open, 1), (&late, 1)] {
        assert_eq!(stripe.intents(&payment.id.to_string()).await.len(), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_stripe_fails_to_make_charges_nothing() {
    let stripe = LikeStripe::start().await;
    let gateway = stripe.gateway();
    let card = stripe.card(GOOD).await;
    for does in [true, false] {
        let broken = payment();
        stripe.fails("/v1/payment_intents", 500, does, 1).await;
        let fault = begin(&gateway, &broken, &card).await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Unanswered);
        // The failure is repeated under the same key: nobody can confirm what has no name.
        assert_eq!(look(&gateway, &broken).await, Standing::Unknown);
        let told = gateway.call_off(&broken).await.unwrap().standing;
        assert!(matches!(told, Standing::Declined { why: Decline::CalledOff, .. }), "{told:?}");
        assert!(begin(&gateway, &broken, &card).await.is_err());
        let intents = stripe.intents(&broken.id.to_string()).await;
        assert!(intents.iter().all(|intent| intent["status"] != "succeeded"), "{intents:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_found_after_its_key_was_forgotten() {
    let stripe = LikeStripe::start().await;
    let (gateway, payment) = (stripe.gateway(), payment());
    let card = stripe.card(GOOD).await;
    begin(&gateway, &payment, &card).await.unwrap();
    stripe.forget_keys().await;
    // The second look finds the key taken by what the first one made.
    for _ in 0..2 {
        assert_eq!(look(&gateway, &payment).await, Standing::Charged);
    }
    assert_eq!(gateway.refund(&refund(&payment, 1)).await.unwrap(), RefundStanding::Done);
    assert_eq!(gateway.call_off(&payment).await.unwrap().standing, Standing::Charged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_answer_was_lost_is_found() {
    let stripe = LikeStripe::start().await;
    let gateway = stripe.gateway();
    let card = stripe.card(GOOD).await;
    for (does, stands) in
        [(true, RefundStanding::Done), (false, RefundStanding::Failed { code: "500".to_owned() })]
    {
        let payment = payment();
        begin(&gateway, &payment, &card).await.unwrap();
        stripe.fails("/v1/refunds", 500, does, 1).await;
        let mut refund = refund(&payment, 1);
        let fault = gateway.refund(&refund).await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Unanswered);
        // Stripe repeats its failure; whether there is a refund, its list says.
        assert_eq!(gateway.refund(&refund).await.unwrap(), stands);
        refund.attempt = 2;
        assert_eq!(gateway.refund(&refund).await.unwrap(), RefundStanding::Done);
        let listing = gateway.list(None).await.unwrap();
        let listed = listing.payments.iter().find(|of| of.payment_id == payment.id).unwrap();
        assert_eq!(listed.refunded, payment.amount);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_or_wrong_stripe_charges_nothing() {
    let stripe = LikeStripe::start().await;
    let gateway = stripe.gateway();
    let card = stripe.card(GOOD).await;
    for (path, status, kind) in [
        ("/v1/payment_intents", 429, FaultKind::Unavailable),
        ("/confirm", 429, FaultKind::Unavailable),
        ("/v1/payment_intents", 401, FaultKind::Internal),
        ("/confirm", 409, FaultKind::Unanswered),
    ] {
        let payment = payment();
        stripe.fails(path, status, false, 1).await;
        let fault = begin(&gateway, &payment, &card).await.unwrap_err();
        assert_eq!(fault.kind(), kind, "{path} {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_signed_by_localstripe_are_believed() {
    let (webhooks, stripe) = (Webhooks::start(0).await, LikeStripe::start().await);
    stripe.tell(&webhooks.url).await;
    let (gateway, payment) = (stripe.gateway(), payment());
    begin(&gateway, &payment, &stripe.card("4242424242424242").await).await.unwrap();
    let came = webhooks.wait_for(1).await;
    let (headers, body) = came
        .iter()
        .find(|(_, body)| body.windows(23).any(|part| part == b"payment_intent.succeede"))
        .unwrap();
    let now = SystemTime::now();
    let notice = gateway.verify(headers, body, now).unwrap();
    assert_eq!(notice.payment_id, Some(payment.id));
    let later = now + TOLERANCE + Duration::from_secs(60);
    assert_eq!(gateway.verify(headers, body, later), Err(WebhookRefusal::Stale));
    let mut forged = body.clone();
    forged.push(b' ');
    assert_eq!(gateway.verify(headers, &forged, now), Err(WebhookRefusal::Forged));
    // Genuine, and about nothing of ours.
    let body = json!({"id": "evt_1", "data": {"object": {"object": "balance"}}}).to_string();
    let signature = sign(&SecretString::from(WEBHOOK_SECRET), now, body.as_bytes());
    let notice = gateway.verify(
        &super::webhooks::headers("stripe-signature", &signature),
        body.as_bytes(),
        now,
    );
    assert_eq!(notice.unwrap().payment_id, None);
}
