//! A shop that takes cards: a sandbox, two instances that use it, and a performance.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    buying::{self, Buyer},
    client::Client,
    eventually,
    sandbox::{Sandbox, flags_for},
    shop::{self, Setup, Show},
    socket::Subscription,
    world::{Instance, World},
};

/// Where buyers come back to.
pub(crate) const RETURN_URL: &str = "https://shop.example/back?to=1";

/// Everything that a test of cards needs. The sandbox tells instance `a`.
#[derive(Debug)]
pub(crate) struct CardShop {
    pub(crate) world: World,
    pub(crate) a: Instance,
    pub(crate) b: Instance,
    pub(crate) sandbox: Sandbox,
    pub(crate) show: Show,
}

/// An address on which nobody listens yet.
pub(crate) async fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

impl CardShop {
    /// Opens one, with these flags for its instances and these for the sandbox.
    pub(crate) async fn open(setup: Setup, flags: &[&str], of_sandbox: &[&str]) -> Self {
        let world = World::new().await;
        let address = free_address().await;
        let all = flags_for(&format!("http://{address}"));
        let all: Vec<&str> = all.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        let (a, b) = (world.instance_with(&all).await, world.instance_with(&all).await);
        let webhooks = format!("http://{}/webhooks/sandbox", a.address);
        let sandbox = Sandbox::start_at(&address, &webhooks, of_sandbox).await;
        let show = shop::show(&world, &a, setup).await;
        Self { world, a, b, sandbox, show }
    }

    /// People who are in, spread over both instances.
    pub(crate) async fn buyers(&self, count: usize) -> Vec<Buyer> {
        buying::buyers(&self.world, &[&self.a, &self.b], &self.show, count).await
    }

    /// One person who is in.
    pub(crate) async fn buyer(&self) -> Buyer {
        self.buyers(1).await.remove(0)
    }

    /// Where the only payment of a reservation stands.
    pub(crate) async fn status_of(&self, reservation: &str) -> String {
        let sql = format!("SELECT status FROM payment WHERE reservation_id = '{reservation}'");
        self.world.texts(&sql).await.concat()
    }

    /// Waits until no payment is PENDING any more.
    pub(crate) async fn all_decided(&self) {
        let pending = "SELECT count(*) FROM payment WHERE status = 'PENDING'";
        eventually("all payments to be decided", async || {
            (self.world.number(pending).await == 0).then_some(())
        })
        .await;
    }

    /// The books are true, and the gateway says the same of the money.
    pub(crate) async fn books_agree(&self) {
        self.world.books_are_true().await;
        agree(&self.world, &self.sandbox).await;
    }
}

/// What the gateway has charged and given back is what our books say, to the point, of every payment, once nothing is on its way.
pub(crate) async fn agree(world: &World, sandbox: &Sandbox) {
    let on_their_way = "SELECT count(*) FROM payment WHERE refund_status = 'PENDING'";
    eventually("all refunds to be done", async || {
        (world.number(on_their_way).await == 0).then_some(())
    })
    .await;
    let points = |line: &Value, field: &str| line[field].as_i64().expect("points");
    let theirs: BTreeMap<String, (i64, i64)> = sandbox
        .list()
        .await
        .iter()
        .map(|line| {
            let id = line["paymentId"].as_str().expect("an id").to_owned();
            (id, (points(line, "charged"), points(line, "refunded")))
        })
        .filter(|(_, moved)| *moved != (0, 0))
        .collect();
    // What is given up is ours still.
    let sql = "SELECT id::text || ' ' || amount || ' ' || CASE status WHEN 'REFUNDED' THEN amount ELSE 0 END FROM payment
               WHERE method = 'CARD' AND status IN ('APPROVED', 'REFUNDED')";
    let ours: BTreeMap<String, (i64, i64)> = world
        .texts(sql)
        .await
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [id, charged, refunded] = words[..] else { panic!("{line}") };
            let points = |text: &str| text.parse().expect("points");
            (id.to_owned(), (points(charged), points(refunded)))
        })
        .filter(|(_, moved)| *moved != (0, 0))
        .collect();
    assert_eq!(ours, theirs, "charged and refunded by our books, and by the gateway's");
}

/// Answers a challenge as a browser does; where the browser goes then.
pub(crate) async fn answer(redirect_url: &str, outcome: &str) -> String {
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let browser = browser.build().expect("a client");
    let page = browser.get(redirect_url).send().await.expect("a page");
    assert_eq!(page.status(), 200);
    let form = browser.post(redirect_url).body(format!("outcome={outcome}"));
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let answer = form.send().await.expect("an answer");
    assert_eq!(answer.status(), 303);
    answer.headers()["location"].to_str().expect("an address").to_owned()
}

/// The address of the challenge of a payload's payment.
pub(crate) fn redirect(payload: &Value) -> String {
    let action = &payload["payment"]["action"];
    action["redirectUrl"].as_str().unwrap_or_else(|| panic!("no action: {payload}")).to_owned()
}

impl Client {
    /// Pays 1000 points by card; the payload.
    pub(crate) async fn pay_card(&self, reservation_id: &str, key: &str, token: &str) -> Value {
        self.pay_as(card_input(reservation_id, key, token)).await
    }

    /// Watches the caller's reservations with their payments; it runs when this returns.
    pub(crate) async fn watch_reservations(&self) -> Subscription {
        let query =
            "subscription { reservationChanges { id status expiresAt payment { status } } }";
        let mut watch = self.subscribe(query, json!({})).await;
        assert!(watch.soon().await.is_none(), "nothing has changed yet");
        watch
    }

    /// Charges 500 points to a card; the payload.
    pub(crate) async fn charge_card(&self, key: &str, token: &str) -> Value {
        let input = json!({ "amount": 500, "idempotencyKey": key, "cardToken": token, "returnUrl": RETURN_URL });
        self.charge_as(input).await
    }
}

/// What `pay` takes for a card.
pub(crate) fn card_input(reservation_id: &str, key: &str, token: &str) -> Value {
    json!({ "reservationId": reservation_id, "method": "CARD", "amount": 1_000, "idempotencyKey": key,
            "cardToken": token, "returnUrl": RETURN_URL })
}
