//! Money that comes when the hold has lapsed: the seats are its payer's if nobody else has them, else it goes back.

use serde_json::{Value, json};

use crate::support::{
    buying::Buyer,
    cards::{CardShop, RETURN_URL, answer, redirect},
    client::refusal,
    shop::Setup,
};

/// A shop, two people, and a payment of the first for these seats, at which the bank wants something; the hold lapses
/// meanwhile.
async fn lapsed(seats: &[usize]) -> (CardShop, Vec<Buyer>, String, String) {
    let setup = Setup { max_seats_per_person: 2, price: 500, ..Setup::default() };
    let shop = CardShop::open(setup, &[], &[]).await;
    let people = shop.buyers(2).await;
    let held = people[0].hold_seats(&shop.show, seats).await;
    let id = held["reservation"]["id"].as_str().unwrap_or_else(|| panic!("{held}")).to_owned();
    let paid = pay(&people[0], &id, seats.len()).await;
    assert_eq!(paid["payment"]["status"], "PENDING", "{paid}");
    let challenge = redirect(&paid);
    shop.world.lapse(&id).await;
    (shop, people, id, challenge)
}

async fn pay(buyer: &Buyer, id: &str, seats: usize) -> Value {
    let input = json!({ "reservationId": id, "method": "CARD", "amount": 500 * seats, "idempotencyKey": "pay",
                        "cardToken": "tok_challenge", "returnUrl": RETURN_URL });
    buyer.client.pay_as(input).await
}

#[tokio::test(flavor = "multi_thread")]
async fn free_seats_are_the_payers_again() {
    let (shop, people, id, challenge) = lapsed(&[0, 1]).await;
    // It is not tidied away while the bank decides, and free by time for everybody.
    assert_eq!(people[1].seat(&shop.show, 0).await.0, "AVAILABLE");
    answer(&challenge, "pass").await;
    shop.all_decided().await;
    let paid = pay(&people[0], &id, 2).await;
    assert_eq!(refusal(&paid), None, "{paid}");
    assert_eq!(paid["payment"]["status"], "APPROVED");
    assert_eq!(paid["payment"]["reservation"]["status"], "CONFIRMED");
    for seat in [0, 1] {
        assert_eq!(people[1].seat(&shop.show, seat).await.0, "SOLD_OUT");
    }
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_lapsed_again_meanwhile_are_the_payers_too() {
    let (shop, people, id, challenge) = lapsed(&[0]).await;
    let other = people[1].held(&shop.show, 0).await;
    shop.world.lapse(&other).await;
    answer(&challenge, "pass").await;
    shop.all_decided().await;
    let paid = pay(&people[0], &id, 1).await;
    assert_eq!((refusal(&paid), &paid["payment"]["status"]), (None, &json!("APPROVED")), "{paid}");
    assert_eq!(people[1].seat(&shop.show, 0).await.0, "SOLD_OUT");
    assert_eq!(
        refusal(&people[1].client.pay_card(&other, "late", "tok_ok").await),
        Some("HOLD_EXPIRED")
    );
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_seats_that_somebody_else_has_none_is_taken_and_the_money_goes_back() {
    let (shop, people, id, challenge) = lapsed(&[0, 1]).await;
    // One of two is enough.
    let other = people[1].held(&shop.show, 1).await;
    let mut changes = people[0].client.watch_reservations().await;
    answer(&challenge, "pass").await;
    changes.until("the end", |told| told["status"] == "EXPIRED").await;
    let paid = pay(&people[0], &id, 2).await;
    assert_eq!(refusal(&paid), Some("HOLD_EXPIRED"), "{paid}");
    let status = paid["payment"]["status"].as_str().unwrap();
    assert!(["APPROVED", "REFUNDED"].contains(&status), "{paid}");
    assert_eq!(paid["payment"]["reservation"]["status"], "EXPIRED");
    let asked =
        "SELECT count(*) FROM payment WHERE refund_id IS NOT NULL AND refund_asked_at IS NOT NULL";
    assert_eq!(shop.world.number(asked).await, 1);
    assert_eq!(people[0].seat(&shop.show, 0).await.0, "AVAILABLE");
    assert_eq!(people[0].seat(&shop.show, 1).await.0, "HOLD");
    people[1].client.charge(500, "points").await;
    assert_eq!(refusal(&people[1].client.pay(&other, 500, "pay").await), None);
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_others_meanwhile_keeps_to_the_limit() {
    let (shop, people, id, challenge) = lapsed(&[0, 1]).await;
    people[0].held(&shop.show, 2).await;
    answer(&challenge, "pass").await;
    shop.all_decided().await;
    let paid = pay(&people[0], &id, 2).await;
    assert_eq!(refusal(&paid), Some("HOLD_EXPIRED"), "{paid}");
    assert_eq!(people[1].seat(&shop.show, 0).await.0, "AVAILABLE");
    shop.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_called_off_meanwhile_is_given_back() {
    let (shop, people, id, challenge) = {
        let shop = CardShop::open(Setup { price: 500, ..Setup::default() }, &[], &[]).await;
        let people = shop.buyers(2).await;
        let id = people[0].held(&shop.show, 0).await;
        let paid = pay(&people[0], &id, 1).await;
        (shop, people, id, redirect(&paid))
    };
    shop.world
        .sql("UPDATE schedule SET status = 'CANCELLED', cancelled_at = clock_timestamp()")
        .await;
    answer(&challenge, "pass").await;
    shop.all_decided().await;
    let paid = pay(&people[0], &id, 1).await;
    assert_eq!(refusal(&paid), Some("RESERVATION_NOT_PAYABLE"), "{paid}");
    assert_eq!(paid["payment"]["reservation"]["status"], "CANCELLED", "{paid}");
    let asked = "SELECT count(*) FROM payment WHERE refund_id IS NOT NULL";
    assert_eq!(shop.world.number(asked).await, 1);
}
