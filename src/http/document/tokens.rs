//! A look at a document's text before the parser sees it: the parser recurses into brackets and has no limit of its own
//! there, and of two values of one field of an input object it takes the last without a word.

use std::collections::HashSet;

use super::{super::error::Refusal, bad_request, too_complex};

/// Names, punctuators, numbers and strings in a document.
const TOKENS_MAX: usize = 2_000;
/// Brackets of all kinds that are open at once: selections, lists, objects, arguments.
const BRACKETS_MAX: usize = 60;
/// The longest name or number, in bytes. Names come back as keys of the answer, one for each item of a list, and operations'
/// names stand in the log.
const NAME_BYTES_MAX: usize = 128;

/// Counts tokens, and refuses documents of too many tokens or brackets, of long names, or with a field twice in an input
/// object. Whether they are well-formed else is not looked at.
///
/// # Errors
/// QUERY_TOO_COMPLEX, or BAD_REQUEST for a field that stands twice.
pub(super) fn count(text: &str) -> Result<usize, Refusal> {
    let mut look = Look::default();
    let mut rest = text.as_bytes();
    while let Some(length) = token(rest) {
        let (token, others) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        look.at(token)?;
        rest = others;
    }
    Ok(look.tokens)
}

/// What has been seen of a document.
#[derive(Default)]
struct Look<'a> {
    tokens: usize,
    open: Vec<Bracket<'a>>,
    /// How many round brackets are open: a brace inside of them is an input object.
    round: usize,
    word: &'a [u8],
}

/// A bracket that is open.
enum Bracket<'a> {
    Round,
    /// Of an input object, with the fields that it has so far.
    Input(HashSet<&'a [u8]>),
    Other,
}

impl<'a> Look<'a> {
    fn at(&mut self, token: &'a [u8]) -> Result<(), Refusal> {
        let Some(first) = token.first() else { return Ok(()) };
        match first {
            b'{' if self.round > 0 => self.open.push(Bracket::Input(HashSet::new())),
            b'{' | b'[' => self.open.push(Bracket::Other),
            b'(' => {
                self.round += 1;
                self.open.push(Bracket::Round);
            }
            b'}' | b']' | b')' => {
                if matches!(self.open.pop(), Some(Bracket::Round)) {
                    self.round -= 1;
                }
            }
            b':' => {
                if let Some(Bracket::Input(fields)) = self.open.last_mut()
                    && !fields.insert(self.word)
                {
                    return Err(bad_request("An input object of the document has a field twice."));
                }
            }
            byte if is_word(*byte) && token.len() > NAME_BYTES_MAX => {
                return Err(too_complex("A name in the document is longer than 128 characters."));
            }
            byte if is_word(*byte) => self.word = token,
            _ => {}
        }
        self.tokens += usize::from(!is_ignored(*first));
        if self.tokens > TOKENS_MAX {
            return Err(too_complex("The document has more than 2000 tokens."));
        }
        if self.open.len() > BRACKETS_MAX {
            return Err(too_complex("The document nests too deep."));
        }
        Ok(())
    }
}

/// How long the token, the comment or the run of white space is that the text starts with; `None` at the end.
pub(super) fn token(text: &[u8]) -> Option<usize> {
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
    use crate::kernel::RequestCode;

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
    fn an_input_object_has_each_field_once() {
        for (text, once) in [
            ("{a(b:{c:1 d:2})}", true),
            ("{a(b:{c:1 d:{c:1}} e:{c:1})}", true),
            ("{a(b:[{c:1},{c:2}])}", true),
            ("{a(b:{c:d d:c})}", true),
            ("{c:a c:a}", true),
            ("{a(c:1){c:b} b(c:1){c:b}}", true),
            ("query($c:I={c:\"c:\"}){a(c:$c)}", true),
            ("{a(b:{c:1 # c:2\n})}", true),
            ("{a(b:{c:1 c:2})}", false),
            ("{a(b:{c:1 d:[{e:1,e:1}]})}", false),
            ("{a(b:{c:{} d:1 c:{}})}", false),
            ("query($c:I={c:1,c:1}){a(c:$c)}", false),
            ("{a @skip(if:{c:1 c:1})}", false),
        ] {
            let told = count(text).err().map(|refusal| refusal.code);
            assert_eq!(told.is_none(), once, "{text}");
            assert!(once || told == Some(RequestCode::BadRequest), "{text}");
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
