use super::*;
use crate::{
    kernel::{PersonId, QueueTokenId, ScheduleId},
    payment::CancelRefusal::{Closed, Expired, GatewayUnavailable, PaymentInProgress},
};

fn facts(status: ReservationStatus) -> CancelFacts {
    let now = chrono::DateTime::UNIX_EPOCH;
    CancelFacts {
        reservation: Reservation {
            id: ReservationId::new(),
            person_id: PersonId::new(),
            schedule_id: ScheduleId::new(),
            queue_token_id: QueueTokenId::new(),
            status,
            seat_count: 1,
            total_price: Points::ZERO,
            held_at: now,
            expires_at: now,
            extendable_until: now,
            confirmed_at: None,
            cancelled_at: None,
            now,
        },
        over: false,
        payment_pending: false,
        card_paid: false,
        refund_asked: false,
        failed_refund: None,
    }
}

const BOTH: [Canceller; 2] = [Canceller::Fan, Canceller::Organizer];

#[test]
fn what_nothing_stands_in_the_way_of_is_tried_again() {
    for by in BOTH {
        for status in [ReservationStatus::Hold, ReservationStatus::Confirmed] {
            assert_eq!(why_not_cancelled(&facts(status), by, true), Verdict::Again);
        }
    }
}

#[test]
fn every_reason_not_to_cancel_has_its_word() {
    for by in BOTH {
        let verdict = |facts, cards| why_not_cancelled(&facts, by, cards);
        let with = facts;
        assert_eq!(verdict(with(ReservationStatus::Cancelled), true), Verdict::Done);
        assert_eq!(verdict(with(ReservationStatus::Expired), true), Verdict::Refused(Expired));
        let pending = CancelFacts { payment_pending: true, ..with(ReservationStatus::Hold) };
        assert_eq!(verdict(pending, true), Verdict::Refused(PaymentInProgress));
        let card = || CancelFacts { card_paid: true, ..with(ReservationStatus::Confirmed) };
        assert_eq!(verdict(card(), false), Verdict::Refused(GatewayUnavailable));
        assert_eq!(verdict(card(), true), Verdict::Again);
    }
}

#[test]
fn it_is_too_late_for_fans_only_and_never_for_a_hold() {
    let late = |status| CancelFacts { over: true, ..facts(status) };
    let verdict = |status, by| why_not_cancelled(&late(status), by, true);
    let refused = Verdict::Refused(Closed);
    assert_eq!(verdict(ReservationStatus::Confirmed, Canceller::Fan), refused);
    assert_eq!(verdict(ReservationStatus::Confirmed, Canceller::Organizer), Verdict::Again);
    assert_eq!(verdict(ReservationStatus::Hold, Canceller::Fan), Verdict::Again);
}

#[test]
fn a_refund_that_was_given_up_is_tried_anew_for_the_organizer() {
    let payment_id = PaymentId::new();
    for status in [ReservationStatus::Cancelled, ReservationStatus::Expired] {
        let failed =
            CancelFacts { refund_asked: true, failed_refund: Some(payment_id), ..facts(status) };
        let verdict = why_not_cancelled(&failed, Canceller::Organizer, true);
        assert_eq!(verdict, Verdict::RefundAnew(payment_id));
        let fan = why_not_cancelled(&failed, Canceller::Fan, true);
        assert!(!matches!(fan, Verdict::RefundAnew(_)), "{fan:?}");
    }
    let late_money = CancelFacts { refund_asked: true, ..facts(ReservationStatus::Expired) };
    assert_eq!(why_not_cancelled(&late_money, Canceller::Organizer, true), Verdict::Done);
}

#[test]
fn only_a_failure_counts_the_attempt_up() {
    let attempt = |standing: RefundStanding| match after_refund(&standing) {
        Step::Later(retry) => Some(retry.next_attempt),
        Step::Booked | Step::Done => None,
    };
    assert_eq!(attempt(RefundStanding::Failed { code: "x".to_owned() }), Some(true));
    assert_eq!(attempt(RefundStanding::Pending), Some(false));
    assert_eq!(attempt(RefundStanding::Unknown), Some(false));
    assert_eq!(attempt(RefundStanding::Done), None);
}
