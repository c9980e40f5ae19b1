//! How large a document becomes when its fragments are expanded: every fragment is measured once, so in linear time.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned,
    parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet},
};

use super::{super::error::Refusal, bad_request, too_complex};
use crate::api::of_key;

/// Selections of one operation: fields, spreads and inline fragments, fragments expanded.
const SELECTIONS_MAX: u32 = 1_000;
/// The same of all operations of a document, because the schema looks at those too that do not run.
const SELECTIONS_OF_ALL_MAX: u32 = 5_000;
/// Fields inside fields. The introspection of GraphiQL needs 15.
const DEPTH_MAX: u32 = 20;
/// Selection sets inside each other, those of fragments too. async-graphql's own limit is one more.
const NESTING_MAX: u32 = 32;
/// Aliases of one operation, fragments expanded.
const ALIASES_MAX: u32 = 30;
/// Directives of one operation, fragments expanded.
const DIRECTIVES_MAX: u32 = 50;

/// What the rules for mutations and subscriptions need to know of an operation, fragments expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// Fields at the root.
    pub(super) roots: u32,
    /// None of them stands in a fragment.
    pub(super) direct: bool,
    /// Selections at all levels.
    pub(super) selections: u32,
    /// What its fields cost, with one item in each list; for [`crate::api::Budget`].
    pub(super) values: u32,
    /// It asks for the schema.
    pub(super) introspects: bool,
}

/// The size of a selection set, fragments expanded. All sums saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) selections: u32,
    pub(super) depth: u32,
    pub(super) nesting: u32,
    pub(super) aliases: u32,
    pub(super) directives: u32,
    pub(super) roots: u32,
    pub(super) values: u32,
    pub(super) introspects: bool,
}

impl Size {
    /// Adds one selection with what it holds.
    fn add(&mut self, held: Self) {
        self.selections = self.selections.saturating_add(held.selections).saturating_add(1);
        self.depth = self.depth.max(held.depth);
        self.nesting = self.nesting.max(held.nesting.saturating_add(1));
        self.aliases = self.aliases.saturating_add(held.aliases);
        self.directives = self.directives.saturating_add(held.directives);
        self.roots = self.roots.saturating_add(held.roots);
        self.values = self.values.saturating_add(held.values);
        self.introspects |= held.introspects;
    }

    /// The same, with directives of its own.
    fn with_directives(self, count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Self { directives: self.directives.saturating_add(count), ..self }
    }
}

/// Checks every operation against the limits and tells the facts of each, in the document's order of operations.
///
/// # Errors
/// QUERY_TOO_COMPLEX beyond a limit, BAD_REQUEST when a fragment spreads itself.
pub(super) fn check(document: &ExecutableDocument) -> Result<Vec<Facts>, Refusal> {
    let mut measure = Measure::new(document);
    // Those that nobody spreads are invalid, but validation follows them too.
    for name in document.fragments.keys() {
        measure.fragment(name, 1)?;
    }
    let (mut of_all, mut facts) = (0_u32, Vec::new());
    for (_, operation) in document.operations.iter() {
        let size = measure.operation(&operation.node)?;
        within_limits(size)?;
        of_all = of_all.saturating_add(size.selections);
        let items = &operation.node.selection_set.node.items;
        let direct = items.iter().all(|item| matches!(item.node, Selection::Field(_)));
        let Size { roots, selections, values, introspects, .. } = size;
        facts.push(Facts { roots, direct, selections, values, introspects });
    }
    if of_all > SELECTIONS_OF_ALL_MAX {
        return Err(too_complex("The operations of the document select too much together."));
    }
    Ok(facts)
}

fn within_limits(size: Size) -> Result<(), Refusal> {
    let checks = [
        (size.selections, SELECTIONS_MAX, "selections"),
        (size.depth, DEPTH_MAX, "levels of fields"),
        (size.nesting, NESTING_MAX, "levels of selections and fragments"),
        (size.aliases, ALIASES_MAX, "aliases"),
        (size.directives, DIRECTIVES_MAX, "directives"),
    ];
    match checks.iter().find(|(value, limit, _)| value > limit) {
        None => Ok(()),
        Some((_, limit, what)) => Err(too_complex(format!(
            "The operation has more than {limit} {what}, counting each fragment where it is spread."
        ))),
    }
}

/// Measures selection sets, and each fragment only once.
pub(super) struct Measure<'a> {
    document: &'a ExecutableDocument,
    /// `None` while a fragment is being measured: then it was met inside of itself.
    fragments: HashMap<&'a Name, Option<Size>>,
}

impl<'a> Measure<'a> {
    /// Nothing measured yet.
    pub(super) fn new(document: &'a ExecutableDocument) -> Self {
        Self { document, fragments: HashMap::with_capacity(document.fragments.len()) }
    }

    /// The size of an operation.
    ///
    /// # Errors
    /// As [`check`], for what cannot be measured.
    pub(super) fn operation(
        &mut self,
        operation: &'a OperationDefinition,
    ) -> Result<Size, Refusal> {
        let variables = operation.variable_definitions.iter();
        let of_variables: usize = variables.map(|variable| variable.node.directives.len()).sum();
        let size = self.selection_set(&operation.selection_set, 1)?;
        Ok(size.with_directives(of_variables.saturating_add(operation.directives.len())))
    }

    fn selection_set(
        &mut self,
        set: &'a Positioned<SelectionSet>,
        level: u32,
    ) -> Result<Size, Refusal> {
        // Also keeps this recursion shallow, however long a chain of fragments is.
        if level > NESTING_MAX.saturating_add(1) {
            return Err(too_complex("The document nests too deep."));
        }
        let mut size = Size::default();
        for item in &set.node.items {
            let held = self.selection(&item.node, level + 1)?;
            size.add(held.with_directives(item.node.directives().len()));
        }
        Ok(size)
    }

    fn selection(&mut self, selection: &'a Selection, level: u32) -> Result<Size, Refusal> {
        match selection {
            Selection::Field(field) => {
                let held = self.selection_set(&field.node.selection_set, level)?;
                let alias = u32::from(field.node.alias.is_some());
                let value = of_key(&field.node.response_key().node);
                let name = field.node.name.node.as_str();
                Ok(Size {
                    depth: held.depth.saturating_add(1),
                    aliases: held.aliases.saturating_add(alias),
                    roots: 1,
                    values: held.values.saturating_add(u32::try_from(value).unwrap_or(u32::MAX)),
                    introspects: held.introspects || matches!(name, "__schema" | "__type"),
                    ..held
                })
            }
            Selection::InlineFragment(fragment) => {
                self.selection_set(&fragment.node.selection_set, level)
            }
            Selection::FragmentSpread(spread) => {
                self.fragment(&spread.node.fragment_name.node, level)
            }
        }
    }

    fn fragment(&mut self, name: &'a Name, level: u32) -> Result<Size, Refusal> {
        match self.fragments.get(name) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err(bad_request("A fragment of the document spreads itself.")),
            None => {}
        }
        // One that does not exist has no size; validation names it.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Size::default()) };
        self.fragments.insert(name, None);
        let size = self
            .selection_set(&fragment.node.selection_set, level)?
            .with_directives(fragment.node.directives.len());
        self.fragments.insert(name, Some(size));
        Ok(size)
    }
}
