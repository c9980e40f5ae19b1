//! No seat has two owners.

use std::collections::HashMap;

use super::{Verdict, grouped};
use crate::history::{History, Holding, Ms};

/// No two fans have the same seat at the same time, held or paid for.
pub(super) fn no_seat_with_two_owners(history: &History) -> Verdict {
    let mut verdict = Verdict::new("No seat with two owners");
    let mut by_seat: HashMap<&str, Vec<(&Holding, u32)>> = HashMap::new();
    let (offset, mut sold) = (history.clock_offset(), 0_usize);
    for fan in &history.fans {
        for holding in &fan.holdings {
            for seat in &holding.seats {
                by_seat.entry(seat).or_default().push((holding, fan.index));
                verdict.looked_at += 1;
                sold += usize::from(holding.paid);
            }
        }
    }
    for (seat, mut owners) in by_seat {
        owners.sort_unstable_by_key(|(holding, _)| holding.held_at);
        let mut last: Option<(Ms, u32)> = None;
        for (holding, fan) in owners {
            if let Some((until, other)) = last.filter(|(until, _)| *until > holding.held_at) {
                verdict.violated(|| {
                    let what = if until == Ms::MAX { "owns" } else { "holds" };
                    format!("fan {fan} got seat {seat} that fan {other} {what}")
                });
            }
            last = last.max(Some((holding.until(offset), fan)));
        }
    }
    verdict.scope =
        format!("{} holds of seats, {} sold", grouped(verdict.looked_at), grouped(sold));
    verdict
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{fan, history},
        *,
    };
    use crate::history::Fan;

    fn holds(index: u32, seat: &str, held_at: Ms, until: Ms) -> Fan {
        let holding = Holding {
            seats: vec![seat.to_owned()],
            reservation: format!("r{index}"),
            price: 1,
            held_at,
            expires_at: until,
            given_back: None,
            paid: until == Ms::MAX,
            approved_at: None,
        };
        Fan { holdings: vec![holding], ..fan(index, 0, None) }
    }

    fn check(fans: Vec<Fan>) -> Verdict {
        no_seat_with_two_owners(&history(fans))
    }

    #[test]
    fn a_seat_goes_on_when_a_hold_ends() {
        let fair =
            vec![holds(1, "A", 0, 100), holds(2, "A", 100, Ms::MAX), holds(3, "B", 50, Ms::MAX)];
        assert_eq!(check(fair).word(), "holds");
    }

    #[test]
    fn a_seat_held_twice_is_found() {
        assert_eq!(check(vec![holds(1, "A", 0, 100), holds(2, "A", 99, 200)]).violations, 1);
    }

    #[test]
    fn a_seat_sold_twice_is_found() {
        let verdict = check(vec![holds(1, "A", 0, Ms::MAX), holds(2, "A", 99_999, Ms::MAX)]);
        assert_eq!(verdict.examples, ["fan 2 got seat A that fan 1 owns"]);
    }
}
