//! Money that goes back: where it came from, once, whatever is lost on the way.

use frontrow::{
    gateway::{CardGateway, CardPayment, CardRefund, RefundStanding},
    kernel::{PaymentId, Points, RefundId},
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    buying,
    client::{Client, refusal},
    eventually,
    owners::{self, Owner, PRICE},
    sandbox::Sandbox,
    shop::{self, Setup, Show},
    world::{Instance, World},
};

/// A shop that takes cards, with two instances.
struct Shop {
    world: World,
    sandbox: Sandbox,
    gateway: CardGateway,
    a: Instance,
    b: Instance,
    show: Show,
}

impl Shop {
    async fn open() -> Self {
        Self::with(&[], Setup::default()).await
    }

    async fn with(more: &[&str], setup: Setup) -> Self {
        let (world, sandbox) = (World::new().await, Sandbox::start().await);
        let flags = sandbox.flags();
        let flags: Vec<&str> =
            flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let (a, b) = (world.instance_with(&flags).await, world.instance_with(&flags).await);
        let show = shop::show(&world, &a, setup).await;
        let gateway = sandbox.gateway();
        Self { world, sandbox, gateway, a, b, show }
    }

    async fn owners(&self, tokens: &[Option<&str>]) -> Vec<Owner> {
        owners::owners(&self.world, &self.a, Some(&self.gateway), &self.show, tokens).await
    }

    async fn owner(&self, token: &str) -> Owner {
        self.owners(&[Some(token)]).await.remove(0)
    }

    /// What the sandbox gave back of a payment.
    async fn refunded(&self, owner: &Owner) -> i64 {
        let list = self.sandbox.list().await;
        let line = list.iter().find(|line| line["paymentId"] == owner.payment_id.as_str());
        line.expect("the payment")["refunded"].as_i64().expect("an amount")
    }

    async fn attempt(&self, owner: &Owner) -> i64 {
        let sql =
            format!("SELECT refund_attempt::bigint FROM payment WHERE id = '{}'", owner.payment_id);
        self.world.number(&sql).await
    }
}

/// Gives somebody's money back as an organizer; the payload.
pub(super) async fn refund(organizer: &Client, reservation_id: &str) -> Value {
    let query = "mutation ($id: ID!) { refundReservation(id: $id) {
        reservation { id status cancelledAt payment { status refundStatus } } userErrors { code message path } } }";
    organizer.payload(query, json!({ "id": reservation_id })).await
}

