//! What it costs to ask for the schema.
//!
//! The schema never changes while the server runs, so the price of a question about it is exact: a model of all that it can
//! answer is made once, and the document is walked over it, counting what async-graphql would write, until that is too much.
//! Only documents that ask for the schema are walked.

use std::collections::HashMap;

use async_graphql::{
    Executor, Name, Positioned, Request, Value, Variables,
    parser::types::{Field, FragmentDefinition, OperationDefinition, Selection, SelectionSet},
};
use futures_util::FutureExt;
use serde_json::{Map, Value as Json};

use super::{
    document::{Operation, Prepared},
    error::Refusal,
};
use crate::{
    api::{of_key, of_text},
    kernel::RequestCode,
};

/// Values of the schema that one request may ask for: twice what tools need that ask for all of it.
const VALUES_MAX: usize = 12_000;
/// What a `__schema` or a `__type` costs beside its fields: async-graphql finds out anew which types there are to see.
const ROOT_VALUES: usize = 300;

/// Everything that can be asked about a schema, lists of its own kind included.
const EVERYTHING: &str = "{ __schema {
    description queryType { ...Ref } mutationType { ...Ref } subscriptionType { ...Ref }
    types {
        kind name description specifiedByURL isOneOf
        fields(includeDeprecated: true) {
            name description args(includeDeprecated: true) { ...Input } type { ...Ref } isDeprecated deprecationReason }
        inputFields(includeDeprecated: true) { ...Input }
        interfaces { ...Ref }
        enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
        possibleTypes { ...Ref }
    }
    directives { name description locations args(includeDeprecated: true) { ...Input } isRepeatable }
} }
fragment Input on __InputValue {
    name description type { ...Ref } defaultValue isDeprecated deprecationReason }
fragment Ref on __Type {
    kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } }";

/// Where a type stands that is only named there.
const REFERENCES: &[&str] = &[
    "queryType",
    "mutationType",
    "subscriptionType",
    "type",
    "ofType",
    "interfaces",
    "possibleTypes",
];

/// Prices questions about the schema.
#[derive(Debug)]
pub(super) struct Introspection {
    allowed: bool,
    model: Option<Model>,
}

impl Introspection {
    /// Prices for this schema, if it may be asked for at all.
    pub(super) fn new(schema: &impl Executor, allowed: bool) -> Self {
        let model = allowed.then(|| Model::of(schema)).flatten();
        if allowed && model.is_none() {
            tracing::error!("the schema does not tell about itself; introspection is off");
        }
        Self { allowed, model }
    }

    /// Lets an operation pass that does not ask for the schema, or for no more of it than one request may.
    ///
    /// # Errors
    /// BAD_REQUEST when nobody may ask for the schema, QUERY_TOO_COMPLEX when it is asked for too much of it.
    pub(super) fn check(
        &self,
        document: &Prepared,
        operation: &Operation,
        variables: &Variables,
    ) -> Result<(), Refusal> {
        if !operation.introspects() {
            return Ok(());
        }
        let Some(model) = self.model.as_ref().filter(|_| self.allowed) else {
            let text = "Introspection is switched off here; ask the operator for the schema.";
            return Err(Refusal::new(RequestCode::BadRequest, text));
        };
        let Some(definition) = document.definition(operation) else { return Ok(()) };
        let fragments = &document.document.fragments;
        let mut walk = Walk { model, definition, fragments, variables, left: VALUES_MAX };
        walk.roots(&definition.selection_set.node).ok_or_else(|| {
            let text = "This asks for too much of the schema at once; ask for it once, or for one type at a time.";
            Refusal::new(RequestCode::QueryTooComplex, text)
        })
    }
}

/// Something with fields: the schema, a type, a field, an argument, a directive.
#[derive(Debug, Default)]
struct Node {
    fields: HashMap<Box<str>, Answer>,
}

/// What a field answers.
#[derive(Debug)]
enum Answer {
    /// A scalar, or several; this many values beside the field itself.
    Values(usize),
    /// Objects, by their places in the model.
    Nodes(Vec<usize>),
}

/// All that a schema can tell about itself.
#[derive(Debug)]
struct Model {
    nodes: Vec<Node>,
    schema: usize,
    types: HashMap<Box<str>, usize>,
}

impl Model {
    fn of(schema: &impl Executor) -> Option<Self> {
        // Nothing in it waits for anything.
        let response = Executor::execute(schema, Request::new(EVERYTHING)).now_or_never()?;
        let told = response.data.into_json().ok()?;
        let told = told.get("__schema")?.as_object()?;
        let mut model = Self { nodes: Vec::new(), schema: 0, types: HashMap::new() };
        for ty in told.get("types")?.as_array()? {
            let name = ty.get("name")?.as_str()?;
            model.types.insert(name.into(), model.nodes.len());
            model.nodes.push(Node::default());
        }
        for ty in told.get("types")?.as_array()? {
            let at = *model.types.get(ty.get("name")?.as_str()?)?;
            let fields = model.fields(ty.as_object()?)?;
            model.nodes.get_mut(at)?.fields = fields;
        }
        model.schema = model.node(told)?;
        Some(model)
    }

