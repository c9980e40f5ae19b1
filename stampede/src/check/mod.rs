//! What has to hold, checked on the history of a rehearsal. Pure: each check is shown a history and says what is wrong.
//!
//! Every check takes only what is certain: an interval begins no earlier and ends no later than the fan can prove, so that a
//! violation is the server's fault and never a matter of when a message arrived.

mod draw;
mod money;
mod order;
mod places;
mod positions;
mod seats;

use serde::Serialize;

use crate::history::History;

/// Examples told of one check.
const EXAMPLES_MAX: usize = 5;

/// What a check found.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    /// What was compared, in words.
    pub(crate) scope: String,
    pub(crate) looked_at: usize,
    pub(crate) violations: usize,
    pub(crate) examples: Vec<String>,
}

impl Verdict {
    const fn new(name: &'static str) -> Self {
        Self { name, scope: String::new(), looked_at: 0, violations: 0, examples: Vec::new() }
    }

    fn violated(&mut self, example: impl FnOnce() -> String) {
        self.violations += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }

    /// In one word.
    pub(crate) const fn word(&self) -> &'static str {
        match (self.violations, self.looked_at) {
            (0, 0) => "not exercised",
            (0, _) => "holds",
            _ => "VIOLATED",
        }
    }
}

/// All checks.
pub(crate) fn all(history: &History) -> Vec<Verdict> {
    vec![
        order::admitted_in_order_of_entering(history),
        order::admitted_in_order_of_position(history),
        draw::admitted_as_drawn(history),
        places::never_above_max_active(history),
        seats::no_seat_with_two_owners(history),
        positions::only_fall(history),
        positions::pushed_is_true(history),
        money::paid_exactly_once(history),
    ]
}

/// A number as people write it.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
pub(super) mod planted {
    use crate::history::{Fan, History, Look, Visit};

    /// A fan who entered within 10 ms of `entered` and was admitted at `activated`.
    pub(crate) fn fan(index: u32, entered: i64, activated: Option<i64>) -> Fan {
        let visit = Visit {
            sent: entered,
            acked: entered + 10,
            entered_at: entered + 5,
            activated_at: activated,
            active_until: activated.map_or(0, |at| at + 1_000),
            waiting_until: activated.unwrap_or(entered + 10),
            ..Visit::default()
        };
        Fan { index, visits: vec![visit], ..Fan::default() }
    }

    /// Polled: asked for 5 ms before the answer.
    pub(crate) fn seen(mut fan: Fan, at: i64, position: u32) -> Fan {
        fan.visits[0].looks.push(Look { sent: Some(at - 5), at, position, estimate: None });
        fan
    }

    pub(crate) fn history(fans: Vec<Fan>) -> History {
        History { fans, ..History::default() }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(super::grouped(7), "7");
        assert_eq!(super::grouped(1_000), "1,000");
        assert_eq!(super::grouped(1_234_567), "1,234,567");
    }
}
