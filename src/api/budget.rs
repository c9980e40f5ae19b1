//! What one request may ask for, in values: an answered field is one, and 64 bytes of text are one more.
//!
//! It is looked at twice. Before anything runs, the schema's prices (`complexity`) count a page at the size that was asked
//! for, and every other list as one item. While fields are resolved, lists pay for the items that they really have, out of a
//! [`Budget`] that the transport puts into the request. So what a price does not know ends as QUERY_TOO_COMPLEX, and not as
//! memory. docs/limits.md tells clients.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_graphql::{
    ContextBase, Error, Name, Positioned, ServerError,
    parser::types::{Field, FragmentDefinition, Selection, SelectionSet},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{ApiError, ApiResult};
use crate::kernel::RequestCode;

/// What one request may ask for: twenty concerts with the longest texts that there are. An answer of so many values has less
/// than 1 MB, whatever they are: a value has less than 32 bytes of its key and 64 of its text.
pub const VALUES_MAX: usize = 8_000;
/// A field that asks Postgres by itself.
pub(super) const STATEMENT: usize = 50;
/// A page of concerts is read with all their texts, whatever is shown of them: seven a request.
pub(super) const CONCERTS: usize = 1_000;
/// A search looks through all concerts: three a request.
pub(super) const SEARCH: usize = 2_500;
/// The performances of one concert by one filter: all of a page's are read before any is counted, and each filter is a
/// statement.
pub(super) const SCHEDULES: usize = 16;
/// The state of a waiting room, of which Redis has a part: some four hundred a request.
pub(super) const ROOM: usize = 16;
/// What was sold at a performance is counted over its seats: some thirty a request.
pub(super) const SALES: usize = 250;
/// Looking at a hall walks through its seats, even where few are shown: three a request.
pub(super) const HALL: usize = 2_000;

/// So many bytes of a field's key in the answer are one value more.
const KEY_BYTES: usize = 32;
/// So many bytes of a text in the answer are one value more.
const TEXT_BYTES: usize = 64;

/// What a field costs that has this key in the answer: its name or its alias.
pub const fn of_key(key: &str) -> usize {
    1 + key.len() / KEY_BYTES
}

/// What a text costs beside the field that it is in.
pub const fn of_text(bytes: usize) -> usize {
    bytes / TEXT_BYTES
}

/// What is left of a request's budget. One is made for every request, and shared by all that resolve it.
#[derive(Debug)]
pub struct Budget {
    full: usize,
    left: AtomicUsize,
    /// Somebody looks at a hall for free already.
    hall: AtomicBool,
    /// Held while a large answer is made, until it is written.
    large: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Budget {
    /// The budget of an operation whose own fields, with one item in each list, are `values`.
    pub fn new(values: usize) -> Arc<Self> {
        let full = VALUES_MAX.saturating_sub(values);
        Arc::new(Self {
            full,
            left: AtomicUsize::new(full),
            hall: AtomicBool::new(false),
            large: Mutex::new(None),
        })
    }

    /// Whether the answer is one that takes a while to write.
    pub fn has_large_answer(&self) -> bool {
        self.large.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Keeps the permit to make a large answer for as long as the budget lives.
    pub(super) fn keep(&self, permit: OwnedSemaphorePermit) {
        *self.large.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
    }

    /// Pays for some values.
    ///
    /// # Errors
    /// QUERY_TOO_COMPLEX when there are not so many left; then nothing is left.
    pub(super) fn spend(&self, values: usize) -> ApiResult<()> {
        let pay = |left: usize| Some(left.saturating_sub(values));
        let (Ok(left) | Err(left)) =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        if left >= values { Ok(()) } else { Err(SPENT) }
    }

    /// Starts anew, for the next result of a subscription.
    pub(super) fn renew(&self) {
        self.left.store(self.full, Ordering::Relaxed);
    }

    /// How many values are left.
    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// `true` for the first who asks: their hall costs nothing.
    pub(super) fn first_hall(&self) -> bool {
        !self.hall.swap(true, Ordering::Relaxed)
    }
}

const SPENT: ApiError = ApiError::new(
    RequestCode::QueryTooComplex,
    "The answer would hold too much. Ask for fewer fields, smaller pages, a shorter time (`from`, `to`), or one thing at a time.",
);

/// The budget of the request that a field is resolved for.
pub(super) fn of<'a, T>(ctx: &ContextBase<'a, T>) -> ApiResult<&'a Arc<Budget>> {
    ctx.data_opt().ok_or_else(|| ApiError::internal("a request without its budget"))
}

