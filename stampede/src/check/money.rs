//! Everybody who has a seat has paid for it, once.

use super::{Verdict, grouped};
use crate::history::{Audit, Fan, History};

/// At the end, the wallets and reservations of a sample of fans show one payment for each CONFIRMED reservation and no
/// other.
pub(super) fn paid_exactly_once(history: &History) -> Verdict {
    let mut verdict = Verdict::new("Every confirmed reservation paid exactly once");
    for fan in history.fans.iter().filter(|fan| !fan.unsure) {
        let (Some(audit), Some(wallet)) = (&fan.audit, fan.wallet) else { continue };
        verdict.looked_at += 1;
        inspect(&mut verdict, fan, audit, wallet);
    }
    verdict.scope = format!("wallets of {} fans read at the end", grouped(verdict.looked_at));
    verdict
}

fn inspect(verdict: &mut Verdict, fan: &Fan, audit: &Audit, (before, charged): (i64, i64)) {
    let paid: Vec<_> = fan.holdings.iter().filter(|holding| holding.paid).collect();
    let mut prices: Vec<i64> = paid.iter().map(|holding| holding.price).collect();
    let mut deducts = audit.deducts.clone();
    prices.sort_unstable();
    deducts.sort_unstable();
    let index = fan.index;
    if prices != deducts {
        verdict
            .violated(|| format!("fan {index} bought for {prices:?} and was charged {deducts:?}"));
    }
    let expected = before + charged - prices.iter().sum::<i64>();
    if audit.balance != expected {
        verdict.violated(|| {
            format!("fan {index} should have {expected} points and has {}", audit.balance)
        });
    }
    for holding in paid.iter().filter(|holding| !audit.confirmed.contains(&holding.reservation)) {
        verdict.violated(|| {
            format!("fan {index} paid for {}, which is not CONFIRMED", holding.reservation)
        });
    }
    if audit.confirmed.len() > paid.len() {
        verdict.violated(|| {
            format!(
                "fan {index} paid {} times and has {} reservations",
                paid.len(),
                audit.confirmed.len()
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Holding;

    fn check(audit: Audit) -> usize {
        let holding = Holding {
            seats: vec!["A".to_owned()],
            reservation: "r".to_owned(),
            price: 700,
            held_at: 0,
            expires_at: 1_000,
            given_back: None,
            paid: true,
            approved_at: None,
        };
        let fan = Fan {
            holdings: vec![holding],
            wallet: Some((50, 700)),
            audit: Some(audit),
            ..Fan::default()
        };
        paid_exactly_once(&History { fans: vec![fan], ..History::default() }).violations
    }

    fn sound() -> Audit {
        Audit { balance: 50, deducts: vec![700], confirmed: vec!["r".to_owned()] }
    }

    #[test]
    fn one_payment_for_one_reservation_holds() {
        assert_eq!(check(sound()), 0);
    }

    #[test]
    fn paying_twice_is_found() {
        assert_eq!(check(Audit { balance: -650, deducts: vec![700, 700], ..sound() }), 2);
    }

    #[test]
    fn a_seat_for_nothing_and_money_for_nothing_are_found() {
        assert_eq!(check(Audit { balance: 750, deducts: vec![], ..sound() }), 2);
        assert_eq!(check(Audit { confirmed: vec![], ..sound() }), 1);
        assert_eq!(check(Audit { confirmed: vec!["r".to_owned(), "s".to_owned()], ..sound() }), 1);
    }
}
