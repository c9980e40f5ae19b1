//! What surrounds every route: the request's id, the limit on bodies, panics, CORS and the headers that browsers heed.

use std::{borrow::Cow, panic::AssertUnwindSafe, sync::Arc};

use async_graphql::Response as GraphqlResponse;
use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, uri::Authority,
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tower_http::limit::RequestBodyLimitLayer;
use uuid::Uuid;

use super::{
    accept::{self, Media},
    connection::Connection,
    cross_origin::CrossOrigin,
    error::{self, Refusal},
    linger,
    rate_limits::RateLimits,
    transport::BODY_BYTES_MAX,
};
use crate::{
    api::{Origin, RequestId},
    kernel::RequestCode,
    tasks::Tasks,
};

/// Names a request, in both directions.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 64;
/// Where GraphQL is spoken.
pub(super) const GRAPHQL: &str = "/graphql";

/// Headers that say one thing. If one of them comes twice, a proxy may understand something else by it than we do.
const ONCE: [HeaderName; 9] = [
    header::HOST,
    header::TRANSFER_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::ORIGIN,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
];

/// What every answer goes through.
#[derive(Clone)]
struct Through {
    tasks: Tasks,
    cross_origin: Arc<CrossOrigin>,
}

/// Puts the layers around the routes.
pub(super) fn around(
    routes: Router,
    cross_origin: CrossOrigin,
    rates: Arc<RateLimits>,
    tasks: Tasks,
) -> Router {
    let routes = routes.layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX));
    let routes = routes.layer(from_fn_with_state(rates, limited));
    let state = Through { tasks, cross_origin: Arc::new(cross_origin) };
    // Outermost, so that pages of other origins can read whatever they are told.
    routes.layer(from_fn_with_state(state, through))
}

/// Counts a request of its address, and answers it if there are not too many.
async fn limited(
    State(rates): State<Arc<RateLimits>>,
    Extension(origin): Extension<Origin>,
    request: Request,
    next: Next,
) -> Response {
    let Err(refusal) = rates.request(origin.0) else { return next.run(request).await };
    let handshake = request.headers().contains_key(header::UPGRADE);
    let asks = [Method::POST, Method::GET].contains(request.method()) && !handshake;
    let graphql = request.uri().path() == GRAPHQL && asks;
    let media = graphql.then(|| accept::negotiate(request.headers())).flatten();
    let status = match media {
        Some(media) => error::status_of(media, Some(refusal.code)),
        None => error::status(refusal.code),
    };
    let mut answer = status.into_response();
    answer.extensions_mut().insert(refusal);
    answer.extensions_mut().insert(media.unwrap_or(Media::Json));
    answer
}

async fn through(
    State(Through { tasks, cross_origin }): State<Through>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId(incoming(request.headers()).unwrap_or_else(new_id));
    request.extensions_mut().insert(id.clone());
    let connection = request.extensions().get::<Arc<Connection>>();
    let origin = Origin(connection.and_then(|connection| connection.client(request.headers())));
    request.extensions_mut().insert(origin);
    let unclear = unclear(request.version(), request.headers());
    let told = cross_origin.told(request.method(), request.headers());
    let request = linger::to_the_end(request, &tasks);
    let answer = match (unclear, told.answer()) {
        (Some(text), _) => Ok(unclear_answer(text)),
        (None, Some(answer)) => Ok(answer),
        (None, None) => AssertUnwindSafe(next.run(request)).catch_unwind().await,
    };
    let mut answer = answer.unwrap_or_else(|_| {
        tracing::error!(request_id = &*id.0, "a handler panicked");
        let Refusal { code, .. } = Refusal::internal();
        refuse(error::status(code), Media::Json, Refusal::internal(), &id)
    });
    let refusal = answer.extensions_mut().remove::<Refusal>().or_else(|| bare(answer.status()));
    if let Some(refusal) = refusal {
        let media = answer.extensions_mut().remove::<Media>().unwrap_or(Media::Json);
        let mut refused = refuse(answer.status(), media, refusal, &id);
        for name in [header::ALLOW, header::CONNECTION] {
            let kept = answer.headers_mut().remove(&name);
            refused.headers_mut().extend(kept.map(|value| (name, value)));
        }
        answer = refused;
    }
    told.write(answer.headers_mut());
    seal(answer, &id)
}

/// What every answer has.
fn seal(mut answer: Response, id: &RequestId) -> Response {
    secure(answer.headers_mut());
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    answer
}

/// The answer instead of one that there is no room for. The request was answered: it keeps its id.
pub(super) fn overloaded(answer: &Response) -> Response {
    let id = RequestId(incoming(answer.headers()).unwrap_or_else(new_id));
    let text = "Too many answers wait to be read. Ask for less, or try again in a moment.";
    let refusal = Refusal::new(RequestCode::Overloaded, text);
    let mut refused = refuse(error::status(refusal.code), Media::Json, refusal, &id);
    keep_for_browsers(answer.headers(), refused.headers_mut());
    seal(refused, &id)
}

