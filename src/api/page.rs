//! Pages of long lists as Relay connections, and what they cost.

use std::fmt;

use async_graphql::{Context, OutputType, connection};

use super::{ApiError, ApiResult, budget};
use crate::kernel::{ConcertId, PAGE_MAX, Page, PageRequest, RequestCode, ReservationId};

/// A page of a list; its cursors are opaque to clients.
pub(super) type Connection<T> = connection::Connection<String, T>;

/// How many items a page has when the client does not say.
pub(super) const PAGE_DEFAULT: i32 = 20;

/// A place in a list, which is behind one of its items. It has one text, and no other text is read as it.
pub(crate) trait Cursor: fmt::Display + Sized {
    /// Reads a text that may be one.
    fn read(text: &str) -> Option<Self>;

    /// Reads what a client sends.
    fn parse(text: &str) -> Option<Self> {
        Self::read(text).filter(|cursor| cursor.to_string() == text)
    }
}

impl Cursor for ConcertId {
    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Cursor for ReservationId {
    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// A number in a ledger.
impl Cursor for i64 {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// What part of a list a client asks for.
pub(super) fn request<C: Cursor>(
    first: Option<i32>,
    after: Option<&str>,
) -> ApiResult<PageRequest<C>> {
    let first = u32::try_from(first.unwrap_or(PAGE_DEFAULT))
        .ok()
        .filter(|first| *first <= PAGE_MAX)
        .ok_or(ApiError::new(RequestCode::BadRequest, "`first` has to be 0 to 100."))?;
    let malformed = ApiError::new(
        RequestCode::BadRequest,
        "`after` has to be a cursor of this list: an edge's `cursor`, or `pageInfo.endCursor`.",
    );
    let after = after.map(|text| <C as Cursor>::parse(text).ok_or(malformed)).transpose()?;
    Ok(PageRequest { first, after })
}

/// The page as a connection, paid for. `continued` says whether it was asked for with `after`.
pub(super) fn connection<N, C: Cursor, T: OutputType>(
    ctx: &Context<'_>,
    page: Page<N>,
    continued: bool,
    cursor: impl Fn(&N) -> C,
    node: impl Fn(N) -> T,
) -> ApiResult<Connection<T>> {
    budget::spend_on_items(ctx, &ctx.item.node.selection_set.node, page.items.len())?;
    let mut connection = Connection::new(continued, page.has_next);
    connection.edges.extend(page.items.into_iter().map(|item| {
        let cursor = cursor(&item).to_string();
        connection::Edge::new(cursor, node(item))
    }));
    Ok(connection)
}

/// What a page costs: a statement, and its size times its items. Never overflows, whatever a client writes.
pub(super) fn page_cost(first: Option<i32>, child: usize) -> usize {
    /// Far beyond any limit, and small enough that sums of it do not overflow.
    const COST_MAX: usize = 1_000_000_000;
    let first = usize::try_from(first.unwrap_or(PAGE_DEFAULT)).unwrap_or(0).clamp(1, 100);
    first.saturating_mul(child).saturating_add(budget::STATEMENT).min(COST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_0_to_100_items_and_20_when_nothing_is_said() {
        let first = |first| request::<i64>(first, None).ok().map(|page| page.first);
        assert_eq!(first(None), Some(20));
        assert_eq!(first(Some(0)), Some(0));
        assert_eq!(first(Some(100)), Some(100));
        assert_eq!(first(Some(101)), None);
        assert_eq!(first(Some(-1)), None);
    }

    fn after<C: Cursor>(text: &str) -> Option<C> {
        request::<C>(None, Some(text)).ok().and_then(|page| page.after)
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_in_no_other_way() {
        let id = ConcertId::new();
        assert_eq!((after::<i64>("7"), after("-7"), after("0")), (Some(7), Some(-7), Some(0)));
        assert_eq!(after(&id.to_string()), Some(id));
        for text in ["", "x", "+7", "07", "-0", " 7", "7 ", "7.0", "9223372036854775808"] {
            assert_eq!(after::<i64>(text), None, "{text}");
        }
        let text = id.to_string();
        let [capitals, bare] = [text.to_uppercase(), text.replace('-', "")];
        for text in [&capitals, &bare, &format!("{{{text}}}"), &format!("urn:uuid:{text}"), "7", ""]
        {
            assert_eq!(after::<ReservationId>(text), None, "{text}");
        }
    }

    #[test]
    fn costs_never_wrap() {
        let nested = (0..10).fold(1, |child, _| page_cost(Some(i32::MAX), child));
        assert_eq!(nested, 1_000_000_000);
        assert_eq!(page_cost(Some(-5), 3), budget::STATEMENT + 3);
        assert_eq!(page_cost(None, 3), budget::STATEMENT + 60);
    }
}
