//! The card gateway: the seam through which money moves that is not ours, and what stands behind it.
//!
//! A gateway is asked outside of every transaction. Our payment's id is its idempotency key, so that asking twice moves
//! money once; and whatever was lost on the way is found out by looking. Nothing here knows a reservation or a wallet.

mod return_url;
mod rules;
mod sandbox;
mod settings;
mod signature;
mod stripe;
mod wire;

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

pub use reqwest::header::HeaderMap;
pub use return_url::ReturnOrigins;
pub use rules::{Action, Notice, WebhookRefusal};
pub use rules::{
    CardPayment, CardRefund, Decline, Listed, Listing, RefundStanding, Seen, Standing,
};
pub use settings::{Currency, GatewayAddress, GatewayName, GatewaySettings, Provider};
pub use signature::{TOLERANCE, sign};
pub use wire::client;

use crate::{
    kernel::{Fault, FaultKind},
    telemetry::{GatewayLabels, GatewayVerbLabels, Metrics, Step},
    turns::deadline::at_most,
};
use sandbox::Sandbox;
use stripe::Stripe;

/// Of a request's time, this much is kept for writing down what the gateway said.
const RECORDING: Duration = Duration::from_millis(500);

/// The card of one attempt to pay.
#[derive(Clone, Copy)]
pub struct Card<'a> {
    /// What the gateway gave the page for the card. It is never the card's number.
    pub token: &'a str,
    /// Where the buyer's browser comes back to after the bank's challenge.
    pub return_url: Option<&'a str>,
}

/// The token can be charged, so it is shown nowhere.
impl fmt::Debug for Card<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card").finish_non_exhaustive()
    }
}

/// The gateway of this shop, or none; cheap to clone.
///
/// Every verb ends within [`GatewaySettings::timeout`], and in time for its request to write the answer down. A [`Fault`]
/// says whether anything can have happened: [`FaultKind::Unavailable`], surely nothing; [`FaultKind::Unanswered`], perhaps,
/// and [`CardGateway::look`] tells; [`FaultKind::Internal`], nothing, and a person has to look (a wrong key, an answer that
/// makes no sense). A card that is refused is no fault but [`Standing::Declined`].
#[derive(Debug, Clone)]
pub struct CardGateway {
    kind: Kind,
    publishable_key: Option<String>,
    timeout: Duration,
    metrics: Metrics,
}

#[derive(Debug, Clone)]
enum Kind {
    None,
    Sandbox(Sandbox),
    Stripe(Stripe),
}

