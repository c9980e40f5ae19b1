//! Pages of other origins: which may use this server, and what their browsers are told, on every answer.
//!
//! A browser asks before it sends a request that a form could not send, and names the headers that the page's libraries add.
//! Who may ask at all may send what they name: no header but `Authorization` is more than a remark here, and no cookie is read.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};

use super::edge::REQUEST_ID;

/// For how many seconds a browser need not ask again.
const REMEMBERED_SECONDS: &str = "3600";
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
/// What pages may read beside the body.
const EXPOSED: [HeaderName; 3] = [REQUEST_ID, header::RETRY_AFTER, header::ALLOW];

/// The origins whose pages may use this server besides its own.
#[derive(Debug, Clone, Default)]
pub(super) struct CrossOrigin {
    any: bool,
    allowed: Vec<Place>,
}

impl CrossOrigin {
    /// These origins, as [`crate::app::Origins`] has them; `*` stands for all.
    pub(super) fn of(origins: &[String]) -> Self {
        Self {
            any: origins.iter().any(|origin| origin == "*"),
            allowed: origins.iter().filter_map(|origin| Place::of_origin(origin)).collect(),
        }
    }

    /// Nobody has to be told anything: browsers keep to the server's own pages.
    const fn is_empty(&self) -> bool {
        !self.any && self.allowed.is_empty()
    }

    fn allows(&self, origin: &str) -> bool {
        self.any || Place::of_origin(origin).is_some_and(|place| self.allowed.contains(&place))
    }

    /// Whether a page may connect: one of our own, or of an origin that the operator allows. A client that sends no `Origin` is no
    /// browser, and has nobody else's cookies or network position to abuse. Native clients name the address that they connect to.
    pub(super) fn trusts(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return !headers.contains_key(header::ORIGIN);
        };
        let Ok(origin) = origin.to_str() else { return false };
        if self.allows(origin) {
            return true;
        }
        let own = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        Place::of_origin(origin).zip(own).is_some_and(|(place, own)| place.is_at(own))
    }

    /// What the browser that sent a request is told.
    pub(super) fn told(&self, method: &Method, headers: &HeaderMap) -> Told {
        let mut told = Told(HeaderMap::new(), false);
        if self.is_empty() {
            return told;
        }
        if !self.any {
            told.0.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else { return told };
        if !origin.to_str().is_ok_and(|origin| self.allows(origin)) {
            return told;
        }
        let allowed = if self.any { HeaderValue::from_static("*") } else { origin.clone() };
        told.0.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            told.asked_before(headers);
        } else {
            for name in EXPOSED {
                told.0.append(header::ACCESS_CONTROL_EXPOSE_HEADERS, name.into());
            }
        }
        told
    }
}

/// What an answer has for the browser that it goes to; and whether that is all that it was asked for.
#[derive(Debug, Clone)]
pub(super) struct Told(HeaderMap, bool);

impl Told {
    /// A browser asks before it sends the request itself: whatever headers its page wants to send, it may.
    fn asked_before(&mut self, headers: &HeaderMap) {
        let Self(told, before) = self;
        *before = true;
        told.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
        told.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        told.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED_SECONDS));
        for asked in headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            told.append(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
    }

    /// The answer to a browser that asks before it sends the request itself.
    pub(super) fn answer(&self) -> Option<Response> {
        let Self(_, before) = self;
        before.then(|| {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            answer
        })
    }

    /// Adds it to an answer.
    pub(super) fn write(self, answer: &mut HeaderMap) {
        let Self(told, _) = self;
        for (name, value) in &told {
            answer.append(name, value.clone());
        }
    }
}

/// Where a page comes from, or a native client connects to. `ws` is `http` here, and `wss` is `https`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    scheme: String,
    host: String,
    /// None where it is the scheme's own.
    port: Option<u16>,
}

impl Place {
    /// `None` for what is none, such as `null`, or has more than a scheme, a host and a port.
    fn of_origin(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" => "http".to_owned(),
            "wss" => "https".to_owned(),
            other => other.to_owned(),
        };
        let (host, port) = split(authority)?;
        let port = port.filter(|port| usual_port(&scheme) != Some(*port));
        Some(Self { scheme, host, port })
    }

    /// Whether it is the server itself, as `Host` names it. By which scheme a client came, only the proxy in front may know: so
    /// the usual ports of both are the same where the page is at its own scheme's.
    fn is_at(&self, host: &str) -> bool {
        let (Some((own, port)), Some(_)) = (split(host), usual_port(&self.scheme)) else {
            return false;
        };
        own == self.host
            && match (self.port, port) {
                (None, None | Some(80 | 443)) => true,
                (here, there) => here.is_some() && here == there,
            }
    }
}

