//! What fuzzers call: the readers of everything that a stranger writes, each with what must be true of whatever it takes. For
//! tests, and for fuzzers (CONTRIBUTING.md); no part of the program.

#![expect(clippy::expect_used, reason = "what must be true is expected")]

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use async_graphql::{
    Response, Value,
    parser::types::{ExecutableDocument, Selection, SelectionSet},
};
use axum::http::{HeaderMap, HeaderValue, header};
use futures_util::FutureExt;
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::{ExposeSecret, SecretString};

pub use super::websocket::fuzzing::{frames, message};
use super::{
    document::Documents, error, introspection::Introspection, parameters::Parameters, session,
};
use crate::{
    account::{self, Keyring, Provider, Sessions},
    api::{self, Budget, Caller, Cursor, FrontrowSchema, RequestId},
    kernel::{Actor, ConcertId, RequestCode, ReservationId},
};

static SCHEMA: LazyLock<FrontrowSchema> = LazyLock::new(api::bare_schema);
static INTROSPECTION: LazyLock<Introspection> =
    LazyLock::new(|| Introspection::new(&*SCHEMA, true));

/// Signs the tokens of fuzzers, and everybody may know it.
static SECRET: LazyLock<SecretString> =
    LazyLock::new(|| SecretString::from("fuzzers may know this secret, of 32 bytes and more"));
static KEYRING: LazyLock<Keyring> = LazyLock::new(|| Keyring::new(&SECRET, None));
static SESSIONS: LazyLock<Sessions> =
    LazyLock::new(|| Sessions::new(KEYRING.clone(), std::time::Duration::from_secs(3_600)));

/// A document that the guard lets through is as small as the guard says, and costs no more than it says when the schema
/// answers it.
pub fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let documents = Documents::new();
    let prepared = match documents.prepare(text) {
        Ok(prepared) => prepared,
        Err(refusal) => {
            let known = [RequestCode::BadRequest, RequestCode::QueryTooComplex];
            assert!(known.contains(&refusal.code), "{refusal:?}");
            return;
        }
    };
    assert!(text.len() <= 16 * 1024);
    let again = documents.prepare(text).expect("what passed once passes again");
    assert!(Arc::ptr_eq(&prepared, &again), "it is kept");
    let parsed = prepared.document.clone();
    for (name, operation) in parsed.operations.iter() {
        Size::default().of(&parsed, &operation.node.selection_set.node, 1, 1);
        let name = name.map(|name| name.as_str());
        let Ok(selected) = prepared.select(name) else { continue };
        let asked = serde_json::json!({ "query": text, "operationName": name }).to_string();
        let parameters = Parameters::parse(asked.as_bytes()).expect("a request");
        if INTROSPECTION.check(&prepared, selected, &parameters.variables).is_ok() {
            let budget = Budget::new(selected.values());
            let id = RequestId("fuzzed".into());
            let request =
                parameters.into_request(prepared.document.clone(), Caller(None), id, budget);
            // The services are not there, so there is nothing to wait for.
            let answer = SCHEMA.execute(request).now_or_never().expect("an answer at once");
            answered(answer);
        }
    }
}

/// An answer is small, and in the contract's model.
fn answered(mut response: Response) {
    let own_limits = |message: &str| message.starts_with("The recursion depth");
    assert!(
        !response.errors.iter().any(|error| own_limits(&error.message)),
        "{:?}",
        response.errors
    );
    error::complete(&mut response, &RequestId("fuzzed".into()));
    assert!(response.errors.len() <= 10);
    for error in &response.errors {
        assert!(error.message.len() <= 403, "{}", error.message);
        let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
        let Some(Value::String(code)) = code else { panic!("no code in {error:?}") };
        let known = ["BAD_REQUEST", "QUERY_TOO_COMPLEX"];
        assert!(!error.path.is_empty() || known.contains(&code.as_str()), "{error:?}");
    }
    let values = values(&response.data);
    assert!(values <= 20_000, "{values} values");
}

fn values(value: &Value) -> usize {
    match value {
        Value::List(items) => items.iter().map(values).sum(),
        Value::Object(fields) => fields.values().map(|value| 1 + values(value)).sum(),
        _ => 0,
    }
}

/// The size of an operation, each fragment counted where it is spread.
#[derive(Debug, Default)]
struct Size {
    selections: u32,
    aliases: u32,
    directives: u32,
}

impl Size {
    /// Counts a selection set at this depth of fields and this level of sets.
    fn of(&mut self, document: &ExecutableDocument, set: &SelectionSet, depth: u32, level: u32) {
        assert!(level <= 33, "{level} levels");
        for item in &set.items {
            self.selections += 1;
            self.directives += u32::try_from(item.node.directives().len()).unwrap_or(u32::MAX);
            match &item.node {
                Selection::Field(field) => {
                    assert!(depth <= 20, "{depth} levels of fields");
                    self.aliases += u32::from(field.node.alias.is_some());
                    self.of(document, &field.node.selection_set.node, depth + 1, level + 1);
                }
                Selection::InlineFragment(inline) => {
                    self.of(document, &inline.node.selection_set.node, depth, level + 1);
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = document.fragments.get(name) {
                        self.directives +=
                            u32::try_from(fragment.node.directives.len()).unwrap_or(u32::MAX);
                        self.of(document, &fragment.node.selection_set.node, depth, level + 1);
                    }
                }
            }
            let fits = self.selections <= 1_000 && self.aliases <= 30 && self.directives <= 50;
            assert!(fits, "{self:?}");
        }
    }
}

