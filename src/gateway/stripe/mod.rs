//! Stripe's client: PaymentIntents, refunds and webhooks, in a few calls of our own.
//!
//! An intent is made first, which moves no money, and confirmed then. It is made under our payment's id and nothing else, so
//! making it again finds it again: that is how a payment is looked at whose first answer was lost, and how one is called off
//! that may still be on its way (docs/adr/0022).

mod objects;

use std::time::SystemTime;

use objects::{Event, Intent, Intents, Page, Problem, Refund};
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::{
    Card, CardPayment, CardRefund, Currency, Decline, GatewayAddress, Listing, Notice,
    RefundStanding, Seen, Standing, WebhookRefusal,
    rules::word,
    signature,
    wire::{Answer, Wire, nonsense, unanswered},
};
use crate::kernel::Fault;

/// The version of the API that these words are of; an account's own may be another.
const API_VERSION: &str = "2024-06-20";
/// Objects asked for at once; Stripe gives no more.
const PAGE: &str = "100";

/// What making an intent came to.
enum Made {
    /// It was made before. This is how it was then.
    Before(Intent),
    /// It is new.
    New(Intent),
    /// It takes no such amount, and no money can move.
    Refused(Decline, String),
    /// Stripe failed at it, and repeats that for as long as it remembers the key: no intent of this payment has a name that
    /// anybody knows, so none can be confirmed.
    Never,
}

#[derive(Debug, Clone)]
pub(super) struct Stripe {
    wire: Wire,
    secret_key: SecretString,
    webhook_secret: SecretString,
    currency: Currency,
}