impl CardGateway {
    /// The gateway that was set. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(settings: &GatewaySettings, metrics: Metrics) -> Result<Self, Fault> {
        let (kind, publishable_key) = match &settings.provider {
            Provider::None => (Kind::None, None),
            Provider::Sandbox { url, secret } => {
                (Kind::Sandbox(Sandbox::new(url, secret, settings.currency.clone())?), None)
            }
            Provider::Stripe { url, secret_key, webhook_secret, publishable_key } => {
                let stripe =
                    Stripe::new(url, secret_key, webhook_secret, settings.currency.clone())?;
                (Kind::Stripe(stripe), publishable_key.clone())
            }
        };
        Ok(Self { kind, publishable_key, timeout: settings.timeout, metrics })
    }

    /// Its name; `None` where cards are not taken.
    pub const fn name(&self) -> Option<GatewayName> {
        match self.kind {
            Kind::None => None,
            Kind::Sandbox(_) => Some(GatewayName::Sandbox),
            Kind::Stripe(_) => Some(GatewayName::Stripe),
        }
    }

    /// How long one of its verbs takes at most.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What the page needs to speak to the gateway by itself, where it does.
    pub fn publishable_key(&self) -> Option<&str> {
        self.publishable_key.as_deref()
    }

    /// Asks for the money. Safe to repeat with the same payment and card: at most one charge follows.
    ///
    /// # Errors
    /// A [`Fault`], as [`CardGateway`] explains.
    pub async fn begin(&self, payment: &CardPayment, card: Card<'_>) -> Result<Seen, Fault> {
        self.timed("begin", async {
            match &self.kind {
                Kind::None => none(),
                Kind::Sandbox(sandbox) => sandbox.begin(payment, card).await,
                Kind::Stripe(stripe) => stripe.begin(payment, card).await,
            }
        })
        .await
    }

    /// Goes on after the buyer has done what was asked of them. `result` is what the gateway's window gave to the page: some
    /// gateways charge only with it, these two need nothing of it and look. Safe to repeat.
    ///
    /// # Errors
    /// A [`Fault`], as [`CardGateway`] explains.
    pub async fn advance(
        &self,
        payment: &CardPayment,
        result: Option<&str>,
    ) -> Result<Seen, Fault> {
        let _ = result;
        self.timed("advance", self.seen(payment)).await
    }

    /// How a payment stands. Changes nothing, except that a decline is made final before it is told.
    ///
    /// # Errors
    /// A [`Fault`], as [`CardGateway`] explains.
    pub async fn look(&self, payment: &CardPayment) -> Result<Seen, Fault> {
        self.timed("look", self.seen(payment)).await
    }

    async fn seen(&self, payment: &CardPayment) -> Result<Seen, Fault> {
        match &self.kind {
            Kind::None => none(),
            Kind::Sandbox(sandbox) => sandbox.look(payment).await,
            Kind::Stripe(stripe) => stripe.look(payment).await,
        }
    }

    /// Calls a payment off, so that a [`CardGateway::begin`] that is still on its way charges nothing any more. What it
    /// answers is how the payment stands now: [`Standing::Charged`] when it came too late, [`Standing::Pending`] while the
    /// bank decides and nobody can call it off. Safe to repeat.
    ///
    /// # Errors
    /// A [`Fault`], as [`CardGateway`] explains.
    pub async fn call_off(&self, payment: &CardPayment) -> Result<Seen, Fault> {
        self.timed("call_off", async {
            match &self.kind {
                Kind::None => none(),
                Kind::Sandbox(sandbox) => sandbox.call_off(payment).await,
                Kind::Stripe(stripe) => stripe.call_off(payment).await,
            }
        })
        .await
    }

    /// Gives money back. The refund's id and its attempt together are the idempotency key: repeat the same attempt when no
    /// answer came, and count up only when the attempt has FAILED. No gateway gives back more than was charged.
    ///
    /// # Errors
    /// A [`Fault`], as [`CardGateway`] explains; [`CardGateway::look_at_refund`] tells.
    pub async fn refund(&self, refund: &CardRefund) -> Result<RefundStanding, Fault> {
        self.timed("refund", async {
            match &self.kind {
                Kind::None => none(),
                Kind::Sandbox(sandbox) => sandbox.refund(refund).await,
                Kind::Stripe(stripe) => stripe.refund(refund).await,
            }
        })
        .await
    }

    /// How an attempt to refund stands.
    ///
    /// # Errors
    /// A [`Fault`], as [`CardGateway`] explains.
    pub async fn look_at_refund(&self, refund: &CardRefund) -> Result<RefundStanding, Fault> {
        self.timed("look_at_refund", async {
            match &self.kind {
                Kind::None => none(),
                Kind::Sandbox(sandbox) => sandbox.look_at_refund(refund).await,
                Kind::Stripe(stripe) => stripe.look_at_refund(refund).await,
            }
        })
        .await
    }

    /// What the gateway says that it did for us, page by page; `after` is the cursor of the page before. The order is the
    /// gateway's.
    ///
    /// # Errors
    /// A [`Fault`], as [`CardGateway`] explains.
    pub async fn list(&self, after: Option<&str>) -> Result<Listing, Fault> {
        self.timed("list", async {
            match &self.kind {
                Kind::None => none(),
                Kind::Sandbox(sandbox) => sandbox.list(after).await,
                Kind::Stripe(stripe) => stripe.list(after).await,
            }
        })
        .await
    }

    /// Whether a webhook is the gateway's, over the raw body as it came, and which payment it is about. It proves no more
    /// than that: what has happened is found out by looking. `now` is this process's clock, which decides about the age of a
    /// message and nothing else.
    ///
    /// # Errors
    /// [`WebhookRefusal`]. Without a gateway every message is foreign.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Notice, WebhookRefusal> {
        match &self.kind {
            Kind::None => Err(WebhookRefusal::Unsigned),
            Kind::Sandbox(sandbox) => sandbox.verify(headers, body, now),
            Kind::Stripe(stripe) => stripe.verify(headers, body, now),
        }
    }

    /// Bounds a verb, and counts it.
    async fn timed<T>(
        &self,
        verb: &'static str,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let began = Instant::now();
        let step = Step::gateway(verb);
        let limit = at_most(self.timeout + RECORDING).saturating_sub(RECORDING);
        let result = if limit.is_zero() {
            Err(Fault::unavailable("no time is left to ask the card gateway"))
        } else {
            step.run(tokio::time::timeout(limit, work)).await.unwrap_or_else(|_| {
                Err(Fault::alike(FaultKind::Unanswered, "the card gateway did not answer in time"))
            })
        };
        let outcome = match result.as_ref().map_err(Fault::kind) {
            Ok(_) => "ok",
            Err(FaultKind::Unavailable) => "unavailable",
            Err(FaultKind::Unanswered) => "unanswered",
            Err(FaultKind::Internal | FaultKind::CallerGone | FaultKind::TooOften { .. }) => {
                "fault"
            }
        };
        if outcome != "ok" {
            step.failed(|| outcome.to_owned());
        }
        self.metrics.gateway_calls.get_or_create(&GatewayLabels { verb, outcome }).inc();
        let seconds = began.elapsed().as_secs_f64();
        self.metrics.gateway_seconds.get_or_create(&GatewayVerbLabels { verb }).observe(seconds);
        result
    }
}

fn none<T>() -> Result<T, Fault> {
    Err(Fault::unavailable("no card gateway is set"))
}
