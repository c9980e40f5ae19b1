//! Whether there are traces, and where they go.

use std::{fmt, str::FromStr};

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use crate::kernel::{Address, AddressFault};

/// Below the collector's address, traces are taken here.
const PATH: &str = "/v1/traces";

/// Whether there are traces, and where they go.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// Where they go; nothing is traced without.
    pub endpoint: TraceAddress,
    /// What is sent along.
    pub headers: TraceHeaders,
    /// What the traces call this service.
    pub service: String,
    /// Of the traces that begin here, this share is recorded: 0 to 1.
    pub ratio: f64,
}

/// Where a collector takes OTLP over HTTP, `http://host:4318`, a path below it, or nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct TraceAddress(Option<Url>);

impl TraceAddress {
    /// Where traces are posted to.
    pub(super) const fn url(&self) -> Option<&Url> {
        self.0.as_ref()
    }
}

impl FromStr for TraceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let written = |why: &str| format!("{why}; it is written http://host:4318");
        // What is set to nothing is not set: OpenTelemetry's rule for its variables.
        if text.is_empty() {
            return Ok(Self::default());
        }
        let trimmed = text.trim_end_matches('/');
        let (scheme, rest) = trimmed.split_once("://").unwrap_or_default();
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        Address::parse(&format!("{scheme}://{place}"), &["http", "https"], &[])
            .map_err(|fault| written(fault.words()))?;
        if place.is_empty() || trimmed.contains(['@', '?', '#']) {
            return Err(written("it has more or less than a host, a port and a path"));
        }
        let path = if path.is_empty() { PATH.to_owned() } else { format!("/{path}{PATH}") };
        let url = Url::parse(&format!("{scheme}://{place}{path}"));
        url.map(|url| Self(Some(url))).map_err(|_| written(AddressFault::Host.words()))
    }
}

/// A path may be somebody's, so none is shown.
impl fmt::Debug for TraceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "TraceAddress(..)" } else { "TraceAddress(none)" })
    }
}

/// Headers for a collector: `name=value`, separated by commas, with what is special written %2C.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct TraceHeaders(HeaderMap);

impl TraceHeaders {
    pub(super) const fn map(&self) -> &HeaderMap {
        &self.0
    }
}

impl FromStr for TraceHeaders {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut headers = HeaderMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("a header is written name=value")?;
            let name: HeaderName = name
                .trim()
                .parse()
                .map_err(|_| "one of the names is none that a header can have")?;
            let value = decoded(value.trim()).ok_or("a % is followed by two digits or letters")?;
            let mut value = HeaderValue::from_bytes(&value)
                .map_err(|_| "one of the values is none that a header can have")?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(Self(headers))
    }
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        plain.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(plain)
}

/// They sign us in, so none is shown.
impl fmt::Debug for TraceHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceHeaders({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_collectors_and_traces_go_below_it() {
        for (text, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://otlp.example/tenant/7", "https://otlp.example/tenant/7/v1/traces"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ] {
            let address: TraceAddress = text.parse().unwrap();
            assert_eq!(address.url().unwrap().as_str(), url);
        }
        assert_eq!("".parse(), Ok(TraceAddress::default()));
        for text in [
            "127.0.0.1:4318",
            "grpc://collector:4317",
            "http://",
            "http://me:secret@collector",
            "http://collector:0",
            "http://a b",
            "http://collector?key=secret",
        ] {
            let refused = text.parse::<TraceAddress>().unwrap_err();
            assert!(
                refused.contains("http://host:4318") && !refused.contains("secret"),
                "{refused}"
            );
        }
    }

    #[test]
    fn headers_are_read_and_not_shown() {
        let headers: TraceHeaders = "authorization=Bearer%20a%2Cb, x-tenant = 7,".parse().unwrap();
        assert_eq!(headers.map()["authorization"], "Bearer a,b");
        assert_eq!(headers.map()["x-tenant"], "7");
        assert!(!format!("{headers:?}").contains("Bearer"), "{headers:?}");
        for text in ["authorization", "a b=c", "a=%2", "a=%zz", "a=%0a"] {
            assert!(text.parse::<TraceHeaders>().is_err(), "{text}");
        }
    }
}
