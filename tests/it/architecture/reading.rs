//! Reading Rust: what a file names, calls, says and declares, and whether only its tests do.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::{
    Attribute, Expr, ExprMethodCall, ImplItem, Item, ItemMod, ItemUse, LitStr, Macro, Meta, Token,
    UseTree,
    punctuated::Punctuated,
    visit::{self, Visit},
};

/// An identifier, or a keyword that matters: `async`, `await`, `loop`, `while`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) test: bool,
    /// Called as a method.
    pub(super) method: bool,
    /// What it is called on: the last name of it, such as `tasks` in `self.tasks.spawn`.
    pub(super) receiver: Option<String>,
}

/// A path such as `crate::kernel::Points`, and how deep it stands in `mod name { ... }` blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) steps: Vec<String>,
    pub(super) line: usize,
    pub(super) test: bool,
    pub(super) inline: usize,
}

/// A text in quotes, and the function that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) test: bool,
    pub(super) function: String,
}

/// A `mod name;`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: String,
    /// What `#[path = ...]` says.
    pub(super) path: Option<String>,
    pub(super) test: bool,
}

/// What a file has.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) words: Vec<Word>,
    pub(super) paths: Vec<Path>,
    pub(super) texts: Vec<Text>,
    pub(super) modules: Vec<Declared>,
    tests: usize,
    inline: usize,
    functions: Vec<String>,
}

impl Reading {
    /// Reads a file.
    pub(super) fn of(source: &str) -> Self {
        let file = syn::parse_file(source).unwrap_or_else(|error| {
            panic!("this is no Rust: {error}, line {}", error.span().start().line)
        });
        let mut reading = Self::default();
        reading.visit_file(&file);
        reading
    }

    /// The words outside of tests.
    pub(super) fn working_words(&self) -> impl Iterator<Item = &Word> {
        self.words.iter().filter(|word| !word.test)
    }

    /// The paths outside of tests.
    pub(super) fn working_paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().filter(|path| !path.test)
    }

    /// The texts outside of tests.
    pub(super) fn working_texts(&self) -> impl Iterator<Item = &Text> {
        self.texts.iter().filter(|text| !text.test)
    }

    fn word(&mut self, text: &str, span: Span) {
        self.called(text, span, None);
    }

    fn called(&mut self, text: &str, span: Span, on: Option<Option<String>>) {
        self.words.push(Word {
            text: text.to_owned(),
            line: span.start().line,
            test: self.tests > 0,
            method: on.is_some(),
            receiver: on.flatten(),
        });
    }

    fn path(&mut self, steps: Vec<String>, span: Span) {
        let (line, test, inline) = (span.start().line, self.tests > 0, self.inline);
        self.paths.push(Path { steps, line, test, inline });
    }

    fn text(&mut self, text: String, span: Span) {
        let function = self.functions.last().cloned().unwrap_or_default();
        self.texts.push(Text { text, line: span.start().line, test: self.tests > 0, function });
    }

    /// One path for each end of a `use`.
    fn ends(&mut self, tree: &UseTree, steps: &mut Vec<String>, span: Span) {
        match tree {
            UseTree::Path(path) => {
                steps.push(path.ident.to_string());
                self.ends(&path.tree, steps, span);
                steps.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.ends(tree, steps, span);
                }
            }
            UseTree::Name(name) => self.end(steps, &name.ident.to_string(), span),
            UseTree::Rename(name) => self.end(steps, &name.ident.to_string(), span),
            UseTree::Glob(_) => self.path(steps.clone(), span),
        }
    }

    fn end(&mut self, steps: &[String], last: &str, span: Span) {
        self.path(steps.iter().cloned().chain([last.to_owned()]).collect(), span);
    }

    /// What stands in a macro is Rust most of the time, and read as what it looks like.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let sign = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
        let name = |at: usize| match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
            _ => None,
        };
        let mut steps = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Ok(text) = syn::parse_str::<LitStr>(&literal.to_string()) {
                        self.text(text.value(), literal.span());
                    }
                }
                TokenTree::Punct(_) => {}
                TokenTree::Ident(ident) => {
                    let arguments = matches!(tokens.get(at + 1), Some(TokenTree::Group(group))
                                             if group.delimiter() == Delimiter::Parenthesis);
                    let method = at > 0 && sign(at - 1, '.') && arguments;
                    let on = method.then(|| at.checked_sub(2).and_then(name));
                    self.called(&ident.to_string(), ident.span(), on);
                    steps.push(ident.to_string());
                    let goes_on = sign(at + 1, ':') && sign(at + 2, ':') && name(at + 3).is_some();
                    if !goes_on {
                        self.path(std::mem::take(&mut steps), ident.span());
                    }
                }
            }
        }
    }

    fn within(&mut self, attributes: &[Attribute], read: impl FnOnce(&mut Self)) {
        let test = attributes.iter().any(is_for_tests);
        self.tests += usize::from(test);
        read(self);
        self.tests -= usize::from(test);
    }
}

