//! The error model at the edge: what the transport itself refuses, and what it adds to the errors of the schema.
//!
//! Resolvers' errors come with a code (`api::error`). What comes without one was said by async-graphql, before or while it
//! turned the request into calls of resolvers.

use async_graphql::{ErrorExtensionValues, Pos, Response, ServerError, Value};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::IntoResponse,
};

use super::accept::Media;
use crate::{api::RequestId, kernel::RequestCode};

/// No answer holds more errors than this.
const ERRORS_MAX: usize = 10;
/// No error's text is longer than this, in bytes: async-graphql repeats what the client sent.
const MESSAGE_BYTES_MAX: usize = 400;

/// What async-graphql says of a document beyond the schema's limit of complexity, and what we say.
const TOO_COMPLEX: &str = "Query is too complex.";
const TOO_COMPLEX_HERE: &str = "The document asks for too much. Ask for fewer fields, smaller pages (`first`), or one thing at a time.";

/// Why the transport does not hand a request to the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: RequestCode,
    message: String,
    at: Option<Pos>,
    retry_after_seconds: Option<u32>,
    /// By which it may be asked for, where it was asked for by another.
    pub(super) methods: Option<&'static str>,
}

impl Refusal {
    /// A refusal with a text that tells the client what to do.
    pub(super) fn new(code: RequestCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), at: None, retry_after_seconds: None, methods: None }
    }

    /// The same, naming a place in the document.
    pub(super) fn at(self, at: Option<Pos>) -> Self {
        Self { at, ..self }
    }

    /// The same, saying when trying again helps.
    pub(super) fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// The same, of what is asked for by these methods of HTTP only: `405 Method Not Allowed`.
    pub(super) fn only_by(self, methods: &'static str) -> Self {
        Self { methods: Some(methods), ..self }
    }

    /// A fault of ours that nothing more can be said about.
    pub(super) fn internal() -> Self {
        Self::new(RequestCode::Internal, "Something broke on our side. Try again.")
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let mut error = ServerError::new(refusal.message, refusal.at);
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", refusal.code.as_str());
        if let Some(seconds) = refusal.retry_after_seconds {
            extensions.set("retryAfterSeconds", seconds);
        }
        error.extensions = Some(extensions);
        Self::from_errors(vec![error])
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The first error's code; `None` when all went well.
    pub(super) code: Option<RequestCode>,
    /// The request itself was refused: nothing was executed, and the answer has no `data`.
    pub(super) refused: bool,
}

/// Brings a response of the schema into the contract's error model: every error gets a code, `retryable` and the id of the
/// request; long texts and long lists are cut.
pub(super) fn complete(response: &mut Response, request_id: &RequestId) -> Outcome {
    // A resolver's error has a path and a code; without either the schema did not get as far as resolving.
    let refused = response.data == Value::Null
        && response.errors.iter().any(|error| error.path.is_empty() || code(error).is_none());
    response.errors.truncate(ERRORS_MAX);
    for error in &mut response.errors {
        let code = code(error).unwrap_or_else(|| library_code(&error.message));
        if error.message == TOO_COMPLEX {
            error.message = TOO_COMPLEX_HERE.to_owned();
        }
        shorten(&mut error.message);
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", code.as_str());
        extensions.set("retryable", code.retryable());
        extensions.set("requestId", &*request_id.0);
        if code == RequestCode::Overloaded && extensions.get("retryAfterSeconds").is_none() {
            extensions.set("retryAfterSeconds", 1);
        }
    }
    Outcome { code: response.errors.first().and_then(code), refused }
}

/// Whether the budget of a request was spent before the answer was complete.
pub(super) fn is_too_complex(response: &Response) -> bool {
    response.errors.iter().any(|error| code(error) == Some(RequestCode::QueryTooComplex))
}

fn code(error: &ServerError) -> Option<RequestCode> {
    match error.extensions.as_ref()?.get("code")? {
        Value::String(code) => RequestCode::parse(code),
        _ => None,
    }
}

/// The code of an error that async-graphql made: its own limits, or else something wrong with the request.
fn library_code(message: &str) -> RequestCode {
    let limit = message == TOO_COMPLEX
        || message == "Query is nested too deep."
        || message.starts_with("The recursion depth of the query cannot be greater than")
        || message.starts_with("The number of directives on the field");
    if limit { RequestCode::QueryTooComplex } else { RequestCode::BadRequest }
}

fn shorten(message: &mut String) {
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or(0));
        message.push('…');
    }
}

