//! The opening handshake of RFC 6455.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts,
    },
    response::Response,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The only version there is.
const VERSION: &str = "13";
/// A key is 16 bytes in base64.
const KEY_CHARS: usize = 24;

/// A handshake that is as it should be.
pub(super) struct Handshake {
    accept: HeaderValue,
    /// The client speaks the protocol that we speak.
    pub(super) agreed: bool,
}

impl Handshake {
    /// Reads a handshake for a client that should speak `protocol`; `None` when it is none.
    pub(super) fn read(parts: &Parts, protocol: &str) -> Option<Self> {
        let headers = &parts.headers;
        let is_one = parts.method == Method::GET
            && parts.version == Version::HTTP_11
            && tokens(headers, &header::CONNECTION)
                .any(|token| token.eq_ignore_ascii_case("upgrade"))
            && tokens(headers, &header::UPGRADE)
                .any(|token| token.eq_ignore_ascii_case("websocket"))
            && only(headers, &header::SEC_WEBSOCKET_VERSION)? == VERSION;
        let key = only(headers, &header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key))?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()?;
        let agreed =
            tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|token| token == protocol);
        is_one.then_some(Self { accept, agreed })
    }

    /// The answer, after which the connection is a WebSocket.
    pub(super) fn answer(self, protocol: &'static str) -> Response {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        if self.agreed {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        answer
    }
}

/// The parts of a header that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// The value of a header that stands there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.trim())
}

fn is_key(key: &str) -> bool {
    let digits = key.strip_suffix("==").unwrap_or_default();
    key.len() == KEY_CHARS
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "graphql-ws, graphql-transport-ws"),
    ];

    fn read(headers: &[(&str, &str)]) -> Option<Handshake> {
        let request = headers
            .iter()
            .fold(Request::get("/graphql"), |request, (name, value)| request.header(*name, *value));
        Handshake::read(&request.body(()).unwrap().into_parts().0, "graphql-transport-ws")
    }

    #[test]
    fn the_sample_of_the_rfc_is_answered_as_there() {
        let handshake = read(&GOOD).unwrap();
        assert!(handshake.agreed);
        let answer = handshake.answer("graphql-transport-ws");
        assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer.headers()["sec-websocket-protocol"], "graphql-transport-ws");
        let without = read(&GOOD[..4]).unwrap();
        assert!(
            !without
                .answer("graphql-transport-ws")
                .headers()
                .contains_key("sec-websocket-protocol")
        );
    }

    #[test]
    fn what_is_no_handshake_is_none() {
        for (name, value) in [
            ("connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZ==="),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZ\u{e9}=="),
            ("sec-websocket-key", ""),
        ] {
            let changed = GOOD.map(|given| if given.0 == name { (name, value) } else { given });
            assert!(read(&changed).is_none(), "{name}: {value}");
        }
        for missing in 0..4 {
            let mut less = GOOD.to_vec();
            let (name, value) = less.remove(missing);
            assert!(read(&less).is_none(), "{name} is missing");
            less.extend([(name, value), (name, value)]);
            let twice = read(&less).is_some();
            assert_eq!(twice, missing < 2, "{name} twice");
        }
    }
}
