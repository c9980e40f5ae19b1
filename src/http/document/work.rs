//! What a mutation is about, as far as limits tell one from another.

use async_graphql::{
    Name,
    parser::types::{ExecutableDocument, Selection, SelectionSet},
};

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Work {
    /// Getting into a line.
    Enter,
    /// Asking for seats.
    Hold,
    /// Moving money.
    Pay,
    /// Getting in.
    LogIn,
    /// Making an account.
    SignUp,
    /// Giving back or ending something, and an organizer's levers.
    Ending,
    /// Everything else.
    Usual,
}

/// Mutations by what they are about; all others are usual.
const WORKS: &[(&str, Work)] = &[
    ("enterQueue", Work::Enter),
    ("holdSeat", Work::Hold),
    ("holdSeats", Work::Hold),
    ("holdBestSeats", Work::Hold),
    ("pay", Work::Pay),
    ("charge", Work::Pay),
    ("logIn", Work::LogIn),
    ("signUp", Work::SignUp),
    ("leaveQueue", Work::Ending),
    ("logOut", Work::Ending),
    ("extendHold", Work::Ending),
    ("cancelReservation", Work::Ending),
    ("refundReservation", Work::Ending),
    ("cancelSchedule", Work::Ending),
    ("closeSale", Work::Ending),
    ("configureWaitingRoom", Work::Ending),
];

impl Work {
    /// What the mutation with this root field is about.
    pub(super) fn of(field: &str) -> Self {
        WORKS.iter().find(|(name, _)| *name == field).map_or(Self::Usual, |(_, work)| *work)
    }

    /// It pays, gives back or ends something, and is finished while other work is refused.
    pub(in super::super) const fn is_vital(self) -> bool {
        matches!(self, Self::Pay | Self::Ending)
    }
}

/// The first field of a selection set, fragments expanded. For sets that were measured, and have one field.
pub(super) fn field<'a>(
    document: &'a ExecutableDocument,
    set: &'a SelectionSet,
) -> Option<&'a Name> {
    let mut set = set;
    loop {
        set = match &set.items.first()?.node {
            Selection::Field(field) => return Some(&field.node.name.node),
            Selection::InlineFragment(fragment) => &fragment.node.selection_set.node,
            Selection::FragmentSpread(spread) => {
                let fragment = document.fragments.get(&spread.node.fragment_name.node)?;
                &fragment.node.selection_set.node
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_that_is_named_exists() {
        let sdl = crate::api::sdl();
        for (name, _) in WORKS {
            let there = ['(', ':'].iter().any(|end| sdl.contains(&format!("\t{name}{end}")));
            assert!(there, "{name}");
        }
    }
}
