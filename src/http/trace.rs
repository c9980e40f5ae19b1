//! The span of an HTTP request: what it is called, and which trace it belongs to.

use std::sync::Arc;

use axum::http::{StatusCode, request::Parts};

use super::connection::Connection;
use crate::telemetry::{Parent, Span};

/// Who calls says here which trace the request belongs to.
const TRACEPARENT: &str = "traceparent";

/// The span of a request for a route. Only a trusted proxy is believed about the trace that it belongs to: else strangers would
/// choose what is recorded, and under which name.
pub(super) fn begin(parts: &Parts, route: &'static str) -> Span {
    let span = Span::of_request(|| format!("{} {route}", parts.method), parent(parts).as_ref());
    if span.is_on() {
        span.set("http.request.method", parts.method.to_string());
        span.set("http.route", route);
        span.set("url.path", route);
        span.set("url.scheme", "http");
    }
    span
}

/// How the request was answered.
pub(super) fn answered(span: &Span, status: StatusCode) {
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.fail(status.as_str().to_owned());
    }
}

fn parent(parts: &Parts) -> Option<Parent> {
    let mut headers = parts.headers.get_all(TRACEPARENT).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else { return None };
    let connection = parts.extensions.get::<Arc<Connection>>()?;
    connection.is_trusted().then(|| Parent::read(header.to_str().ok()?)).flatten()
}
