//! Stripe's objects, as far as we read them, and what they mean to us.

use reqwest::StatusCode;
use serde::Deserialize;

use super::super::{
    Action, Currency, Decline, Listed, RefundStanding, Standing,
    rules::word,
    wire::{Answer, nonsense},
};
use crate::kernel::{Fault, PaymentId, Points};

/// A PaymentIntent.
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    status: String,
    amount: i64,
    currency: String,
    client_secret: Option<String>,
    next_action: Option<NextAction>,
    last_payment_error: Option<Trouble>,
    #[serde(default)]
    metadata: Metadata,
    latest_charge: Option<LatestCharge>,
}

#[derive(Debug, Deserialize)]
struct NextAction {
    redirect_to_url: Option<Redirect>,
}

#[derive(Debug, Deserialize)]
struct Redirect {
    url: Option<String>,
}

/// What we wrote down at Stripe. Others may write there, too, so nothing of it is trusted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    payment_id: Option<String>,
    pub(super) refund_id: Option<String>,
}

impl Metadata {
    fn payment_id(&self) -> Option<PaymentId> {
        self.payment_id.as_deref().and_then(PaymentId::parse)
    }
}

/// Its name, or the charge where that was asked for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum LatestCharge {
    Charge {
        #[serde(default)]
        amount_refunded: i64,
    },
    Name(
        #[expect(dead_code, reason = "a name that is not used; untagged enums need the field")]
        String,
    ),
}

/// What went wrong with a card.
#[derive(Debug, Default, Deserialize)]
struct Trouble {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
    decline_code: Option<String>,
    param: Option<String>,
}

impl Trouble {
    fn word(&self) -> String {
        word(self.decline_code.as_deref().or(self.code.as_deref()).or(self.kind.as_deref()))
    }

    fn decline(&self) -> (Decline, String) {
        let code = self.word();
        (why(&code), code)
    }
}

/// A decline in our words. What a thief should not hear is told as a plain no.
fn why(code: &str) -> Decline {
    match code {
        "insufficient_funds" | "withdrawal_count_limit_exceeded" => Decline::InsufficientFunds,
        "expired_card" => Decline::CardExpired,
        "incorrect_number"
        | "invalid_number"
        | "incorrect_cvc"
        | "invalid_cvc"
        | "invalid_expiry_month"
        | "invalid_expiry_year"
        | "incorrect_zip"
        | "incorrect_address"
        | "incorrect_pin"
        | "invalid_account"
        | "resource_missing"
        | "payment_method_unactivated"
        | "token_already_used" => Decline::CardInvalid,
        "amount_too_small" | "amount_too_large" => Decline::AmountRefused,
        "payment_intent_authentication_failure" | "authentication_required" => {
            Decline::ActionFailed
        }
        _ => Decline::CardDeclined,
    }
}

impl Intent {
    /// Nothing happens to it any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "canceled" | "succeeded")
    }

    /// Somebody has tried to charge with it.
    pub(super) fn was_confirmed(&self) -> bool {
        matches!(self.status.as_str(), "succeeded" | "processing" | "requires_action")
            || self.last_payment_error.is_some()
    }

    /// What it means, if it is about this amount.
    pub(super) fn standing(&self, amount: Points, currency: &Currency) -> Result<Standing, Fault> {
        if self.amount != amount.get() || !self.currency.eq_ignore_ascii_case(currency.as_str()) {
            return Err(nonsense("its payment has another amount or currency"));
        }
        let declined = |trouble: &Trouble| {
            let (why, code) = trouble.decline();
            Standing::Declined { why, code }
        };
        Ok(match (self.status.as_str(), &self.last_payment_error) {
            ("succeeded", _) => Standing::Charged,
            ("processing", _) => Standing::Pending,
            ("requires_action", _) => Standing::Action(self.action()),
            ("canceled" | "requires_payment_method", Some(trouble)) => declined(trouble),
            ("canceled", None) => {
                Standing::Declined { why: Decline::CalledOff, code: "canceled".to_owned() }
            }
            ("requires_payment_method" | "requires_confirmation", _) => Standing::Unknown,
            _ => return Err(nonsense("its payment is in a state that is not known")),
        })
    }

    fn action(&self) -> Action {
        let redirect = self.next_action.as_ref().and_then(|next| next.redirect_to_url.as_ref());
        Action {
            redirect_url: redirect.and_then(|redirect| redirect.url.clone()),
            client_secret: self.client_secret.clone(),
            expires_at: None,
        }
    }

    /// What was done for it, if it is ours.
    pub(super) fn listed(&self) -> Option<Listed> {
        let charged = if self.status == "succeeded" { self.amount } else { 0 };
        let refunded = match self.latest_charge {
            Some(LatestCharge::Charge { amount_refunded }) => amount_refunded,
            _ => 0,
        };
        Some(Listed {
            payment_id: self.metadata.payment_id()?,
            charged: Points::new(charged)?,
            refunded: Points::new(refunded)?,
        })
    }
}

