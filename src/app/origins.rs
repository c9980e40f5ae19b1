//! Origins of browsers' pages, as operators write them: `https://shop.example, http://localhost:3000`.

use std::str::FromStr;

use reqwest::Url;

/// Origins as browsers send them; none at all, when the text is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

const WRITTEN: &str = "an origin is a scheme, a host and, where it is not the usual one, a port, as in https://shop.example";

impl Origins {
    /// One after the other; `*` stands for all.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(origin).collect::<Result<_, _>>().map(Self)
    }
}

/// Browsers write hosts in small letters and leave out what goes without saying; what is written differently would match
/// nobody, and nobody would know why.
fn origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("its scheme is missing: {WRITTEN}"));
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@', '\\']) || authority.contains(char::is_whitespace) {
        return Err(format!("it has more than an origin has: {WRITTEN}"));
    }
    let url = Url::parse(text).map_err(|_| format!("it is none: {WRITTEN}"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("its host is missing: {WRITTEN}"));
    }
    if authority.contains('*') {
        return Err(format!(
            "no pattern is understood, so list each origin, or * alone for all: {WRITTEN}"
        ));
    }
    // Of other schemes, as apps have them, a browser sends what the app is called by.
    Ok(match url.scheme() {
        "http" | "https" => url.origin().ascii_serialization(),
        // Pages have the one, WebSockets of native clients the other.
        "ws" | "wss" => url.origin().ascii_serialization().replacen("ws", "http", 1),
        _ => format!("{}://{}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_browsers_write_it() {
        let read = |text: &str| text.parse::<Origins>().unwrap().0;
        assert_eq!(read(""), [""; 0]);
        assert_eq!(read(" , "), [""; 0]);
        assert_eq!(read("*"), ["*"]);
        assert_eq!(
            read("https://Shop.example/, http://localhost:3000,https://a.example:443"),
            ["https://shop.example", "http://localhost:3000", "https://a.example"]
        );
        assert_eq!(read("http://[::1]:3000"), ["http://[::1]:3000"]);
        assert_eq!(read("capacitor://localhost"), ["capacitor://localhost"]);
        assert_eq!(read("Capacitor://LocalHost"), ["capacitor://localhost"]);
        assert_eq!(
            read("wss://Shop.example, WS://shop.example:80"),
            ["https://shop.example", "http://shop.example"]
        );
        assert_eq!(
            read("https://bühne.example, https://공연.example:443"),
            ["https://xn--bhne-0ra.example", "https://xn--ob0bt78b.example"]
        );
    }

    #[test]
    fn what_would_match_no_page_is_refused_with_what_to_write() {
        for (bad, why) in [
            ("shop.example", "its scheme is missing"),
            ("localhost:3000", "its scheme is missing"),
            ("https://a.example,shop.example", "its scheme is missing"),
            ("null", "its scheme is missing"),
            ("https://shop.example/shop", "it has more"),
            ("https://shop.example?x", "it has more"),
            ("https://me:S3cr3t@shop.example", "it has more"),
            ("https://a b", "it has more"),
            ("https://", "it is none"),
            ("file://", "its host is missing"),
            ("https://shop.example:port", "it is none"),
            ("https://*.shop.example", "no pattern is understood"),
            ("https://*", "no pattern is understood"),
            ("https://shop.example:*", "it is none"),
            ("app://*", "no pattern is understood"),
        ] {
            let told = bad.parse::<Origins>().unwrap_err();
            assert!(
                told.starts_with(why) && told.ends_with("https://shop.example"),
                "{bad}: {told}"
            );
            assert!(!told.contains("S3cr3t"), "{told}");
        }
    }
}
