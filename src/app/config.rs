//! Every knob of the server: the only place that reads the environment, and what `frontrow serve --help` prints.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use clap::{ArgAction, Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

use super::{DocumentArgs, Networks, Origins, TraceArgs};
use crate::{
    account::{AttemptSettings, KeysAddress, Lifetimes, ProviderSettings, SECRET_BYTES_MIN},
    db::DbSettings,
    gateway::{Currency, GatewayAddress, GatewaySettings, Provider, ReturnOrigins},
    kv::KvSettings,
    payment::CardSettings,
    reservation::HoldTerms,
    telemetry::{LogFormat, log_filter},
};

/// How to reach Postgres; all commands need this.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// Postgres, the truth: `postgres://user:password@host:port/database`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = hidden)]
    pub database_url: SecretString,
    /// Connections to Postgres for requests at most; 4 per core and at least 8 when left out. Half as many again serve
    /// payments, 6 the lanes in which holds, payments and charges share statements, and 5 what runs by itself.
    #[arg(long, env = "FRONTROW_DATABASE_POOL", value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_pool: Option<u32>,
    /// How long a request waits for a connection while none comes back, in milliseconds; then it is told to come back. Behind
    /// other requests of the same person it waits a fifth of that.
    #[arg(long, env = "FRONTROW_PATIENCE_MS", default_value_t = 1000,
          value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub patience_ms: u64,
}

impl DatabaseArgs {
    /// The settings of the pool.
    pub fn settings(&self) -> DbSettings {
        let cores = std::thread::available_parallelism()
            .map_or(2, |cores| u32::try_from(cores.get()).unwrap_or(64));
        let pool_size = self.database_pool.unwrap_or_else(|| cores.saturating_mul(4).max(8));
        let url = self.database_url.expose_secret().to_owned();
        DbSettings { url, pool_size, patience: self.patience() }
    }

    /// How long a request waits in a line that stands still.
    pub const fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }
}

/// What signs sessions and queue tokens.
#[derive(Debug, Clone, Args)]
pub struct SecretArgs {
    /// Signs sessions and queue tokens; at least 32 bytes, the same on every instance.
    #[arg(long, env = "FRONTROW_JWT_SECRET", hide_env_values = true, value_parser = secret)]
    pub jwt_secret: SecretString,
    /// The secret before the last rotation; what it signed is still accepted.
    #[arg(long, env = "FRONTROW_JWT_SECRET_PREVIOUS", hide_env_values = true, value_parser = secret)]
    pub jwt_secret_previous: Option<SecretString>,
    /// The secret after the next rotation; what it signs is accepted already, so that instances may be restarted one by one.
    #[arg(long, env = "FRONTROW_JWT_SECRET_NEXT", hide_env_values = true, value_parser = secret)]
    pub jwt_secret_next: Option<SecretString>,
    /// How long an access token lives, in seconds; a session goes on by its refresh token.
    #[arg(long, env = "FRONTROW_SESSION_SECONDS", default_value_t = 3600,
          value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub session_seconds: u64,
    /// How long a refresh token lives that nobody uses, in seconds; then its session is over.
    #[arg(long, env = "FRONTROW_REFRESH_SECONDS", default_value_t = 2_592_000,
          value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub refresh_seconds: u64,
    /// How long a session lives in all, in seconds, however often it is refreshed; then its person logs in again.
    #[arg(long, env = "FRONTROW_SESSION_MAX_SECONDS", default_value_t = 7_776_000,
          value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub session_max_seconds: u64,
}

impl SecretArgs {
    /// How long sessions and their tokens live.
    pub const fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            refresh: Duration::from_secs(self.refresh_seconds),
            session: Duration::from_secs(self.session_max_seconds),
        }
    }

    /// How long an access token lives.
    pub const fn session_lifetime(&self) -> Duration {
        Duration::from_secs(self.session_seconds)
    }
}