/// A page of objects.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

/// A page of intents.
pub(super) type Intents = Page<Intent>;

/// A Refund.
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    status: Option<String>,
    failure_reason: Option<String>,
    #[serde(default)]
    pub(super) metadata: Metadata,
}

impl Refund {
    pub(super) fn standing(&self) -> Result<RefundStanding, Fault> {
        Ok(match self.status.as_deref() {
            Some("succeeded") => RefundStanding::Done,
            // The buyer's bank may want something of the buyer, who is told so by Stripe.
            Some("pending" | "requires_action") => RefundStanding::Pending,
            Some(ended @ ("failed" | "canceled")) => {
                let reason = self.failure_reason.as_deref().unwrap_or(ended);
                RefundStanding::Failed { code: word(Some(reason)) }
            }
            _ => return Err(nonsense("its refund is in a state that is not known")),
        })
    }
}

/// An answer that is an error.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    error: Trouble,
}

impl Problem {
    pub(super) fn of(answer: &Answer) -> Result<Self, Fault> {
        answer.json()
    }

    /// The same request is under way elsewhere, or somebody has locked what it needs.
    pub(super) fn is_busy(&self, status: StatusCode) -> bool {
        status == StatusCode::CONFLICT
            || self.says("lock_timeout")
            || self.says("idempotency_key_in_use")
    }

    pub(super) fn says(&self, code: &str) -> bool {
        self.error.code.as_deref() == Some(code)
    }

    pub(super) fn word(&self) -> String {
        self.error.word()
    }

    /// Why the card or the amount is refused, when it is that.
    pub(super) fn decline(&self) -> Option<(Decline, String)> {
        let (why, code) = self.error.decline();
        let card = self.error.kind.as_deref() == Some("card_error");
        let named = self.error.param.as_deref().is_some_and(|param| {
            param.starts_with("payment_method") || param == "confirmation_token"
        });
        (card || named || why == Decline::AmountRefused).then_some((why, code))
    }
}

/// An Event of a webhook.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    data: EventData,
}

#[derive(Debug, Deserialize)]
struct EventData {
    object: EventObject,
}

/// An intent, a charge, a refund, or something that is nothing to us. What we wrote down is with all that is ours.
#[derive(Debug, Deserialize)]
struct EventObject {
    #[serde(default)]
    metadata: Option<Metadata>,
}

