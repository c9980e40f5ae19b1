//! Whether a text is for people: no names of fields, arguments or codes in it.

use serde_json::Value;

/// What looks like a name in a program, and is one that people use.
const NAMES: &[&str] = &["GraphQL", "WebSocket", "WebSockets", "KiB", "IANA", "POST"];

/// The first word of a text that only a program knows: in backticks, in camelCase, with an underscore, or in capitals.
pub(crate) fn of_a_program(text: &str) -> Option<&str> {
    let unfit = |word: &&str| {
        let word = word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '`' && c != '_');
        let pairs = || word.chars().zip(word.chars().skip(1));
        let camel = pairs().any(|(a, b)| a.is_lowercase() && b.is_uppercase());
        let shouted = word.len() >= 4 && word.chars().all(|c| c.is_ascii_uppercase());
        word.contains(['`', '_']) || ((camel || shouted) && !NAMES.contains(&word))
    };
    text.split_whitespace().find(unfit)
}

/// Every refusal in an answer has words for people.
pub(crate) fn assert_plain(answer: &Value) {
    match answer {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "userErrors" {
                    for error in value.as_array().into_iter().flatten() {
                        let message = error["message"].as_str().unwrap_or_default();
                        assert_eq!(of_a_program(message), None, "{error}");
                    }
                }
                assert_plain(value);
            }
        }
        Value::Array(items) => items.iter().for_each(assert_plain),
        _ => {}
    }
}

#[test]
fn words_of_a_program_are_told_from_those_of_people() {
    for (text, word) in [
        ("It is not your turn yet; watch `queueStatus`.", Some("`queueStatus`.")),
        ("Sales do not open after salesCloseAt.", Some("salesCloseAt.")),
        ("The status is SOLD_OUT.", Some("SOLD_OUT.")),
        ("Give the HOLD back.", Some("HOLD")),
        ("Not an IANA time zone; write one like Asia/Seoul.", None),
        ("Send GraphQL requests by POST, of 64 KiB at most.", None),
        ("One line of 1 to 200 characters.", None),
    ] {
        assert_eq!(of_a_program(text), word, "{text}");
    }
}