/// The identity provider whose access tokens are taken as sessions, besides those of people with a password here.
#[derive(Debug, Clone, Args)]
pub struct ProviderArgs {
    /// An identity provider's name for itself, the claim `iss` of its tokens. With it, access tokens of the provider are sessions here.
    #[arg(long, env = "FRONTROW_OIDC_ISSUER", requires_all = ["oidc_audience", "oidc_jwks_url"])]
    pub oidc_issuer: Option<String>,
    /// What has to stand in `aud`: the provider's name for this API.
    #[arg(long, env = "FRONTROW_OIDC_AUDIENCE", requires = "oidc_issuer")]
    pub oidc_audience: Option<String>,
    /// Where the provider publishes its keys (RS256 and ES256): `https://id.example/.well-known/jwks.json`.
    #[arg(long, env = "FRONTROW_OIDC_JWKS_URL", requires = "oidc_issuer")]
    pub oidc_jwks_url: Option<KeysAddress>,
    /// The claim that holds a role or a list of roles; inside of others with slashes: `realm_access/roles`. When left out, everybody
    /// who comes from the provider is a fan.
    #[arg(long, env = "FRONTROW_OIDC_ROLE_CLAIM", requires = "oidc_issuer")]
    pub oidc_role_claim: Option<String>,
    /// What stands there for organizers.
    #[arg(long, env = "FRONTROW_OIDC_ORGANIZER_ROLE", default_value = "organizer")]
    pub oidc_organizer_role: String,
}

impl ProviderArgs {
    /// The settings of the provider, where there is one.
    pub fn settings(&self) -> Option<ProviderSettings> {
        // What it needs is there, or the command line was refused.
        Some(ProviderSettings {
            issuer: self.oidc_issuer.clone()?,
            audience: self.oidc_audience.clone()?,
            jwks_url: self.oidc_jwks_url.clone()?,
            role_claim: self.oidc_role_claim.clone(),
            organizer_role: self.oidc_organizer_role.clone(),
        })
    }
}

/// A text that holds a password: it is shown nowhere, and read by whoever uses it. An address has no line end; what it was taken from
/// may have had one.
fn hidden(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}

pub(crate) fn secret(text: &str) -> Result<SecretString, String> {
    let secret = SecretString::from(text);
    if secret.expose_secret().len() < SECRET_BYTES_MIN {
        return Err(format!(
            "a secret needs at least {SECRET_BYTES_MIN} bytes; `openssl rand -hex 32` makes a good one"
        ));
    }
    Ok(secret)
}

/// A secret that somebody else chose, of whatever length.
pub(crate) fn some_secret(text: &str) -> Result<SecretString, &'static str> {
    if text.is_empty() { Err("it is empty") } else { Ok(SecretString::from(text)) }
}

/// Which card gateway there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GatewayChoice {
    /// Cards are not taken.
    None,
    /// `frontrow sandbox-gateway`, where no money moves.
    Sandbox,
    /// Stripe.
    Stripe,
}

/// How cards are charged.
#[derive(Debug, Clone, Args)]
pub struct GatewayArgs {
    /// Whose card gateway is used.
    #[arg(long, env = "FRONTROW_CARD_GATEWAY", default_value = "none")]
    pub card_gateway: GatewayChoice,
    /// What a point is one of, as a code of three letters: the currency's smallest unit.
    #[arg(long, env = "FRONTROW_CURRENCY", default_value = "krw")]
    pub currency: Currency,
    /// How long the card gateway may take, in milliseconds, before a payment goes on without its answer; less than
    /// FRONTROW_REQUEST_MS.
    #[arg(long, env = "FRONTROW_GATEWAY_TIMEOUT_MS", default_value_t = 4000,
          value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub gateway_timeout_ms: u64,
    /// How long a buyer has for what the card's bank wants of them, in seconds; then the payment is called off. Their seats are
    /// kept meanwhile.
    #[arg(long, env = "FRONTROW_CARD_ACTION_SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub card_action_seconds: u32,
    /// Origins that a buyer's browser may be sent back to, separated by commas: `https://shop.example`. When left out, those of
    /// FRONTROW_ALLOWED_ORIGINS, and this server's own where it listens on a loopback address.
    #[arg(long, env = "FRONTROW_RETURN_ORIGINS")]
    pub return_origins: Option<ReturnOrigins>,
    /// Whether `charge` gives points without a card, as demonstrations do. When left out, only while there is no card gateway.
    #[arg(long, env = "FRONTROW_FREE_CHARGE", action = ArgAction::Set, value_name = "true|false")]
    pub free_charge: Option<bool>,
    /// Where `frontrow sandbox-gateway` listens.
    #[arg(
        long,
        env = "FRONTROW_SANDBOX_URL",
        hide_env_values = true,
        required_if_eq("card_gateway", "sandbox")
    )]
    pub sandbox_url: Option<GatewayAddress>,
    /// Shared with `frontrow sandbox-gateway`.
    #[arg(long, env = "FRONTROW_SANDBOX_SECRET", hide_env_values = true, value_parser = some_secret,
          required_if_eq("card_gateway", "sandbox"))]
    pub sandbox_secret: Option<SecretString>,
    /// Stripe's secret key: `sk_live_...`, `sk_test_...`, or better a restricted one that may write PaymentIntents and refunds.
    #[arg(long, env = "FRONTROW_STRIPE_SECRET_KEY", hide_env_values = true, value_parser = some_secret,
          required_if_eq("card_gateway", "stripe"))]
    pub stripe_secret_key: Option<SecretString>,
    /// What Stripe signs its webhooks with: `whsec_...`.
    #[arg(long, env = "FRONTROW_STRIPE_WEBHOOK_SECRET", hide_env_values = true, value_parser = some_secret,
          required_if_eq("card_gateway", "stripe"))]
    pub stripe_webhook_secret: Option<SecretString>,
    /// Stripe's publishable key, which pages are told: `pk_...`.
    #[arg(long, env = "FRONTROW_STRIPE_PUBLISHABLE_KEY", hide_env_values = true, value_parser = publishable_key)]
    pub stripe_publishable_key: Option<String>,
    /// Where Stripe's API is.
    #[arg(
        long,
        env = "FRONTROW_STRIPE_URL",
        hide_env_values = true,
        default_value = "https://api.stripe.com"
    )]
    pub stripe_url: GatewayAddress,
}

