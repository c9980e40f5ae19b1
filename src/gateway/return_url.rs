//! Where buyers' browsers may come back to. Whoever can send them anywhere else can make a page that looks like ours.

use std::str::FromStr;

use reqwest::Url;

/// The longest address, in bytes.
const BYTES_MAX: usize = 2000;

/// Origins that a browser may be sent back to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReturnOrigins {
    origins: Vec<String>,
    any: bool,
}

impl ReturnOrigins {
    /// Those of these texts that are origins.
    pub fn among<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for text in texts {
            // What is no origin allows nothing.
            _ = all.add(text);
        }
        all
    }

    fn add(&mut self, text: &str) -> Result<(), &'static str> {
        if text == "*" {
            self.any = true;
            return Ok(());
        }
        let url = safe(text).ok_or("an origin is https://host, or http://localhost:port")?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("an origin has no path: https://host");
        }
        self.origins.push(url.origin().ascii_serialization());
        Ok(())
    }

    /// Whether nobody may be sent anywhere.
    pub const fn is_empty(&self) -> bool {
        self.origins.is_empty() && !self.any
    }

    /// The address to send a buyer back to, written as browsers write it; `None` when it may not be one.
    pub fn admit(&self, text: &str) -> Option<String> {
        let url = safe(text)?;
        let origin = url.origin().ascii_serialization();
        (self.any || self.origins.contains(&origin)).then(|| url.into())
    }
}

/// Origins, separated by commas; empty for none.
impl FromStr for ReturnOrigins {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::default();
        for text in text.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            all.add(text)?;
        }
        Ok(all)
    }
}

/// An address that nobody on the way can read or change: https, or this machine's own.
fn safe(text: &str) -> Option<Url> {
    if text.len() > BYTES_MAX || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let secure = url.scheme() == "https" || (url.scheme() == "http" && here);
    (secure && url.username().is_empty() && url.password().is_none()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_origins_are_gone_back_to() {
        let origins: ReturnOrigins =
            "https://shop.example, http://127.0.0.1:3000,http://[::1]:3000".parse().unwrap();
        for good in [
            "https://shop.example",
            "https://shop.example/back?to=1#here",
            "https://SHOP.example:443/",
            "http://127.0.0.1:3000/back",
            "http://[::1]:3000/back",
        ] {
            assert!(origins.admit(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "/back",
            "//shop.example/back",
            "http://shop.example/back",
            "https://shop.example:444/",
            "https://shop.example.evil.example/",
            "https://evil.example/https://shop.example",
            "https://shop.example@evil.example/",
            "https://user:pass@shop.example/",
            "https://shop.example\n/",
            "https:\\\\evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "http://127.0.0.1:3001/",
            &format!("https://shop.example/{}", "x".repeat(2000)),
        ] {
            assert_eq!(origins.admit(bad), None, "{bad}");
        }
        assert_eq!(ReturnOrigins::default().admit("https://shop.example/"), None);
    }

    #[test]
    fn a_star_allows_every_safe_address() {
        let origins: ReturnOrigins = "*".parse().unwrap();
        assert_eq!(origins.admit("https://a.example/x").as_deref(), Some("https://a.example/x"));
        assert_eq!(origins.admit("http://a.example/x"), None);
    }

    #[test]
    fn what_is_no_origin_is_refused_at_the_start() {
        for bad in ["shop.example", "http://shop.example", "https://shop.example/path", "https://"]
        {
            assert!(bad.parse::<ReturnOrigins>().is_err(), "{bad}");
        }
        assert_eq!("".parse(), Ok(ReturnOrigins::default()));
        let some = ReturnOrigins::among(["https://a.example", "nonsense"]);
        assert_eq!(some, "https://a.example".parse().unwrap());
    }
}
