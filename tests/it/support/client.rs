//! A GraphQL client over HTTP.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::words;

/// Speaks to one instance, as one person or as nobody.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
    pub(crate) person_id: Option<String>,
    pub(crate) http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, token: None, person_id: None, http: reqwest::Client::new() }
    }

    /// The same person at another instance.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// Somebody with this session, at the same instance.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Sends a request and returns the whole answer.
    pub(crate) async fn send(&self, query: &str, variables: Value) -> Value {
        let mut request = self
            .http
            .post(format!("http://{}/graphql", self.address))
            .json(&json!({ "query": query, "variables": variables }));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("an answer").json().await;
        let answer = answer.expect("an answer in JSON");
        words::assert_plain(&answer);
        answer
    }

    /// Sends a request that has to succeed and returns its `data`.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.send(query, variables).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer}");
        answer["data"].take()
    }

    /// Sends a mutation with one root field and returns its payload.
    pub(crate) async fn payload(&self, query: &str, variables: Value) -> Value {
        let data = self.data(query, variables).await;
        let (_, payload) = data.as_object().expect("data").iter().next().expect("one field");
        payload.clone()
    }

    /// Sends a request that has to fail and returns the first error's code.
    pub(crate) async fn error_code(&self, query: &str, variables: Value) -> String {
        let answer = self.send(query, variables).await;
        let code = &answer["errors"][0]["extensions"]["code"];
        code.as_str().unwrap_or_else(|| panic!("no error in {answer}")).to_owned()
    }
}

/// The code of a payload's only refusal; `None` when it succeeded.
pub(crate) fn refusal(payload: &Value) -> Option<&str> {
    payload["userErrors"].get(0).map(|error| error["code"].as_str().expect("a code"))
}