/// It is shown to everybody, so nothing else may stand here by mistake.
fn publishable_key(text: &str) -> Result<String, &'static str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if text.starts_with("pk_") && plain {
        Ok(text.to_owned())
    } else {
        Err("a publishable key begins with pk_")
    }
}

impl GatewayArgs {
    /// The settings of the card gateway.
    pub fn settings(&self) -> GatewaySettings {
        let timeout = Duration::from_millis(self.gateway_timeout_ms);
        GatewaySettings { provider: self.provider(), currency: self.currency.clone(), timeout }
    }

    fn provider(&self) -> Provider {
        match self.card_gateway {
            GatewayChoice::None => Provider::None,
            // What one of them needs is there, or the command line was refused.
            GatewayChoice::Sandbox => match (&self.sandbox_url, &self.sandbox_secret) {
                (Some(url), Some(secret)) => {
                    Provider::Sandbox { url: url.clone(), secret: secret.clone() }
                }
                _ => Provider::None,
            },
            GatewayChoice::Stripe => match (&self.stripe_secret_key, &self.stripe_webhook_secret) {
                (Some(secret_key), Some(webhook_secret)) => Provider::Stripe {
                    url: self.stripe_url.clone(),
                    secret_key: secret_key.clone(),
                    webhook_secret: webhook_secret.clone(),
                    publishable_key: self.stripe_publishable_key.clone(),
                },
                _ => Provider::None,
            },
        }
    }
}

/// How often somebody may do something, per instance; 0 is no limit. What nobody has done for a while may be done several times
/// at once.
#[derive(Debug, Clone, Args)]
pub struct RateArgs {
    /// Requests of one address a second, and ten times as many at once; with IPv6, of one network of 64 bits. 0 for no limit.
    #[arg(long, env = "FRONTROW_REQUESTS_PER_ADDRESS", default_value_t = 500)]
    pub requests_per_address: u32,
    /// Requests of one person a second, and ten times as many at once; 0 for no limit.
    #[arg(long, env = "FRONTROW_REQUESTS_PER_PERSON", default_value_t = 20)]
    pub requests_per_person: u32,
    /// How often one person may enter queues, hold and pay a minute, each by itself, and half as often at once; 0 for no limit.
    #[arg(long, env = "FRONTROW_ORDERS_PER_PERSON", default_value_t = 60)]
    pub orders_per_person: u32,
    /// Log-ins from one address a minute, and as many at once; 0 for no limit.
    #[arg(long, env = "FRONTROW_LOG_INS_PER_ADDRESS", default_value_t = 600)]
    pub log_ins_per_address: u32,
    /// Accounts made from one address a minute, and as many at once; 0 for no limit.
    #[arg(long, env = "FRONTROW_SIGN_UPS_PER_ADDRESS", default_value_t = 120)]
    pub sign_ups_per_address: u32,
    /// Wrong passwords from one address a minute, for whatever accounts, and as many at once; 0 for no limit.
    #[arg(long, env = "FRONTROW_WRONG_PASSWORDS_PER_ADDRESS", default_value_t = 60)]
    pub wrong_passwords_per_address: u32,
    /// Wrong passwords that are answered at once for one account, on all instances together: so many from one address, five times
    /// as many from everywhere, and then one a minute. 0 for no limit.
    #[arg(long, env = "FRONTROW_WRONG_PASSWORDS_PER_ACCOUNT", default_value_t = 10)]
    pub wrong_passwords_per_account: u32,
    /// Requests that are answered at the same time; 256 per core and at least 512 when left out. Payments, and what gives back or
    /// ends something, have places of their own besides.
    #[arg(long, env = "FRONTROW_REQUESTS_AT_ONCE", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub requests_at_once: Option<u32>,
}

