//! What a payment has to fulfil, and why one was refused. Pure.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{
    CancelRefusal, PayRefusal, PaymentMethod, PaymentStatus, RefundStatus, retry::RetryRefusal,
};
use crate::{
    gateway::{Decline, RefundStanding},
    kernel::{PaymentId, Points, ReservationId},
    reservation::{Reservation, ReservationStatus},
    wallet::key_is_valid,
};

/// What a client asks to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayOrder {
    /// What is paid for.
    pub reservation_id: ReservationId,
    /// What is paid with.
    pub method: PaymentMethod,
    /// What the client showed the buyer.
    pub amount: Points,
    /// One per intent to pay; 1 to 255 characters.
    pub idempotency_key: String,
    /// The card gateway's token for the card.
    pub card_token: Option<String>,
    /// Where the buyer's browser comes back to; no part of what the key stands for.
    pub return_url: Option<String>,
    /// What the gateway's window gave to the page; no part of what the key stands for.
    pub action_result: Option<String>,
}

/// Bytes of a card's token.
const CARD_TOKEN_BYTES_MAX: usize = 500;

/// A card's token, if this can be one.
pub(super) fn card_token(text: Option<&str>) -> Option<&str> {
    text.filter(|text| (1..=CARD_TOKEN_BYTES_MAX).contains(&text.len()))
}

/// Checks an order before anything is looked up.
pub(super) fn check(order: &PayOrder) -> Result<(), PayRefusal> {
    if key_is_valid(&order.idempotency_key) { Ok(()) } else { Err(PayRefusal::KeyInvalid) }
}

/// What makes two orders under one key the same: a hash over everything but the key, each part with its length.
pub(super) fn fingerprint(order: &PayOrder) -> [u8; 32] {
    let card = order.card_token.as_deref().unwrap_or_default();
    let amount = order.amount.get().to_be_bytes();
    hashed(&[
        b"pay",
        order.reservation_id.0.as_bytes(),
        order.method.as_str().as_bytes(),
        &amount,
        card.as_bytes(),
    ])
}

/// The same of a charge by card.
pub(super) fn charge_fingerprint(amount: Points, card: &str) -> [u8; 32] {
    hashed(&[b"charge", &amount.get().to_be_bytes(), card.as_bytes()])
}

fn hashed(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The word for a buyer whose card was not charged. `acted` is whether the bank had wanted something of them: if so, calling it
/// off means that they did not do it in time; if not, that nobody could hear what the gateway said.
pub(super) const fn why_failed(why: Decline, acted: bool) -> PayRefusal {
    match why {
        Decline::CardDeclined
        | Decline::InsufficientFunds
        | Decline::CardExpired
        | Decline::CardInvalid
        | Decline::AmountRefused => PayRefusal::CardDeclined,
        Decline::ActionFailed | Decline::ActionExpired => PayRefusal::CardActionFailed,
        Decline::CalledOff if acted => PayRefusal::CardActionFailed,
        Decline::CalledOff => PayRefusal::GatewayUnavailable,
    }
}

/// What a refused payment found.
#[derive(Debug, Clone, Copy)]
pub(super) struct PayFacts {
    /// By the database's clock.
    pub status: ReservationStatus,
    pub price: Points,
    /// `None` for somebody without a wallet.
    pub balance: Option<Points>,
    pub pending: bool,
    /// Every seat still names this reservation.
    pub seats_kept: bool,
    /// Payments of this reservation that have failed.
    pub failures: i64,
}

/// Why points did not move; `None` when nothing stands in the way any more, and trying again is right.
pub(super) fn why_refused(facts: &PayFacts, amount: Points) -> Option<PayRefusal> {
    why_not_payable(facts, amount).or_else(|| {
        let too_few = facts.balance.unwrap_or(Points::ZERO) < facts.price;
        too_few.then_some(PayRefusal::InsufficientBalance)
    })
}

/// Why a reservation cannot be paid, with whatever; `None` as in [`why_refused`].
fn why_not_payable(facts: &PayFacts, amount: Points) -> Option<PayRefusal> {
    match facts.status {
        ReservationStatus::Confirmed | ReservationStatus::Cancelled => Some(PayRefusal::NotPayable),
        ReservationStatus::Expired => Some(PayRefusal::HoldExpired),
        ReservationStatus::Hold if facts.pending => Some(PayRefusal::InProgress),
        ReservationStatus::Hold if !facts.seats_kept => Some(PayRefusal::HoldExpired),
        ReservationStatus::Hold if facts.price != amount => Some(PayRefusal::AmountMismatch),
        ReservationStatus::Hold => None,
    }
}

/// Why a payment by card does not begin; `None` as in [`why_refused`]. Whoever has tried so many cards is told what the last
/// ones were told, and no gateway is asked.
pub(super) fn why_not_by_card(
    facts: &PayFacts,
    amount: Points,
    failures_max: i64,
) -> Option<PayRefusal> {
    let tried = (facts.failures >= failures_max).then_some(PayRefusal::CardDeclined);
    why_not_payable(facts, amount).or(tried)
}

/// Who cancels a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Canceller {
    /// Whose it is.
    Fan,
    /// Whose performance it is for, at any time.
    Organizer,
}

