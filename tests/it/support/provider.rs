//! An identity provider: it signs tokens and publishes its keys, on a port of its own.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{Json, Router, http::StatusCode, routing::get};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header, encode,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// What it signs with. The keys are of no use elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Rsa1,
    Rsa2,
    Ec1,
    Ec2,
}

impl Key {
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Rsa1 => "rsa-1",
            Self::Rsa2 => "rsa-2",
            Self::Ec1 => "ec-1",
            Self::Ec2 => "ec-2",
        }
    }

    const fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa1 | Self::Rsa2 => Algorithm::RS256,
            Self::Ec1 | Self::Ec2 => Algorithm::ES256,
        }
    }

    fn signing(self) -> EncodingKey {
        match self {
            Self::Rsa1 => EncodingKey::from_rsa_der(include_bytes!("keys/rsa-1.der")),
            Self::Rsa2 => EncodingKey::from_rsa_der(include_bytes!("keys/rsa-2.der")),
            Self::Ec1 => EncodingKey::from_ec_der(include_bytes!("keys/ec-1.der")),
            Self::Ec2 => EncodingKey::from_ec_der(include_bytes!("keys/ec-2.der")),
        }
    }

    /// As it is published.
    pub(crate) fn public(self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.signing(), self.algorithm()).expect("a key");
        jwk.common.key_id = Some(self.id().to_owned());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk
    }

    /// Signs claims.
    pub(crate) fn sign(self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm());
        header.kid = Some(self.id().to_owned());
        self.sign_with(&header, claims)
    }

    /// Signs claims under any header.
    pub(crate) fn sign_with(self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.signing()).expect("a token")
    }
}

#[derive(Debug, Default)]
struct State {
    keys: Vec<Jwk>,
    down: bool,
    asked: usize,
}

/// A provider that is up and has published nothing yet.
#[derive(Debug)]
pub(crate) struct IdentityProvider {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl IdentityProvider {
    pub(crate) async fn start(keys: &[Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let jwks = get(async move || {
            let mut state = shared.lock().expect("nobody panicked");
            state.asked += 1;
            if state.down {
                return Err(StatusCode::BAD_GATEWAY);
            }
            Ok(Json(JwkSet { keys: state.keys.clone() }))
        });
        let router = Router::new().route("/jwks", jwks);
        let task =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        let provider = Self { address, state, task };
        provider.publish(keys);
        provider
    }

    /// The flags of an instance that takes its tokens.
    pub(crate) fn flags(&self) -> Vec<String> {
        vec![
            format!("--oidc-issuer={}", self.issuer()),
            "--oidc-audience=frontrow".to_owned(),
            format!("--oidc-jwks-url={}/jwks", self.issuer()),
            "--oidc-role-claim=realm/roles".to_owned(),
        ]
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Publishes these keys and no others.
    pub(crate) fn publish(&self, keys: &[Key]) {
        self.state().keys = keys.iter().map(|key| key.public()).collect();
    }

    /// Publishes whatever a test makes up.
    pub(crate) fn publish_made_up(&self, keys: Vec<Jwk>) {
        self.state().keys = keys;
    }

    /// Answers with an error, or again as it should.
    pub(crate) fn is_down(&self, down: bool) {
        self.state().down = down;
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        self.state().asked
    }

    /// The claims of a good token of this subject.
    pub(crate) fn claims(&self, subject: &str) -> Value {
        let now = chrono::Utc::now().timestamp();
        json!({ "iss": self.issuer(), "aud": "frontrow", "sub": subject, "iat": now, "exp": now + 600 })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked")
    }
}