/// A token that is believed was signed by us, for that purpose, and is believed of nothing else.
pub fn token(data: &[u8]) {
    believed_of_a_header(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let session = SESSIONS.verify(text).now_or_never().expect("nobody else is asked");
    let once = SESSIONS.verify_whose(text).now_or_never().expect("nobody else is asked");
    let place = KEYRING.verify::<serde_json::Value>(text, "frontrow:queue", &["aud", "sub"]);
    if let Ok(actor) = &session {
        assert!(!Provider::may_have_signed(text) && once.is_ok());
        assert!(actor.expires_at.timestamp() > now(), "{actor:?}");
    }
    if once.is_ok() || place.is_ok() {
        assert!(is_ours(text), "it was not signed by us");
    }
    assert!(once.is_err() || place.is_err(), "one token for two purposes");
    if let Some(again) = account::reread_refresh_token(text) {
        assert_eq!(again, text);
    }
}

/// Whoever a header names is the one whom the token in it names.
fn believed_of_a_header(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, value);
    let told = session::from_headers(&SESSIONS, &headers).now_or_never();
    match told.expect("nobody else is asked") {
        Ok(Caller(Some(Actor { person_id, .. }))) => {
            let text = std::str::from_utf8(data).expect("a text").trim();
            let (_, token) = text.split_once(' ').expect("a scheme");
            let actor = SESSIONS.verify(token.trim_start()).now_or_never();
            let actor = actor.and_then(Result::ok).expect("a session");
            assert_eq!(actor.person_id, person_id);
        }
        Ok(Caller(None)) => {
            let text = data.trim_ascii();
            assert!(text.is_empty() || text.eq_ignore_ascii_case(b"bearer"));
        }
        Err(refusal) => assert_eq!(refusal.code, RequestCode::Unauthenticated),
    }
}

/// Whether our secret makes this signature.
fn is_ours(token: &str) -> bool {
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    let key = EncodingKey::from_secret(SECRET.expose_secret().as_bytes());
    let own = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256);
    own.is_ok_and(|own| own == signature) && signed.matches('.').count() == 1
}

fn now() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A cursor is written as it was read.
pub fn cursor(data: &[u8]) {
    fn again<C: Cursor>(text: &str) {
        if let Some(cursor) = <C as Cursor>::parse(text) {
            assert_eq!(cursor.to_string(), text);
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    again::<i64>(text);
    again::<ConcertId>(text);
    again::<ReservationId>(text);
}

/// A body that is taken for a request is one JSON object of so many values, and its variables are what any reader finds there.
pub fn request(data: &[u8]) {
    fn count(json: &serde_json::Value) -> usize {
        match json {
            serde_json::Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
            serde_json::Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
            _ => 1,
        }
    }
    let Some(parameters) = Parameters::parse(data) else { return };
    let json: serde_json::Value = serde_json::from_slice(data).expect("it is JSON");
    assert_eq!(json["query"].as_str(), parameters.query.as_deref());
    assert!(count(&json) <= 4_000);
    let variables = json.get("variables").filter(|variables| !variables.is_null());
    let variables = variables.cloned().unwrap_or_else(|| serde_json::json!({}));
    let read = parameters.variables.into_value().into_json().expect("JSON");
    assert!(are_alike(&read, &variables), "{read} {variables}");
}

/// An address that is taken for a request says what any reader of forms finds in it, and once.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(parameters) = Parameters::of_address(text) else { return };
    assert!(parameters.query.is_some() || parameters.document_id.is_some());
    // Readers of whole addresses leave out what no address has, and end at a number sign.
    if text.contains(|c: char| c.is_control() || c == '#') {
        return;
    }
    let mut url = reqwest::Url::parse("http://tickets.example/graphql").expect("an address");
    url.set_query(Some(text));
    let queries: Vec<_> = url.query_pairs().filter(|(name, _)| name == "query").collect();
    match (&parameters.query, queries.as_slice()) {
        (None, []) => {}
        (None, [(_, value)]) => assert_eq!(&**value, ""),
        (Some(query), [(_, value)]) => assert_eq!(**query, **value),
        other => panic!("{other:?}"),
    }
}

/// Whether two values are the same to a reader to whom all numbers are of one kind.
fn are_alike(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (one, other) {
        (Number(one), Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Array(one), Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| are_alike(one, other))
        }
        (Object(one), Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, one)| other.get(name).is_some_and(|other| are_alike(one, other)))
        }
        (one, other) => one == other,
    }
}