const fn usual_port(scheme: &str) -> Option<u16> {
    match scheme.as_bytes() {
        b"http" => Some(80),
        b"https" => Some(443),
        _ => None,
    }
}

/// A host in small letters, and a port.
fn split(authority: &str) -> Option<(String, Option<u16>)> {
    let stands_alone = |c: char| "/?#@\\,".contains(c) || c.is_whitespace() || c.is_control();
    if authority.contains(stands_alone) {
        return None;
    }
    let end = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority.get(end..)?.find(':') {
        Some(at) => authority.split_at(end + at),
        None => (authority, ""),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let port = match digits {
        "" => None,
        digits if digits.bytes().all(|digit| digit.is_ascii_digit()) => Some(digits.parse().ok()?),
        _ => return None,
    };
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(host: &'static str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        headers
            .extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_str(origin).unwrap())));
        let allowed = ["https://shop.example", "capacitor://localhost"].map(str::to_owned);
        CrossOrigin::of(&allowed).trusts(&headers)
    }

    #[test]
    fn clients_may_connect_from_where_they_connect_to() {
        for (host, origin) in [
            ("tickets.example", "https://tickets.example"),
            ("tickets.example", "http://tickets.example"),
            ("tickets.example", "wss://tickets.example"),
            ("tickets.example", "WSS://Tickets.Example:443"),
            ("tickets.example", "ws://tickets.example:80"),
            ("tickets.example:443", "wss://tickets.example"),
            ("TICKETS.example:443", "https://tickets.example"),
            ("tickets.example:80", "ws://tickets.example"),
            // A proxy that speaks TLS, and names its own port.
            ("tickets.example:80", "https://tickets.example"),
            ("tickets.example:8443", "wss://tickets.example:8443"),
            ("127.0.0.1:8000", "ws://127.0.0.1:8000"),
            ("[::1]:8000", "http://[::1]:8000"),
            ("[2001:DB8::1]", "wss://[2001:db8::1]:443"),
            ("tickets.example:", "https://tickets.example"),
        ] {
            assert!(trusts(host, Some(origin)), "{host} {origin}");
        }
        assert!(trusts("tickets.example", None));
    }

    #[test]
    fn strangers_stay_out() {
        for (host, origin) in [
            ("tickets.example", "https://tickets.example:8443"),
            ("tickets.example", "https://tickets.example:80"),
            ("tickets.example", "http://tickets.example:443"),
            ("tickets.example:8443", "https://tickets.example"),
            ("tickets.example:8443", "https://tickets.example:8444"),
            ("tickets.example", "https://tickets.example.evil"),
            ("tickets.example", "https://nottickets.example"),
            ("tickets.example", "https://tickets.example@evil.example"),
            ("tickets.example", "https://evil.example"),
            ("tickets.example", "https://tickets.example/page"),
            ("tickets.example", "https://tickets.example:443:443"),
            ("tickets.example", "https://tickets.example:99999"),
            ("tickets.example", "https://tickets.example:+443"),
            ("tickets.example", "file://tickets.example"),
            ("tickets.example", "capacitor://tickets.example"),
            ("tickets.example", "null"),
            ("tickets.example", "file://"),
            ("tickets.example", "https://"),
            ("tickets.example", "tickets.example"),
            ("", "https://"),
            ("tickets.example", ""),
        ] {
            assert!(!trusts(host, Some(origin)), "{host} {origin}");
        }
    }

    #[test]
    fn allowed_origins_are_met_as_browsers_and_apps_write_them() {
        for origin in [
            "https://shop.example",
            "https://SHOP.example:443",
            "wss://shop.example",
            "capacitor://localhost",
        ] {
            assert!(trusts("tickets.example", Some(origin)), "{origin}");
        }
        for origin in
            ["http://shop.example", "https://shop.example:444", "capacitor://localhost:80"]
        {
            assert!(!trusts("tickets.example", Some(origin)), "{origin}");
        }
    }
}
