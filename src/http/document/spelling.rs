//! What the language allows and the parser underneath does not read, or reads as something else: letters beyond the first
//! plane by their numbers (`"\uD83C\uDFB5"`, `"\u{1F3B5}"`), quotes in a block of text (`\"""`), and `-0` as a whole number.
//!
//! It is written as the parser reads it, in as many lines and with everything after it in the column where it was, so that errors
//! still name the client's own places. What is wrong is left as it is, for the parser to refuse.

use std::borrow::Cow;

use super::tokens;

/// A surrogate begins so far from the first letter that needs two of them.
const SECOND_PLANE: u32 = 0x1_0000;

/// The same document as the parser reads it.
pub(super) fn respelt(text: &str) -> Cow<'_, str> {
    let may_need_it = ["\\u", "\\\"\"\"", "-0"].iter().any(|part| text.contains(part));
    if !may_need_it {
        return text.into();
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(length) = tokens::token(rest.as_bytes()) {
        let Some((token, others)) = rest.split_at_checked(length) else { break };
        rest = others;
        let written = match token.as_bytes() {
            [b'"', b'"', b'"', ..] => block(token),
            [b'"', ..] => string(token),
            b"-" if is_zero(others) => Some(String::new()),
            _ => None,
        };
        match written {
            Some(written) => push_in_place(&mut out, token, &written),
            None => out.push_str(token),
        }
    }
    // What is no token: nothing, as tokens are cut.
    out.push_str(rest);
    out.into()
}

/// Whether a text begins with the whole number 0.
fn is_zero(text: &str) -> bool {
    let mut bytes = text.bytes();
    let (first, next) = (bytes.next(), bytes.next());
    let goes_on = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    first == Some(b'0') && !next.is_some_and(goes_on)
}

/// Writes a token in another way, with what follows at its old place: lines and columns are made up for by white space.
fn push_in_place(out: &mut String, token: &str, written: &str) {
    out.push_str(written);
    let (lines, last) = match token.rfind(['\n', '\r']) {
        Some(at) => (token.matches('\n').count(), token.get(at + 1..).unwrap_or_default()),
        None => (0, token),
    };
    out.extend(std::iter::repeat_n('\n', lines));
    // A carriage return alone begins a column again, and no line.
    if lines == 0 && last.len() < token.len() {
        out.push('\r');
    }
    let on_the_line = if last.len() < token.len() { 0 } else { written.chars().count() };
    out.extend(std::iter::repeat_n(' ', last.chars().count().saturating_sub(on_the_line)));
}

/// A text of one line, when something of it has to be written differently.
fn string(token: &str) -> Option<String> {
    if !token.contains("\\u") {
        return None;
    }
    let (mut out, mut rest, mut changed) = (String::with_capacity(token.len()), token, false);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at_checked(at)?;
        out.push_str(before);
        if let Some((letter, length)) = letter(escape) {
            push(&mut out, letter);
            (rest, changed) = (escape.get(length..)?, true);
        } else {
            // An escape of two signs at least; of `\u` the digits follow as they are.
            let end = 1 + escape.get(1..)?.chars().next().map_or(0, char::len_utf8);
            out.push_str(escape.get(..end)?);
            rest = escape.get(end..)?;
        }
    }
    out.push_str(rest);
    changed.then_some(out)
}

/// The letter that an escape stands for which the parser does not read, and how long it is.
fn letter(escape: &str) -> Option<(char, usize)> {
    if let Some(braced) = escape.strip_prefix("\\u{") {
        let digits = braced.find('}')?;
        let mut value = 0_u32;
        for digit in braced.get(..digits)?.chars() {
            value = value.checked_mul(16)?.checked_add(digit.to_digit(16)?)?;
        }
        let letter = (digits > 0).then(|| char::from_u32(value))??;
        return Some((letter, digits + "\\u{}".len()));
    }
    let first = half(escape)?.checked_sub(0xD800).filter(|bits| *bits < 0x400)?;
    let second = half(escape.get(6..)?)?.checked_sub(0xDC00).filter(|bits| *bits < 0x400)?;
    Some((char::from_u32(SECOND_PLANE + first * 0x400 + second)?, 12))
}

/// The number in an escape of four digits.
fn half(escape: &str) -> Option<u32> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    digits.chars().try_fold(0, |value, digit| Some(value * 16 + digit.to_digit(16)?))
}

/// Writes a letter into a text of one line.
fn push(out: &mut String, letter: char) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        other => out.push(other),
    }
}

/// A block of text as a text of one line, when it has quotes that are told from its end by a backslash.
fn block(token: &str) -> Option<String> {
    let raw = token.strip_prefix("\"\"\"")?.strip_suffix("\"\"\"")?;
    if !raw.contains("\\\"\"\"") {
        return None;
    }
    let raw = raw.replace("\\\"\"\"", "\"\"\"");
    let mut out = "\"".to_owned();
    for (at, line) in lines(&raw).iter().enumerate() {
        if at > 0 {
            out.push_str("\\n");
        }
        line.chars().for_each(|letter| push(&mut out, letter));
    }
    out.push('"');
    Some(out)
}

/// The lines of a block of text: without what all but the first are indented by, and without empty ones at both ends.
fn lines(raw: &str) -> Vec<&str> {
    let blank = |line: &str| line.bytes().all(|byte| matches!(byte, b' ' | b'\t'));
    let indent = |line: &str| line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let mut lines: Vec<&str> =
        raw.split("\r\n").flat_map(|part| part.split(['\n', '\r'])).collect();
    let indented = lines.iter().skip(1).filter(|line| !blank(line));
    let common = indented.map(|line| indent(line)).min().unwrap_or(0);
    for line in lines.iter_mut().skip(1) {
        *line = line.get(common..).unwrap_or_default();
    }
    let first = lines.iter().position(|line| !blank(line)).unwrap_or(lines.len());
    let last = lines.iter().rposition(|line| !blank(line)).map_or(first, |at| at + 1);
    lines.drain(..first);
    lines.truncate(last - first);
    lines
}

