//! People who own seats already, by the hundreds: written into the database as if they had bought them, and charged at the
//! sandbox where they paid by card.

use frontrow::{
    gateway::{Card, CardGateway, CardPayment, Standing},
    kernel::{PaymentId, Points, QueueTokenId, ReservationId, WalletEntryId},
};
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::{
    client::Client,
    shop::{self, Show},
    world::{Instance, World},
};

/// Somebody who owns a seat.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) client: Client,
    pub(crate) reservation_id: String,
    pub(crate) payment_id: String,
    pub(crate) by_card: bool,
}

/// What everybody pays.
pub(crate) const PRICE: i64 = 1_000;
/// Cards that are charged at once.
const CHARGES_AT_ONCE: usize = 32;

/// An owner for each entry, of the show's first seats: paid with this token of the sandbox, or with points.
pub(crate) async fn owners(
    world: &World,
    office: &Instance,
    gateway: Option<&CardGateway>,
    show: &Show,
    tokens: &[Option<&str>],
) -> Vec<Owner> {
    let fans = shop::fans(world, office, tokens.len()).await;
    let owners: Vec<Owner> = fans
        .into_iter()
        .zip(tokens)
        .map(|(client, token)| Owner {
            client,
            reservation_id: ReservationId::new().to_string(),
            payment_id: PaymentId::new().to_string(),
            by_card: token.is_some(),
        })
        .collect();
    let charges = owners
        .iter()
        .zip(tokens)
        .filter_map(|(owner, token)| Some(charge(gateway?, &owner.payment_id, (*token)?)));
    stream::iter(charges).buffer_unordered(CHARGES_AT_ONCE).collect::<()>().await;
    let rows = owners.iter().enumerate().map(|(n, owner)| {
        format!(
            "({n}, '{}'::uuid, '{}'::uuid, '{}'::uuid, '{}'::uuid, '{}'::uuid, '{}'::uuid, '{}'::uuid, '{}')",
            owner.client.person_id.as_deref().expect("a person"),
            show.seats[n],
            owner.reservation_id,
            owner.payment_id,
            QueueTokenId::new(),
            WalletEntryId::new(),
            WalletEntryId::new(),
            if owner.by_card { "CARD" } else { "POINT" },
        )
    });
    let rows: Vec<String> = rows.collect();
    if rows.is_empty() {
        return owners;
    }
    // One after the other since the opening, as people come in: nobody is in for long.
    let sql = OWN
        .replace("THE_ROWS", &rows.join(","))
        .replace("THE_SHOW", &show.id)
        .replace("THE_PRICE", &PRICE.to_string());
    world.sql(&sql).await;
    owners
}

const OWN: &str = "
    CREATE TABLE crowd AS SELECT c.*, w.drawn_at + c.n * interval '150 us' AS at
    FROM (VALUES THE_ROWS) AS c (n, person_id, seat_id, reservation_id, payment_id, token_id, charge_id, deduct_id, method),
         waiting_room w WHERE w.schedule_id = 'THE_SHOW';
    INSERT INTO queue_token (id, schedule_id, person_id, number, status, version, entered_at, activated_at, last_action_at,
                             expires_at, ended_at)
    SELECT token_id, 'THE_SHOW', person_id, (SELECT last_number FROM queue_counter WHERE schedule_id = 'THE_SHOW') + n + 1,
           'USED', 2, at, at, at + interval '100 us', at + interval '60 s', at + interval '100 us'
    FROM crowd;
    UPDATE queue_counter SET last_number = last_number + (SELECT count(*) FROM crowd) WHERE schedule_id = 'THE_SHOW';
    INSERT INTO reservation (id, person_id, schedule_id, queue_token_id, status, seat_count, total_price, held_at, expires_at,
                             confirmed_at)
    SELECT reservation_id, person_id, 'THE_SHOW', token_id, 'CONFIRMED', 1, THE_PRICE, at,
           at + interval '300 s', at + interval '100 us' FROM crowd;
    INSERT INTO reservation_seat (reservation_id, seat_id, price) SELECT reservation_id, seat_id, THE_PRICE FROM crowd;
    UPDATE seat SET status = 'SOLD_OUT', reservation_id = crowd.reservation_id, version = version + 2
    FROM crowd WHERE seat.id = crowd.seat_id;
    INSERT INTO payment (id, person_id, reservation_id, method, amount, status, idempotency_key, fingerprint, created_at,
                         approved_at)
    SELECT payment_id, person_id, reservation_id, method, THE_PRICE, 'APPROVED', 'pay', '', at + interval '100 us',
           at + interval '100 us' FROM crowd;
    INSERT INTO wallet (person_id, balance) SELECT person_id, 0 FROM crowd WHERE method = 'POINT';
    INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, created_at)
    SELECT charge_id, person_id, 'CHARGE', THE_PRICE, THE_PRICE, 'CHARGE', 'charge', at FROM crowd WHERE method = 'POINT';
    INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, payment_id, created_at)
    SELECT deduct_id, person_id, 'DEDUCT', -THE_PRICE, 0, 'PAYMENT', payment_id::text, payment_id, at + interval '100 us'
    FROM crowd WHERE method = 'POINT';
    DROP TABLE crowd;";

async fn charge(gateway: &CardGateway, payment_id: &str, token: &str) {
    let id = PaymentId::parse(payment_id).expect("an id");
    let payment = CardPayment { id, amount: Points::new(PRICE).expect("points"), reference: None };
    let seen = gateway.begin(&payment, Card { token, return_url: None }).await;
    assert_eq!(seen.expect("an answer").standing, Standing::Charged);
}

impl Owner {
    /// The same person at another instance.
    pub(crate) fn at(&self, instance: &Instance) -> Self {
        Self { client: self.client.at(instance.address), ..self.clone() }
    }

    /// How the reservation's payment stands: its status and refundStatus.
    pub(crate) async fn stands(&self) -> (String, Value) {
        let query = "query ($id: ID!) { reservation(id: $id) { payment { status refundStatus } } }";
        let variables = serde_json::json!({ "id": self.reservation_id });
        let mut payment = self.client.data(query, variables).await["reservation"]["payment"].take();
        let status = payment["status"].as_str().expect("a status").to_owned();
        (status, payment["refundStatus"].take())
    }

    /// Waits until the refund stands so.
    pub(crate) async fn is(&self, status: &str, refund: &str) {
        super::eventually(
            &format!("a payment to be {status} with its refund {refund}"),
            async || (self.stands().await == (status.to_owned(), refund.into())).then_some(()),
        )
        .await;
    }
}
