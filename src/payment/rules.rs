//! What a payment has to fulfil, and why one was refused. Pure.

use sha2::{Digest, Sha256};

use super::{PayRefusal, PaymentMethod};
use crate::{
    kernel::{Points, ReservationId},
    reservation::ReservationStatus,
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
