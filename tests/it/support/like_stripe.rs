//! A stand-in for Stripe's API: localstripe, in a process of its own.

use std::{
    io::{BufRead, BufReader},
    path::Path,
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

pub(crate) const WEBHOOK_SECRET: &str = "whsec_of_a_test";
const SECRET_KEY: &str = "sk_test_1234567";

/// Something that speaks as Stripe does; killed with the test.
#[derive(Debug)]
pub(crate) struct LikeStripe {
    url: String,
    child: Child,
    http: reqwest::Client,
}

impl LikeStripe {
    /// Starts it. Needs python3, and PyPI the first time.
    pub(crate) async fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (child, port) = spawn_blocking(move || {
            let found =
                Command::new(root.join("scripts/localstripe.sh")).output().expect("sh runs");
            let told = String::from_utf8_lossy(&found.stderr);
            assert!(found.status.success(), "scripts/localstripe.sh says: {told}");
            let folder = String::from_utf8(found.stdout).expect("a path");
            let mut child = Command::new("python3")
                .arg(root.join("tests/it/support/like_stripe.py"))
                .env("PYTHONPATH", folder.trim())
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .expect("python3 is there");
            let mut line = String::new();
            let out = child.stdout.take().expect("a pipe");
            BufReader::new(out).read_line(&mut line).expect("a line");
            (child, line.trim().to_owned())
        })
        .await
        .expect("no panic");
        let url = format!("http://127.0.0.1:{port}");
        Self { url, child, http: reqwest::Client::new() }
    }

    /// Our client for it.
    pub(crate) fn gateway(&self) -> CardGateway {
        let provider = Provider::Stripe {
            url: self.url.parse().expect("an address"),
            secret_key: SecretString::from(SECRET_KEY),
            webhook_secret: SecretString::from(WEBHOOK_SECRET),
            publishable_key: None,
        };
        let currency = "krw".parse().expect("a currency");
        let timeout = Duration::from_secs(20);
        let settings = GatewaySettings { provider, currency, timeout };
        CardGateway::new(&settings, Metrics::new()).expect("a gateway")
    }

    /// What a program's environment needs to use it.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("FRONTROW_CARD_GATEWAY", "stripe"),
            ("FRONTROW_STRIPE_URL", &self.url),
            ("FRONTROW_STRIPE_SECRET_KEY", SECRET_KEY),
            ("FRONTROW_STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ]
    }

    /// A card's payment method, by its number.
    pub(crate) async fn card(&self, number: &str) -> String {
        let form = [
            ("type", "card"),
            ("card[number]", number),
            ("card[exp_month]", "1"),
            ("card[exp_year]", "2040"),
            ("card[cvc]", "123"),
        ];
        let made = self.form("/v1/payment_methods", &form).await;
        made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    /// Posts a form as Stripe's own pages would.
    pub(crate) async fn form(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let mut body = reqwest::Url::parse("x:").expect("a URL");
        body.query_pairs_mut().extend_pairs(form);
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(SECRET_KEY);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(body.query().unwrap_or_default().to_owned()).send().await;
        answer.expect("an answer").json().await.expect("JSON")
    }

    /// Lets the next calls to paths that end so fail, whether they are done or not.
    pub(crate) async fn fails(&self, path: &str, status: u16, does: bool, times: u32) {
        let trouble = json!({"path": path, "status": status, "does": does, "times": times});
        self.config("trouble", &trouble).await;
    }

    /// Forgets idempotency keys, as Stripe does after a day.
    pub(crate) async fn forget_keys(&self) {
        self.config("forget", &json!({})).await;
    }

    /// Sends events there from now on.
    pub(crate) async fn tell(&self, url: &str) {
        self.config("webhooks/one", &json!({"url": url, "secret": WEBHOOK_SECRET})).await;
    }

    async fn config(&self, path: &str, body: &Value) {
        let request = self.http.post(format!("{}/_config/{path}", self.url)).json(body);
        let answer = request.bearer_auth(SECRET_KEY).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }

    /// How many intents there are for a payment.
    pub(crate) async fn intents(&self, payment_id: &str) -> Vec<Value> {
        let request = self.http.get(format!("{}/v1/payment_intents?limit=100", self.url));
        let answer = request.bearer_auth(SECRET_KEY).send().await.expect("an answer");
        let page: Value = answer.json().await.expect("JSON");
        let all = page["data"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|intent| intent["metadata"]["payment_id"] == payment_id).collect()
    }
}

impl Drop for LikeStripe {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
