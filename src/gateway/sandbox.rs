//! The sandbox's client: a gateway that speaks our own words, so that there is little to translate.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use reqwest::{Method, StatusCode, header::HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Action, Card, CardPayment, CardRefund, Currency, Decline, GatewayAddress, Listed, Listing,
    Notice, RefundStanding, Seen, Standing, WebhookRefusal,
    rules::word,
    signature,
    wire::{Answer, Wire, nonsense},
};
use crate::kernel::{Fault, PaymentId, Points};

/// Payments asked for at once.
const PAGE: &str = "500";

#[derive(Debug, Clone)]
pub(super) struct Sandbox {
    wire: Wire,
    secret: SecretString,
    currency: Currency,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Begin<'a> {
    payment_id: PaymentId,
    amount: Points,
    currency: &'a str,
    card_token: &'a str,
    return_url: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refund<'a> {
    refund_id: &'a str,
    amount: Points,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    amount: Option<Points>,
    status: String,
    code: Option<String>,
    redirect_url: Option<String>,
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    payment_id: PaymentId,
    charged: Points,
    refunded: Points,
}

#[derive(Deserialize)]
struct Page {
    payments: Vec<Line>,
    next: Option<Uuid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    payment_id: PaymentId,
}

impl Sandbox {
    pub(super) fn new(
        url: &GatewayAddress,
        secret: &SecretString,
        currency: Currency,
    ) -> Result<Self, Fault> {
        Ok(Self { wire: Wire::new(url, true)?, secret: secret.clone(), currency })
    }

    async fn post(&self, path: &str, body: &(impl Serialize + Sync)) -> Result<Answer, Fault> {
        let request = self.wire.request(Method::POST, path).json(body);
        self.wire.send(request.bearer_auth(self.secret.expose_secret())).await
    }

    async fn get(&self, path: &str) -> Result<Answer, Fault> {
        let request = self.wire.request(Method::GET, path);
        self.wire.send(request.bearer_auth(self.secret.expose_secret())).await
    }

    pub(super) async fn begin(&self, payment: &CardPayment, card: Card<'_>) -> Result<Seen, Fault> {
        let begin = Begin {
            payment_id: payment.id,
            amount: payment.amount,
            currency: self.currency.as_str(),
            card_token: card.token,
            return_url: card.return_url,
        };
        seen(payment, &self.post("/payments", &begin).await?)
    }

    pub(super) async fn look(&self, payment: &CardPayment) -> Result<Seen, Fault> {
        seen(payment, &self.get(&format!("/payments/{}", payment.id)).await?)
    }

    pub(super) async fn call_off(&self, payment: &CardPayment) -> Result<Seen, Fault> {
        let nothing = serde_json::Map::new();
        seen(payment, &self.post(&format!("/payments/{}/call-off", payment.id), &nothing).await?)
    }

    pub(super) async fn refund(&self, refund: &CardRefund) -> Result<RefundStanding, Fault> {
        let body = Refund { refund_id: &refund.key(), amount: refund.amount };
        refunded(&self.post(&format!("/payments/{}/refunds", refund.payment.id), &body).await?)
    }

    pub(super) async fn look_at_refund(
        &self,
        refund: &CardRefund,
    ) -> Result<RefundStanding, Fault> {
        let path = format!("/payments/{}/refunds/{}", refund.payment.id, refund.key());
        refunded(&self.get(&path).await?)
    }

    pub(super) async fn list(&self, after: Option<&str>) -> Result<Listing, Fault> {
        let mut parameters = vec![("limit", PAGE)];
        parameters.extend(after.map(|after| ("after", after)));
        let request = self.wire.query("/payments", &parameters);
        let answer = self.wire.send(request.bearer_auth(self.secret.expose_secret())).await?;
        if !answer.status.is_success() {
            return Err(answer.unexpected());
        }
        let page: Page = answer.json()?;
        let listed = |line: Line| Listed {
            payment_id: line.payment_id,
            charged: line.charged,
            refunded: line.refunded,
        };
        Ok(Listing {
            payments: page.payments.into_iter().map(listed).collect(),
            next: page.next.map(|next| next.to_string()),
        })
    }

    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Notice, WebhookRefusal> {
        let header = headers.get("sandbox-signature");
        let event: Event = signature::read(&self.secret, header, body, now)?;
        Ok(Notice { payment_id: Some(event.payment_id) })
    }
}

fn seen(payment: &CardPayment, answer: &Answer) -> Result<Seen, Fault> {
    let standing = match answer.status {
        StatusCode::NOT_FOUND => Standing::Unknown,
        status if status.is_success() => standing(payment, answer.json()?)?,
        _ => return Err(answer.unexpected()),
    };
    Ok(Seen { reference: None, standing })
}

fn standing(payment: &CardPayment, told: Told) -> Result<Standing, Fault> {
    Ok(match told.status.as_str() {
        "pending" => Standing::Pending,
        "action" => Standing::Action(Action {
            redirect_url: told.redirect_url,
            client_secret: None,
            expires_at: told.expires_at,
        }),
        "charged" if told.amount == Some(payment.amount) => Standing::Charged,
        "charged" => return Err(nonsense("it charged another amount")),
        "declined" => {
            let code = word(told.code.as_deref());
            let why = match code.as_str() {
                "challenge_failed" => Decline::ActionFailed,
                "challenge_expired" => Decline::ActionExpired,
                "token_unknown" => Decline::CardInvalid,
                "called_off" => Decline::CalledOff,
                _ => Decline::CardDeclined,
            };
            Standing::Declined { why, code }
        }
        _ => return Err(nonsense("it told a state that is not known")),
    })
}

fn refunded(answer: &Answer) -> Result<RefundStanding, Fault> {
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(RefundStanding::Unknown);
    }
    // A refund that is refused says why; one that is asked for wrongly does not.
    if !answer.status.is_success() && answer.status != StatusCode::CONFLICT {
        return Err(answer.unexpected());
    }
    let told: Told = answer.json()?;
    Ok(match told.status.as_str() {
        "pending" => RefundStanding::Pending,
        "done" => RefundStanding::Done,
        "failed" => RefundStanding::Failed { code: word(told.code.as_deref()) },
        _ => return Err(nonsense("it told a state that is not known")),
    })
}
