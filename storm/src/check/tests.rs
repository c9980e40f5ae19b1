//! A small history that holds, and everything that can be wrong with it.

use super::{
    books::{Moved, Payment, Reservation, Token},
    *,
};
use crate::history::Proof;

/// What happened, and the books after it.
struct Case {
    entries: Vec<Entry>,
    books: Books,
}

fn entry(intent: u64, sent: i64, act: Act, outcome: Outcome) -> Entry {
    Entry {
        intent,
        attempt: 0,
        person: "p".to_owned(),
        instance: 1,
        sent,
        ended: sent + 5,
        act,
        outcome,
    }
}

fn done(proof: Proof) -> Outcome {
    Outcome::Done { proof }
}

fn lost() -> Outcome {
    Outcome::Unanswered { code: "TIMEOUT".to_owned() }
}

fn refused(code: &str) -> Outcome {
    Outcome::Refused { code: code.to_owned() }
}

fn hold() -> Act {
    Act::Hold { schedule: "s".to_owned(), seat: Some("a1".to_owned()) }
}

fn pay(reservation: &str, key: &str) -> Act {
    Act::Pay { reservation: reservation.to_owned(), amount: 100, key: key.to_owned() }
}

fn held(id: &str, seat: &str) -> Outcome {
    done(Proof::Reservation { id: id.to_owned(), seats: vec![seat.to_owned()], price: 100 })
}

fn moved(purpose: &str, key: &str, delta: i64) -> Moved {
    Moved { person: "p".to_owned(), purpose: purpose.to_owned(), key: key.to_owned(), delta }
}

fn reservation(status: &str, seat: &str) -> Reservation {
    Reservation {
        person: "p".to_owned(),
        schedule: "s".to_owned(),
        status: status.to_owned(),
        price: 100,
        seats: vec![seat.to_owned()],
    }
}

fn payment(id: &str, reservation: &str, status: &str) -> Payment {
    let (id, reservation, status) = (id.to_owned(), reservation.to_owned(), status.to_owned());
    Payment { id, reservation, amount: 100, status }
}

/// Somebody enters, holds two seats, pays for both, gives one back, and leaves. Some answers were lost on the way.
fn case() -> Case {
    let schedule = "s".to_owned();
    let charge = |key: &str| Act::Charge { amount: 100, key: key.to_owned() };
    let entries = vec![
        entry(0, 10, Act::Enter { schedule: schedule.clone() }, lost()),
        entry(
            0,
            20,
            Act::Enter { schedule: schedule.clone() },
            done(Proof::Place { entered_at: 12 }),
        ),
        entry(1, 30, hold(), held("r1", "a1")),
        entry(2, 35, Act::Hold { schedule: schedule.clone(), seat: None }, held("r2", "a2")),
        entry(3, 40, charge("c1"), lost()),
        entry(3, 50, charge("c1"), done(Proof::Done)),
        entry(4, 55, charge("c2"), done(Proof::Done)),
        entry(5, 60, pay("r1", "k1"), done(Proof::Done)),
        // The button pressed twice.
        entry(6, 60, pay("r1", "k1"), done(Proof::Done)),
        entry(7, 65, pay("r2", "k2"), done(Proof::Done)),
        entry(8, 70, Act::Cancel { reservation: "r2".to_owned() }, done(Proof::Done)),
        entry(9, 80, Act::Leave { schedule: schedule.clone() }, done(Proof::Done)),
        entry(10, 90, hold(), refused("SEAT_SOLD")),
    ];
    let token =
        Token { schedule, person: "p".to_owned(), status: "EXPIRED".to_owned(), entered_at: 12 };
    let key = |key: &str| ("p".to_owned(), key.to_owned());
    let books = Books {
        tokens: vec![token],
        reservations: [
            ("r1".to_owned(), reservation("CONFIRMED", "a1")),
            ("r2".to_owned(), reservation("CANCELLED", "a2")),
        ]
        .into(),
        payments: [
            (key("k1"), payment("y1", "r1", "APPROVED")),
            (key("k2"), payment("y2", "r2", "REFUNDED")),
        ]
        .into(),
        ledger: vec![
            moved("CHARGE", "c1", 100),
            moved("CHARGE", "c2", 100),
            moved("PAYMENT", "y1", -100),
            moved("PAYMENT", "y2", -100),
            moved("REFUND", "y2", 100),
        ],
        balances: [("p".to_owned(), 100)].into(),
    };
    Case { entries, books }
}

/// The checks that find something.
fn found(case: &Case) -> Vec<&'static str> {
    let checks = examine(&case.entries, &case.books).into_iter();
    checks.filter(|check| !check.faults.is_empty()).map(|check| check.name).collect()
}

/// What a change of the books or the history makes the checks find.
#[track_caller]
fn finds(expected: &str, change: impl FnOnce(&mut Case)) {
    let mut case = case();
    change(&mut case);
    let found = found(&case);
    assert!(found.contains(&expected), "{expected} is not among {found:?}");
}