/// `cfg(test)`, or `cfg(any(test, fuzzing))`: nothing of it is in the program.
fn is_for_tests(attribute: &Attribute) -> bool {
    fn never_in_the_program(condition: &Meta) -> bool {
        match condition {
            Meta::Path(path) => path.is_ident("test") || path.is_ident("fuzzing"),
            Meta::List(list) if list.path.is_ident("any") => list
                .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .is_ok_and(|all| all.iter().all(never_in_the_program)),
            _ => false,
        }
    }
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<Meta>().is_ok_and(|condition| never_in_the_program(&condition))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

/// The last name of what a method is called on.
fn last_name(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Path(path) => path.path.segments.last().map(|step| step.ident.to_string()),
        Expr::Field(field) => match &field.member {
            syn::Member::Named(name) => Some(name.to_string()),
            syn::Member::Unnamed(_) => None,
        },
        Expr::Reference(inner) => last_name(&inner.expr),
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Reading {
    fn visit_item(&mut self, item: &'ast Item) {
        self.within(attributes(item), |reading| visit::visit_item(reading, item));
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Fn(it) => it.attrs.as_slice(),
            ImplItem::Const(it) => it.attrs.as_slice(),
            _ => &[],
        };
        self.within(attributes, |reading| visit::visit_impl_item(reading, item));
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let inline = usize::from(item.content.is_some());
        if inline == 0 {
            let said = item.attrs.iter().find_map(|attribute| match &attribute.meta {
                Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                    Expr::Lit(literal) => match &literal.lit {
                        syn::Lit::Str(text) => Some(text.value()),
                        _ => None,
                    },
                    _ => None,
                },
                _ => None,
            });
            let (name, test) = (item.ident.to_string(), self.tests > 0);
            self.modules.push(Declared { name, path: said, test });
        }
        self.inline += inline;
        visit::visit_item_mod(self, item);
        self.inline -= inline;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.ends(&item.tree, &mut Vec::new(), item.use_token.span);
        visit::visit_item_use(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(word) = &signature.asyncness {
            self.word("async", word.span);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.functions.push(item.sig.ident.to_string());
        visit::visit_item_fn(self, item);
        self.functions.pop();
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.functions.push(item.sig.ident.to_string());
        visit::visit_impl_item_fn(self, item);
        self.functions.pop();
    }

    fn visit_expr(&mut self, expression: &'ast Expr) {
        match expression {
            Expr::Async(it) => self.word("async", it.async_token.span),
            Expr::Await(it) => self.word("await", it.await_token.span),
            Expr::Loop(it) => self.word("loop", it.loop_token.span),
            Expr::While(it) => self.word("while", it.while_token.span),
            Expr::Closure(it) => {
                if let Some(word) = &it.asyncness {
                    self.word("async", word.span);
                }
            }
            _ => {}
        }
        visit::visit_expr(self, expression);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let receiver = last_name(&call.receiver);
        self.called(&call.method.to_string(), call.method.span(), Some(receiver));
        self.visit_expr(&call.receiver);
        if let Some(types) = &call.turbofish {
            self.visit_angle_bracketed_generic_arguments(types);
        }
        for argument in &call.args {
            self.visit_expr(argument);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Some(first) = path.segments.first() {
            let steps = path.segments.iter().map(|step| step.ident.to_string()).collect();
            self.path(steps, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.word(&ident.to_string(), ident.span());
    }

    fn visit_lit_str(&mut self, text: &'ast LitStr) {
        self.text(text.value(), text.span());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("doc") {
            return;
        }
        visit::visit_attribute(self, attribute);
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        visit::visit_macro(self, called);
        self.tokens(called.tokens.clone());
    }
}
