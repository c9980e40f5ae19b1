//! Lines of the log that a crowd could write by the thousand.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Lines of one kind in a second at most. The metrics count all; the log has examples.
const LINES_PER_SECOND: u64 = 10;

/// Lets some lines of one kind pass in each second, and counts the others.
#[derive(Debug)]
pub struct Seldom(Mutex<Second>);

#[derive(Debug)]
struct Second {
    began: Option<Instant>,
    passed: u64,
    left_out: u64,
}

impl Default for Seldom {
    fn default() -> Self {
        Self::new()
    }
}

impl Seldom {
    /// Nothing has passed yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Second { began: None, passed: 0, left_out: 0 }))
    }

    /// Whether a line may be written; then how many were left out since the last one.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second.began.is_none_or(|began| now.duration_since(began) >= Duration::from_secs(1)) {
            (second.began, second.passed) = (Some(now), 0);
        }
        if second.passed >= LINES_PER_SECOND {
            second.left_out += 1;
            return None;
        }
        second.passed += 1;
        Some(std::mem::take(&mut second.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_writes_few_lines_and_the_next_one_says_how_many_are_missing() {
        let (seldom, began) = (Seldom::new(), Instant::now());
        let passed = |at: Instant| (0..100).filter_map(|_| seldom.pass_at(at)).collect::<Vec<_>>();
        assert_eq!(passed(began), [0; 10]);
        assert_eq!(passed(began + Duration::from_millis(999)), [0; 0]);
        let later = passed(began + Duration::from_secs(1));
        assert_eq!(later[0], 190, "those of the second before");
        assert_eq!(later[1..], [0; 9]);
        assert_eq!(passed(began + Duration::from_secs(5))[0], 90);
    }
}
