use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;

const CHALLENGE: Duration = Duration::from_secs(300);

fn ask(id: Uuid, token: &str) -> Ask {
    Ask {
        payment_id: id,
        amount: 500,
        currency: "krw".to_owned(),
        card_token: token.to_owned(),
        return_url: None,
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn begun(token: &str) -> (Ledger, Hears, Done) {
    let mut ledger = Ledger::default();
    let (hears, done) = ledger.begin(ask(id(1), token), id(9), at(0), CHALLENGE).unwrap();
    (ledger, hears, done)
}

fn state(ledger: &Ledger) -> (&'static str, Option<&'static str>) {
    let told = ledger.look(id(1)).unwrap();
    (told.status, told.code)
}

#[test]
fn each_token_has_its_outcome() {
    for (token, status, code, hears) in [
        ("tok_ok", "charged", None, Hears::Now),
        ("tok_declined", "declined", Some("card_declined"), Hears::Now),
        ("tok_slow", "pending", None, Hears::Later),
        ("tok_timeout", "charged", None, Hears::Never),
        ("tok_500", "charged", None, Hears::Error),
        ("tok_challenge", "action", None, Hears::Now),
        ("tok_refund_late", "charged", None, Hears::Now),
        ("tok_refund_fails_twice", "charged", None, Hears::Now),
        ("tok_refund_fails", "charged", None, Hears::Now),
        ("tok_webhook_twice", "charged", None, Hears::Now),
        ("4242", "declined", Some("token_unknown"), Hears::Now),
    ] {
        let (ledger, heard, done) = begun(token);
        assert_eq!((state(&ledger), heard), ((status, code), hears), "{token}");
        let decided = ["charged", "declined"].contains(&status);
        assert_eq!(done.event.is_some(), decided, "{token}");
        let twice = done.event.is_some_and(|event| event.twice);
        assert_eq!(twice, token == "tok_webhook_twice");
    }
    assert_eq!(Token::ALL.len(), 10);
}

#[test]
fn a_payment_is_begun_once() {
    let (mut ledger, ..) = begun("tok_500");
    let again = ledger.begin(ask(id(1), "tok_500"), id(8), at(1), CHALLENGE);
    assert_eq!(again, Ok((Hears::Now, Done::default())));
    let other = ledger.begin(ask(id(1), "tok_ok"), id(8), at(1), CHALLENGE);
    assert_eq!(other, Err(Refused::KeyReused));
    let dearer = Ask { amount: 501, ..ask(id(1), "tok_500") };
    assert_eq!(ledger.begin(dearer, id(8), at(1), CHALLENGE), Err(Refused::KeyReused));
    assert_eq!(ledger.list(None, 9).iter().map(|line| line.charged).sum::<i64>(), 500);
}

#[test]
fn a_payment_called_off_before_it_comes_charges_nothing() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.look(id(1)), Err(Refused::Unknown));
    ledger.call_off(id(1)).unwrap();
    let late = ledger.begin(ask(id(1), "tok_ok"), id(9), at(1), CHALLENGE);
    assert_eq!(late, Ok((Hears::Now, Done::default())));
    assert_eq!(state(&ledger), ("declined", Some("called_off")));
    assert_eq!(ledger.list(None, 9)[0].charged, 0);
    // What is charged, or being decided, stays.
    for (token, status) in [("tok_ok", "charged"), ("tok_slow", "pending")] {
        let (mut ledger, ..) = begun(token);
        ledger.call_off(id(1)).unwrap();
        assert_eq!(state(&ledger).0, status);
    }
    let (mut ledger, ..) = begun("tok_challenge");
    assert!(ledger.call_off(id(1)).unwrap().event.is_some());
    assert_eq!(state(&ledger), ("declined", Some("called_off")));
    assert_eq!(ledger.answer(id(9), true, at(1)), None);
    assert_eq!(state(&ledger).0, "declined");
}

#[test]
fn a_challenge_is_answered_once_and_in_time() {
    for (passed, told) in
        [(true, ("charged", None)), (false, ("declined", Some("challenge_failed")))]
    {
        let (mut ledger, ..) = begun("tok_challenge");
        assert_eq!(ledger.step(Step::Expire(id(1)), at(299)), None);
        assert!(ledger.answer(id(9), passed, at(299)).is_some());
        assert_eq!(state(&ledger), told);
        assert_eq!(ledger.answer(id(9), !passed, at(299)), None);
        assert_eq!(ledger.step(Step::Expire(id(1)), at(300)), None);
        assert_eq!(state(&ledger), told);
        // Somebody who comes again is still sent on.
        assert!(ledger.challenge(id(9)).is_ok());
    }
    let (mut ledger, ..) = begun("tok_challenge");
    assert_eq!(ledger.answer(id(9), true, at(300)), None);
    assert!(ledger.step(Step::Expire(id(1)), at(300)).is_some());
    assert_eq!(state(&ledger), ("declined", Some("challenge_expired")));
    assert_eq!(ledger.challenge(id(7)).unwrap_err(), Refused::Unknown);
}

