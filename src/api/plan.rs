//! How objects of one type are written as JSON without being resolved field by field: text that never changes, and between it
//! leaves.
//!
//! A plan says what a selection comes to when fragments are expanded and the same field twice is one, as async-graphql would
//! resolve it. With a plan, objects are written by the thousand at the price of copying text. What a plan cannot say has
//! none: objects inside of objects, and directives, unless they were judged before.

use std::{
    collections::HashMap,
    fmt::{Display, Write},
};

use async_graphql::{
    Name, Positioned,
    parser::types::{Field, FragmentDefinition, Selection, SelectionSet},
};

/// The fields of a type that hold no objects.
pub(super) trait Leaf: Copy + PartialEq + 'static {
    /// The type whose fields these are.
    const TYPE: &str;
    /// All of them by name.
    const ALL: &[(&str, Self)];

    /// The field of that name.
    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(other, _)| *other == name).map(|(_, leaf)| *leaf)
    }
}

/// How an object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectPlan<L> {
    /// Each leaf with the text before it.
    steps: Box<[(Box<str>, L)]>,
    end: Box<str>,
}

impl<L: Leaf> ObjectPlan<L> {
    /// The plan of a selection that the schema finds valid; `None` when it has directives, or asks for objects.
    pub(super) fn of(
        set: &SelectionSet,
        fragments: &HashMap<Name, Positioned<FragmentDefinition>>,
    ) -> Option<Self> {
        let mut selected = Selected { fragments, leaves: Vec::new() };
        selected.gather(set)?;
        Some(Self::from_leaves(&selected.leaves))
    }

    fn from_leaves(leaves: &[(&str, &str, Option<L>)]) -> Self {
        // An object of which nothing is selected, because all of it was skipped, is null to async-graphql.
        if leaves.is_empty() {
            return Self { steps: Box::default(), end: "null".into() };
        }
        let mut text = String::from("{");
        let mut steps = Vec::new();
        for (index, (key, _, leaf)) in leaves.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            // Names need no escapes.
            text.extend(["\"", key, "\":"]);
            match leaf {
                Some(leaf) => steps.push((std::mem::take(&mut text).into(), *leaf)),
                None => text.extend(["\"", L::TYPE, "\""]),
            }
        }
        text.push('}');
        Self { steps: steps.into(), end: text.into() }
    }

    /// Whether some leaf is in it.
    pub(super) fn has(&self, leaf: L) -> bool {
        self.steps.iter().any(|(_, other)| *other == leaf)
    }

    /// Writes one object; `value` writes a leaf's.
    pub(super) fn render(&self, out: &mut String, mut value: impl FnMut(L, &mut String)) {
        for (text, leaf) in &self.steps {
            out.push_str(text);
            value(*leaf, out);
        }
        out.push_str(&self.end);
    }
}

/// The leaves of a selection, fragments expanded: key, name, and no leaf for `__typename`.
struct Selected<'a, L> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    leaves: Vec<(&'a str, &'a str, Option<L>)>,
}

impl<'a, L: Leaf> Selected<'a, L> {
    /// `None` as soon as something is not simple. Documents have been measured: fragments end, and are not many.
    fn gather(&mut self, set: &'a SelectionSet) -> Option<()> {
        for item in &set.items {
            if !item.node.directives().is_empty() {
                return None;
            }
            match &item.node {
                Selection::Field(field) => self.leaf(&field.node)?,
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    if condition.is_some_and(|condition| condition.node.on.node != L::TYPE) {
                        return None;
                    }
                    self.gather(&fragment.node.selection_set.node)?;
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = &self.fragments.get(&spread.node.fragment_name.node)?.node;
                    if fragment.type_condition.node.on.node != L::TYPE
                        || !fragment.directives.is_empty()
                    {
                        return None;
                    }
                    self.gather(&fragment.selection_set.node)?;
                }
            }
        }
        Some(())
    }

    fn leaf(&mut self, field: &'a Field) -> Option<()> {
        let (key, name) = (field.response_key().node.as_str(), field.name.node.as_str());
        let leaf = match name {
            "__typename" => None,
            name => Some(L::parse(name)?),
        };
        match self.leaves.iter().find(|(other, ..)| *other == key) {
            // The same again is one field; anything else under that key is invalid.
            Some((_, other, _)) => (*other == name).then_some(()),
            None => {
                self.leaves.push((key, name, leaf));
                Some(())
            }
        }
    }
}

/// Writes what is free of quotes, backslashes and control characters, in quotes.
pub(super) fn quoted(out: &mut String, text: impl Display) {
    out.push('"');
    plain(out, text);
    out.push('"');
}

/// Writes any text as a string of JSON, as `serde_json` does.
pub(super) fn escaped(out: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        // A text is always JSON.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

/// Writes a number.
pub(super) fn plain(out: &mut String, value: impl Display) {
    // Writing into a String does not fail.
    _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_escaped_as_serde_json_does(text in any::<String>(), odd in "[\"\\\\\u{0}-\u{1f}a-c\u{7f}\u{2028}]*") {
            for text in [text, odd] {
                let mut written = String::new();
                escaped(&mut written, &text);
                prop_assert_eq!(written, serde_json::to_string(&text).unwrap());
            }
        }
    }
}
