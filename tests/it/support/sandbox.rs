//! The sandbox gateway in a process of its own.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use frontrow::{
    gateway::{CardGateway, GatewaySettings, Provider},
    telemetry::Metrics,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::process::clean;

pub(crate) const SECRET: &str = "sandbox-secret-of-a-test";

/// `frontrow sandbox-gateway`; killed with the test.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// `http://host:port`.
    pub(crate) url: String,
    child: Child,
}

impl Sandbox {
    /// Starts one that tells nobody.
    pub(crate) async fn start() -> Self {
        Self::start_with("http://127.0.0.1:9/", &[]).await
    }

    /// Starts one that tells its events to a URL, with further flags.
    pub(crate) async fn start_with(webhook_url: &str, flags: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", webhook_url, flags).await
    }

    /// Starts one at an address that somebody knows already.
    pub(crate) async fn start_at(address: &str, webhook_url: &str, flags: &[&str]) -> Self {
        let mut command = clean(Command::new(env!("CARGO_BIN_EXE_frontrow")));
        command
            .args(["sandbox-gateway", "--listen", address, "--webhook-url", webhook_url])
            .args(flags)
            .env("FRONTROW_SANDBOX_SECRET", SECRET)
            .env("FRONTROW_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let started = spawn_blocking(move || {
            let mut child = command.spawn().expect("the sandbox starts");
            let mut line = String::new();
            let out = child.stdout.take().expect("a pipe");
            BufReader::new(out).read_line(&mut line).expect("a line");
            (child, line)
        });
        let (child, line) = started.await.expect("no panic");
        let at = line.find("http://").unwrap_or_else(|| panic!("{line}"));
        let url = line[at..].split(';').next().expect("a URL").to_owned();
        Self { url, child }
    }

    /// Our client for it, which waits so long.
    pub(crate) fn gateway_within(&self, timeout: Duration) -> CardGateway {
        gateway_at(&self.url, SECRET, timeout)
    }

    /// Our client for it, with patience.
    pub(crate) fn gateway(&self) -> CardGateway {
        self.gateway_within(Duration::from_secs(20))
    }

    /// The flags of `frontrow serve` for a shop that uses it, and gives points without a card, too.
    pub(crate) fn flags(&self) -> [String; 5] {
        flags_for(&self.url)
    }

    /// What it did, as it lists it.
    pub(crate) async fn list(&self) -> Vec<Value> {
        let answer = reqwest::get(format!("{}/payments", self.url)).await.expect("an answer");
        assert!(answer.status().is_success());
        let text = answer.text().await.expect("a text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Makes every call fail for a while, whether it is done or not.
    pub(crate) async fn trouble(&self, seconds: u64, does: bool) {
        let request = reqwest::Client::new().post(format!("{}/trouble", self.url));
        let request = request.bearer_auth(SECRET).json(&json!({"seconds": seconds, "does": does}));
        assert!(request.send().await.expect("an answer").status().is_success());
    }
}

/// The flags of `frontrow serve` for a shop with a sandbox at some address.
pub(crate) fn flags_for(url: &str) -> [String; 5] {
    [
        "--card-gateway=sandbox".to_owned(),
        format!("--sandbox-url={url}"),
        format!("--sandbox-secret={SECRET}"),
        "--free-charge=true".to_owned(),
        "--return-origins=https://shop.example".to_owned(),
    ]
}

/// A client for a sandbox at some address.
pub(crate) fn gateway_at(url: &str, secret: &str, timeout: Duration) -> CardGateway {
    let url = url.parse().expect("an address");
    let provider = Provider::Sandbox { url, secret: SecretString::from(secret) };
    let currency = "krw".parse().expect("a currency");
    let settings = GatewaySettings { provider, currency, timeout };
    CardGateway::new(&settings, Metrics::new()).expect("a gateway")
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
