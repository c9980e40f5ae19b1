//! Seats that a choice passes over, because somebody else is about to have them.
//!
//! A board learns of a hold when it is told. Until then, many people who want the best seats at the same moment would all
//! choose the same ones, and all but one of them in vain.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::kernel::SeatId;

/// Seats that are somebody's are passed over for this long, if nothing is told of them: longer than it takes until a board
/// that is looked at has been compared.
const PASSED_OVER: Duration = Duration::from_secs(3);

/// The seats of one hall that are passed over. There are no more of them than the hall has.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<SeatId, Claim>>);

#[derive(Debug, Clone, Copy)]
enum Claim {
    /// Somebody tries to hold it.
    Tried,
    /// It is somebody's.
    Taken { until: Instant },
}

impl Claims {
    fn map(&self) -> MutexGuard<'_, HashMap<SeatId, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The seats to pass over now.
    pub(super) fn now(&self) -> Vec<SeatId> {
        let now = Instant::now();
        let mut map = self.map();
        map.retain(|_, claim| match claim {
            Claim::Tried => true,
            Claim::Taken { until } => now < *until,
        });
        map.keys().copied().collect()
    }

    /// Somebody is about to try these.
    pub(super) fn try_for(&self, seats: &[SeatId]) {
        let mut map = self.map();
        for seat in seats {
            map.entry(*seat).or_insert(Claim::Tried);
        }
    }

    /// These are somebody's; the board will be told.
    pub(super) fn taken(&self, seats: &[SeatId]) {
        let until = Instant::now() + PASSED_OVER;
        self.map().extend(seats.iter().map(|seat| (*seat, Claim::Taken { until })));
    }

    /// Nobody tries these any more.
    pub(super) fn give_back(&self, seats: &[SeatId]) {
        let mut map = self.map();
        for seat in seats {
            if matches!(map.get(seat), Some(Claim::Tried)) {
                map.remove(seat);
            }
        }
    }

    /// The board was told of this seat, and knows better from now on.
    pub(super) fn told(&self, seats: impl Iterator<Item = SeatId>) {
        let mut map = self.map();
        for seat in seats {
            if matches!(map.get(&seat), Some(Claim::Taken { .. })) {
                map.remove(&seat);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_passed_over_until_they_are_given_back_or_told_of() {
        let claims = Claims::default();
        let [one, two] = [SeatId::new(), SeatId::new()];
        claims.try_for(&[one, two]);
        claims.told([one].into_iter());
        assert_eq!(claims.now().len(), 2, "who tries knows more than the board");
        claims.taken(&[one]);
        claims.give_back(&[one, two]);
        assert_eq!(claims.now(), [one]);
        claims.told([one].into_iter());
        assert!(claims.now().is_empty());
    }

    #[test]
    fn what_nothing_is_told_of_is_offered_again() {
        let claims = Claims::default();
        let seat = SeatId::new();
        claims.map().insert(seat, Claim::Taken { until: Instant::now() });
        assert!(claims.now().is_empty());
    }
}
