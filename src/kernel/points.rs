//! Points, the unit of all prices and balances. One point is one KRW.

use serde::{Deserialize, Serialize};

/// The largest number of points: 2^53-1, safe in a JavaScript number.
pub const POINTS_MAX: i64 = 9_007_199_254_740_991;

/// Whole points, 0 to [`POINTS_MAX`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Points(i64);

impl Points {
    /// No points.
    pub const ZERO: Self = Self(0);

    /// Points out of a number; `None` when it is out of range.
    pub const fn new(value: i64) -> Option<Self> {
        if value >= 0 && value <= POINTS_MAX { Some(Self(value)) } else { None }
    }

    /// The number of points.
    pub const fn get(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_stay_in_the_range_that_javascript_can_count() {
        assert_eq!(Points::new(0), Some(Points::ZERO));
        assert_eq!(Points::new(POINTS_MAX).map(Points::get), Some((1 << 53) - 1));
        assert_eq!(Points::new(POINTS_MAX + 1), None);
        assert_eq!(Points::new(-1), None);
    }
}