#[cfg(test)]
mod tests {
    use async_graphql::{
        Value,
        parser::{parse_query, types::Selection},
    };

    use super::*;

    /// The value of the first argument, and where the field after it stands.
    fn read(text: &str) -> Option<(Value, usize, usize)> {
        let document = parse_query(respelt(text)).ok()?;
        let (_, operation) = document.operations.iter().next()?;
        let mut items = operation.node.selection_set.node.items.iter();
        let Selection::Field(first) = &items.next()?.node else { return None };
        let value = first.node.arguments.first()?.1.node.clone().into_const()?;
        let next = items.next()?.pos;
        Some((value, next.line, next.column))
    }

    fn text_of(literal: &str) -> Option<String> {
        match read(&format!("{{a(b:{literal}) c}}"))? {
            (Value::String(text), ..) => Some(text),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn letters_are_read_by_their_numbers() {
        for (literal, text) in [
            (r#""\uD83C\uDFB5""#, "🎵"),
            (r#""\ud83c\udfb5 \u0041""#, "🎵 A"),
            (r#""\u{1F3B5}""#, "🎵"),
            (r#""\u{1f3b5}\u{61}\u{0000000061}""#, "🎵aa"),
            (r#""\u{10FFFF}""#, "\u{10FFFF}"),
            (r#""\u{22}\u{5C}\u{A}\u{D}\u{9}""#, "\"\\\n\r\t"),
            (r#""\\u{61} \\uD83C\\uDFB5 \"\u{61}\"""#, "\\u{61} \\uD83C\\uDFB5 \"a\""),
            (r#""\u00e9\uAC00""#, "é가"),
            (r#""\u{D7FF}\u{E000}""#, "\u{D7FF}\u{E000}"),
            (r#""""\u{61}\uD83C\uDFB5""""#, "\\u{61}\\uD83C\\uDFB5"),
            (r##""# \u{61}""##, "# a"),
        ] {
            assert_eq!(text_of(literal).as_deref(), Some(text), "{literal}");
        }
    }

    #[test]
    fn what_stands_for_no_letter_is_refused() {
        for literal in [
            r#""\uD83C""#,
            r#""\uDFB5""#,
            r#""\uDFB5\uD83C""#,
            r#""\uD83C\u0041""#,
            r#""\uD83C\u{DFB5}""#,
            r#""\uD83C \uDFB5""#,
            r#""\u{}""#,
            r#""\u{110000}""#,
            r#""\u{D83C}""#,
            r#""\u{D83C}\u{DFB5}""#,
            r#""\u{FFFFFFFFFFFFFFFFFF}""#,
            r#""\u{1F3B5""#,
            r#""\u{1F3B5 }""#,
            r#""\u{+61}""#,
            r#""\u{g}""#,
            r#""\u+061""#,
            r#""\u""#,
            r#""\U{61}""#,
            r#""\"#,
        ] {
            assert_eq!(text_of(literal), None, "{literal}");
        }
    }

    #[test]
    fn a_block_of_text_may_have_three_quotes() {
        for (literal, text) in [
            (r#""""a \""" b""""#, r#"a """ b"#),
            (r#""""\"""""""#, r#"""""#),
            ("\"\"\"\n    a\n      \\\"\"\" \\n\n\n    b\\\n  \"\"\"", "a\n  \"\"\" \\n\n\nb\\"),
            ("\"\"\"a\r\n  b\r  \\\"\"\"\r\n\"\"\"", "a\nb\n\"\"\""),
            ("\"\"\" a \\\"\"\"\"\"\"", " a \"\"\""),
        ] {
            assert_eq!(text_of(literal).as_deref(), Some(text), "{literal}");
        }
    }

    #[test]
    fn zero_is_whole_with_a_sign_too() {
        for (text, number) in
            [("-0", "0"), ("0", "0"), ("-0.5", "-0.5"), ("-0e1", "-0.0"), ("-1", "-1")]
        {
            let (value, ..) = read(&format!("{{a(b:{text}) c}}")).unwrap();
            assert_eq!(value.to_string(), number, "{text}");
        }
        for text in ["-00", "-01", "--0", "- 0"] {
            assert_eq!(read(&format!("{{a(b:{text}) c}}")), None, "{text}");
        }
    }

    #[test]
    fn what_follows_stays_where_it_was() {
        for literal in [
            r#""\uD83C\uDFB5 é""#,
            r#""\u{1F3B5}""#,
            "\"\"\"a\n \\\"\"\" é\n  \"\"\"",
            "\"\"\"\\\"\"\"\"\"\"",
            "-0",
        ] {
            let text = format!("{{ a(b:{literal}) c }}");
            let before = text.get(..text.find(") c").unwrap() + 2).unwrap();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
            let (_, told_line, told_column) = read(&text).unwrap();
            assert_eq!((told_line, told_column), (line, column), "{literal}");
        }
    }

    #[test]
    fn what_needs_nothing_is_left_alone() {
        for text in
            ["", "{a}", "{a(b:\"\\n\") # \\u{\n}", "{a(b:\"\\u0041\")}", "# \"\\u{61}\"\n{a}"]
        {
            assert_eq!(respelt(text), text);
        }
    }
}