#[test]
fn a_history_that_holds_is_clean_and_every_check_had_something_to_look_at() {
    let case = case();
    for check in examine(&case.entries, &case.books) {
        assert!(check.faults.is_empty(), "{}: {:?}", check.name, check.faults);
        let nothing_refused = check.name == "What was refused was not done";
        assert!(check.looked_at > 0 || nothing_refused, "{} looked at nothing", check.name);
    }
}

#[test]
fn a_lost_place_or_one_with_another_instant_is_found() {
    const CHECK: &str = "Every place acknowledged is in the journal";
    finds(CHECK, |case| case.books.tokens.clear());
    finds(CHECK, |case| case.books.tokens[0].entered_at = 13);
    finds("Everybody who left is out", |case| case.books.tokens[0].status = "ACTIVE".to_owned());
}

#[test]
fn a_lost_or_changed_reservation_is_found() {
    const CHECK: &str = "Every hold acknowledged is a reservation of those seats";
    finds(CHECK, |case| drop(case.books.reservations.remove("r1")));
    for change in [
        |found: &mut Reservation| found.person = "q".to_owned(),
        |found: &mut Reservation| found.schedule = "t".to_owned(),
        |found: &mut Reservation| found.seats = vec!["a9".to_owned()],
        |found: &mut Reservation| found.price = 99,
    ] {
        finds(CHECK, |case| change(case.books.reservations.get_mut("r1").unwrap()));
    }
}

#[test]
fn lost_money_is_found() {
    const CHARGE: &str = "Every charge acknowledged is one entry of the ledger";
    finds(CHARGE, |case| drop(case.books.ledger.remove(0)));
    finds(CHARGE, |case| case.books.ledger[0].delta = 99);
    finds(CHARGE, |case| case.books.ledger.push(moved("CHARGE", "c1", 100)));
    finds("Every balance is the sum of what was acknowledged", |case| {
        case.books.balances.insert("p".to_owned(), 101);
    });
    finds("Nothing was done twice, or without being asked for", |case| {
        case.books.ledger.push(moved("CHARGE", "c3", 1));
    });
}

#[test]
fn a_payment_that_does_not_stand_is_found() {
    const CHECK: &str = "Every payment acknowledged stands under its key";
    let key = || ("p".to_owned(), "k1".to_owned());
    finds(CHECK, |case| drop(case.books.payments.remove(&key())));
    finds(CHECK, |case| case.books.payments.get_mut(&key()).unwrap().reservation = "r9".to_owned());
    finds(CHECK, |case| {
        case.books.payments.get_mut(&key()).unwrap().status = "REFUNDED".to_owned()
    });
    finds(CHECK, |case| {
        case.books.reservations.get_mut("r1").unwrap().status = "EXPIRED".to_owned()
    });
    finds(CHECK, |case| case.books.ledger.retain(|moved| moved.key != "y1"));
    finds("Nothing was done twice, or without being asked for", |case| {
        let name = ("p".to_owned(), "k9".to_owned());
        case.books.payments.insert(name, payment("y9", "r1", "APPROVED"));
    });
}

#[test]
fn a_cancellation_that_does_not_stand_is_found() {
    const CHECK: &str = "Every cancellation acknowledged stands, and what was paid is back";
    let refund = |case: &mut Case| case.books.ledger.retain(|moved| moved.purpose != "REFUND");
    finds(CHECK, refund);
    finds(CHECK, |case| {
        case.books.reservations.get_mut("r2").unwrap().status = "CONFIRMED".to_owned()
    });
    finds("Nothing was done twice, or without being asked for", |case| {
        case.entries.retain(|entry| entry.intent != 8);
    });
}

#[test]
fn a_seat_with_two_owners_and_a_reservation_that_nobody_made_are_found() {
    finds("No seat has two owners", |case| {
        case.books.reservations.insert("r3".to_owned(), reservation("CONFIRMED", "a1"));
    });
    finds("Nothing was done twice, or without being asked for", |case| {
        case.books.reservations.insert("r3".to_owned(), reservation("EXPIRED", "a3"));
    });
    // One more request that was not answered may have made it.
    let mut case = case();
    case.books.reservations.insert("r3".to_owned(), reservation("EXPIRED", "a3"));
    case.entries.push(entry(11, 95, hold(), lost()));
    case.entries.push(entry(11, 96, hold(), refused("SEAT_SOLD")));
    assert!(found(&case).is_empty(), "{:?}", found(&case));
}

#[test]
fn what_was_refused_and_is_there_or_was_never_settled_is_found() {
    finds("What was refused was not done", |case| {
        case.entries[8].outcome = refused("HOLD_EXPIRED");
    });
    finds("Every request was settled by repeating it", |case| {
        case.entries.push(entry(11, 95, Act::Leave { schedule: "s".to_owned() }, lost()));
    });
}

#[test]
fn answers_that_nobody_should_get_are_found() {
    const CHECK: &str = "No answer was INTERNAL, malformed, or a refusal without a reason";
    for code in ["INTERNAL", "MALFORMED"] {
        let failed = Outcome::Failed { code: code.to_owned() };
        finds(CHECK, |case| {
            case.entries.insert(4, entry(3, 41, case.entries[4].act.clone(), failed))
        });
    }
    finds(CHECK, |case| case.entries[12].outcome = refused("BAD_REQUEST"));
}
