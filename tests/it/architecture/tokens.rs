//! Reading Rust just well enough: tokens without comments, the paths that they spell, and where test code begins.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Text,
    Sign,
}

/// One token and the line that it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) line: usize,
}

impl Token {
    pub(super) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }
}

/// The tokens of a file. Comments, characters, lifetimes and numbers are left out; `::` is one sign.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let from = at;
        let (kind, text) = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => {
                at = end_of_line(&chars, at);
                continue;
            }
            '/' if chars.get(at + 1) == Some(&'*') => {
                at = end_of_comment(&chars, at);
                (None, String::new())
            }
            '"' => {
                at = end_of_text(&chars, at + 1);
                (Some(Kind::Text), chars[from + 1..at - 1].iter().collect())
            }
            '\'' => {
                at = end_of_char_or_lifetime(&chars, at);
                (None, String::new())
            }
            c if c.is_alphanumeric() || c == '_' => {
                at = (at..chars.len())
                    .find(|&i| !chars[i].is_alphanumeric() && chars[i] != '_')
                    .unwrap_or(chars.len());
                let word: String = chars[from..at].iter().collect();
                match end_of_raw(&chars, &word, at) {
                    Some((hashes, end)) => {
                        at = end;
                        let inner = &chars[from + word.len() + hashes + 1..end - hashes - 1];
                        (Some(Kind::Text), inner.iter().collect())
                    }
                    None if c.is_numeric() => (None, word),
                    None => (Some(Kind::Word), word),
                }
            }
            ':' if chars.get(at + 1) == Some(&':') => {
                at += 2;
                (Some(Kind::Sign), "::".to_owned())
            }
            c => {
                at += 1;
                ((!c.is_whitespace()).then_some(Kind::Sign), c.to_string())
            }
        };
        tokens.extend(kind.map(|kind| Token { kind, text, line }));
        line += chars[from..at.min(chars.len())].iter().filter(|&&c| c == '\n').count();
    }
    tokens
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len())
}

fn end_of_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Behind the closing quote of a text whose inside starts at `at`.
fn end_of_text(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `'a'`, `'\n'` and `'\u{1f}'` are characters; `'a` is a lifetime.
fn end_of_char_or_lifetime(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        return (at + 3..chars.len()).find(|&i| chars[i] == '\'').map_or(chars.len(), |i| i + 1);
    }
    if chars.get(at + 2) == Some(&'\'') { at + 3 } else { at + 1 }
}

/// How many hashes a raw text behind its prefix has, and where it ends; also of byte texts.
fn end_of_raw(chars: &[char], word: &str, at: usize) -> Option<(usize, usize)> {
    if word == "b" && chars.get(at) == Some(&'"') {
        return Some((0, end_of_text(chars, at + 1)));
    }
    if !matches!(word, "r" | "br") {
        return None;
    }
    let hashes = chars[at..].iter().take_while(|&&c| c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let mut end = at + hashes + 1;
    while end < chars.len() {
        let closing = chars[end + 1..].iter().take(hashes).filter(|&&c| c == '#').count();
        if chars[end] == '"' && closing == hashes {
            break;
        }
        end += 1;
    }
    Some((hashes, end + 1 + hashes))
}

/// The tokens without the items behind `#[cfg(test)]`, and the files that such items name.
pub(super) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if is_test_attribute(tokens, at) {
            at = end_of_item(tokens, at);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

pub(super) fn is_test_attribute(tokens: &[Token], at: usize) -> bool {
    let words = ["#", "[", "cfg", "(", "test", ")", "]"];
    tokens.len() >= at + words.len() && tokens[at..].iter().zip(words).all(|(t, word)| t.is(word))
}

/// Behind the item that starts at `from` with its attributes.
fn end_of_item(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.text.as_str() {
            _ if token.kind != Kind::Sign => {}
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// A path such as `crate::kernel::Points`, and how deep it stands in `mod name { ... }` blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) steps: Vec<String>,
    pub(super) line: usize,
    pub(super) inline: usize,
}

/// Every path that is spelled; a group such as `a::{b, c::d}` makes one for each of its ends.
pub(super) fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut found = Vec::new();
    let mut blocks: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        if token.is("{") {
            let named = at >= 2 && tokens[at - 1].kind == Kind::Word && tokens[at - 2].is("mod");
            blocks.push(named);
        } else if token.is("}") {
            blocks.pop();
        } else if token.kind == Kind::Word {
            let inline = blocks.iter().filter(|&&named| named).count();
            let mut steps = Vec::new();
            at = path(tokens, at, &mut steps, &mut |steps| {
                found.push(Path { steps: steps.to_vec(), line: token.line, inline });
            });
            continue;
        }
        at += 1;
    }
    found
}

/// Follows one path from its word at `at`; returns where it ends.
fn path(
    tokens: &[Token],
    mut at: usize,
    steps: &mut Vec<String>,
    tell: &mut impl FnMut(&[String]),
) -> usize {
    let depth = steps.len();
    while let Some(token) = tokens.get(at).filter(|token| token.kind == Kind::Word) {
        steps.push(token.text.clone());
        at += 1;
        if !tokens.get(at).is_some_and(|token| token.is("::")) {
            break;
        }
        at += 1;
    }
    let group =
        at > 0 && tokens.get(at).is_some_and(|token| token.is("{")) && tokens[at - 1].is("::");
    if group {
        at += 1;
        while tokens.get(at).is_some_and(|token| !token.is("}")) {
            at = if tokens[at].kind == Kind::Word {
                path_dyn(tokens, at, steps, tell)
            } else {
                at + 1
            };
        }
        at += 1;
    } else {
        tell(steps);
    }
    steps.truncate(depth);
    at
}

/// Breaks the recursion of the closure's type.
fn path_dyn(
    tokens: &[Token],
    at: usize,
    steps: &mut Vec<String>,
    tell: &mut dyn FnMut(&[String]),
) -> usize {
    path(tokens, at, steps, &mut |steps| tell(steps))
}
