//! A look at a document's text before the parser sees it: the parser recurses into brackets and has no limit of its own
//! there.

use super::{super::error::Refusal, too_complex};

/// Names, punctuators, numbers and strings in a document.
const TOKENS_MAX: usize = 2_000;
/// Brackets of all kinds that are open at once: selections, lists, objects, arguments.
const BRACKETS_MAX: usize = 60;
/// The longest name or number, in bytes. Names come back as keys of the answer, one for each item of a list, and operations'
/// names stand in the log.
const NAME_BYTES_MAX: usize = 128;

/// Counts tokens, and refuses documents of too many tokens or brackets, or of long names. Whether they are well-formed is
/// not looked at.
///
/// # Errors
/// QUERY_TOO_COMPLEX.
pub(super) fn count(text: &str) -> Result<usize, Refusal> {
    let (mut tokens, mut open) = (0_usize, 0_usize);
    let mut rest = text.as_bytes();
    while let Some(length) = token(rest) {
        match rest.first() {
            Some(b'{' | b'[' | b'(') => open += 1,
            Some(b'}' | b']' | b')') => open = open.saturating_sub(1),
            Some(byte) if is_word(*byte) && length > NAME_BYTES_MAX => {
                return Err(too_complex("A name in the document is longer than 128 characters."));
            }
            _ => {}
        }
        tokens += usize::from(!rest.first().is_some_and(|byte| is_ignored(*byte)));
        if tokens > TOKENS_MAX {
            return Err(too_complex("The document has more than 2000 tokens."));
        }
        if open > BRACKETS_MAX {
            return Err(too_complex("The document nests too deep."));
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(tokens)
}

/// How long the token, the comment or the run of white space is that the text starts with; `None` at the end.
fn token(text: &[u8]) -> Option<usize> {
    let run =
        |part: fn(u8) -> bool| text.iter().position(|byte| !part(*byte)).unwrap_or(text.len());
    Some(match *text.first()? {
        b'#' => run(|byte| byte != b'\n' && byte != b'\r'),
        byte if is_ignored(byte) => run(|byte| is_ignored(byte) && byte != b'#'),
        b'"' if text.starts_with(br#"""""#) => block_string(text),
        b'"' => string(text),
        b'.' => run(|byte| byte == b'.'),
        byte if is_word(byte) => run(is_word),
        _ => 1,
    })
}

const fn is_ignored(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b'#')
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn string(text: &[u8]) -> usize {
    let mut at = 1;
    loop {
        match text.get(at) {
            None => return text.len(),
            Some(b'\\') => at += 2,
            // A string that is not closed ends with its line, so that nothing can hide behind it.
            Some(b'"' | b'\n' | b'\r') => return at + 1,
            Some(_) => at += 1,
        }
    }
}

fn block_string(text: &[u8]) -> usize {
    let mut at = 3;
    loop {
        match text.get(at..) {
            None | Some([]) => return text.len(),
            Some([b'\\', b'"', b'"', b'"', ..]) => at += 4,
            Some([b'"', b'"', b'"', ..]) => return at + 3,
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_as_the_language_has_them() {
        for (text, expected) in [
            ("", 0),
            ("{ a, b # c d e\n }", 4),
            (r#"{ a(b: "{[(\"") }"#, 8),
            (r#"{ a(b: """ \""" { " """) }"#, 8),
            ("{...a ... on B{c}}", 10),
            ("query($x: [Int!] = [1, 2]) { a }", 18),
            ("\"open", 1),
            ("\"\"\"open \" ", 1),
        ] {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn brackets_inside_strings_and_comments_do_not_count() {
        let brackets = "[".repeat(1000);
        assert!(count(&format!("{{ a(b: \"{brackets}\") }}")).is_ok());
        assert!(count(&format!("{{ a(b: \"\"\"{brackets}\"\"\") }}")).is_ok());
        assert!(count(&format!("# {brackets}\n{{ a }}")).is_ok());
        assert!(count(&format!("{{ a(b: {brackets}) }}")).is_err());
        assert!(count(&"{ a ".repeat(61)).is_err());
        assert!(count(&"a ".repeat(TOKENS_MAX)).is_ok());
        assert!(count(&"a ".repeat(TOKENS_MAX + 1)).is_err());
    }
}