/// The HTTP status of a refused request, for clients that know `application/graphql-response+json`.
pub(super) const fn status(code: RequestCode) -> StatusCode {
    match code {
        RequestCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        RequestCode::Forbidden => StatusCode::FORBIDDEN,
        RequestCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        RequestCode::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        RequestCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        RequestCode::BadRequest
        | RequestCode::NotFound
        | RequestCode::QueueTokenInvalid
        | RequestCode::QueueNotActive
        | RequestCode::QueueEnded
        | RequestCode::PersistedQueryNotFound
        | RequestCode::PersistedQueryNotSupported
        | RequestCode::QueryTooComplex => StatusCode::BAD_REQUEST,
    }
}

/// The HTTP status of a refused request.
pub(super) const fn status_of(media: Media, code: Option<RequestCode>) -> StatusCode {
    match (media, code) {
        (Media::GraphqlResponse, Some(code)) => status(code),
        (Media::GraphqlResponse, None) => StatusCode::BAD_REQUEST,
        (Media::Json | Media::Events, _) => StatusCode::OK,
    }
}

/// What `Retry-After` says: as much as the first error, where a client is asked to come back.
pub(super) fn retry_after(response: &Response) -> Option<HeaderValue> {
    match response.errors.first()?.extensions.as_ref()?.get("retryAfterSeconds")? {
        Value::Number(seconds) => HeaderValue::from_str(&seconds.to_string()).ok(),
        _ => None,
    }
}

/// A request that failed as HTTP, before any GraphQL in it was looked at. The edge adds the request's id.
pub(super) fn plain(
    status: StatusCode,
    code: RequestCode,
    message: impl Into<String>,
) -> axum::response::Response {
    let mut answer = status.into_response();
    answer.extensions_mut().insert(Refusal::new(code, message));
    answer
}

/// Writes the errors of a refused request, without `data`.
pub(super) fn write(
    status: StatusCode,
    media: Media,
    response: &Response,
) -> axum::response::Response {
    #[derive(serde::Serialize)]
    struct Errors<'a> {
        errors: &'a [ServerError],
    }
    // Errors are strings and numbers only, which always can be written.
    let json = serde_json::to_vec(&Errors { errors: &response.errors }).unwrap_or_default();
    let mut answer = axum::response::Response::new(Body::from(json));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, media.content_type());
    if let Some(seconds) = retry_after(response) {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}

#[cfg(test)]
mod tests {
    use async_graphql::PathSegment;

    use super::*;

    fn id() -> RequestId {
        RequestId("r-1".into())
    }

    fn extension(response: &Response, name: &str) -> Value {
        response.errors[0].extensions.as_ref().unwrap().get(name).cloned().unwrap()
    }

    #[test]
    fn an_error_of_the_library_is_a_bad_request_or_a_limit() {
        for (message, code) in [
            (r#"Unknown field "x" on type "Query"."#, "BAD_REQUEST"),
            ("Query is too complex.", "QUERY_TOO_COMPLEX"),
            ("Query is nested too deep.", "QUERY_TOO_COMPLEX"),
            ("The recursion depth of the query cannot be greater than `32`", "QUERY_TOO_COMPLEX"),
        ] {
            let mut response = Response::from_errors(vec![ServerError::new(message, None)]);
            let outcome = complete(&mut response, &id());
            assert!(outcome.refused, "{message}");
            assert_eq!(extension(&response, "code"), Value::from(code), "{message}");
            assert_eq!(extension(&response, "retryable"), Value::from(false));
            assert_eq!(extension(&response, "requestId"), Value::from("r-1"));
        }
    }

    #[test]
    fn an_error_of_a_resolver_keeps_its_code_and_is_no_refusal_of_the_request() {
        let refusal = Refusal::new(RequestCode::Overloaded, "Busy.");
        let mut response = Response::from(refusal);
        response.errors[0].path = vec![PathSegment::Field("pay".to_owned())];
        let outcome = complete(&mut response, &id());
        assert_eq!(outcome, Outcome { code: Some(RequestCode::Overloaded), refused: false });
        assert_eq!(extension(&response, "retryAfterSeconds"), Value::from(1));
    }

    #[test]
    fn answers_stay_short() {
        let long = ServerError::new("ü".repeat(10_000), None);
        let mut response = Response::from_errors(vec![long; 5_000]);
        complete(&mut response, &id());
        assert_eq!(response.errors.len(), ERRORS_MAX);
        assert!(response.errors.iter().all(|error| error.message.len() <= MESSAGE_BYTES_MAX + 3));
    }
}
