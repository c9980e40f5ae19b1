//! Nothing was done that nobody asked for, nothing twice, and no seat is two people's.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Evidence};
use crate::history::Act;

/// Every charge, payment, refund and reservation goes back to somebody who asked for it, once for each time.
pub(super) fn nothing_twice(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("Nothing was done twice, or without being asked for");
    let mut keys: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut holds: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut cancels: BTreeSet<&str> = BTreeSet::new();
    for intent in &evidence.intents {
        match intent.act {
            Act::Charge { key, .. } => drop(keys.insert((intent.person, "charge", key))),
            Act::Pay { key, .. } => drop(keys.insert((intent.person, "pay", key))),
            Act::Hold { schedule, .. } => {
                *holds.entry((intent.person, schedule)).or_default() += intent.at_most();
            }
            Act::Cancel { reservation } => drop(cancels.insert(reservation)),
            Act::Enter { .. } | Act::Leave { .. } => {}
        }
    }
    for moved in evidence.books.ledger.iter().filter(|moved| moved.purpose == "CHARGE") {
        let asked = keys.contains(&(moved.person.as_str(), "charge", moved.key.as_str()));
        check.look((!asked).then(|| {
            format!(
                "{} was charged to person {} under key {}",
                moved.delta, moved.person, moved.key
            )
        }));
    }
    for ((person, key), payment) in &evidence.books.payments {
        let asked = keys.contains(&(person.as_str(), "pay", key.as_str()));
        check.look(
            (!asked).then(|| format!("person {person} paid {} under key {key}", payment.amount)),
        );
        let back = payment.status == "REFUNDED";
        let asked = cancels.contains(payment.reservation.as_str());
        check.look((back && !asked).then(|| {
            format!("reservation {} was refunded, and nobody had cancelled", payment.reservation)
        }));
    }
    let mut made: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for reservation in evidence.books.reservations.values() {
        *made.entry((&reservation.person, &reservation.schedule)).or_default() += 1;
    }
    for ((person, schedule), made) in made {
        let asked = holds.get(&(person, schedule)).copied().unwrap_or(0);
        check.look((made > asked).then(|| {
            format!("person {person} has {made} reservations for schedule {schedule} of {asked} asked for")
        }));
    }
    check
}

/// What was refused in the end was not done, by no earlier request under the same key either.
pub(super) fn refused_is_not_done(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("What was refused was not done");
    for intent in &evidence.intents {
        let Some(code) = intent.refused else { continue };
        let done = match intent.act {
            Act::Charge { key, .. } => {
                evidence.moved.contains_key(&(intent.person, "CHARGE", key.as_str()))
            }
            Act::Pay { key, .. } => {
                let name = (intent.person.to_owned(), key.clone());
                evidence.books.payments.contains_key(&name)
            }
            _ => continue,
        };
        check.look(done.then(|| {
            format!(
                "{:?} of person {} was refused with {code}, and is there",
                intent.act, intent.person
            )
        }));
    }
    check
}

/// No seat is in two CONFIRMED reservations.
pub(super) fn one_owner(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("No seat has two owners");
    let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let confirmed =
        evidence.books.reservations.iter().filter(|(_, found)| found.status == "CONFIRMED");
    for (id, reservation) in confirmed {
        for seat in &reservation.seats {
            owners.entry(seat).or_default().push(id);
        }
    }
    for (seat, owners) in owners {
        check
            .look((owners.len() > 1).then(|| format!("seat {seat} is in reservations {owners:?}")));
    }
    check
}
