//! Documents made from the schema itself: each list in each way it can be reached, so that a list that is added later is tried
//! by itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::scenery::Scenery;

/// Objects and lists inside each other in one document.
const LEVELS: usize = 7;
/// As many aliases as a document may have.
const ALIASES: usize = 30;

/// A field that is not a leaf.
struct Step {
    /// As it is written, with its arguments.
    text: String,
    is_list: bool,
    of: String,
}

struct Type {
    leaves: Vec<String>,
    steps: Vec<Step>,
}

/// The schema, as introspection tells it.
pub(super) struct Walker {
    types: BTreeMap<String, Type>,
}

/// The name of a type without its wrappers, whether there is a list among these, and whether it has fields.
fn unwrap(ty: &Value) -> (String, bool, bool) {
    let (mut ty, mut is_list) = (ty, false);
    while !ty["ofType"].is_null() {
        is_list |= ty["kind"] == "LIST";
        ty = &ty["ofType"];
    }
    let has_fields = ["OBJECT", "INTERFACE", "UNION"].iter().any(|kind| ty["kind"] == *kind);
    (ty["name"].as_str().expect("a name").to_owned(), is_list, has_fields)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

impl Walker {
    /// Reads the answer to a full introspection.
    pub(super) fn new(schema: &Value, scenery: &Scenery) -> Self {
        // Mutations change something, and subscriptions run elsewhere.
        let others =
            ["mutationType", "subscriptionType"].map(|root| &schema["__schema"][root]["name"]);
        let types = items(&schema["__schema"]["types"]).filter(|ty| !others.contains(&&ty["name"]));
        let types = types.map(|ty| {
            let mut found = Type { leaves: Vec::new(), steps: Vec::new() };
            let of_schema = ty["name"].as_str().is_some_and(|name| name.starts_with("__"));
            for field in items(&ty["fields"]).filter(|_| !of_schema) {
                let name = field["name"].as_str().expect("a name");
                let (of, is_list, has_fields) = unwrap(&field["type"]);
                if !has_fields {
                    found.leaves.push(name.to_owned());
                    continue;
                }
                let arguments: Vec<String> = items(&field["args"])
                    .filter_map(|argument| {
                        let value = scenery.argument(name, argument)?;
                        Some(format!("{}: {value}", argument["name"].as_str().expect("a name")))
                    })
                    .collect();
                let arguments = if arguments.is_empty() {
                    String::new()
                } else {
                    format!("({})", arguments.join(", "))
                };
                found.steps.push(Step { text: format!("{name}{arguments}"), is_list, of });
            }
            (ty["name"].as_str().expect("a name").to_owned(), found)
        });
        Self { types: types.collect() }
    }

    /// Every list that can be reached from Query, named by the type and the field; `Concert.schedules`.
    pub(super) fn lists(&self) -> BTreeSet<String> {
        let (mut reached, mut next) = (BTreeSet::new(), vec!["Query"]);
        let mut lists = BTreeSet::new();
        while let Some(name) = next.pop() {
            if !reached.insert(name) {
                continue;
            }
            for step in &self.types[name].steps {
                if step.is_list {
                    let field = step.text.split('(').next().expect("a name");
                    lists.insert(format!("{name}.{field}"));
                }
                next.push(&step.of);
            }
        }
        lists
    }

    /// For each way to a list: the document with all leaves on the way, the same with the last list under as many aliases as
    /// may be, and with the first field so.
    pub(super) fn documents(&self) -> Vec<String> {
        let mut documents = Vec::new();
        self.walk("Query", &mut Vec::new(), &mut documents);
        documents
    }

    fn walk<'a>(&'a self, name: &str, way: &mut Vec<&'a Step>, documents: &mut Vec<String>) {
        for step in &self.types[name].steps {
            way.push(step);
            if step.is_list {
                documents.extend([(0, 0), (way.len(), ALIASES), (1, ALIASES)].map(
                    |(level, aliases)| format!("{{ {} }}", self.write(way, 1, level, aliases)),
                ));
            }
            if way.len() < LEVELS {
                self.walk(&step.of, way, documents);
            }
            way.pop();
        }
    }

    fn write(&self, way: &[&Step], level: usize, aliased: usize, aliases: usize) -> String {
        let Some((step, rest)) = way.split_first() else { return String::new() };
        let leaves = self.types[&step.of].leaves.join(" ");
        let below = self.write(rest, level + 1, aliased, aliases);
        let field = format!("{} {{ __typename {leaves} {below} }}", step.text);
        if level == aliased {
            (0..aliases).map(|n| format!("a{n}: {field} ")).collect()
        } else {
            field
        }
    }
}
