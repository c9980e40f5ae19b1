//! Saying no to everything that is wrong with a form at once, and not to the first thing only.

/// Looks at all parts of what was asked for, and keeps every refusal.
#[derive(Debug)]
pub struct Checks<R>(Vec<R>);

impl<R> Default for Checks<R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R> Checks<R> {
    /// The part that was checked, if it is acceptable; else its refusal is kept.
    pub fn keep<T>(&mut self, checked: Result<T, R>) -> Option<T> {
        checked.map_err(|refusal| self.0.push(refusal)).ok()
    }

    /// Keeps a refusal unless `holds`.
    pub fn unless(&mut self, holds: bool, refusal: impl FnOnce() -> R) {
        if !holds {
            self.0.push(refusal());
        }
    }

    /// Keeps what other checks have found.
    pub fn add(&mut self, refusals: impl IntoIterator<Item = R>) {
        self.0.extend(refusals);
    }

    /// Whether nothing was refused so far.
    pub const fn all_hold(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole, if nothing was refused.
    ///
    /// # Errors
    /// Every refusal, in the order in which they were found; at least one.
    pub fn outcome<T>(self, whole: T) -> Result<T, Vec<R>> {
        if self.0.is_empty() { Ok(whole) } else { Err(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_told_in_the_order_of_the_parts() {
        let mut checks = Checks::default();
        assert_eq!(checks.keep(Ok::<_, &str>(7)), Some(7));
        checks.unless(true, || "not asked");
        assert!(checks.all_hold());
        assert_eq!(checks.keep(Err::<u8, _>("first")), None);
        checks.unless(false, || "second");
        checks.add(["third"]);
        assert!(!checks.all_hold());
        assert_eq!(checks.outcome("whole"), Err(vec!["first", "second", "third"]));
        assert_eq!(Checks::<&str>::default().outcome("whole"), Ok("whole"));
    }
}
