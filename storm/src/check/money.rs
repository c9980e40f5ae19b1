//! What was acknowledged about money stands.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Evidence};
use crate::history::Act;

/// Every charge that was acknowledged is one entry of the ledger.
pub(super) fn charges(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("Every charge acknowledged is one entry of the ledger");
    for intent in &evidence.intents {
        let (Act::Charge { amount, key }, Some(_)) = (intent.act, intent.done) else { continue };
        let found = evidence.moved.get(&(intent.person, "CHARGE", key.as_str()));
        check.look((found != Some(&vec![*amount])).then(|| {
            format!("person {} charged {amount} under key {key}: {found:?}", intent.person)
        }));
    }
    check
}

/// Every payment that was acknowledged is there under its key, for its reservation, with its entry, and confirmed; unless it
/// was given back.
pub(super) fn payments(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("Every payment acknowledged stands under its key");
    // A fan who may have cancelled may have got it back.
    let cancelled: BTreeSet<&str> = evidence
        .intents
        .iter()
        .filter_map(|intent| match intent.act {
            Act::Cancel { reservation } if intent.at_most() > 0 => Some(reservation.as_str()),
            _ => None,
        })
        .collect();
    for intent in &evidence.intents {
        let (Act::Pay { reservation, amount, key }, Some(_)) = (intent.act, intent.done) else {
            continue;
        };
        let name = (intent.person.to_owned(), key.clone());
        let status =
            evidence.books.reservations.get(reservation).map(|found| found.status.as_str());
        let back = cancelled.contains(reservation.as_str());
        let wrong = match evidence.books.payments.get(&name) {
            None => Some("is gone".to_owned()),
            Some(found) if found.reservation != *reservation || found.amount != *amount => {
                Some(format!("is of {} for reservation {}", found.amount, found.reservation))
            }
            Some(found) if !(found.status == "APPROVED" || back && found.status == "REFUNDED") => {
                Some(format!("is {}", found.status))
            }
            Some(_) if !(status == Some("CONFIRMED") || back && status == Some("CANCELLED")) => {
                Some(format!("stands, but the reservation is {status:?}"))
            }
            Some(found) => {
                let spent = evidence.moved.get(&(intent.person, "PAYMENT", found.id.as_str()));
                (spent != Some(&vec![-amount])).then(|| format!("moved {spent:?}"))
            }
        };
        check.look(wrong.map(|wrong| {
            format!("payment of {amount} for reservation {reservation} under key {key} {wrong}")
        }));
    }
    check
}

/// Every balance is what was acknowledged, to the point. Of people with something unsettled nobody can say.
pub(super) fn balances(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("Every balance is the sum of what was acknowledged");
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    let mut prices: BTreeMap<&str, i64> = BTreeMap::new();
    let mut unsure: BTreeSet<&str> = BTreeSet::new();
    // The same key is one charge or payment, and the same reservation one refund, however often it was acknowledged.
    let mut seen: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for intent in &evidence.intents {
        if intent.unsettled() {
            unsure.insert(intent.person);
        }
        let sum = sums.entry(intent.person).or_default();
        match (intent.act, intent.done) {
            (Act::Charge { amount, key }, Some(_))
                if seen.insert((intent.person, "charge", key)) =>
            {
                *sum += amount;
            }
            (Act::Pay { amount, key, reservation }, Some(_))
                if seen.insert((intent.person, "pay", key)) =>
            {
                *sum -= amount;
                prices.insert(reservation, *amount);
            }
            _ => {}
        }
    }
    for intent in &evidence.intents {
        if let (Act::Cancel { reservation }, Some(_)) = (intent.act, intent.done)
            && let Some(price) = prices.get(reservation.as_str())
            && seen.insert((intent.person, "cancel", reservation))
        {
            *sums.entry(intent.person).or_default() += price;
        }
    }
    for (person, sum) in sums.into_iter().filter(|(person, _)| !unsure.contains(person)) {
        let balance = evidence.books.balances.get(person).copied().unwrap_or(0);
        check.look(
            (balance != sum)
                .then(|| format!("person {person} has {balance}, and {sum} was acknowledged")),
        );
    }
    check
}