/// What an instance counts.
async fn counted(instance: &Instance, outcome: &str) -> u64 {
    let page = reqwest::get(format!("http://{}/metrics", instance.address)).await.unwrap();
    let name = format!("frontrow_refunds_total{{outcome=\"{outcome}\"}} ");
    let text = page.text().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).expect("the metric")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seat_is_free_at_once_and_the_card_gets_its_money_back() {
    let shop = Shop::open().await;
    let owner = shop.owner("tok_refund_late").await;
    let cancelled = owner.client.cancel(&owner.reservation_id).await;
    assert_eq!(refusal(&cancelled), None, "{cancelled}");
    assert_eq!(cancelled["reservation"]["status"], "CANCELLED");
    assert_eq!(cancelled["reservation"]["seats"][0]["status"], "AVAILABLE");
    assert_eq!(owner.stands().await, ("APPROVED".to_owned(), json!("PENDING")));
    // Somebody else buys the seat meanwhile.
    let next = buying::buyer(&shop.world, &shop.b, &shop.show).await;
    next.bought(&shop.show, 0, PRICE).await;
    shop.world.books_are_true().await;
    owner.is("REFUNDED", "DONE").await;
    let again = owner.at(&shop.b).client.cancel(&owner.reservation_id).await;
    assert_eq!(again["reservation"]["cancelledAt"], cancelled["reservation"]["cancelledAt"]);
    assert!(again["reservation"]["payment"]["refundedAt"].is_string(), "{again}");
    assert_eq!(shop.refunded(&owner).await, PRICE);
    assert!(counted(&shop.a, "done").await + counted(&shop.b, "done").await >= 1);
    shop.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_twenty_times_at_once_the_card_is_refunded_once() {
    let shop = Shop::open().await;
    let owner = shop.owner("tok_ok").await;
    let there = owner.at(&shop.b);
    let calls = (0..20).map(async |n| {
        let who = if n % 2 == 0 { &owner } else { &there };
        match n % 3 {
            0 => refund(&shop.show.organizer, &owner.reservation_id).await,
            _ => who.client.cancel(&owner.reservation_id).await,
        }
    });
    for cancelled in join_all(calls).await {
        assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "{cancelled}");
    }
    owner.is("REFUNDED", "DONE").await;
    assert_eq!((shop.refunded(&owner).await, shop.attempt(&owner).await), (PRICE, 1));
    shop.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_twice_works_the_third_time() {
    let shop = Shop::open().await;
    let owner = shop.owner("tok_refund_fails_twice").await;
    owner.client.cancel(&owner.reservation_id).await;
    owner.is("REFUNDED", "DONE").await;
    assert_eq!((shop.refunded(&owner).await, shop.attempt(&owner).await), (PRICE, 3));
    shop.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_good_calls_a_person_and_is_tried_anew_when_they_ask() {
    let shop = Shop::with(&["--refund-seconds=1"], Setup::default()).await;
    let owner = shop.owner("tok_refund_fails").await;
    owner.client.cancel(&owner.reservation_id).await;
    owner.is("APPROVED", "FAILED").await;
    let failures = async || counted(&shop.a, "failed").await + counted(&shop.b, "failed").await;
    assert_eq!(failures().await, 1);
    let attempts = shop.attempt(&owner).await;
    assert!(attempts > 1, "{attempts}");
    shop.world.books_are_true().await;
    // The fan is told how it stands, and nothing more happens.
    let again = owner.client.cancel(&owner.reservation_id).await;
    assert_eq!((refusal(&again), owner.stands().await.1), (None, json!("FAILED")));
    let anew = refund(&shop.show.organizer, &owner.reservation_id).await;
    assert_eq!(anew["reservation"]["payment"]["refundStatus"], "PENDING", "{anew}");
    eventually("a new attempt", async || (shop.attempt(&owner).await > attempts).then_some(()))
        .await;
    owner.is("APPROVED", "FAILED").await;
    assert_eq!((failures().await, shop.refunded(&owner).await), (2, 0));
    shop.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_in_trouble_is_asked_again_and_gives_back_once() {
    let shop = Shop::open().await;
    let owners = shop.owners(&[Some("tok_ok"); 6]).await;
    for does in [false, true] {
        shop.sandbox.trouble(1, does).await;
        for owner in owners.iter().skip(if does { 3 } else { 0 }).take(3) {
            let cancelled = owner.client.cancel(&owner.reservation_id).await;
            assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "{cancelled}");
        }
        eventually("calls without an answer", async || {
            let again = counted(&shop.a, "again").await + counted(&shop.b, "again").await;
            (again >= 3).then_some(())
        })
        .await;
    }
    for owner in &owners {
        owner.is("REFUNDED", "DONE").await;
        assert_eq!((shop.refunded(owner).await, shop.attempt(owner).await), (PRICE, 1));
    }
    shop.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_nobody_wrote_down_is_found_and_not_made_again() {
    let (world, sandbox) = (World::new().await, Sandbox::start().await);
    let flags = sandbox.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (office, gateway) = (world.quiet_instance(&flags).await, sandbox.gateway());
    let show = shop::show(&world, &office, Setup::default()).await;
    let owner =
        owners::owners(&world, &office, Some(&gateway), &show, &[Some("tok_ok")]).await.remove(0);
    owner.client.cancel(&owner.reservation_id).await;
    // An instance that died: it had taken the refund, and asked the gateway.
    let payment = format!("payment WHERE id = '{}'", owner.payment_id);
    world.sql("UPDATE payment SET refund_try_at = clock_timestamp() + interval '1 hour'").await;
    let id = world.texts(&format!("SELECT refund_id::text FROM {payment}")).await.remove(0);
    let amount = Points::new(PRICE).unwrap();
    let id_of_payment = PaymentId::parse(&owner.payment_id).unwrap();
    let asked = CardRefund {
        id: RefundId::parse(&id).unwrap(),
        attempt: 1,
        amount,
        payment: CardPayment { id: id_of_payment, amount, reference: None },
    };
    eventually("the money to be back", async || {
        let standing = gateway.refund(&asked).await.unwrap();
        (standing == RefundStanding::Done).then_some(())
    })
    .await;
    assert!(!office.app.payments.refund_due().await.unwrap());
    assert_eq!(owner.stands().await, ("APPROVED".to_owned(), json!("PENDING")), "not due");
    // Its gateway says that something has happened.
    office.app.payments.refund_soon(id_of_payment).await.unwrap();
    office.app.payments.refund_due().await.unwrap();
    assert_eq!(owner.stands().await, ("REFUNDED".to_owned(), json!("DONE")));
    office.app.payments.refund_soon(id_of_payment).await.unwrap();
    assert_eq!(sandbox.list().await[0]["refunded"], PRICE);
    world.books_are_true().await;
}

/// Fills somebody's wallet up to what it can hold but for so many points.
async fn fill(world: &World, person_id: &str, room: i64) {
    world
        .sql(&format!(
            "WITH full_wallet AS (
                 UPDATE wallet SET balance = 9007199254740991 - {room} WHERE person_id = '{person_id}' RETURNING balance
             )
             INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, created_at)
             SELECT gen_random_uuid(), '{person_id}', 'CHARGE', full_wallet.balance - before.balance, full_wallet.balance, 'CHARGE',
                    'fill', clock_timestamp()
             FROM full_wallet, wallet before WHERE before.person_id = '{person_id}'"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_do_not_fit_wait_until_they_do() {
    let setup = Setup { max_seats_per_person: 2, ..Setup::default() };
    let shop = Shop::with(&[], setup).await;
    let buyer = buying::buyer(&shop.world, &shop.a, &shop.show).await;
    let bought = buyer.bought(&shop.show, 0, PRICE).await;
    fill(&shop.world, buyer.person_id(), PRICE - 1).await;
    let cancelled = buyer.client.cancel(&bought).await;
    assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "{cancelled}");
    assert_eq!(cancelled["reservation"]["seats"][0]["status"], "AVAILABLE");
    let client = buyer.client.clone();
    let payment_id = shop.world.texts("SELECT id::text FROM payment").await.remove(0);
    let owner = Owner { client, reservation_id: bought, payment_id, by_card: false };
    eventually("a try", async || (counted(&shop.a, "again").await > 0).then_some(())).await;
    assert_eq!(owner.stands().await, ("APPROVED".to_owned(), json!("PENDING")));
    shop.world.books_are_true().await;
    let balance = buyer.client.balance().await;
    // Something is spent: now there is room.
    let other = buyer.held(&shop.show, 1).await;
    let paid = buyer.client.pay(&other, PRICE, "other").await;
    assert_eq!(refusal(&paid), None, "{paid}");
    owner.is("REFUNDED", "DONE").await;
    assert_eq!(buyer.client.balance().await, balance);
    shop.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_never_fit_call_a_person() {
    let setup = Setup { max_seats_per_person: 2, ..Setup::default() };
    let shop = Shop::with(&["--refund-seconds=1"], setup).await;
    let buyer = buying::buyer(&shop.world, &shop.a, &shop.show).await;
    let reservation_id = buyer.bought(&shop.show, 0, PRICE).await;
    fill(&shop.world, buyer.person_id(), 0).await;
    let balance = buyer.client.balance().await;
    buyer.client.cancel(&reservation_id).await;
    let payment_id = shop.world.texts("SELECT id::text FROM payment").await.remove(0);
    let client = buyer.client.clone();
    let owner = Owner { client, reservation_id, payment_id, by_card: false };
    owner.is("APPROVED", "FAILED").await;
    shop.world.books_are_true().await;
    let other = buyer.held(&shop.show, 1).await;
    buyer.client.pay(&other, PRICE, "other").await;
    assert_eq!(owner.stands().await.1, json!("FAILED"), "nobody has asked");
    refund(&shop.show.organizer, &owner.reservation_id).await;
    owner.is("REFUNDED", "DONE").await;
    assert_eq!(buyer.client.balance().await, balance);
    shop.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fans_cancel_until_their_organizer_says_and_organizers_at_any_time() {
    let shop = Shop::open().await;
    let owners = shop.owners(&[None, Some("tok_ok"), None]).await;
    let id = &shop.show.id;
    let schedule = shop.a.client();
    let query = "query ($id: ID!) { schedule(id: $id) { startsAt cancelUntil } }";
    let told = schedule.data(query, json!({ "id": id })).await["schedule"].clone();
    assert_eq!(told["cancelUntil"], told["startsAt"]);
    shop.world.sql("UPDATE schedule SET cancel_until = clock_timestamp()").await;
    for owner in &owners {
        let refused = owner.client.cancel(&owner.reservation_id).await;
        assert_eq!(refusal(&refused), Some("CANCELLATION_CLOSED"), "{refused}");
        assert_eq!(owner.stands().await, ("APPROVED".to_owned(), Value::Null));
    }
    // A hold can be given back all the same: nothing was paid for it.
    let buyer = buying::buyer(&shop.world, &shop.a, &shop.show).await;
    let held = buyer.held(&shop.show, 5).await;
    assert_eq!(refusal(&buyer.client.cancel(&held).await), None);
    let begun =
        "UPDATE schedule SET starts_at = clock_timestamp(), sales_close_at = clock_timestamp()";
    for sql in ["SELECT", begun] {
        shop.world.sql(sql).await;
        let owner = &owners[usize::from(sql == begun)];
        for _ in 0..2 {
            let refunded = refund(&shop.show.organizer, &owner.reservation_id).await;
            assert_eq!(refusal(&refunded), None, "{refunded}");
            assert_eq!(refunded["reservation"]["status"], "CANCELLED");
        }
        owner.is("REFUNDED", "DONE").await;
    }
    assert_eq!(owners[0].client.balance().await, PRICE);
    assert_eq!(shop.refunded(&owners[1]).await, PRICE);
    shop.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn organizers_refund_what_is_theirs_and_learn_nothing_of_the_rest() {
    let shop = Shop::open().await;
    let owner = shop.owners(&[None]).await.remove(0);
    let stranger = shop::person(&shop.world, &shop.b, "ORGANIZER").await;
    for (organizer, id) in [
        (&stranger, owner.reservation_id.as_str()),
        (&shop.show.organizer, "no id"),
        (&shop.show.organizer, "00000000-0000-7000-8000-000000000000"),
    ] {
        let refused = refund(organizer, id).await;
        assert_eq!(refusal(&refused), Some("RESERVATION_NOT_FOUND"), "{refused}");
        assert_eq!(refused["userErrors"][0]["path"], json!(["id"]));
    }
    let fan = "mutation ($id: ID!) { refundReservation(id: $id) { userErrors { code } } }";
    let id = json!({ "id": owner.reservation_id });
    assert_eq!(owner.client.error_code(fan, id).await, "FORBIDDEN");
    assert_eq!(owner.stands().await, ("APPROVED".to_owned(), Value::Null));
    // A hold is given up, one that has lapsed is not there any more.
    let two = buying::buyers(&shop.world, &[&shop.a, &shop.b], &shop.show, 2).await;
    let (held, lapsed) = (two[0].held(&shop.show, 1).await, two[1].held(&shop.show, 2).await);
    let given_up = refund(&shop.show.organizer, &held).await;
    assert_eq!(given_up["reservation"]["status"], "CANCELLED", "{given_up}");
    assert_eq!(given_up["reservation"]["payment"], Value::Null);
    shop.world.lapse(&lapsed).await;
    let refused = refund(&shop.show.organizer, &lapsed).await;
    assert_eq!(refusal(&refused), Some("RESERVATION_EXPIRED"), "{refused}");
    shop.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_came_too_late_for_its_seats_goes_back_too() {
    let shop = Shop::with(&["--refund-seconds=1"], Setup::default()).await;
    let owner = shop.owner("tok_refund_fails").await;
    // As a payment leaves it that was approved when somebody else had the seats.
    shop.world
        .sql(
            "UPDATE seat SET status = 'AVAILABLE', reservation_id = NULL, version = version + 1 WHERE status = 'SOLD_OUT';
             UPDATE reservation SET status = 'EXPIRED', confirmed_at = NULL;
             UPDATE queue_token SET status = 'EXPIRED';
             UPDATE payment SET refund_status = 'PENDING', refund_id = gen_random_uuid(), refund_asked_at = clock_timestamp(),
                                refund_try_at = clock_timestamp()",
        )
        .await;
    let organizer = &shop.show.organizer;
    let asked = refund(organizer, &owner.reservation_id).await;
    assert_eq!(asked["reservation"]["status"], "EXPIRED", "{asked}");
    owner.is("APPROVED", "FAILED").await;
    let anew = refund(organizer, &owner.reservation_id).await;
    assert_eq!(anew["reservation"]["payment"]["refundStatus"], "PENDING", "{anew}");
    assert_eq!(
        refusal(&owner.client.cancel(&owner.reservation_id).await),
        Some("RESERVATION_EXPIRED")
    );
    shop.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_without_a_gateway_keeps_what_it_could_not_refund() {
    let shop = Shop::open().await;
    let owners = shop.owners(&[Some("tok_ok"), None]).await;
    let cardless = shop.world.instance().await;
    let organizer = shop.show.organizer.at(cardless.address);
    let owner = owners[0].at(&cardless);
    for refused in [
        owner.client.cancel(&owner.reservation_id).await,
        refund(&organizer, &owner.reservation_id).await,
    ] {
        assert_eq!(refusal(&refused), Some("GATEWAY_UNAVAILABLE"), "{refused}");
    }
    assert_eq!(owner.stands().await, ("APPROVED".to_owned(), Value::Null));
    let points = owners[1].at(&cardless);
    assert_eq!(refusal(&points.client.cancel(&points.reservation_id).await), None);
    assert_eq!(points.client.balance().await, PRICE);
    shop.world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_itself_refuses_refunds_that_contradict_themselves() {
    let shop = Shop::open().await;
    shop.owners(&[Some("tok_ok")]).await;
    for sql in [
        "UPDATE payment SET refund_status = 'PENDING'",
        "UPDATE payment SET refund_status = 'DONE'",
        "UPDATE payment SET refund_try_at = now()",
        "UPDATE payment SET status = 'REFUNDED', refunded_at = now(), refund_status = 'PENDING', refund_id = id,
                            refund_asked_at = now(), refund_try_at = now()",
    ] {
        assert_eq!(shop.world.refused(sql).await, "payment_refund_agrees", "{sql}");
    }
    for (sql, constraint) in [
        ("UPDATE schedule SET status = 'CANCELLED'", "schedule_cancelled_agrees"),
        (
            "UPDATE schedule SET cancel_until = starts_at + interval '1 s'",
            "schedule_cancel_until_in_time",
        ),
    ] {
        assert_eq!(shop.world.refused(sql).await, constraint, "{sql}");
    }
}
