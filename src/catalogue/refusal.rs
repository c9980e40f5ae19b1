//! Why the catalogue said no.

use std::borrow::Cow;

/// Why an organizer's change was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogueRefusal {
    /// No such concert, or another organizer's.
    ConcertNotFound,
    /// No such schedule, or another organizer's.
    ScheduleNotFound,
    /// A value is not acceptable.
    ValueInvalid {
        /// The field at fault, from the input down; list positions count from 0.
        path: Vec<String>,
        /// What would be acceptable.
        message: Cow<'static, str>,
    },
    /// The schedule's sale is not where this change needs it to be; the text says where it is.
    WrongState(&'static str),
}

impl CatalogueRefusal {
    /// A value that is not acceptable, in a field of the input itself.
    pub(super) fn value(field: &str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::ValueInvalid { path: vec![field.to_owned()], message: message.into() }
    }

    /// The same refusal with the field inside of `parents`.
    pub(super) fn within(self, parents: &[&str]) -> Self {
        match self {
            Self::ValueInvalid { path, message } => {
                let path = parents.iter().map(|&parent| parent.to_owned()).chain(path).collect();
                Self::ValueInvalid { path, message }
            }
            other => other,
        }
    }
}
