//! Content negotiation of GraphQL over HTTP: which of two media types an answer has.

use axum::http::{HeaderMap, HeaderValue, header};

/// The media type of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`: well-formed requests are answered with 200, whatever the GraphQL result is.
    Json,
    /// `application/graphql-response+json`: a refused request has a status of its own.
    GraphqlResponse,
    /// `text/event-stream`: an accepted stream tells whatever becomes of the request.
    Events,
}

impl Media {
    /// The value of the answer's `Content-Type`.
    pub(super) const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Events => "text/event-stream",
        })
    }

    /// The same, or JSON where only that will do.
    pub(super) const fn json(self) -> Self {
        match self {
            Self::Events => Self::Json,
            json => json,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::GraphqlResponse => "application/graphql-response+json",
            Self::Events => "text/event-stream",
        }
    }

    /// How much the client wants this type, and where in its list it says so.
    fn preference(self, ranges: &[Range<'_>]) -> Option<(u16, usize)> {
        let by_name = ranges.iter().position(|range| range.is(self.name()));
        by_name
            .or_else(|| ranges.iter().position(|range| range.is("application/*")))
            .or_else(|| ranges.iter().position(|range| range.is("*/*")))
            .and_then(|place| ranges.get(place).map(|range| (range.quality, place)))
            .filter(|(quality, _)| *quality > 0)
    }
}

/// The type of JSON to answer with; `None` when the client takes neither.
///
/// The larger q wins, then what stands first in the list, then `application/json`, which every client understands.
pub(super) fn negotiate(headers: &HeaderMap) -> Option<Media> {
    let values: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if values.iter().all(|value| value.trim().is_empty()) {
        return Some(Media::Json);
    }
    let ranges: Vec<Range<'_>> =
        values.iter().flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
    let json = Media::Json.preference(&ranges);
    let graphql = Media::GraphqlResponse.preference(&ranges);
    match (json, graphql) {
        (None, None) => None,
        (Some(_), None) => Some(Media::Json),
        (None, Some(_)) => Some(Media::GraphqlResponse),
        (Some((json, json_at)), Some((graphql, graphql_at))) => {
            let graphql_first = graphql > json || (graphql == json && graphql_at < json_at);
            Some(if graphql_first { Media::GraphqlResponse } else { Media::Json })
        }
    }
}

/// Whether the client takes an event stream, and says so by name: `*/*` is what everybody says.
pub(super) fn takes_events(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(',')).filter_map(Range::parse);
    ranges.any(|range| range.is(Media::Events.name()) && range.quality > 0)
}

/// Whether a request's body is declared as JSON in UTF-8.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) else {
        return false;
    };
    !headers.contains_key(header::CONTENT_ENCODING)
        && Range::parse(value).is_some_and(|range| range.is(Media::Json.name()))
}

/// One entry of `Accept`, or a `Content-Type`.
struct Range<'a> {
    name: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    /// `None` for an entry that asks for another charset than UTF-8.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';');
        let name = parts.next()?.trim();
        let mut quality = 1000;
        for part in parts {
            let Some((key, value)) = part.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            if key.trim().eq_ignore_ascii_case("charset") && !is_utf8(value) {
                return None;
            }
            if key.trim().eq_ignore_ascii_case("q") {
                quality = thousandths(value);
            }
        }
        (!name.is_empty()).then_some(Self { name, quality })
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

fn is_utf8(charset: &str) -> bool {
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

/// A q-value without floating point; what is malformed counts as 0.
fn thousandths(value: &str) -> u16 {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let parsed = format!("{fraction:0<3}").parse::<u16>();
    match (whole, digits, parsed) {
        ("1", true, Ok(0)) => 1000,
        ("0", true, Ok(thousandths)) => thousandths,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Option<Media>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        assert_eq!(negotiate(&headers), expected, "{accept}");
    }

    #[test]
    fn the_client_chooses_and_json_is_the_default() {
        assert_eq!(negotiate(&HeaderMap::new()), Some(Media::Json));
        for json in [
            "",
            "*/*",
            "application/*",
            "application/json",
            "Application/JSON; charset=UTF-8",
            "text/html, application/json",
            "application/json, application/graphql-response+json",
            "application/graphql-response+json;q=0.5, application/json;q=0.9",
            "application/graphql-response+json;q=0, */*",
            "text/html,*/*;q=0.1",
        ] {
            check(json, Some(Media::Json));
        }
        for graphql in [
            "application/graphql-response+json",
            "application/graphql-response+json, application/json;q=0.9",
            "application/graphql-response+json, application/json",
            "application/json;q=0.8, application/graphql-response+json; charset=utf-8",
            "application/graphql-response+json, */*;q=0.5",
        ] {
            check(graphql, Some(Media::GraphqlResponse));
        }
        for neither in [
            "text/html",
            "text/event-stream",
            "application/json; charset=iso-8859-1",
            "application/json;q=0",
            "*/*;q=0.0",
            ";;,,;q=x",
        ] {
            check(neither, None);
        }
    }

    #[test]
    fn an_event_stream_is_for_those_who_ask_for_one_by_name() {
        for (accept, takes) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("application/json, text/event-stream;q=0.1", true),
            ("text/event-stream;q=0, application/json", false),
            ("text/*", false),
            ("*/*", false),
            ("application/json", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(takes_events(&headers), takes, "{accept}");
        }
    }

    #[test]
    fn q_values_are_read_strictly() {
        for (text, expected) in
            [("1", 1000), ("1.000", 1000), ("0.5", 500), ("0.05", 50), ("0", 0), ("2", 0)]
        {
            assert_eq!(thousandths(text), expected, "{text}");
        }
        for malformed in ["", "1.5", "0.1234", "-1", "0.x", "NaN"] {
            assert_eq!(thousandths(malformed), 0, "{malformed}");
        }
    }

    #[test]
    fn only_json_in_utf8_is_read() {
        for (content_type, expected) in [
            ("application/json", true),
            ("application/json; charset=\"utf-8\"", true),
            ("application/json; charset=utf-16", false),
            ("application/graphql", false),
            ("text/plain", false),
            ("multipart/form-data; boundary=x", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(is_json(&headers), expected, "{content_type}");
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            assert!(!is_json(&headers), "{content_type}, packed");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
