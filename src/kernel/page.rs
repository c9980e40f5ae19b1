//! Pages of long lists: forward only, by cursor, never unbounded.

/// How many items one page holds at most.
pub const PAGE_MAX: u32 = 100;

/// What part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<C> {
    /// How many items at most; 0 to [`PAGE_MAX`].
    pub first: u32,
    /// The cursor of the last item already seen.
    pub after: Option<C>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Whether there are more behind them.
    pub has_next: bool,
}

impl<T> Page<T> {
    /// Makes a page out of rows of which one more than `first` was asked for.
    pub fn from_rows(mut rows: Vec<T>, first: u32) -> Self {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let has_next = rows.len() > first;
        rows.truncate(first);
        Self { items: rows, has_next }
    }

    /// The same page with other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), has_next: self.has_next }
    }
}
