//! Instants. Decisions take theirs from Postgres. This process's own clock is for logs and caches, for when a session ends,
//! and for signatures that carry a time.

use chrono::{DateTime, Utc};

/// An instant in UTC.
pub type Timestamp = DateTime<Utc>;

/// Whole seconds from `from` until `until`, rounded down; 0 when `until` is not later.
pub fn seconds_between(from: Timestamp, until: Timestamp) -> i32 {
    i32::try_from((until - from).num_seconds().max(0)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn seconds_are_rounded_down_and_never_negative() {
        let start = DateTime::UNIX_EPOCH;
        assert_eq!(seconds_between(start, start + TimeDelta::milliseconds(2_999)), 2);
        assert_eq!(seconds_between(start, start - TimeDelta::seconds(5)), 0);
    }
}
