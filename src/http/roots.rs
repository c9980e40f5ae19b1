//! The root fields of the schema, by which operations are counted. What a client writes is never a label.

use std::{collections::HashSet, sync::Arc};

use async_graphql::{Executor, Request};
use futures_util::FutureExt;

/// Asks for the names of all root fields.
const QUESTION: &str = "{ __schema {
    queryType { fields { name } } mutationType { fields { name } } subscriptionType { fields { name } } } }";
/// Those that every schema has.
const OF_ALL: [&str; 3] = ["__schema", "__type", "__typename"];

/// The names of root fields, as labels.
#[derive(Debug)]
pub(super) struct Roots {
    names: HashSet<Arc<str>>,
    several: Arc<str>,
    unknown: Arc<str>,
}

impl Roots {
    /// Those of this schema.
    pub(super) fn of(schema: &impl Executor) -> Self {
        // Nothing in it waits for anything.
        let response = Executor::execute(schema, Request::new(QUESTION)).now_or_never();
        let told = response.and_then(|response| response.data.into_json().ok());
        let types = ["queryType", "mutationType", "subscriptionType"].iter();
        let fields = types.filter_map(|ty| told.as_ref()?["__schema"][*ty]["fields"].as_array());
        let names = fields.flatten().filter_map(|field| field["name"].as_str());
        Self {
            names: names.chain(OF_ALL).map(Arc::from).collect(),
            several: Arc::from("several"),
            unknown: Arc::from("unknown"),
        }
    }

    /// The label of an operation whose only root field has this name; without one it has several.
    pub(super) fn label(&self, field: Option<&str>) -> Arc<str> {
        let Some(field) = field else { return Arc::clone(&self.several) };
        Arc::clone(self.names.get(field).unwrap_or(&self.unknown))
    }

    /// The label of an operation of which nothing is known.
    pub(super) fn unknown(&self) -> Arc<str> {
        Arc::clone(&self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_writes_is_no_label() {
        let roots = Roots::of(&crate::api::bare_schema());
        for name in ["holdSeats", "concerts", "queueStatus", "__typename", "__schema"] {
            assert_eq!(&*roots.label(Some(name)), name);
        }
        assert_eq!(&*roots.label(Some("a1b2c3")), "unknown");
        assert_eq!(&*roots.label(None), "several");
        assert!((20..100).contains(&roots.names.len()), "{}", roots.names.len());
    }
}
