//! Those who are asked about money and people: the card gateway, and an identity provider.

use super::finding::Finding;
use crate::{
    account,
    app::{GatewayArgs, ProviderArgs},
    gateway::{CardGateway, CardPayment},
    kernel::{PaymentId, Points},
    tasks::Tasks,
    telemetry::Metrics,
};

/// Asks the gateway for a payment that there is none of: that it answers, and knows our secret, is all that counts.
pub(super) async fn look(args: &GatewayArgs) -> Vec<Finding> {
    let settings = args.settings();
    let Some(place) = settings.provider.place() else {
        return Vec::new();
    };
    let gateway = match CardGateway::new(&settings, Metrics::new()) {
        Ok(gateway) => gateway,
        Err(fault) => {
            return vec![Finding::wrong(
                "cards",
                fault.report().to_string(),
                "no card can be charged",
                "install ca-certificates",
            )];
        }
    };
    let nobodys = CardPayment { id: PaymentId::new(), amount: Points::ZERO, reference: None };
    let found = match gateway.look(&nobodys).await {
        Ok(_) => Finding::ok(
            "cards",
            format!("The card gateway at {place} answers, and knows our secret"),
        ),
        Err(fault) => {
            let words = fault.report().to_string();
            let words =
                words.strip_prefix("asking the card gateway: ").unwrap_or(&words).to_owned();
            let why = "payments by card stay PENDING, or are refused";
            let refused = words == "it refuses our secret";
            let what = format!("The card gateway at {place} was asked, and {words}");
            if refused {
                Finding::wrong("cards", what, why, "correct its secret key")
            } else {
                Finding::unknown("cards", what, why, "see that this machine reaches it")
            }
        }
    };
    vec![found]
}

/// Fetches the keys of an identity provider, where there is one.
pub(super) async fn look_at_provider(args: &ProviderArgs) -> Vec<Finding> {
    let Some(settings) = args.settings() else {
        return Vec::new();
    };
    let why = "nobody who signs in there gets in here";
    let found = match account::count_keys(&settings, Tasks::default()).await {
        Ok(0) => Finding::wrong(
            "sign-in",
            "The identity provider publishes no key that can be used",
            why,
            "have it sign with RS256 or ES256, or correct FRONTROW_OIDC_JWKS_URL",
        ),
        Ok(keys) => Finding::ok(
            "sign-in",
            format!("The identity provider publishes {keys} keys that can be used"),
        ),
        Err(fault) => Finding::unknown(
            "sign-in",
            format!("The identity provider's keys could not be fetched ({})", fault.report()),
            why,
            "see that this machine reaches FRONTROW_OIDC_JWKS_URL",
        ),
    };
    vec![found]
}
