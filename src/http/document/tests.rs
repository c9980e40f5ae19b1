use std::{fmt::Write, time::Instant};

use async_graphql::{
    Positioned,
    parser::types::{Selection, SelectionSet},
};
use proptest::prelude::*;

use super::{measure::Size, *};

fn refusal(text: &str) -> RequestCode {
    Documents::new().prepare(text).expect_err(text).code
}

/// `levels` fragments that each spread the next one `times` times.
fn bomb(times: usize, levels: usize) -> String {
    let mut text = "{...a0}".to_owned();
    for level in 0..levels {
        let spreads = format!("...a{}", level + 1).repeat(times);
        write!(text, "fragment a{level} on Query{{{spreads}}}").unwrap();
    }
    write!(text, "fragment a{levels} on Query{{__typename}}").unwrap();
    text
}

#[test]
fn fragment_bombs_are_refused_at_once() {
    for (times, levels) in [(2, 26), (2, 31), (9, 30), (8, 8), (40, 31), (2, 500), (1, 500)] {
        let text = bomb(times, levels);
        let started = Instant::now();
        assert_eq!(refusal(&text), RequestCode::QueryTooComplex, "{times}^{levels}");
        // A debug build of the parser on a busy machine; what this catches is exponential.
        assert!(started.elapsed().as_millis() < 500, "{times}^{levels}");
    }
}

#[test]
fn the_introspection_of_graphiql_passes() {
    let prepared = Documents::new().prepare(include_str!("introspection.graphql")).unwrap();
    assert_eq!(prepared.select(None).unwrap().kind, Kind::Query);
    let named = prepared.select(Some("IntrospectionQuery"));
    assert_eq!(named.unwrap().name.as_deref(), Some("IntrospectionQuery"));
}

#[test]
fn documents_beyond_a_limit_are_too_complex() {
    let nested = |levels: usize| format!("{{{}b{}}}", "a{".repeat(levels), "}".repeat(levels));
    assert!(Documents::new().prepare(&nested(19)).is_ok());
    let lists = format!("{{a(b:{}{})}}", "[".repeat(58), "]".repeat(58));
    assert!(Documents::new().prepare(&lists).is_ok());
    for text in [
        nested(20),
        nested(5_000),
        format!("{{a(b:{})}}", "[".repeat(8_000)),
        format!("{{a(b:{}", "{b:".repeat(5_000)),
        format!("{{{}}}", "a ".repeat(1_001)),
        format!("{{{}}}", (0..31).map(|n| format!("a{n}:a ")).collect::<String>()),
        format!("{{a {}}}", "@skip(if:false)".repeat(51)),
        format!("query {}{{a}}", "@x".repeat(51)),
        format!("query($v:Int {}){{a}}", "@x".repeat(51)),
        format!("{{a}} # {}", "x".repeat(16 * 1024)),
        format!("{{{}a{}}}", "...{".repeat(50), "}".repeat(50)),
        (0..8).fold(String::new(), |text, n| {
            text + &format!("query q{n}{{{}}}", "...f ".repeat(200))
        }) + "fragment f on Query{a b c}",
    ] {
        let code = Documents::new().prepare(&text).err().map(|refusal| refusal.code);
        assert_eq!(code, Some(RequestCode::QueryTooComplex), "{}", &text[..text.len().min(80)]);
    }
}

#[test]
fn names_are_short() {
    let (longest, longer) = ("x".repeat(128), "x".repeat(129));
    for text in [
        "query NAME{a}",
        "{NAME:a}",
        "{a(NAME:1)}",
        "{a(b:NAME)}",
        "{a(b:{NAME:1})}",
        "query($NAME:Int){a}",
        "{...NAME} fragment NAME on Q{a}",
        "{a @NAME}",
    ] {
        let text = |name: &str| text.replace("NAME", name);
        assert_ne!(
            Documents::new().prepare(&text(&longest)).err().map(|it| it.code),
            Some(RequestCode::QueryTooComplex),
        );
        assert_eq!(refusal(&text(&longer)), RequestCode::QueryTooComplex, "{}", text("NAME"));
    }
    assert!(Documents::new().prepare(&format!("{{a(b:\"{longer}\")}} # {longer}")).is_ok());
}

#[test]
fn fields_cost_by_their_keys_and_introspection_is_noticed() {
    let documents = Documents::new();
    let long = "x".repeat(64);
    for (text, values, introspects) in [
        ("{a{b c} d}".to_owned(), 4, false),
        (format!("{{{long}:a ...F ...F}} fragment F on Q{{b}}"), 5, false),
        ("{__typename}".to_owned(), 1, false),
        ("{__schema{types{name}}}".to_owned(), 3, true),
        ("{...F} fragment F on Q{...{it:__type(name:\"A\"){name}}}".to_owned(), 2, true),
        ("query a{a} query b{__schema{description}}".to_owned(), 1, false),
    ] {
        let prepared = documents.prepare(&text).unwrap();
        let operation = prepared.select(text.starts_with("query a").then_some("a")).unwrap();
        assert_eq!((operation.values(), operation.introspects()), (values, introspects), "{text}");
        assert!(prepared.definition(operation).is_some());
    }
}

#[test]
fn malformed_documents_are_bad_requests_and_are_not_repeated() {
    for text in [
        "",
        "{",
        "secret",
        "{a}{b}",
        "query a{a} query a{b}",
        "{...f} fragment f on Q{a} fragment f on Q{b}",
        "fragment f on Q{a}",
        "{...f} fragment f on Q{...g} fragment g on Q{a{...f}}",
        "{a} fragment f on Q{...f}",
        "type Query{a:Int}",
        "\u{0}",
    ] {
        let refusal = Documents::new().prepare(text).unwrap_err();
        assert_eq!(refusal.code, RequestCode::BadRequest, "{text}");
        assert!(!format!("{refusal:?}").contains("secret"));
    }
}