impl Event {
    pub(super) fn payment_id(&self) -> Option<PaymentId> {
        self.data.object.metadata.as_ref().and_then(Metadata::payment_id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn intent(change: Value) -> Intent {
        let mut object = json!({"id": "pi_1", "object": "payment_intent", "status": "succeeded",
            "amount": 500, "currency": "krw", "client_secret": "pi_1_secret_x", "next_action": null,
            "last_payment_error": null, "latest_charge": "ch_1", "metadata": {}});
        object.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    fn standing(change: Value) -> Result<Standing, Fault> {
        intent(change).standing(Points::new(500).unwrap(), &"krw".parse().unwrap())
    }

    #[test]
    fn every_state_of_an_intent_is_understood() {
        let declined = |why, code: &str| Standing::Declined { why, code: code.to_owned() };
        let trouble = json!({"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"});
        for (change, told) in [
            (json!({}), Standing::Charged),
            (json!({"status": "processing"}), Standing::Pending),
            (json!({"status": "requires_payment_method"}), Standing::Unknown),
            (json!({"status": "requires_confirmation"}), Standing::Unknown),
            (json!({"status": "canceled"}), declined(Decline::CalledOff, "canceled")),
            (
                json!({"status": "canceled", "last_payment_error": trouble}),
                declined(Decline::InsufficientFunds, "insufficient_funds"),
            ),
            (
                json!({"status": "requires_payment_method", "last_payment_error": trouble}),
                declined(Decline::InsufficientFunds, "insufficient_funds"),
            ),
            (
                json!({"status": "requires_payment_method", "last_payment_error":
                    {"type": "card_error", "code": "payment_intent_authentication_failure"}}),
                declined(Decline::ActionFailed, "payment_intent_authentication_failure"),
            ),
        ] {
            assert_eq!(standing(change.clone()).unwrap(), told, "{change}");
        }
        for wrong in [
            json!({"amount": 501}),
            json!({"currency": "usd"}),
            json!({"status": "requires_capture"}),
            json!({"status": "new"}),
        ] {
            assert!(standing(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_action_has_what_the_page_needs() {
        let next = json!({"type": "redirect_to_url", "redirect_to_url":
            {"url": "https://hooks.stripe.com/3d", "return_url": "https://shop"}});
        let told = standing(json!({"status": "requires_action", "next_action": next})).unwrap();
        let expected = Action {
            redirect_url: Some("https://hooks.stripe.com/3d".to_owned()),
            client_secret: Some("pi_1_secret_x".to_owned()),
            expires_at: None,
        };
        assert_eq!(told, Standing::Action(expected.clone()));
        let next = json!({"type": "use_stripe_sdk", "use_stripe_sdk": {}});
        let told = standing(json!({"status": "requires_action", "next_action": next})).unwrap();
        assert_eq!(told, Standing::Action(Action { redirect_url: None, ..expected }));
    }

    #[test]
    fn a_thief_hears_a_plain_no() {
        for code in ["stolen_card", "lost_card", "fraudulent", "pickup_card", "do_not_honor", "x"] {
            assert_eq!(why(code), Decline::CardDeclined, "{code}");
        }
        assert_eq!(why("expired_card"), Decline::CardExpired);
        assert_eq!(why("incorrect_cvc"), Decline::CardInvalid);
    }

    #[test]
    fn what_was_done_is_told_of_our_own_payments_only() {
        let id = PaymentId::new();
        let mine = json!({"metadata": {"payment_id": id},
                          "latest_charge": {"id": "ch_1", "amount_refunded": 200}});
        let points = |number| Points::new(number).unwrap();
        let told = Listed { payment_id: id, charged: points(500), refunded: points(200) };
        assert_eq!(intent(mine).listed(), Some(told));
        let begun = json!({"metadata": {"payment_id": id}, "status": "requires_action",
                           "latest_charge": null});
        let told = Listed { payment_id: id, charged: Points::ZERO, refunded: Points::ZERO };
        assert_eq!(intent(begun).listed(), Some(told));
        assert_eq!(intent(json!({"metadata": {"payment_id": "order-7"}})).listed(), None);
    }

    #[test]
    fn an_event_names_the_payment_that_is_ours() {
        let id = PaymentId::new();
        let event = |object: Value| -> Option<PaymentId> {
            let event = json!({"id": "evt_1", "type": "x", "data": {"object": object}});
            serde_json::from_value::<Event>(event).unwrap().payment_id()
        };
        assert_eq!(event(json!({"metadata": {"payment_id": id}})), Some(id));
        assert_eq!(event(json!({"metadata": {"payment_id": "7"}})), None);
        assert_eq!(event(json!({"metadata": null})), None);
        assert_eq!(event(json!({"object": "balance"})), None);
    }

    #[test]
    fn refunds_are_understood() {
        let standing = |object: Value| serde_json::from_value::<Refund>(object).unwrap().standing();
        let failed = |code: &str| RefundStanding::Failed { code: code.to_owned() };
        for (object, told) in [
            (json!({"status": "succeeded", "metadata": {}}), RefundStanding::Done),
            (json!({"status": "pending"}), RefundStanding::Pending),
            (json!({"status": "requires_action"}), RefundStanding::Pending),
            (
                json!({"status": "failed", "failure_reason": "expired_or_canceled_card"}),
                failed("expired_or_canceled_card"),
            ),
            (json!({"status": "canceled"}), failed("canceled")),
        ] {
            assert_eq!(standing(object.clone()).unwrap(), told, "{object}");
        }
        assert!(standing(json!({"status": "new"})).is_err());
    }
}
