//! Random choices that a failed test can repeat.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator (splitmix64). Its seed is printed with a test that fails; `FRONTROW_TEST_SEED` gives it again.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl From<u64> for Random {
    fn from(seed: u64) -> Self {
        Self(seed)
    }
}

impl Random {
    /// Starts from the given seed, else from the clock.
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("FRONTROW_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock =
            || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros();
        let seed = given.unwrap_or_else(|| u64::try_from(clock()).expect("before 586000"));
        eprintln!("FRONTROW_TEST_SEED={seed}");
        Self(seed)
    }

    /// The next 64 bits; they seed another generator, for something that runs beside.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a limit");
        usize::try_from(self.next() % limit).expect("below the limit")
    }

    /// All numbers below a limit, in random order.
    pub(crate) fn shuffled(&mut self, limit: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..limit).collect();
        for last in (1..limit).rev() {
            numbers.swap(last, self.below(last + 1));
        }
        numbers
    }
}