#[test]
fn refunds_come_later_and_some_never() {
    for (token, outcomes) in [
        ("tok_ok", ["done", "", ""]),
        ("tok_refund_fails_twice", ["failed", "failed", "done"]),
        ("tok_refund_fails", ["failed", "failed", "failed"]),
    ] {
        let (mut ledger, ..) = begun(token);
        for (attempt, outcome) in outcomes.iter().enumerate().filter(|(_, told)| !told.is_empty()) {
            let key = format!("r.{attempt}");
            let (told, done) = ledger.refund(id(1), &key, 500).unwrap();
            assert_eq!(told.status, "pending");
            let (_, step) = done.later.unwrap();
            assert!(ledger.step(step, at(1)).is_some());
            assert_eq!(ledger.look_at_refund(id(1), &key).unwrap().status, *outcome, "{token}");
        }
        let refunded = ledger.list(None, 9)[0].refunded;
        assert_eq!(refunded, if token == "tok_refund_fails" { 0 } else { 500 });
    }
    let (mut ledger, ..) = begun("tok_refund_late");
    let (_, done) = ledger.refund(id(1), "r", 500).unwrap();
    assert_eq!(done.later.unwrap().0, REFUND_LATE);
}

#[test]
fn what_was_not_charged_is_not_given_back() {
    let (mut ledger, ..) = begun("tok_declined");
    assert_eq!(ledger.refund(id(1), "r", 500), Err(Refused::NotCharged));
    assert_eq!(ledger.refund(id(2), "r", 500), Err(Refused::Unknown));
    let (mut ledger, ..) = begun("tok_ok");
    for wrong in [501, 0, -1, i64::MAX] {
        assert_eq!(ledger.refund(id(1), "r", wrong), Err(Refused::AmountExceedsCharge));
    }
    ledger.refund(id(1), "r", 300).unwrap();
    assert_eq!(ledger.refund(id(1), "r", 300).unwrap().1, Done::default());
    assert_eq!(ledger.refund(id(1), "r", 200), Err(Refused::KeyReused));
    // What is on its way counts.
    assert_eq!(ledger.refund(id(1), "s", 201), Err(Refused::AmountExceedsCharge));
    assert!(ledger.refund(id(1), "s", 200).is_ok());
}

#[test]
fn the_list_is_read_page_by_page() {
    let mut ledger = Ledger::default();
    for number in 0..25 {
        ledger.begin(ask(id(number), "tok_ok"), id(99), at(0), CHALLENGE).unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = ledger.list(after, 10);
        let Some(last) = page.last() else { break };
        after = Some(last.payment_id);
        seen.extend(page.iter().map(|line| line.payment_id.as_u128()));
    }
    assert_eq!(seen, (0..25).collect::<Vec<_>>());
    assert_eq!(ledger.list(Some(id(77)), 10), Vec::new());
}

proptest! {
    /// Whatever is asked in whatever order, no payment gives back more than it took, and none takes twice.
    #[test]
    fn the_books_of_the_sandbox_are_right(asked in prop::collection::vec((0_u8..7, 0_u128..4, 0_usize..10), 1..200)) {
        let mut ledger = Ledger::default();
        let (mut later, mut now) = (Vec::new(), 0_u64);
        for (what, number, which) in asked {
            now += 1;
            let payment = id(number);
            let done = match what {
                0 | 1 => {
                    let token = Token::ALL[which % Token::ALL.len()].as_str();
                    let key = id(100 + number);
                    ledger.begin(ask(payment, token), key, at(now), CHALLENGE).map(|(_, done)| done)
                }
                2 => ledger.call_off(payment),
                3 => {
                    let event = ledger.answer(id(100 + number), which % 2 == 0, at(now));
                    Ok(Done { event, later: None })
                }
                4 | 5 => {
                    let amount = if which % 2 == 0 { 500 } else { 200 };
                    ledger.refund(payment, &format!("r.{which}"), amount).map(|(_, done)| done)
                }
                _ => {
                    if let Some(step) = later.pop() {
                        ledger.step(step, at(now));
                    }
                    Ok(Done::default())
                }
            };
            later.extend(done.ok().and_then(|done| done.later).map(|(_, step)| step));
            for line in ledger.list(None, usize::MAX) {
                prop_assert!(line.charged == 0 || line.charged == 500);
                prop_assert!(0 <= line.refunded && line.refunded <= line.charged);
            }
        }
    }
}
