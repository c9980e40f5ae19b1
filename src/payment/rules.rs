//! What a payment has to fulfil, and why one was refused. Pure.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{CancelRefusal, PayRefusal, PaymentMethod};
use crate::{
    gateway::RefundStanding,
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
}

/// Checks an order before anything is looked up.
pub(super) fn check(order: &PayOrder) -> Result<(), PayRefusal> {
    if key_is_valid(&order.idempotency_key) { Ok(()) } else { Err(PayRefusal::KeyInvalid) }
}

/// What makes two orders under one key the same: a hash over everything but the key, each part with its length.
pub(super) fn fingerprint(order: &PayOrder) -> [u8; 32] {
    let card = order.card_token.as_deref().unwrap_or_default();
    let amount = order.amount.get().to_be_bytes();
    let parts: [&[u8]; 5] = [
        b"pay",
        order.reservation_id.0.as_bytes(),
        order.method.as_str().as_bytes(),
        &amount,
        card.as_bytes(),
    ];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
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
}

/// Why points did not move; `None` when nothing stands in the way any more, and trying again is right.
pub(super) fn why_refused(facts: &PayFacts, amount: Points) -> Option<PayRefusal> {
    match facts.status {
        ReservationStatus::Confirmed | ReservationStatus::Cancelled => Some(PayRefusal::NotPayable),
        ReservationStatus::Expired => Some(PayRefusal::HoldExpired),
        ReservationStatus::Hold if facts.pending => Some(PayRefusal::InProgress),
        ReservationStatus::Hold if !facts.seats_kept => Some(PayRefusal::HoldExpired),
        ReservationStatus::Hold if facts.price != amount => Some(PayRefusal::AmountMismatch),
        ReservationStatus::Hold if facts.balance.unwrap_or(Points::ZERO) < facts.price => {
            Some(PayRefusal::InsufficientBalance)
        }
        ReservationStatus::Hold => None,
    }
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
    fn the_fingerprint_covers_everything_but_the_key() {
        let order = PayOrder {
            reservation_id: ReservationId::new(),
            method: PaymentMethod::Point,
            amount: points(100),
            idempotency_key: "a".to_owned(),
            card_token: None,
        };
        let same = PayOrder { idempotency_key: "b".to_owned(), ..order.clone() };
        assert_eq!(fingerprint(&order), fingerprint(&same));
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