/// Pays for some values of the request that a field is resolved for.
pub(super) fn spend<T>(ctx: &ContextBase<'_, T>, values: usize) -> ApiResult<()> {
    of(ctx)?.spend(values)
}

/// Pays for the items of a list. The first one has been paid for, with the document or with the list around it.
pub(super) fn spend_on_items<T>(
    ctx: &ContextBase<'_, T>,
    item: &SelectionSet,
    items: usize,
) -> ApiResult<()> {
    match items.checked_sub(1) {
        None | Some(0) => Ok(()),
        Some(more) => spend(ctx, weight(ctx, item).saturating_mul(more)),
    }
}

/// What one item costs of which these fields are selected: fragments are expanded, and lists in it have one item.
///
/// Documents have been measured before, so this ends soon; and whoever asked for it has paid for as much.
pub(super) fn weight<T>(ctx: &ContextBase<'_, T>, item: &SelectionSet) -> usize {
    sum(&ctx.query_env.fragments, item, &|field| of_key(&field.response_key().node))
}

/// Whether the document asks for a root field of this key more than once, so that the answers are to be merged.
pub(super) fn is_repeated<T>(ctx: &ContextBase<'_, T>, key: &Name) -> bool {
    let roots = &ctx.query_env.operation.node.selection_set.node;
    let same = |field: &Field| usize::from(field.response_key().node == *key);
    roots_of(&ctx.query_env.fragments, roots, &same) > 1
}

type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

fn sum(fragments: &Fragments, set: &SelectionSet, of: &impl Fn(&Field) -> usize) -> usize {
    let below =
        |field: &Field| of(field).saturating_add(sum(fragments, &field.selection_set.node, of));
    roots_of(fragments, set, &below)
}

fn roots_of(fragments: &Fragments, set: &SelectionSet, of: &dyn Fn(&Field) -> usize) -> usize {
    set.items.iter().fold(0, |total, item| {
        let one = match &item.node {
            Selection::Field(field) => of(&field.node),
            Selection::InlineFragment(inline) => {
                roots_of(fragments, &inline.node.selection_set.node, of)
            }
            Selection::FragmentSpread(spread) => {
                let fragment = fragments.get(&spread.node.fragment_name.node);
                fragment.map_or(0, |it| roots_of(fragments, &it.node.selection_set.node, of))
            }
        };
        total.saturating_add(one)
    })
}

/// An error of ours where async-graphql wants one of its own.
pub(super) fn server_error<T>(
    ctx: &ContextBase<'_, T>,
    field: &Positioned<Field>,
    error: ApiError,
) -> ServerError {
    ctx.set_error_path(Error::from(error).into_server_error(field.pos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_gone_and_too_much_takes_all() {
        let budget = Budget::new(10);
        assert!(budget.spend(VALUES_MAX - 11).is_ok());
        assert!(budget.spend(1).is_ok());
        assert!(budget.spend(0).is_ok());
        assert!(budget.spend(1).is_err());
        budget.renew();
        assert!(budget.spend(VALUES_MAX).is_err());
        assert!(budget.spend(1).is_err(), "who asks for too much gets nothing more");
        assert!(Budget::new(usize::MAX).spend(1).is_err());
    }

    #[test]
    fn keys_and_texts_cost_by_their_length() {
        assert_eq!((of_key("id"), of_key(&"x".repeat(128))), (1, 5));
        assert_eq!((of_text(0), of_text(63), of_text(64), of_text(15_000)), (0, 0, 1, 234));
    }

    #[test]
    fn one_hall_is_free() {
        let budget = Budget::new(0);
        assert!(budget.first_hall());
        assert!(!budget.first_hall());
        assert!(!budget.has_large_answer());
    }
}
