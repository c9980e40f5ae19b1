//! Which gateway, and how it is reached.

use std::{fmt, str::FromStr, time::Duration};

use reqwest::Url;
use secrecy::SecretString;

use crate::kernel::{Address, AddressFault, text_enum};

text_enum! {
    /// A gateway that there is a client for; what stands in `/webhooks/<name>` and in `Query.cardGateway`.
    pub enum GatewayName {
        /// `frontrow sandbox-gateway`, where no money moves.
        Sandbox = "sandbox",
        /// Stripe.
        Stripe = "stripe",
    }
}

/// Which gateway, and how it is reached.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// The gateway, with what it takes to ask it.
    pub provider: Provider,
    /// What a point is a unit of.
    pub currency: Currency,
    /// How long one verb may take, whatever calls it makes.
    pub timeout: Duration,
}

/// The gateway that takes cards, if one does.
#[derive(Debug, Clone)]
pub enum Provider {
    /// Cards are not taken.
    None,
    /// The sandbox.
    Sandbox {
        /// Where it listens.
        url: GatewayAddress,
        /// Shared with it, for calls and for webhooks.
        secret: SecretString,
    },
    /// Stripe.
    Stripe {
        /// Where its API is.
        url: GatewayAddress,
        /// Signs us in.
        secret_key: SecretString,
        /// What its webhooks are signed with.
        webhook_secret: SecretString,
        /// What the page speaks to Stripe with; public.
        publishable_key: Option<String>,
    },
}

impl Provider {
    /// Where it is, for operators: an address without user, password and path. `None` without a gateway.
    pub fn place(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Sandbox { url, .. } | Self::Stripe { url, .. } => {
                Some(url.url().as_str().trim_end_matches('/'))
            }
        }
    }
}

/// A currency's code of three letters, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency(String);

impl Currency {
    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Currency {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 3 && text.bytes().all(|letter| letter.is_ascii_alphabetic()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("a currency is a code of three letters, such as krw")
        }
    }
}

/// Where a gateway is: `https://host` or `http://host:port`, without user, password, path or parameters. In the clear only
/// to this machine or a private network: the secret travels along.
#[derive(Clone, PartialEq, Eq)]
pub struct GatewayAddress(Url);

impl GatewayAddress {
    /// The address.
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for GatewayAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault =
            |fault: AddressFault| format!("{}; it is written http://host:port", fault.words());
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        Address::parse(trimmed, &["http", "https"], &[]).map_err(fault)?;
        let rest = trimmed.split_once("://").map_or("", |(_, rest)| rest);
        if rest.contains('@') {
            return Err("it has a user, and needs none; it is written http://host:port".to_owned());
        }
        if rest.is_empty() || rest.contains(['/', '?']) {
            return Err(
                "it has more or less than a host and a port; it is written http://host:port"
                    .to_owned(),
            );
        }
        Url::parse(trimmed).map(Self).map_err(|_| fault(AddressFault::Host))
    }
}

/// It is read so that it has no password.
impl fmt::Debug for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in [
            "http://127.0.0.1:8030",
            "http://localhost:8030/",
            "http://[::1]:8030",
            "https://api.stripe.com",
        ] {
            let read: GatewayAddress = good.parse().unwrap();
            assert_eq!(read.url().as_str().trim_end_matches('/'), good.trim_end_matches('/'));
        }
        for bad in [
            "",
            "http://",
            "http:///",
            "127.0.0.1:8030",
            "ftp://h",
            "http://user:S3cr3t@h:1",
            "http://S3cr3t@h",
            "http://h/S3cr3t",
            "http://h/?key=S3cr3t",
            "http://h?S3cr3t",
            "http://h:port",
            "http://h:0",
            "http://h#S3cr3t",
            "http://a b",
            "http://h:1/v1/",
        ] {
            let told = bad.parse::<GatewayAddress>().unwrap_err();
            assert!(!told.contains("S3cr3t"), "{bad}: {told}");
        }
    }

    #[test]
    fn a_currency_is_three_letters() {
        assert_eq!("KRW".parse(), Ok(Currency("krw".to_owned())));
        for bad in ["", "kr", "krwx", "k w", "원"] {
            assert!(bad.parse::<Currency>().is_err(), "{bad}");
        }
    }
}