impl RateArgs {
    /// How many wrong passwords are answered.
    pub const fn attempts(&self) -> AttemptSettings {
        AttemptSettings {
            per_account: self.wrong_passwords_per_account,
            per_address: self.wrong_passwords_per_address,
        }
    }
}

/// How many WebSockets and event streams there may be.
#[derive(Debug, Clone, Args)]
pub struct SocketArgs {
    /// Subscriptions that may run on one WebSocket at once.
    #[arg(long, env = "FRONTROW_SUBSCRIPTIONS_PER_SOCKET", default_value_t = 10)]
    pub subscriptions_per_socket: usize,
    /// WebSockets and event streams of one person at once, per instance; 0 for no limit.
    #[arg(long, env = "FRONTROW_SOCKETS_PER_PERSON", default_value_t = 20)]
    pub sockets_per_person: usize,
    /// WebSockets and event streams from one address at once, per instance, behind proxies too; with IPv6, from one network of 64 bits. 0 for no limit.
    #[arg(long, env = "FRONTROW_SOCKETS_PER_ADDRESS", default_value_t = 2000)]
    pub sockets_per_address: usize,
    /// How long a WebSocket or an event stream lives, in seconds; up to a quarter less, so that not all end at once. Then clients connect again.
    #[arg(long, env = "FRONTROW_SOCKET_SECONDS", default_value_t = 21_600,
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub socket_seconds: u64,
}

