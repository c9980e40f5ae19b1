//! The bank's challenge, as a page for a person: no script, no picture, readable aloud.

/// What the page is about.
pub(super) enum Page<'a> {
    /// Whether to pay.
    Question {
        /// How much.
        amount: i64,
        /// Of what.
        currency: &'a str,
    },
    /// It is decided already.
    Decided {
        /// Whether the money was taken.
        charged: bool,
        /// Where to go on, if anywhere.
        return_url: Option<&'a str>,
    },
    /// There is no such challenge.
    Unknown,
    /// Neither of the two buttons.
    Neither,
}

impl Page<'_> {
    /// The page as HTML.
    pub(super) fn html(&self) -> String {
        let (title, body) = match self {
            Self::Question { amount, currency } => (
                "Confirm your payment",
                format!(
                    "<p>A shop asks for <strong>{amount} {currency}</strong>. This is the sandbox: no money moves.</p>\
                     <form method=\"post\"><button name=\"outcome\" value=\"pass\">Confirm the payment</button> \
                     <button name=\"outcome\" value=\"fail\">Refuse it</button></form>",
                    currency = escaped(&currency.to_uppercase())
                ),
            ),
            Self::Decided { charged, return_url } => {
                let words =
                    if *charged { "The payment is confirmed." } else { "The payment is refused." };
                let on = return_url.map_or_else(
                    || "<p>You can close this page.</p>".to_owned(),
                    |url| format!("<p><a href=\"{}\">Back to the shop</a></p>", escaped(url)),
                );
                ("Your payment", format!("<p>{words}</p>{on}"))
            }
            Self::Unknown => (
                "Nothing to confirm",
                "<p>There is no such payment, or it was called off. Go back to the shop.</p>"
                    .to_owned(),
            ),
            Self::Neither => (
                "Nothing was chosen",
                "<p>Choose one of the two buttons. <a href=\"\">Back to the question</a></p>"
                    .to_owned(),
            ),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
             <style>:root{{color-scheme:light dark}}body{{font:1.125rem/1.5 system-ui,sans-serif;max-width:34rem;\
             margin:10vh auto;padding:0 1.25rem}}button{{font:inherit;padding:.6rem 1.2rem;min-height:2.75rem;\
             margin:0 .5rem .5rem 0;cursor:pointer}}</style></head>\
             <body><main><h1>{title}</h1>{body}</main></body></html>\n"
        )
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shop_writes_stays_text() {
        let page =
            Page::Decided { charged: true, return_url: Some("https://s/?a=1&b=\"><script>") };
        let html = page.html();
        assert!(html.contains("https://s/?a=1&amp;b=&quot;&gt;&lt;script&gt;"), "{html}");
        assert!(!html.contains("<script"));
    }
}