/// Lets pages of other origins read a refusal that stands for an answer they might have read.
fn keep_for_browsers(from: &HeaderMap, to: &mut HeaderMap) {
    let cross_origin = from
        .iter()
        .filter(|(name, _)| **name == header::VARY || name.as_str().starts_with("access-control-"));
    to.extend(cross_origin.map(|(name, value)| (name.clone(), value.clone())));
}

/// What to say of a request of which a proxy may understand something else than we do: where it goes, or where it ends.
fn unclear(version: Version, headers: &HeaderMap) -> Option<Cow<'static, str>> {
    if let Some(name) = ONCE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        return Some(format!("The header {name} may be there once only.").into());
    }
    let host = headers.get(header::HOST);
    if host.map_or(version >= Version::HTTP_11, |host| !is_host(host)) {
        return Some("The header host has to name the server, as RFC 9112 says.".into());
    }
    let coding = headers.get(header::TRANSFER_ENCODING);
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Some("The only transfer-encoding that is understood is chunked.".into());
    }
    None
}

/// Says so, and that nothing more is read on that connection.
fn unclear_answer(text: Cow<'static, str>) -> Response {
    let mut answer = error::plain(StatusCode::BAD_REQUEST, RequestCode::BadRequest, text);
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Whether this is the name of a server, with or without a port; or empty, where a request has none.
fn is_host(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let Ok(authority) = text.parse::<Authority>() else { return text.is_empty() };
    let port = text.strip_prefix(authority.host());
    let port = port.map(|port| port.strip_prefix(':').unwrap_or(port));
    port.is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
}

/// The refusals that layers and the router make by themselves, with a text or an empty body.
fn bare(status: StatusCode) -> Option<Refusal> {
    let text = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "The request is larger than 64 KiB.",
        StatusCode::METHOD_NOT_ALLOWED => "This address does not know that method.",
        _ => return None,
    };
    Some(Refusal::new(RequestCode::BadRequest, text))
}

fn refuse(status: StatusCode, media: Media, refusal: Refusal, id: &RequestId) -> Response {
    let mut response = GraphqlResponse::from(refusal);
    error::complete(&mut response, id);
    error::write(status, media, &response)
}

/// An id that the client or a proxy gave, if it is one, short and harmless.
fn incoming(headers: &HeaderMap) -> Option<Arc<str>> {
    let mut ids = headers.get_all(REQUEST_ID).iter();
    let (Some(id), None) = (ids.next(), ids.next()) else { return None };
    let id = id.to_str().ok()?;
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (!id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(harmless))
        .then(|| Arc::from(id))
}

fn new_id() -> Arc<str> {
    let mut buffer = Uuid::encode_buffer();
    Arc::from(&*Uuid::new_v4().simple().encode_lower(&mut buffer))
}

fn secure(headers: &mut HeaderMap) {
    let mut default = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    default(header::X_FRAME_OPTIONS, "DENY");
    default(header::REFERRER_POLICY, "no-referrer");
    default(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    default(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    default(
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    );
    default(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    default(header::CACHE_CONTROL, "no-store");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: Version, lines: &[(&'static str, &'static str)]) -> Option<Cow<'static, str>> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        unclear(version, &headers)
    }

    #[test]
    fn a_request_names_the_server_once() {
        for host in
            ["a.example", "a.example:8000", "a.example:", "[::1]:80", "127.0.0.1", "", "x_y"]
        {
            assert_eq!(told(Version::HTTP_11, &[("host", host)]), None, "{host}");
        }
        for host in
            ["a b", "a/b", "a@b", "a:b", "a:80:80", "a?b", "a#b", "<a>", "http://a", "[::1", " "]
        {
            assert!(told(Version::HTTP_11, &[("host", host)]).is_some(), "{host}");
        }
        assert!(told(Version::HTTP_11, &[]).is_some());
        assert_eq!(told(Version::HTTP_10, &[]), None);
        assert!(told(Version::HTTP_10, &[("host", "a b")]).is_some());
        assert!(told(Version::HTTP_11, &[("host", "a"), ("host", "a")]).is_some());
    }

    #[test]
    fn a_body_comes_in_pieces_or_as_it_is() {
        for (coding, clear) in [
            ("chunked", true),
            ("Chunked", true),
            ("gzip, chunked", false),
            ("chunked, chunked", false),
            ("", false),
        ] {
            let headers = [("host", "a"), ("transfer-encoding", coding)];
            assert_eq!(told(Version::HTTP_11, &headers).is_none(), clear, "{coding}");
        }
    }
}