/// What a cancellation found that changed nothing.
#[derive(Debug)]
pub(super) struct CancelFacts {
    pub reservation: Reservation,
    /// The time in which fans may cancel what they have paid for.
    pub over: bool,
    pub payment_pending: bool,
    /// Paid by card, and not given back.
    pub card_paid: bool,
    /// The money is back, or on its way, or its way back was given up.
    pub refund_asked: bool,
    /// The payment whose refund was given up.
    pub failed_refund: Option<PaymentId>,
}

/// What follows for whoever wanted to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No.
    Refused(CancelRefusal),
    /// It was done before.
    Done,
    /// It was done before, but for the refund, which is to be tried anew.
    RefundAnew(PaymentId),
    /// Nothing stands in the way any more.
    Again,
}

/// Why nothing was cancelled. `cards` says that there is a gateway to give a card its money back.
pub(super) fn why_not_cancelled(facts: &CancelFacts, by: Canceller, cards: bool) -> Verdict {
    let organizer = by == Canceller::Organizer;
    match (facts.reservation.status, facts.failed_refund) {
        (ReservationStatus::Cancelled | ReservationStatus::Expired, Some(payment_id))
            if organizer =>
        {
            Verdict::RefundAnew(payment_id)
        }
        (ReservationStatus::Cancelled, _) => Verdict::Done,
        // Money that came too late for its seats is on its way back already.
        (ReservationStatus::Expired, _) if organizer && facts.refund_asked => Verdict::Done,
        (ReservationStatus::Expired, _) => Verdict::Refused(CancelRefusal::Expired),
        _ if facts.payment_pending => Verdict::Refused(CancelRefusal::PaymentInProgress),
        (ReservationStatus::Confirmed, _) if facts.over && !organizer => {
            Verdict::Refused(CancelRefusal::Closed)
        }
        (ReservationStatus::Confirmed, _) if facts.card_paid && !cards => {
            Verdict::Refused(CancelRefusal::GatewayUnavailable)
        }
        (ReservationStatus::Hold | ReservationStatus::Confirmed, _) => Verdict::Again,
    }
}

/// When a refund is tried again: after a pause that grows with the time that it has taken already.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Retry {
    /// Whether the gateway has to be asked under another key: it would repeat its failure.
    pub next_attempt: bool,
    /// The time that it has taken over the pause.
    pub age_over_pause: f64,
}

impl Retry {
    /// The shortest pause.
    pub(super) const PAUSE_MIN: Duration = Duration::from_millis(250);
    /// The longest pause.
    pub(super) const PAUSE_MAX: Duration = Duration::from_secs(3_600);
}

/// On its way: a look costs little, and most are there soon.
const ON_ITS_WAY: Retry = Retry { next_attempt: false, age_over_pause: 8.0 };
/// The gateway has failed to do it.
const FAILED: Retry = Retry { next_attempt: true, age_over_pause: 4.0 };
/// The gateway has not answered, and may have done it.
pub(super) const NO_ANSWER: Retry = Retry { next_attempt: false, age_over_pause: 4.0 };
/// The wallet is too full, until its owner spends something.
pub(super) const NO_ROOM: Retry = Retry { next_attempt: false, age_over_pause: 4.0 };

/// What becomes of a refund that was tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// The points are in the wallet, and that is noted.
    Booked,
    /// The gateway has given the money back, which is to be noted.
    Done,
    /// It is tried again, or given up when its time is over.
    Later(Retry),
}

impl Step {
    /// Whether the money is back.
    pub(super) const fn is_done(self) -> bool {
        matches!(self, Self::Booked | Self::Done)
    }
}

/// What follows from a gateway's answer.
pub(super) const fn after_refund(standing: &RefundStanding) -> Step {
    match standing {
        RefundStanding::Done => Step::Done,
        RefundStanding::Pending | RefundStanding::Unknown => Step::Later(ON_ITS_WAY),
        RefundStanding::Failed { .. } => Step::Later(FAILED),
    }
}

/// How a payment's refund stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefundFacts {
    pub status: PaymentStatus,
    pub refund_status: Option<RefundStatus>,
}