    fn node(&mut self, told: &Map<String, Json>) -> Option<usize> {
        let fields = self.fields(told)?;
        self.nodes.push(Node { fields });
        Some(self.nodes.len() - 1)
    }

    fn fields(&mut self, told: &Map<String, Json>) -> Option<HashMap<Box<str>, Answer>> {
        let answer =
            |(key, value): (&String, &Json)| Some((key.as_str().into(), self.answer(key, value)?));
        told.iter().map(answer).collect()
    }

    fn answer(&mut self, key: &str, told: &Json) -> Option<Answer> {
        Some(match told {
            Json::Object(object) => Answer::Nodes(vec![self.object(key, object)?]),
            Json::Array(items) if items.iter().any(Json::is_object) => {
                let nodes = items.iter().map(|item| self.object(key, item.as_object()?));
                Answer::Nodes(nodes.collect::<Option<_>>()?)
            }
            Json::Array(items) => Answer::Values(items.len()),
            Json::String(text) => Answer::Values(of_text(text.len())),
            Json::Null | Json::Bool(_) | Json::Number(_) => Answer::Values(0),
        })
    }

    fn object(&mut self, key: &str, told: &Map<String, Json>) -> Option<usize> {
        let name = told.get("name").and_then(Json::as_str);
        match name {
            Some(name) if REFERENCES.contains(&key) || key == "types" => {
                self.types.get(name).copied()
            }
            _ => self.node(told),
        }
    }
}

/// A walk through what a document asks about the schema. Each step gives `None` when that is too much.
struct Walk<'a> {
    model: &'a Model,
    definition: &'a OperationDefinition,
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    variables: &'a Variables,
    left: usize,
}

impl<'a> Walk<'a> {
    fn pay(&mut self, values: usize) -> Option<()> {
        self.left = self.left.checked_sub(values)?;
        Some(())
    }

    fn roots(&mut self, set: &'a SelectionSet) -> Option<()> {
        self.each(set, &mut |walk, field| {
            let node = match field.name.node.as_str() {
                "__schema" => Some(walk.model.schema),
                "__type" => walk.named(field),
                _ => return Some(()),
            };
            walk.pay(of_key(&field.response_key().node) + ROOT_VALUES)?;
            node.map_or(Some(()), |node| walk.below(field, node))
        })
    }

    fn below(&mut self, field: &'a Field, node: usize) -> Option<()> {
        self.each(&field.selection_set.node, &mut |walk, field| {
            walk.pay(of_key(&field.response_key().node))?;
            let model = walk.model;
            let answer = model.nodes.get(node)?.fields.get(field.name.node.as_str());
            match answer {
                Some(Answer::Nodes(nodes)) => {
                    nodes.iter().try_for_each(|node| walk.below(field, *node))
                }
                Some(Answer::Values(more)) => walk.pay(*more),
                // `__typename`, what this type has not, and what validation will refuse.
                None => Some(()),
            }
        })
    }