#[test]
fn an_unknown_fragment_is_left_to_validation() {
    assert!(Documents::new().prepare("{...nowhere}").is_ok());
}

#[test]
fn the_named_operation_decides() {
    let documents = Documents::new();
    let prepared =
        documents.prepare("query q{a} mutation m{a} mutation two{a b} subscription s{a}").unwrap();
    assert_eq!(prepared.select(Some("q")).unwrap().kind, Kind::Query);
    assert_eq!(prepared.select(Some("m")).unwrap().kind, Kind::Mutation);
    assert_eq!(prepared.select(Some("s")).unwrap().kind, Kind::Subscription);
    for refused in [None, Some("two"), Some("none"), Some("")] {
        assert_eq!(prepared.select(refused).unwrap_err().code, RequestCode::BadRequest);
    }
    let fields = "a ".repeat(250);
    let large = format!("query q{{a{{{fields}}}}} subscription s{{a{{{fields}}}}}");
    let prepared = documents.prepare(&large).unwrap();
    assert!(prepared.select(Some("q")).is_ok());
    assert_eq!(prepared.select(Some("s")).unwrap_err().code, RequestCode::QueryTooComplex);
    assert!(Arc::ptr_eq(&documents.prepare("{a}").unwrap(), &documents.prepare("{a}").unwrap()));
}

#[test]
fn a_mutation_has_one_root_field_however_it_is_written() {
    for (text, allowed) in [
        ("mutation{a}", true),
        ("mutation{...f} fragment f on M{a}", true),
        ("mutation{...{a}}", true),
        ("mutation{a b}", false),
        ("mutation{a @skip(if:true) b}", false),
        ("mutation{x:a y:a}", false),
        ("mutation{...f} fragment f on M{a b}", false),
        ("mutation{...f ...f} fragment f on M{a}", false),
        ("mutation{a ...{...{b}}}", false),
        ("subscription{a}", true),
        ("subscription{a b}", false),
        ("subscription{...f} fragment f on S{a}", false),
    ] {
        let prepared = Documents::new().prepare(text).unwrap();
        assert_eq!(prepared.select(None).is_ok(), allowed, "{text}");
    }
}

/// What `measure` must agree with: expands every spread, each time again.
fn expand(document: &ExecutableDocument, set: &Positioned<SelectionSet>) -> Size {
    let mut size = Size::default();
    for item in &set.node.items {
        let mut directives = item.node.directives().len();
        let (held, field) = match &item.node {
            Selection::Field(field) => (expand(document, &field.node.selection_set), Some(field)),
            Selection::InlineFragment(inline) => {
                (expand(document, &inline.node.selection_set), None)
            }
            Selection::FragmentSpread(spread) => {
                let fragment = &document.fragments[&spread.node.fragment_name.node].node;
                directives += fragment.directives.len();
                (expand(document, &fragment.selection_set), None)
            }
        };
        size.selections += 1 + held.selections;
        size.depth = size.depth.max(held.depth + u32::from(field.is_some()));
        size.nesting = size.nesting.max(held.nesting + 1);
        size.aliases +=
            held.aliases + u32::from(field.is_some_and(|field| field.node.alias.is_some()));
        size.directives += held.directives + u32::try_from(directives).unwrap();
        size.roots += if field.is_some() { 1 } else { held.roots };
        size.values += held.values + u32::from(field.is_some());
    }
    size
}

/// A selection set that spreads only fragments of higher numbers, so that there are no cycles.
fn selection_set(from: usize, fragments: usize) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("a".to_owned()),
        Just("b:a @d".to_owned()),
        (from..=fragments).prop_map(move |n| {
            if n < fragments { format!("...f{n} @d") } else { "c".to_owned() }
        }),
    ];
    let tree = leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::vec(inner, 1..3).prop_flat_map(|items| {
            let items = items.join(" ");
            prop_oneof![
                Just(format!("a{{{items}}}")),
                Just(format!("x:a@d{{{items}}}")),
                Just(format!("...@d{{{items}}}")),
            ]
        })
    });
    prop::collection::vec(tree, 1..4).prop_map(|items| items.join(" ")).boxed()
}

fn document() -> impl Strategy<Value = String> {
    let fragments = (0..5_usize).map(|n| selection_set(n + 1, 5)).collect::<Vec<_>>();
    (selection_set(0, 5), fragments).prop_map(|(operation, fragments)| {
        let fragments = fragments.iter().enumerate();
        fragments.fold(format!("{{{operation}}}"), |text, (n, set)| {
            format!("{text} fragment f{n} on Q @d {{{set}}}")
        })
    })
}

proptest! {
    #[test]
    fn sizes_agree_with_naive_expansion(text in document()) {
        let document = parse_query(&text).unwrap();
        let operation = document.operations.iter().next().unwrap().1;
        let expected = expand(&document, &operation.node.selection_set);
        if let Ok(size) = measure::Measure::new(&document).operation(&operation.node) {
            prop_assert_eq!(size, expected);
        } else {
            prop_assert!(expected.nesting > 32);
        }
    }

    #[test]
    fn no_text_is_too_odd(text in any::<String>(), braces in "[{}()\\[\\]a.\":#$@! \n]{0,200}") {
        drop(Documents::new().prepare(&text));
        drop(Documents::new().prepare(&braces));
    }
}
