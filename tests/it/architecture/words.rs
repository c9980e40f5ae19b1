//! What people read when something is refused has no names of fields or codes in it: developers have `path` and `code` for these.
//! Only what no person can cause, a document that asks for too much or a request that is wrong in itself, may name fields.

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Expr, ExprCall, Item, ItemConst, LitStr, Macro,
    visit::{self, Visit},
};

use super::house;
use crate::support::words::of_a_program;

/// Where texts stand that reach people.
const SPOKEN: &[&str] = &[
    "account",
    "api",
    "catalogue",
    "http",
    "payment",
    "reservation",
    "sale",
    "waiting_room",
    "wallet",
];

/// Codes of errors that only whoever wrote the client can cause.
const FOR_DEVELOPERS: &[&str] = &["BadRequest", "QueryTooComplex"];
/// A function that makes such errors.
const DEVELOPERS_ERROR: &[&str] = &["bad_request"];

/// Constants whose text is for developers.
const DEVELOPERS_CONSTANTS: &[&str] = &["TOO_COMPLEX_HERE", "MALFORMED", "MALFORMED_ADDRESS"];

/// Texts that are sentences, by line.
#[derive(Default)]
struct Sentences(Vec<(usize, String)>);

impl Sentences {
    fn hear(&mut self, text: String, line: usize) {
        let begins = text.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit());
        if begins && text.contains(' ') && text.trim_end().ends_with(['.', ':']) {
            self.0.push((line, text));
        }
    }

    fn hear_tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.hear_tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Ok(text) = syn::parse_str::<LitStr>(&literal.to_string()) {
                        self.hear(text.value(), literal.span().start().line);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

fn ends_with(expression: &Expr, names: &[&str]) -> bool {
    matches!(expression, Expr::Path(path)
             if path.path.segments.last().is_some_and(|last| names.iter().any(|name| last.ident == name)))
}

impl<'ast> Visit<'ast> for Sentences {
    /// Descriptions in the schema are for developers.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_item(&mut self, item: &'ast Item) {
        let tests = matches!(item, Item::Mod(module) if module.ident == "tests");
        if !tests {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_const(&mut self, item: &'ast ItemConst) {
        if !DEVELOPERS_CONSTANTS.iter().any(|name| item.ident == name) {
            visit::visit_item_const(self, item);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        let for_developers = ends_with(&call.func, DEVELOPERS_ERROR)
            || call.args.iter().any(|argument| ends_with(argument, FOR_DEVELOPERS));
        if !for_developers {
            visit::visit_expr_call(self, call);
        }
    }

    fn visit_lit_str(&mut self, text: &'ast LitStr) {
        self.hear(text.value(), text.span().start().line);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.hear_tokens(called.tokens.clone());
    }
}

fn sentences(source: &str) -> Vec<(usize, String)> {
    let mut sentences = Sentences::default();
    sentences.visit_file(&syn::parse_file(source).expect("Rust"));
    sentences.0
}

#[test]
fn people_are_told_in_words_of_people() {
    let (mut heard, mut faults) = (0, Vec::new());
    for source in house() {
        let spoken = source.is_in(SPOKEN) && source.path.ends_with(".rs");
        if !spoken || source.path.contains("test") {
            continue;
        }
        for (line, text) in sentences(&source.text) {
            heard += 1;
            if let Some(word) = of_a_program(&text) {
                faults.push(format!("{}:{line}: {word} in {text:?}", source.path));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    assert!(heard > 90, "only {heard} sentences were found");
}

#[test]
fn sentences_are_found_where_they_stand() {
    let source = r#"
        const SQL: &str = "SELECT 1 FROM seat";
        const TOO_COMPLEX_HERE: &str = "Ask for `first` less.";
        const NEAR: &str = "Near `this`.";
        #[graphql(desc = "The `cursor` of it.")]
        fn words(code: Code) -> Refusal {
            tracing::info!("a log line of ours");
            let wrong = ApiError::new(RequestCode::BadRequest, "`first` has to be 0 to 100.");
            let other = bad_request("Name the `operationName`.");
            match code {
                Code::A => Refusal::new(Code::A, "Watch `queueStatus` now."),
                Code::B => ("That is it.", format!("In the years {} to {}.", 1, 2)),
            }
        }
        mod tests { const T: &str = "A `test` it is."; }
    "#;
    let found: Vec<String> = sentences(source).into_iter().map(|(_, text)| text).collect();
    assert_eq!(
        found,
        ["Near `this`.", "Watch `queueStatus` now.", "That is it.", "In the years {} to {}."]
    );
}
