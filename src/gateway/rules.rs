//! The words of the seam: what a gateway is asked about, and what it can say.

use crate::kernel::{PaymentId, Points, RefundId, Timestamp, text_enum};

/// A payment, as a gateway is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardPayment {
    /// Ours; the gateway's idempotency key.
    pub id: PaymentId,
    /// How much, in the smallest unit of the shop's currency: one point each.
    pub amount: Points,
    /// The gateway's own name for it, once an answer gave it ([`Seen::reference`]). Without it the gateway is asked by our
    /// id, which costs more calls and gives the same answer.
    pub reference: Option<String>,
}

/// One attempt to give money back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardRefund {
    /// Ours.
    pub id: RefundId,
    /// Which attempt, counted from 1: a gateway remembers a refund that failed, and would repeat its failure.
    pub attempt: u32,
    /// How much of the payment.
    pub amount: Points,
    /// What was paid.
    pub payment: CardPayment,
}

impl CardRefund {
    /// The idempotency key of the attempt.
    pub fn key(&self) -> String {
        format!("{}.{}", self.id, self.attempt)
    }
}

/// How a payment stands at the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The gateway's own name for the payment, where it has one. Keep it with the payment.
    pub reference: Option<String>,
    /// How it stands.
    pub standing: Standing,
}

/// What has become of the money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The gateway knows of no attempt to charge. One may be on its way still: [`super::CardGateway::call_off`] makes sure.
    Unknown,
    /// The gateway or the bank decides. A webhook or a look tells.
    Pending,
    /// The buyer has to do something first.
    Action(Action),
    /// The whole amount is ours. For good, unless we give it back.
    Charged,
    /// No money has moved, and none will: this payment is over.
    Declined {
        /// Why, in our words.
        why: Decline,
        /// Why, in the gateway's word; for operators.
        code: String,
    },
}

/// What the buyer has to do before the bank decides. A gateway with a window of its own gives what that needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Where the buyer's browser goes.
    pub redirect_url: Option<String>,
    /// For the gateway's own library in the page.
    pub client_secret: Option<String>,
    /// When the gateway gives up waiting; `None` when it never does, and we have to call the payment off.
    pub expires_at: Option<Timestamp>,
}

text_enum! {
    /// Why no money will move.
    pub enum Decline {
        /// The bank said no, and no more than that should be told: a stolen card is told the same.
        CardDeclined = "CARD_DECLINED",
        /// Not enough money behind the card.
        InsufficientFunds = "INSUFFICIENT_FUNDS",
        /// The card's time is over.
        CardExpired = "CARD_EXPIRED",
        /// A number or a code is wrong, or the token is none.
        CardInvalid = "CARD_INVALID",
        /// The amount is less or more than the gateway takes.
        AmountRefused = "AMOUNT_REFUSED",
        /// The bank did not believe what the buyer did.
        ActionFailed = "ACTION_FAILED",
        /// The buyer did not do in time what the bank asked for.
        ActionExpired = "ACTION_EXPIRED",
        /// We called it off.
        CalledOff = "CALLED_OFF",
    }
}

/// How an attempt to refund stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundStanding {
    /// The gateway knows of no such attempt.
    Unknown,
    /// On its way. A webhook or a look tells.
    Pending,
    /// The money is back.
    Done,
    /// This attempt gave nothing back; the next one may.
    Failed {
        /// Why, in the gateway's word; for operators.
        code: String,
    },
}

/// A page of what the gateway did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Payments that are ours; the gateway may serve other shops under the same account, whose payments are left out.
    pub payments: Vec<Listed>,
    /// The cursor of the next page; `None` on the last.
    pub next: Option<String>,
}

/// What the gateway did for one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Ours.
    pub payment_id: PaymentId,
    /// How much was charged.
    pub charged: Points,
    /// How much of it was given back.
    pub refunded: Points,
}

/// What a genuine webhook says: that somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// The payment that something happened to; `None` when the message is about nothing of ours.
    pub payment_id: Option<PaymentId>,
}

text_enum! {
    /// Why a webhook is not believed.
    pub enum WebhookRefusal {
        /// No signature, or none that can be read.
        Unsigned = "UNSIGNED",
        /// Signed by somebody else, or not this body.
        Forged = "FORGED",
        /// Signed too long ago, or in the future.
        Stale = "STALE",
        /// Genuine, and not understood.
        Malformed = "MALFORMED",
    }
}

/// The longest word of a gateway that is passed on.
const WORD_BYTES_MAX: usize = 64;

/// A gateway's own code, if it is one: a plain word. Anything else may be anything, and is not passed on.
pub(super) fn word(code: Option<&str>) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    code.filter(|code| (1..=WORD_BYTES_MAX).contains(&code.len()) && code.bytes().all(plain))
        .unwrap_or("unknown")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_of_a_gateway_are_passed_on() {
        for (code, told) in [
            (Some("card_declined"), "card_declined"),
            (Some("4000-0000"), "4000-0000"),
            (Some(""), "unknown"),
            (Some("a b"), "unknown"),
            (Some("sk_live\n"), "unknown"),
            (None, "unknown"),
        ] {
            assert_eq!(word(code), told, "{code:?}");
        }
        assert_eq!(word(Some(&"x".repeat(65))), "unknown");
    }

    #[test]
    fn every_attempt_has_a_key_of_its_own() {
        let payment = CardPayment { id: PaymentId::new(), amount: Points::ZERO, reference: None };
        let first = CardRefund { id: RefundId::new(), attempt: 1, amount: Points::ZERO, payment };
        let second = CardRefund { attempt: 2, ..first.clone() };
        assert_ne!(first.key(), second.key());
        assert!(first.key().len() < 64);
    }
}
