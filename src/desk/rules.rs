//! How a cell of a table is written, so that no spreadsheet takes it for a formula. Pure.

use std::borrow::Cow;

/// Whether a program that opens the table may compute what begins like this.
fn begins_a_formula(text: &str) -> bool {
    let first = text.chars().find(|c| !c.is_whitespace());
    // Spreadsheets take the wide forms for the narrow ones.
    matches!(first, Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠'))
        || text.starts_with(['\t', '\r', '\n'])
}

/// A cell of a CSV table (RFC 4180) with a text that somebody wrote: one that might be taken for a formula begins with an
/// apostrophe, and what needs quotes has them.
pub(super) fn cell(text: &str) -> Cow<'_, str> {
    let harmless: Cow<'_, str> =
        if begins_a_formula(text) { format!("'{text}").into() } else { text.into() };
    if harmless.contains([',', '"', '\r', '\n', ';']) || harmless != harmless.trim() {
        format!("\"{}\"", harmless.replace('"', "\"\"")).into()
    } else {
        harmless
    }
}

/// A line of a CSV table.
pub(super) fn line(cells: &[Cow<'_, str>]) -> String {
    let mut line = String::new();
    for (at, text) in cells.iter().enumerate() {
        if at > 0 {
            line.push(',');
        }
        line.push_str(&cell(text));
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_might_be_a_formula_is_a_text() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "－1"] {
            let cell = cell(text);
            assert!(cell.starts_with('\'') || cell.starts_with("\"'"), "{text:?}: {cell:?}");
        }
        for text in ["Kim", "a=b", "3 - 2", "", "김민준", "O'Neill"] {
            assert_eq!(cell(text), text);
        }
    }

    #[test]
    fn what_needs_quotes_has_them() {
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(cell("two\nlines"), "\"two\nlines\"");
        assert_eq!(cell("=a,b"), "\"'=a,b\"");
        assert_eq!(line(&["a".into(), "b,c".into(), "".into()]), "a,\"b,c\",\r\n");
    }

    /// Reads a line as RFC 4180 says.
    fn read(line: &str) -> Vec<String> {
        let (mut cells, mut quoted) = (vec![String::new()], false);
        let mut chars = line.strip_suffix("\r\n").unwrap().chars().peekable();
        while let Some(c) = chars.next() {
            let last = cells.last_mut().unwrap();
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => last.extend(chars.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => last.push(c),
            }
        }
        cells
    }

    proptest! {
        #[test]
        fn whatever_was_written_is_read_again(texts in prop::collection::vec(".*", 1..5)) {
            let cells: Vec<Cow<'_, str>> = texts.iter().map(|text| text.as_str().into()).collect();
            let read = read(&line(&cells));
            prop_assert_eq!(read.len(), texts.len());
            for (read, text) in read.iter().zip(&texts) {
                prop_assert_eq!(read.strip_prefix('\'').filter(|_| begins_a_formula(text)).unwrap_or(read), text);
                prop_assert!(!begins_a_formula(read));
            }
        }
    }
}
