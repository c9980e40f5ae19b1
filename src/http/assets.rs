//! GraphiQL, out of the binary: nothing is loaded from elsewhere, so it works offline and under a strict policy.

use std::{fmt::Write, sync::LazyLock};

use axum::{
    body::Body,
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use sha2::{Digest, Sha256};

use super::{connection::InProgram, error};
use crate::kernel::RequestCode;

/// Monaco makes style elements and loads its workers from blobs; GraphiQL opens a WebSocket.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     worker-src 'self' blob:; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'",
);

struct Asset {
    name: &'static str,
    content_type: &'static str,
    packed: bool,
    bytes: &'static [u8],
    etag: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    macro_rules! packed {
        ($name:literal, $content_type:expr) => {
            asset(
                $name,
                $content_type,
                true,
                include_bytes!(concat!("../../assets/graphiql/dist/", $name, ".gz")),
            )
        };
    }
    let index = include_bytes!("../../assets/graphiql/dist/index.html");
    let script = "text/javascript; charset=utf-8";
    vec![
        asset("index.html", "text/html; charset=utf-8", false, index),
        packed!("graphiql.js", script),
        packed!("graphiql.css", "text/css; charset=utf-8"),
        packed!("editor.worker.js", script),
        packed!("json.worker.js", script),
        packed!("graphql.worker.js", script),
    ]
});

fn asset(
    name: &'static str,
    content_type: &'static str,
    packed: bool,
    bytes: &'static [u8],
) -> Asset {
    let mut etag = "\"".to_owned();
    for byte in Sha256::digest(bytes).iter().take(12) {
        // Writing to a String cannot fail.
        _ = write!(etag, "{byte:02x}");
    }
    etag.push('"');
    Asset { name, content_type, packed, bytes, etag }
}

/// The page.
pub(super) async fn index(headers: HeaderMap) -> Response {
    send("index.html", &headers)
}

/// One of its files.
pub(super) async fn file(
    // What is no text names none.
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    send(&name.map(|Path(name)| name).unwrap_or_default(), &headers)
}

fn send(name: &str, asked: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return error::plain(
            StatusCode::NOT_FOUND,
            RequestCode::NotFound,
            "There is nothing here.",
        );
    };
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == asset.etag.as_str());
    let mut answer = Response::new(if known { Body::empty() } else { Body::from(asset.bytes) });
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    answer.extensions_mut().insert(InProgram);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    if asset.packed && !known {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(header::ETAG, etag);
    }
    // Kept by browsers, but asked for again each time, so that a new release is seen at once.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    answer
}