/// The settings of `frontrow serve`.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub secrets: SecretArgs,
    #[command(flatten)]
    pub provider: ProviderArgs,
    #[command(flatten)]
    pub gateway: GatewayArgs,
    #[command(flatten)]
    pub rates: RateArgs,
    /// Redis, the index and the wire: `redis://host:port/`; for a cluster, some of its nodes:
    /// `redis+cluster://host:port,host:port,...`.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_parser = hidden)]
    pub redis_url: SecretString,
    /// What every key and channel in Redis starts with; one Redis can serve several deployments.
    #[arg(long, env = "FRONTROW_REDIS_PREFIX", default_value = "frontrow")]
    pub redis_prefix: String,
    /// How long one call to Redis may take, in milliseconds, before the server goes on without it.
    #[arg(long, env = "FRONTROW_REDIS_TIMEOUT_MS", default_value_t = 300,
          value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub redis_timeout_ms: u64,
    /// How long a request may take, in milliseconds. A query is broken off then; a mutation runs to its end, and nothing in it
    /// waits any longer.
    #[arg(long, env = "FRONTROW_REQUEST_MS", default_value_t = 5000,
          value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub request_ms: u64,
    /// An operation that takes longer is logged with where its time went, in milliseconds; 0 for none.
    #[arg(long, env = "FRONTROW_SLOW_MS", default_value_t = 1000,
          value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub slow_ms: u64,
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, env = "FRONTROW_LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// Address and port to serve /metrics on, and nobody else then does; with /health/live and /health/ready. When left out,
    /// /metrics is served with everything else.
    #[arg(long, env = "FRONTROW_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// How long a hold lasts, in seconds.
    #[arg(long, env = "FRONTROW_HOLD_SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub hold_seconds: u32,
    /// How many holds somebody may let lapse at one performance within a day. After each one more they wait longer before the next.
    #[arg(long, env = "FRONTROW_LAPSED_HOLDS", default_value_t = 2, value_parser = clap::value_parser!(i32).range(0..=1000))]
    pub lapsed_holds: i32,
    /// How long a refund is tried, in seconds, before it is given up and a person has to see to it.
    #[arg(long, env = "FRONTROW_REFUND_SECONDS", default_value_t = 86_400,
          value_parser = clap::value_parser!(u64).range(1..=2_592_000))]
    pub refund_seconds: u64,
    /// How often the server audits its books by itself, in seconds; 0 for never. One instance does so at a time.
    #[arg(long, env = "FRONTROW_AUDIT_EVERY", default_value_t = 3600,
          value_parser = clap::value_parser!(u64).range(0..=604_800))]
    pub audit_every: u64,
    /// Browsers' origins that may use this server besides its own, separated by commas: `https://shop.example`; `*` for all.
    #[arg(long, env = "FRONTROW_ALLOWED_ORIGINS", default_value = "")]
    pub allowed_origins: Origins,
    #[command(flatten)]
    pub documents: DocumentArgs,
    #[command(flatten)]
    pub sockets: SocketArgs,
    /// Open connections at most; when left out, as many as the limit of open files has room for, and at most 100,000.
    #[arg(long, env = "FRONTROW_CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: Option<u32>,
    /// Open connections from one address at most; with IPv6, from one network of 64 bits.
    #[arg(long, env = "FRONTROW_CONNECTIONS_PER_ADDRESS", default_value_t = 2000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_per_address: u32,
    /// Addresses of the proxies in front: `10.0.0.5` or `10.0.0.0/8`, separated by commas; empty for none. Their own address has no
    /// limits; whom they speak for is read from X-Forwarded-For, which is believed of nobody else.
    #[arg(long, env = "FRONTROW_TRUSTED_PROXIES", default_value = "127.0.0.0/8,::1")]
    pub trusted_proxies: Networks,
    /// How long slow and silent connections are kept, in percent of the usual times. Tests shorten what they wait for; honest
    /// clients need all of it.
    #[arg(long, hide = true, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub connection_time_percent: u32,
    /// Whether anybody may ask the server for its schema; GraphiQL and code generators do. `__typename` is always there.
    #[arg(long, env = "FRONTROW_INTROSPECTION", default_value_t = true, action = ArgAction::Set,
          value_name = "true|false")]
    pub introspection: bool,
    /// Whether GraphiQL is served, the page to try queries in.
    #[arg(long, env = "FRONTROW_GRAPHIQL", default_value_t = true, action = ArgAction::Set,
          value_name = "true|false")]
    pub graphiql: bool,
    /// What is logged: a level, and levels of parts of the program, separated by commas: `info,frontrow=debug`.
    #[arg(long, env = "FRONTROW_LOG", default_value = "info", value_parser = log_filter)]
    pub log: String,
    /// How log lines look.
    #[arg(long, env = "FRONTROW_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
    #[command(flatten)]
    pub traces: TraceArgs,
    /// How long shutdown waits for running requests, in seconds.
    #[arg(long, env = "FRONTROW_SHUTDOWN_SECONDS", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(0..=600))]
    pub shutdown_seconds: u64,
}

impl Settings {
    /// What everybody's holds have in common.
    pub const fn hold_terms(&self) -> HoldTerms {
        HoldTerms { hold_seconds: self.hold_seconds, lapses_free: self.lapsed_holds }
    }

    /// How often the books are audited; `None` for never.
    pub const fn audit_every(&self) -> Option<Duration> {
        match self.audit_every {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        }
    }

    /// How long an operation may take before it is logged as slow; `None` for never.
    pub const fn slow(&self) -> Option<Duration> {
        match self.slow_ms {
            0 => None,
            milliseconds => Some(Duration::from_millis(milliseconds)),
        }
    }

    /// How cards are charged.
    pub fn cards(&self) -> CardSettings {
        let gateway = &self.gateway;
        CardSettings {
            action: Duration::from_secs(gateway.card_action_seconds.into()),
            return_origins: gateway.return_origins.clone().unwrap_or_else(|| self.own_origins()),
            free_charge: gateway.free_charge.unwrap_or(gateway.card_gateway == GatewayChoice::None),
        }
    }

    /// Where pages may be that use this server.
    fn own_origins(&self) -> ReturnOrigins {
        let own = if self.listen.ip().is_loopback() {
            vec![
                format!("http://{}", self.listen),
                format!("http://localhost:{}", self.listen.port()),
            ]
        } else {
            Vec::new()
        };
        ReturnOrigins::among(self.allowed_origins.as_slice().iter().chain(&own).map(String::as_str))
    }

    /// How long a refund is tried.
    pub const fn refund_within(&self) -> Duration {
        Duration::from_secs(self.refund_seconds)
    }

    /// How Redis is reached.
    pub fn kv(&self) -> KvSettings {
        KvSettings {
            url: self.redis_url.expose_secret().to_owned(),
            prefix: self.redis_prefix.clone(),
            timeout: Duration::from_millis(self.redis_timeout_ms),
        }
    }
}
