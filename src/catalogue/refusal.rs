//! Why the catalogue said no.

use std::{borrow::Cow, ops::RangeInclusive};

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
    pub fn value(field: &str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::ValueInvalid { path: vec![field.to_owned()], message: message.into() }
    }

    /// Nothing when `value` lies in `range`, else the refusal of the field that it stands in.
    ///
    /// # Errors
    /// [`CatalogueRefusal::ValueInvalid`], which names the range.
    pub fn unless_in(field: &str, value: i32, range: RangeInclusive<i32>) -> Result<(), Self> {
        if range.contains(&value) {
            Ok(())
        } else {
            Err(Self::value(field, format!("{} to {}.", range.start(), range.end())))
        }
    }

    /// Whether it is about this field of the input itself.
    pub fn is_about(&self, field: &str) -> bool {
        matches!(self, Self::ValueInvalid { path, .. } if *path == [field])
    }

    /// The same refusal with the field inside of `parents`.
    pub fn within(self, parents: &[&str]) -> Self {
        match self {
            Self::ValueInvalid { path, message } => {
                let path = parents.iter().map(|&parent| parent.to_owned()).chain(path).collect();
                Self::ValueInvalid { path, message }
            }
            other => other,
        }
    }
}