    /// Goes through the fields of a selection, fragments expanded whatever type they are on.
    fn each(
        &mut self,
        set: &'a SelectionSet,
        visit: &mut dyn FnMut(&mut Self, &'a Field) -> Option<()>,
    ) -> Option<()> {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => visit(self, &field.node)?,
                Selection::InlineFragment(inline) => {
                    self.each(&inline.node.selection_set.node, visit)?;
                }
                Selection::FragmentSpread(spread) => {
                    match self.fragments.get(&spread.node.fragment_name.node) {
                        Some(it) => self.each(&it.node.selection_set.node, visit)?,
                        // Validation will refuse it; until then looking for it is work.
                        None => self.pay(1)?,
                    }
                }
            }
        }
        Some(())
    }

    /// The type that `__type` asks for; `None` when there is none of that name.
    fn named(&self, field: &Field) -> Option<usize> {
        let name = field.get_argument("name")?.node.clone().into_const_with(|variable| {
            let defined = self.definition.variable_definitions.iter().map(|it| &it.node);
            let defined = defined.into_iter().find(|it| it.name.node == variable);
            let default = defined.and_then(|it| it.default_value.as_ref()).map(|it| &it.node);
            Ok::<_, ()>(self.variables.get(&variable).or(default).cloned().unwrap_or(Value::Null))
        });
        match name {
            Ok(Value::String(name)) => self.model.types.get(name.as_str()).copied(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::api::bare_schema;

    const GRAPHQL_JS: &str = include_str!("../../tests/it/cost/graphql_js.graphql");

    /// The price of a document, without what its roots cost beside their fields.
    fn price(model: &Model, text: &str, variables: &Variables) -> usize {
        let document = parse_query(text).unwrap();
        let (_, definition) = document.operations.iter().next().unwrap();
        let (definition, fragments) = (&definition.node, &document.fragments);
        let mut walk = Walk { model, definition, fragments, variables, left: usize::MAX };
        walk.roots(&definition.selection_set.node).unwrap();
        let roots = text.matches("__schema").count() + text.matches("__type(").count();
        usize::MAX - walk.left - roots * ROOT_VALUES
    }

    /// What an answer comes to.
    fn values(answer: &Json) -> usize {
        match answer {
            Json::Object(fields) => {
                fields.iter().map(|(key, value)| of_key(key) + values(value)).sum()
            }
            Json::Array(items) => {
                items.iter().map(|item| values(item) + usize::from(!item.is_object())).sum()
            }
            Json::String(text) => of_text(text.len()),
            _ => 0,
        }
    }

    fn answer(text: &str, variables: Json) -> Json {
        let request = Request::new(text).variables(Variables::from_json(variables));
        let response = bare_schema().execute(request).now_or_never().unwrap();
        assert_eq!(response.errors, [], "{text}");
        response.data.into_json().unwrap()
    }

    #[test]
    fn the_limit_is_twice_what_tools_ask_for() {
        let model = Model::of(&bare_schema()).unwrap();
        let price = price(&model, GRAPHQL_JS, &Variables::default());
        assert_eq!(price, values(&answer(GRAPHQL_JS, Json::Null)));
        assert!((VALUES_MAX / 3..VALUES_MAX * 3 / 5).contains(&price), "{price}");
    }

    #[test]
    fn a_type_is_priced_by_its_name_wherever_that_stands() {
        let model = Model::of(&bare_schema()).unwrap();
        let variables = Variables::from_json(serde_json::json!({ "given": "Query" }));
        let set = "{ fields { name } }";
        let fields = price(&model, &format!("{{ __type(name: \"Query\") {set} }}"), &variables);
        assert!(fields > 10, "{fields}");
        for (head, argument, expected) in [
            ("", "\"Nothing\"", 1),
            ("query ($given: String!)", "$given", fields),
            ("query ($other: String = \"Query\")", "$other", fields),
            ("query ($given: String = \"Nothing\")", "$given", fields),
            ("query ($missing: String)", "$missing", 1),
        ] {
            let text = format!("{head} {{ __type(name: {argument}) {set} }}");
            assert_eq!(price(&model, &text, &variables), expected, "{text}");
        }
    }

    /// Selections on a type, with what tells them apart from each other.
    fn selection(ty: &'static str, depth: u32) -> BoxedStrategy<String> {
        let (leaves, nested): (&[&str], &[(&str, &str)]) = match ty {
            "__Type" => (
                &["kind", "name", "description", "specifiedByURL", "isOneOf", "__typename"],
                &[
                    ("fields(includeDeprecated: true)", "__Field"),
                    ("interfaces", "__Type"),
                    ("possibleTypes", "__Type"),
                    ("enumValues(includeDeprecated: true)", "__EnumValue"),
                    ("inputFields(includeDeprecated: true)", "__InputValue"),
                    ("ofType", "__Type"),
                ],
            ),
            "__Field" => (
                &["name", "description", "isDeprecated", "deprecationReason"],
                &[("args", "__InputValue"), ("type", "__Type")],
            ),
            "__InputValue" => (&["name", "description", "defaultValue"], &[("type", "__Type")]),
            "__Directive" => {
                (&["name", "description", "locations", "isRepeatable"], &[("args", "__InputValue")])
            }
            "__EnumValue" => (&["name", "description", "isDeprecated"], &[]),
            _ => (
                &["description"],
                &[
                    ("types", "__Type"),
                    ("queryType", "__Type"),
                    ("mutationType", "__Type"),
                    ("directives", "__Directive"),
                ],
            ),
        };
        let leaf =
            (any::<u16>(), select(leaves)).prop_map(|(n, name)| format!("a{n}{name}: {name}"));
        if depth == 0 || nested.is_empty() {
            return prop::collection::vec(leaf, 1..3).prop_map(|it| it.join(" ")).boxed();
        }
        let below = select(nested).prop_flat_map(move |(name, ty)| {
            let key: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
            let inline = prop_oneof![Just(("", "")), Just(("... {", "}")),];
            (any::<u16>(), selection(ty, depth - 1), inline).prop_map(
                move |(n, set, (open, close))| {
                    format!("{open} b{n}{key}: {name} {{ {set} }} {close}")
                },
            )
        });
        prop::collection::vec(prop_oneof![leaf, below], 1..4).prop_map(|it| it.join(" ")).boxed()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn prices_are_what_answers_come_to(
            schema in selection("__Schema", 3),
            ty in selection("__Type", 4),
            name in select(&["Query", "PayError", "UserError", "HoldSeatInput", "PayErrorCode", "Int"][..]),
        ) {
            let model = Model::of(&bare_schema()).unwrap();
            let text = format!("{{ __schema {{ {schema} }} __type(name: \"{name}\") {{ {ty} }} }}");
            let price = price(&model, &text, &Variables::default());
            // What is selected twice under one key is resolved twice, and written once.
            prop_assume!(price < 200_000);
            let written = values(&answer(&text, Json::Null));
            prop_assert!(written <= price, "{written} > {price}");
            prop_assert!(price <= written + written / 4, "{written} < {price}");
        }
    }
}
