//! What a schema says of itself: every type, field and argument has words, and every scalar says where it is specified.

use std::{collections::BTreeSet, fs, path::Path};

use async_graphql::{
    Positioned,
    parser::{
        parse_schema,
        types::{
            FieldDefinition, InputValueDefinition, TypeDefinition, TypeKind, TypeSystemDefinition,
        },
    },
};
use frontrow::api;
use serde_json::{Value, json};

use crate::support::world::World;

pub(super) fn types(sdl: &str) -> Vec<TypeDefinition> {
    let definitions = parse_schema(sdl).expect("a schema").definitions.into_iter();
    definitions
        .filter_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) => Some(definition.node),
            _ => None,
        })
        .collect()
}

/// What has no description, a line each.
fn silent(sdl: &str) -> Vec<String> {
    let mut silent = Vec::new();
    let says = |text: &Option<Positioned<String>>| {
        text.as_ref().is_some_and(|text| !text.node.trim().is_empty())
    };
    let values =
        |of: &str, values: &[Positioned<InputValueDefinition>], silent: &mut Vec<String>| {
            let values = values.iter().map(|value| &value.node);
            let without = values.filter(|value| !says(&value.description));
            silent.extend(without.map(|value| format!("{of}({})", value.name.node)));
        };
    let fields = |of: &str, fields: &[Positioned<FieldDefinition>], silent: &mut Vec<String>| {
        for field in fields.iter().map(|field| &field.node) {
            let name = format!("{of}.{}", field.name.node);
            values(&name, &field.arguments, silent);
            if !says(&field.description) {
                silent.push(name);
            }
        }
    };
    for of in types(sdl) {
        let name = of.name.node.as_str();
        // Pages are Relay's, and so are their words: the library writes them.
        if !says(&of.description) && !name.ends_with("Connection") {
            silent.push(name.to_owned());
        }
        match &of.kind {
            TypeKind::Object(object) => fields(name, &object.fields, &mut silent),
            TypeKind::Interface(interface) => fields(name, &interface.fields, &mut silent),
            TypeKind::InputObject(input) => values(name, &input.fields, &mut silent),
            TypeKind::Enum(of) => {
                let values = of.values.iter().map(|value| &value.node);
                let without = values.filter(|value| !says(&value.description));
                silent.extend(without.map(|value| format!("{name}.{}", value.value.node)));
            }
            TypeKind::Scalar | TypeKind::Union(_) => {}
        }
    }
    silent
}

#[test]
fn every_type_field_and_argument_is_described() {
    assert_eq!(silent(&api::sdl()), Vec::<String>::new());
}

#[test]
fn what_is_not_described_is_noticed() {
    let sdl = r#""Reads things." type Query { "A list of things." a("How many of them." x: Int, y: Int): Int b: Int }
                 enum E { P "Said at length." Q } "Taken in." input I { f: Int }"#;
    assert_eq!(silent(sdl), ["Query.a(y)", "Query.b", "E", "E.P", "I(f)"]);
}

/// The custom scalars, and where each is specified.
fn scalars(sdl: &str) -> Vec<(String, Option<String>)> {
    let scalars = types(sdl).into_iter().filter(|of| matches!(of.kind, TypeKind::Scalar));
    scalars
        .map(|of| {
            let directive = of.directives.iter().find(|it| it.node.name.node == "specifiedBy");
            let url = directive.and_then(|it| it.node.get_argument("url"));
            (
                of.name.node.to_string(),
                url.map(|url| url.node.to_string().trim_matches('"').to_owned()),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scalar_says_where_it_is_specified_as_printed_and_as_asked() {
    let printed = scalars(&api::sdl());
    let names: BTreeSet<&str> = printed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["DateTime", "Points", "SignedPoints"]));
    let world = World::new().await;
    let instance = world.instance().await;
    for (name, url) in printed {
        let url = url.unwrap_or_else(|| panic!("{name} does not say where it is specified"));
        assert!(url.starts_with("https://"), "{name}: {url}");
        let query = "query ($name: String!) { __type(name: $name) { kind specifiedByURL } }";
        let told = instance.client().data(query, json!({ "name": name })).await;
        assert_eq!(told["__type"], json!({ "kind": "SCALAR", "specifiedByURL": url }));
    }
    let query = "{ __type(name: \"Int\") { specifiedByURL } }";
    let told = instance.client().data(query, json!({})).await;
    assert_eq!(told["__type"]["specifiedByURL"], Value::Null);
}

#[test]
fn the_page_for_clients_has_every_scalar_for_generated_code() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, map) = page.split_once("scalars: {").expect("a map of scalars");
    let (map, _) = map.split_once('}').unwrap();
    let told: Vec<(&str, &str)> =
        map.split(',').filter_map(|pair| pair.trim().split_once(": ")).collect();
    assert_eq!(told.len(), scalars(&api::sdl()).len(), "{told:?}");
    for (name, _) in scalars(&api::sdl()) {
        let of = told.iter().find(|(known, _)| *known == name).map(|(_, of)| *of);
        let json = if name == "DateTime" { "\"string\"" } else { "\"number\"" };
        assert_eq!(of, Some(json), "{name}");
    }
}

/// What is deprecated without a day on which it may go, and without three words on what to use instead.
fn hasty(sdl: &str) -> Vec<String> {
    let day = |reason: &str| {
        let (what, day) = reason.split_once("Not before ")?;
        let day = chrono::NaiveDate::parse_from_str(day.trim_end_matches('.'), "%Y-%m-%d").ok()?;
        (what.split_whitespace().count() > 1).then_some(day)
    };
    let parts = sdl.split("@deprecated").skip(1);
    let reasons = parts.map(|part| part.lines().next().unwrap_or_default());
    let reasons = reasons.map(|line| line.split('"').nth(1).unwrap_or_default());
    reasons.filter(|reason| day(reason).is_none()).map(str::to_owned).collect()
}

#[test]
fn what_is_deprecated_says_until_when_it_stays_and_what_comes_instead() {
    assert_eq!(hasty(&api::sdl()), Vec::<String>::new());
    let good = "type Q { a: Int @deprecated(reason: \"Use b instead. Not before 2027-03-01.\") }";
    assert_eq!(hasty(good), Vec::<String>::new());
    for bad in [
        "@deprecated",
        "@deprecated(reason: \"Use b.\")",
        "@deprecated(reason: \"Not before 2027-03-01.\")",
    ] {
        assert_eq!(hasty(&format!("type Q {{ a: Int {bad} }}")).len(), 1, "{bad}");
    }
}