impl RefundFacts {
    /// Why it is not tried anew.
    pub(super) const fn why_not(self) -> RetryRefusal {
        match (self.status, self.refund_status) {
            (PaymentStatus::Refunded, _) | (_, Some(RefundStatus::Done)) => RetryRefusal::Done,
            // It was given up a moment ago, or somebody else has said so first.
            (_, Some(RefundStatus::Pending | RefundStatus::Failed)) => RetryRefusal::OnItsWay,
            (PaymentStatus::Pending | PaymentStatus::Approved | PaymentStatus::Failed, None) => {
                RetryRefusal::NotRefunded
            }
        }
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod cancelling;

#[cfg(test)]
mod tests {
    use super::*;

    fn points(value: i64) -> Points {
        Points::new(value).unwrap()
    }

    fn facts() -> PayFacts {
        PayFacts {
            status: ReservationStatus::Hold,
            price: points(100),
            balance: Some(points(100)),
            pending: false,
            seats_kept: true,
            failures: 0,
        }
    }

    #[test]
    fn a_live_hold_with_the_right_amount_and_enough_points_is_payable() {
        assert_eq!(why_refused(&facts(), points(100)), None);
    }

    #[test]
    fn every_reason_has_its_own_word() {
        let check = |facts: PayFacts, amount| why_refused(&facts, points(amount));
        let with = |status| PayFacts { status, ..facts() };
        assert_eq!(check(with(ReservationStatus::Confirmed), 100), Some(PayRefusal::NotPayable));
        assert_eq!(check(with(ReservationStatus::Cancelled), 100), Some(PayRefusal::NotPayable));
        assert_eq!(check(with(ReservationStatus::Expired), 100), Some(PayRefusal::HoldExpired));
        assert_eq!(check(PayFacts { pending: true, ..facts() }, 100), Some(PayRefusal::InProgress));
        assert_eq!(
            check(PayFacts { seats_kept: false, ..facts() }, 100),
            Some(PayRefusal::HoldExpired)
        );
        assert_eq!(check(facts(), 99), Some(PayRefusal::AmountMismatch));
        for balance in [Some(points(99)), None] {
            assert_eq!(
                check(PayFacts { balance, ..facts() }, 100),
                Some(PayRefusal::InsufficientBalance)
            );
        }
    }

    #[test]
    fn a_card_needs_no_points_and_is_not_tried_for_ever() {
        let check = |facts: PayFacts, amount| why_not_by_card(&facts, points(amount), 20);
        assert_eq!(check(PayFacts { balance: None, ..facts() }, 100), None);
        assert_eq!(check(facts(), 99), Some(PayRefusal::AmountMismatch));
        assert_eq!(check(PayFacts { pending: true, ..facts() }, 100), Some(PayRefusal::InProgress));
        assert_eq!(check(PayFacts { failures: 19, ..facts() }, 100), None);
        let tried = PayFacts { failures: 20, ..facts() };
        assert_eq!(check(tried, 100), Some(PayRefusal::CardDeclined));
    }

    #[test]
    fn what_was_called_off_failed_for_want_of_the_buyer_or_of_the_gateway() {
        assert_eq!(why_failed(Decline::CalledOff, true), PayRefusal::CardActionFailed);
        assert_eq!(why_failed(Decline::CalledOff, false), PayRefusal::GatewayUnavailable);
        for acted in [false, true] {
            assert_eq!(why_failed(Decline::ActionExpired, acted), PayRefusal::CardActionFailed);
            assert_eq!(why_failed(Decline::CardExpired, acted), PayRefusal::CardDeclined);
        }
    }

    #[test]
    fn the_fingerprint_covers_everything_but_the_key() {
        let order = PayOrder {
            reservation_id: ReservationId::new(),
            method: PaymentMethod::Point,
            amount: points(100),
            idempotency_key: "a".to_owned(),
            card_token: None,
            return_url: None,
            action_result: None,
        };
        let same = PayOrder {
            idempotency_key: "b".to_owned(),
            return_url: Some("https://shop.example/".to_owned()),
            action_result: Some("x".to_owned()),
            ..order.clone()
        };
        assert_eq!(fingerprint(&order), fingerprint(&same));
        assert_ne!(charge_fingerprint(points(1), "a"), charge_fingerprint(points(2), "a"));
        assert_ne!(charge_fingerprint(points(1), "a"), charge_fingerprint(points(1), "b"));
        let others = [
            PayOrder { reservation_id: ReservationId::new(), ..order.clone() },
            PayOrder { method: PaymentMethod::Card, ..order.clone() },
            PayOrder { amount: points(101), ..order.clone() },
            PayOrder { card_token: Some("tok".to_owned()), ..order.clone() },
        ];
        for other in others {
            assert_ne!(fingerprint(&order), fingerprint(&other));
        }
    }
}
