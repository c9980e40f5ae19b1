//! What was acknowledged about places and seats stands.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Evidence};
use crate::history::{Act, Proof};

/// Every place that was acknowledged is in the journal, with the instant of entering that was told.
pub(super) fn places(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("Every place acknowledged is in the journal");
    let journal: BTreeSet<_> = evidence
        .books
        .tokens
        .iter()
        .map(|token| (token.schedule.as_str(), token.person.as_str(), token.entered_at))
        .collect();
    for intent in &evidence.intents {
        let (Act::Enter { schedule }, Some(Proof::Place { entered_at })) =
            (intent.act, intent.done)
        else {
            continue;
        };
        let found = journal.contains(&(schedule.as_str(), intent.person, *entered_at));
        check.look((!found).then(|| {
            format!("person {} entered schedule {schedule} at {entered_at}", intent.person)
        }));
    }
    check
}

/// Every hold that was acknowledged is a reservation of that person, for those seats, at that price.
pub(super) fn holds(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("Every hold acknowledged is a reservation of those seats");
    for intent in &evidence.intents {
        let (Act::Hold { schedule, .. }, Some(Proof::Reservation { id, seats, price })) =
            (intent.act, intent.done)
        else {
            continue;
        };
        let mut seats = seats.clone();
        seats.sort_unstable();
        let wrong = match evidence.books.reservations.get(id) {
            None => Some("is gone"),
            Some(found) if found.person != intent.person => Some("is another person's"),
            Some(found) if found.schedule != *schedule => Some("is for another performance"),
            Some(found) if found.seats != seats => Some("has other seats"),
            Some(found) if found.price != *price => Some("has another price"),
            Some(_) => None,
        };
        check.look(
            wrong.map(|wrong| format!("reservation {id} of person {} {wrong}", intent.person)),
        );
    }
    check
}

/// Every cancellation that was acknowledged stands, and what had been paid is back.
pub(super) fn cancellations(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("Every cancellation acknowledged stands, and what was paid is back");
    let paid: BTreeMap<&str, _> = evidence
        .books
        .payments
        .iter()
        .map(|((person, _), payment)| (payment.reservation.as_str(), (person.as_str(), payment)))
        .collect();
    for intent in &evidence.intents {
        let (Act::Cancel { reservation }, Some(_)) = (intent.act, intent.done) else { continue };
        let status =
            evidence.books.reservations.get(reservation).map(|found| found.status.as_str());
        let wrong = match (status, paid.get(reservation.as_str())) {
            (None, _) => Some("is gone".to_owned()),
            (Some(status), _) if status != "CANCELLED" => Some(format!("is {status}")),
            (_, Some((_, payment))) if payment.status != "REFUNDED" => {
                Some(format!("was paid, and the payment is {}", payment.status))
            }
            (_, Some((person, payment))) => {
                let back = evidence.moved.get(&(*person, "REFUND", payment.id.as_str()));
                (back != Some(&vec![payment.amount]))
                    .then(|| format!("was paid with {}, and {back:?} came back", payment.amount))
            }
            _ => None,
        };
        check.look(wrong.map(|wrong| format!("cancelled reservation {reservation} {wrong}")));
    }
    check
}

/// A fan who left has no place that is older than that.
pub(super) fn leaves(evidence: &Evidence<'_>) -> Check {
    let mut check = Check::new("Everybody who left is out");
    let mut live: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
    for token in &evidence.books.tokens {
        if matches!(token.status.as_str(), "WAITING" | "ACTIVE") {
            let name = (token.schedule.as_str(), token.person.as_str());
            live.entry(name).or_default().push(token.entered_at);
        }
    }
    for intent in &evidence.intents {
        let (Act::Leave { schedule }, Some(_)) = (intent.act, intent.done) else { continue };
        let older = live
            .get(&(schedule.as_str(), intent.person))
            .is_some_and(|entered| entered.iter().any(|entered| *entered < intent.sent));
        check.look(older.then(|| {
            format!(
                "person {} left schedule {schedule} at {}, and is there",
                intent.person, intent.sent
            )
        }));
    }
    check
}
