//! What may be charged. Pure.

use super::ChargeRefusal;
use crate::kernel::{Checks, Points};

/// Points that one charge adds at most.
pub const CHARGE_MAX: i64 = 10_000_000;

/// Whether a text can be an idempotency key: 1 to 255 characters.
pub fn key_is_valid(key: &str) -> bool {
    (1..=255).contains(&key.chars().count()) && !key.contains('\0')
}

/// Checks a charge before anything is written.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check_charge(amount: Points, key: &str) -> Result<(), Vec<ChargeRefusal>> {
    let mut checks = Checks::default();
    checks.unless((1..=CHARGE_MAX).contains(&amount.get()), || ChargeRefusal::AmountInvalid);
    checks.unless(key_is_valid(key), || ChargeRefusal::KeyInvalid);
    checks.outcome(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(amount: i64, key: &str) -> Result<(), Vec<ChargeRefusal>> {
        check_charge(Points::new(amount).unwrap(), key)
    }

    #[test]
    fn a_charge_is_one_to_ten_million_points() {
        assert_eq!(check(0, "key"), Err(vec![ChargeRefusal::AmountInvalid]));
        assert_eq!(check(1, "key"), Ok(()));
        assert_eq!(check(CHARGE_MAX, "key"), Ok(()));
        assert_eq!(check(CHARGE_MAX + 1, "key"), Err(vec![ChargeRefusal::AmountInvalid]));
    }

    #[test]
    fn a_key_has_one_to_255_characters_however_many_bytes_they_take() {
        assert_eq!(check(1, ""), Err(vec![ChargeRefusal::KeyInvalid]));
        assert_eq!(check(1, &"가".repeat(255)), Ok(()));
        assert_eq!(check(1, &"a".repeat(256)), Err(vec![ChargeRefusal::KeyInvalid]));
        assert_eq!(
            check(1, "a\0b"),
            Err(vec![ChargeRefusal::KeyInvalid]),
            "Postgres cannot store it"
        );
        let both = vec![ChargeRefusal::AmountInvalid, ChargeRefusal::KeyInvalid];
        assert_eq!(check(0, ""), Err(both), "both at once");
    }
}
