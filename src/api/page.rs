//! Pages of long lists as Relay connections, and what they cost.

use async_graphql::{Context, OutputType, connection};

use super::{ApiError, ApiResult, budget};
use crate::kernel::{PAGE_MAX, Page, PageRequest, RequestCode};

/// A page of a list; its cursors are opaque to clients.
pub(super) type Connection<T> = connection::Connection<String, T>;

/// How many items a page has when the client does not say.
pub(super) const PAGE_DEFAULT: i32 = 20;

/// What part of a list a client asks for. `cursor` reads the cursors of this list.
pub(super) fn request<C>(
    first: Option<i32>,
    after: Option<&str>,
    cursor: impl FnOnce(&str) -> Option<C>,
) -> ApiResult<PageRequest<C>> {
    let first = u32::try_from(first.unwrap_or(PAGE_DEFAULT))
        .ok()
        .filter(|first| *first <= PAGE_MAX)
        .ok_or(ApiError::new(RequestCode::BadRequest, "`first` has to be 0 to 100."))?;
    let malformed = ApiError::new(
        RequestCode::BadRequest,
        "`after` has to be a cursor of this list: an edge's `cursor`, or `pageInfo.endCursor`.",
    );
    let after = after.map(|text| cursor(text).ok_or(malformed)).transpose()?;
    Ok(PageRequest { first, after })
}

/// The page as a connection, paid for. `continued` says whether it was asked for with `after`.
pub(super) fn connection<N, T: OutputType>(
    ctx: &Context<'_>,
    page: Page<N>,
    continued: bool,
    cursor: impl Fn(&N) -> String,
    node: impl Fn(N) -> T,
) -> ApiResult<Connection<T>> {
    budget::spend_on_items(ctx, &ctx.item.node.selection_set.node, page.items.len())?;
    let mut connection = Connection::new(continued, page.has_next);
    connection.edges.extend(page.items.into_iter().map(|item| {
        let cursor = cursor(&item);
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
        let first = |first| request(first, None, |_| Some(())).ok().map(|page| page.first);
        assert_eq!(first(None), Some(20));
        assert_eq!(first(Some(0)), Some(0));
        assert_eq!(first(Some(100)), Some(100));
        assert_eq!(first(Some(101)), None);
        assert_eq!(first(Some(-1)), None);
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        assert!(request(None, Some("x"), |text| text.parse::<i32>().ok()).is_err());
        assert_eq!(
            request(None, Some("7"), |text| text.parse::<i32>().ok())
                .ok()
                .and_then(|page| page.after),
            Some(7)
        );
    }

    #[test]
    fn costs_never_wrap() {
        let nested = (0..10).fold(1, |child, _| page_cost(Some(i32::MAX), child));
        assert_eq!(nested, 1_000_000_000);
        assert_eq!(page_cost(Some(-5), 3), budget::STATEMENT + 3);
        assert_eq!(page_cost(None, 3), budget::STATEMENT + 60);
    }
}