impl Stripe {
    pub(super) fn new(
        url: &GatewayAddress,
        secret_key: &SecretString,
        webhook_secret: &SecretString,
        currency: Currency,
    ) -> Result<Self, Fault> {
        Ok(Self {
            wire: Wire::new(url, false)?,
            secret_key: secret_key.clone(),
            webhook_secret: webhook_secret.clone(),
            currency,
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, Fault> {
        let request = request.header("stripe-version", API_VERSION);
        self.wire.send(request.bearer_auth(self.secret_key.expose_secret())).await
    }

    async fn post(&self, path: &str, key: &str, form: &[(&str, &str)]) -> Result<Answer, Fault> {
        let request = self.wire.request(Method::POST, path).form(form);
        self.send(request.header("idempotency-key", key)).await
    }

    pub(super) async fn begin(&self, payment: &CardPayment, card: Card<'_>) -> Result<Seen, Fault> {
        let id = match &payment.reference {
            Some(id) => id.clone(),
            None => match self.made(payment).await? {
                Made::Refused(why, code) => {
                    return Ok(Seen {
                        reference: None,
                        standing: Standing::Declined { why, code },
                    });
                }
                Made::Before(intent) | Made::New(intent) => intent.id,
                Made::Never => return Err(nonsense("it failed to make the payment")),
            },
        };
        let mut form = card_fields(card.token);
        form.extend(card.return_url.map(|url| ("return_url", url)));
        let path = intent_path(&id, "/confirm")?;
        let answer = self.post(&path, &format!("{}:confirm", payment.id), &form).await?;
        if answer.status.is_success() {
            return self.final_of(payment, answer.json()?).await;
        }
        if answer.status.is_server_error() {
            let intent = self.retrieved(&id).await?;
            return self.final_of(payment, intent).await;
        }
        let problem = Problem::of(&answer)?;
        if problem.is_busy(answer.status) {
            return Err(unanswered("it is at the same request"));
        }
        // It has an opinion of the card, or the intent has gone on without us: the intent tells which, and is ended where
        // nothing can come of it any more.
        let intent = self.retrieved(&id).await?;
        match self.final_of(payment, intent).await? {
            Seen { standing: Standing::Unknown, .. } => match problem.decline() {
                Some((why, code)) => self.ended(payment, &id, Some((why, code))).await,
                None => Err(nonsense(&format!("it refuses the payment: {}", problem.word()))),
            },
            seen => Ok(seen),
        }
    }

    pub(super) async fn look(&self, payment: &CardPayment) -> Result<Seen, Fault> {
        match self.found(payment).await? {
            Some(intent) => self.final_of(payment, intent).await,
            None => Ok(Seen { reference: None, standing: Standing::Unknown }),
        }
    }

    pub(super) async fn call_off(&self, payment: &CardPayment) -> Result<Seen, Fault> {
        let Some(intent) = self.found(payment).await? else {
            let standing =
                Standing::Declined { why: Decline::CalledOff, code: "never_made".to_owned() };
            return Ok(Seen { reference: None, standing });
        };
        match intent.standing(payment.amount, &self.currency)? {
            Standing::Unknown | Standing::Action(_) => self.ended(payment, &intent.id, None).await,
            _ => self.final_of(payment, intent).await,
        }
    }

    /// The intent of a payment, by Stripe's name for it or by ours.
    async fn found(&self, payment: &CardPayment) -> Result<Option<Intent>, Fault> {
        if let Some(id) = &payment.reference {
            return self.retrieved(id).await.map(Some);
        }
        let known = match self.made(payment).await? {
            // What is repeated is the first answer, and things may have happened since.
            Made::Before(intent) => Some(self.retrieved(&intent.id).await?),
            Made::New(intent) => Some(intent),
            Made::Refused(..) | Made::Never => None,
        };
        if known.as_ref().is_some_and(Intent::was_confirmed) {
            return Ok(known);
        }
        // Stripe forgets keys after a day, and then the key is that of a new intent which nobody confirms. What is so old,
        // its search knows, which is late by a minute.
        let query = format!("metadata['payment_id']:'{}'", payment.id);
        let request = self.wire.query("/v1/payment_intents/search", &[("query", &query)]);
        let page: Page<Intent> = self.right(request).await?;
        match page.data.iter().find(|intent| intent.was_confirmed()) {
            Some(older) => self.retrieved(&older.id).await.map(Some),
            None => Ok(known),
        }
    }

    /// Makes the intent, or finds it when it was made before. No money moves.
    async fn made(&self, payment: &CardPayment) -> Result<Made, Fault> {
        let (amount, id) = (payment.amount.get().to_string(), payment.id.to_string());
        let form = [
            ("amount", amount.as_str()),
            ("currency", self.currency.as_str()),
            ("payment_method_types[]", "card"),
            ("metadata[payment_id]", &id),
        ];
        let answer = self.post("/v1/payment_intents", &id, &form).await?;
        if answer.status.is_success() {
            let intent = answer.json()?;
            return Ok(if answer.replayed { Made::Before(intent) } else { Made::New(intent) });
        }
        if answer.status.is_server_error() {
            return Ok(Made::Never);
        }
        match Problem::of(&answer)?.decline() {
            Some((why, code)) => Ok(Made::Refused(why, code)),
            None => Err(refusal(&answer)),
        }
    }

    async fn retrieved(&self, id: &str) -> Result<Intent, Fault> {
        let request = self.wire.request(Method::GET, &intent_path(id, "")?);
        self.right(request).await
    }

    /// An answer that can only be right.
    async fn right<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Fault> {
        let answer = self.send(request).await?;
        if answer.status.is_success() { answer.json() } else { Err(refusal(&answer)) }
    }

    /// How an intent stands. Of one that was declined the page could still try another card, behind our back: it is
    /// cancelled before the decline is told.
    async fn final_of(&self, payment: &CardPayment, intent: Intent) -> Result<Seen, Fault> {
        let standing = intent.standing(payment.amount, &self.currency)?;
        match standing {
            Standing::Declined { why, code } if !intent.is_over() => {
                self.ended(payment, &intent.id, Some((why, code))).await
            }
            standing => Ok(Seen { reference: Some(intent.id), standing }),
        }
    }

    /// Cancels an intent, and tells how it stands then: somebody may have been faster.
    async fn ended(
        &self,
        payment: &CardPayment,
        id: &str,
        because: Option<(Decline, String)>,
    ) -> Result<Seen, Fault> {
        let request = self.wire.request(Method::POST, &intent_path(id, "/cancel")?);
        let answer = self.send(request).await?;
        let intent: Intent = if answer.status.is_success() {
            answer.json()?
        } else if answer.status == StatusCode::BAD_REQUEST {
            self.retrieved(id).await?
        } else {
            return Err(refusal(&answer));
        };
        let standing = match (intent.standing(payment.amount, &self.currency)?, because) {
            (Standing::Declined { why: Decline::CalledOff, .. }, Some((why, code))) => {
                Standing::Declined { why, code }
            }
            (standing, _) => standing,
        };
        if matches!(standing, Standing::Declined { .. }) && !intent.is_over() {
            return Err(nonsense("it does not let go of a payment"));
        }
        Ok(Seen { reference: Some(intent.id), standing })
    }

    pub(super) async fn refund(&self, refund: &CardRefund) -> Result<RefundStanding, Fault> {
        let id = self.reference(&refund.payment).await?;
        let (amount, key) = (refund.amount.get().to_string(), refund.key());
        let payment_id = refund.payment.id.to_string();
        let form = [
            ("payment_intent", id.as_str()),
            ("amount", &amount),
            ("metadata[payment_id]", &payment_id),
            ("metadata[refund_id]", &key),
        ];
        let answer = self.post("/v1/refunds", &key, &form).await?;
        if answer.status.is_success() {
            let made: Refund = answer.json()?;
            return made.standing();
        }
        if answer.status.is_server_error() {
            // It repeats a failure of its own, after which the refund may be there all the same.
            let code = answer.status.as_u16().to_string();
            return Ok(match self.look_at_refund(refund).await? {
                RefundStanding::Unknown => RefundStanding::Failed { code },
                standing => standing,
            });
        }
        let problem = Problem::of(&answer)?;
        if problem.is_busy(answer.status) {
            return Err(unanswered("it is at the same request"));
        }
        if problem.says("charge_already_refunded") {
            return Ok(RefundStanding::Done);
        }
        Ok(RefundStanding::Failed { code: problem.word() })
    }

    pub(super) async fn look_at_refund(
        &self,
        refund: &CardRefund,
    ) -> Result<RefundStanding, Fault> {
        let id = self.reference(&refund.payment).await?;
        let parameters = [("payment_intent", id.as_str()), ("limit", PAGE)];
        let page: Page<Refund> = self.right(self.wire.query("/v1/refunds", &parameters)).await?;
        let key = refund.key();
        let of_ours = |made: &&Refund| made.metadata.refund_id.as_deref() == Some(&key);
        page.data.iter().find(of_ours).map_or(Ok(RefundStanding::Unknown), Refund::standing)
    }

    async fn reference(&self, payment: &CardPayment) -> Result<String, Fault> {
        match &payment.reference {
            Some(id) => Ok(id.clone()),
            None => match self.found(payment).await? {
                Some(intent) => Ok(intent.id),
                None => Err(nonsense("a payment is to be refunded that it does not know")),
            },
        }
    }

    pub(super) async fn list(&self, after: Option<&str>) -> Result<Listing, Fault> {
        let mut parameters = vec![("limit", PAGE), ("expand[]", "data.latest_charge")];
        parameters.extend(after.map(|after| ("starting_after", after)));
        let page: Intents = self.right(self.wire.query("/v1/payment_intents", &parameters)).await?;
        let next = page.data.last().filter(|_| page.has_more).map(|intent| intent.id.clone());
        let listed = |intent: &Intent| intent.listed();
        Ok(Listing { payments: page.data.iter().filter_map(listed).collect(), next })
    }

    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Notice, WebhookRefusal> {
        let header = headers.get("stripe-signature");
        let event: Event = signature::read(&self.webhook_secret, header, body, now)?;
        Ok(Notice { payment_id: event.payment_id() })
    }
}

/// How a card is named: the page has a method, a confirmation token, or a token of the older kind.
fn card_fields(token: &str) -> Vec<(&str, &str)> {
    if token.starts_with("ctoken_") {
        vec![("confirmation_token", token)]
    } else if token.starts_with("tok_") {
        vec![("payment_method_data[type]", "card"), ("payment_method_data[card][token]", token)]
    } else {
        vec![("payment_method", token)]
    }
}

/// The path of an intent. A name that is none could lead to another path.
fn intent_path(id: &str, verb: &str) -> Result<String, Fault> {
    if id.is_empty() || word(Some(id)) != id || id.contains('.') {
        return Err(nonsense("a payment has a name that cannot be Stripe's"));
    }
    Ok(format!("/v1/payment_intents/{id}{verb}"))
}

/// An answer that should not have come, with the word for it.
fn refusal(answer: &Answer) -> Fault {
    match Problem::of(answer) {
        Ok(problem) if problem.is_busy(answer.status) => unanswered("it is at the same request"),
        Ok(problem) => {
            nonsense(&format!("it answered {}: {}", answer.status.as_u16(), problem.word()))
        }
        Err(_) => answer.unexpected(),
    }
}
