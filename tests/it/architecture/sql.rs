//! Reading SQL just well enough: its words, the steps of a statement, what they lock, and what they write.

use super::Source;

/// A statement of the house.
#[derive(Debug)]
pub(super) struct Statement {
    /// The file, and of a file of Rust the function.
    pub(super) name: String,
    /// The line on which it begins.
    pub(super) line: usize,
    /// The main part comes last, and has no name.
    pub(super) steps: Vec<Step>,
}

/// A common table expression, or what stands behind them.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) words: Vec<String>,
    /// All steps that this one reads, and those that they read.
    pub(super) behind: Vec<String>,
}

/// Every text of a file that looks like SQL.
pub(super) fn statements(source: &Source) -> Vec<Statement> {
    if source.path.ends_with(".sql") {
        return vec![Statement::new(source.path.clone(), 1, &source.text)];
    }
    let looks_like = |text: &str| {
        let words = words(text);
        let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE"];
        words.len() > 1 && words.iter().any(|word| verbs.contains(&word.as_str()))
    };
    source
        .reading
        .working_texts()
        .filter(|text| looks_like(&text.text))
        .map(|text| {
            Statement::new(format!("{}::{}", source.path, text.function), text.line, &text.text)
        })
        .collect()
}

impl Statement {
    /// Takes a statement apart.
    pub(super) fn new(name: String, line: usize, sql: &str) -> Self {
        let words = words(sql);
        let mut steps = Vec::new();
        let mut at = 0;
        if words.first().is_some_and(|word| word == "WITH") {
            at = 1;
            while at < words.len() {
                let step = words[at].clone();
                let Some(open) = words[at..].iter().position(|word| word == "AS").map(|as_at| {
                    at + as_at
                        + 1
                        + words[at + as_at + 1..].iter().take_while(|w| *w != "(").count()
                }) else {
                    break;
                };
                let close = closing(&words, open);
                let inside = words.get(open + 1..close).unwrap_or_default().to_vec();
                steps.push(Step { name: step, words: inside, behind: Vec::new() });
                at = close + 1;
                if words.get(at).is_none_or(|word| word != ",") {
                    break;
                }
                at += 1;
            }
        }
        let rest = words.get(at..).unwrap_or_default().to_vec();
        steps.push(Step { name: String::new(), words: rest, behind: Vec::new() });
        for at in 0..steps.len() {
            let mut behind: Vec<String> = Vec::new();
            for earlier in steps.iter().take(at) {
                if steps[at].words.contains(&earlier.name) {
                    behind.push(earlier.name.clone());
                    behind.extend(earlier.behind.iter().cloned());
                }
            }
            steps[at].behind = behind;
        }
        Self { name, line, steps }
    }

    pub(super) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The tables that it writes.
    pub(super) fn written(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flat_map(|step| step.writes().into_iter().map(|(_, table)| table))
    }
}

impl Step {
    /// What is written, and where that is said.
    pub(super) fn writes(&self) -> Vec<(usize, &str)> {
        let word = |at: usize| self.words.get(at).map_or("", String::as_str);
        let mut found = Vec::new();
        for at in 0..self.words.len() {
            let before = at.checked_sub(1).map_or("", word);
            let table = match (word(at), word(at + 1)) {
                ("INSERT" | "MERGE", "INTO") | ("DELETE", "FROM") | ("TRUNCATE", "TABLE") => at + 2,
                ("TRUNCATE" | "COPY", _) => at + 1,
                ("UPDATE", _) if !["FOR", "KEY", "DO"].contains(&before) => at + 1,
                _ => continue,
            };
            let table = if word(table) == "ONLY" { table + 1 } else { table };
            // `UPDATE OF` belongs to a trigger, and words of a sentence to nobody.
            if is_name(word(table)) {
                found.push((at, word(table)));
            }
        }
        found
    }

    /// Whether it locks rows, and whether it waits for them.
    pub(super) fn lock(&self) -> Option<Lock> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let at = words.iter().enumerate().position(|(at, word)| {
            *word == "FOR"
                && matches!(words.get(at + 1), Some(&("UPDATE" | "NO" | "SHARE" | "KEY")))
        })?;
        Some(Lock {
            waits: !words[at..].windows(2).any(|two| two == ["SKIP", "LOCKED"]),
            gentle: words[at..].starts_with(&["FOR", "NO", "KEY", "UPDATE"]),
            ordered: words[..at].windows(2).any(|two| two == ["ORDER", "BY"]),
        })
    }

    /// Whether these words follow each other in it.
    pub(super) fn says(&self, wanted: &[&str]) -> bool {
        self.words.windows(wanted.len()).any(|words| words.iter().zip(wanted).all(|(a, b)| a == b))
    }
}

/// How rows are locked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lock {
    /// Somebody else's lock is waited for.
    pub(super) waits: bool,
    /// `FOR NO KEY UPDATE`, which gets on with foreign keys.
    pub(super) gentle: bool,
    pub(super) ordered: bool,
}

pub(super) fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
}

/// Where the bracket that opens at `open` closes.
pub(super) fn closing(words: &[String], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate().skip(open) {
        match word.as_str() {
            "(" => depth += 1,
            ")" if depth <= 1 => return at,
            ")" => depth -= 1,
            _ => {}
        }
    }
    words.len()
}

/// The words and signs of a statement, without comments; what stands in quotes is one word.
pub(super) fn words(sql: &str) -> Vec<String> {
    let chars: Vec<char> = sql.chars().collect();
    let (mut words, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let from = at;
        let until = |end: &dyn Fn(usize) -> bool| {
            (from + 1..chars.len()).find(|&i| end(i)).unwrap_or(chars.len())
        };
        let two: String = chars[at..chars.len().min(at + 2)].iter().collect();
        match chars[at] {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '-' if two == "--" => {
                at = until(&|i| chars[i] == '\n');
                continue;
            }
            quote @ ('\'' | '"') => at = chars.len().min(until(&|i| chars[i] == quote) + 1),
            c if c.is_alphanumeric() || c == '_' || c == '$' => {
                at = until(&|i| !chars[i].is_alphanumeric() && chars[i] != '_');
            }
            _ if ["<=", ">=", "<>", "!=", "::", "||"].contains(&two.as_str()) => at += 2,
            _ => at += 1,
        }
        words.push(chars[from..at].iter().collect());
    }
    words
}
