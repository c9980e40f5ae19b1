//! The card gateway: what the client of each says of what the other side does, loses, or delays.

mod away;
mod sandbox;
mod stripe;
mod webhooks;

use frontrow::{
    gateway::{Card, CardGateway, CardPayment, CardRefund, RefundStanding, Standing},
    kernel::{Fault, PaymentId, Points, RefundId},
};

/// A payment of 500 points that nobody knows of.
pub(crate) fn payment() -> CardPayment {
    let amount = Points::new(500).expect("points");
    CardPayment { id: PaymentId::new(), amount, reference: None }
}

/// A refund of all of a payment.
fn refund(payment: &CardPayment, attempt: u32) -> CardRefund {
    let id = RefundId::new();
    CardRefund { id, attempt, amount: payment.amount, payment: payment.clone() }
}

fn card(token: &str) -> Card<'_> {
    Card { token, return_url: Some("https://shop.example/back?to=1") }
}

async fn begin(
    gateway: &CardGateway,
    payment: &CardPayment,
    token: &str,
) -> Result<Standing, Fault> {
    Ok(gateway.begin(payment, card(token)).await?.standing)
}

async fn look(gateway: &CardGateway, payment: &CardPayment) -> Standing {
    gateway.look(payment).await.expect("an answer").standing
}

/// Waits for the end of a refund.
async fn ended(gateway: &CardGateway, refund: &CardRefund) -> RefundStanding {
    crate::support::eventually("the refund to end", async || {
        let standing = gateway.look_at_refund(refund).await.expect("an answer");
        (standing != RefundStanding::Pending).then_some(standing)
    })
    .await
}
