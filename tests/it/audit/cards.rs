//! Cards in the books: payments that somebody else decides, refunds on their way, performances that are called off; and the
//! gateway's own list beside ours.

use std::collections::BTreeMap;

use frontrow::{
    gateway::{Card, CardPayment, CardRefund},
    kernel::{PaymentId, Points, RefundId},
};

use super::*;
use crate::support::{
    like_stripe::LikeStripe,
    sandbox::{SECRET, Sandbox},
};

/// A busy world whose sale was paid by card, and a charge by card of the same person.
async fn busy_with_cards() -> Busy {
    let busy = busy().await;
    let payment = payment_of(&busy.world, &busy.bought).await;
    let person = busy.owner.person_id();
    busy.world
        .sql(&format!(
            "ALTER TABLE wallet_entry DISABLE TRIGGER wallet_entry_append_only;
             DELETE FROM wallet_entry WHERE payment_id = '{payment}';
             UPDATE wallet_entry e SET balance_after = sums.balance FROM (
                 SELECT id, sum(delta) OVER (PARTITION BY person_id ORDER BY sequence) AS balance FROM wallet_entry
             ) sums WHERE sums.id = e.id;
             UPDATE wallet w SET balance = (SELECT sum(delta) FROM wallet_entry e WHERE e.person_id = w.person_id)
             WHERE person_id = '{person}';
             UPDATE payment SET method = 'CARD' WHERE id = '{payment}';
             INSERT INTO payment (id, person_id, purpose, method, amount, status, idempotency_key, fingerprint, created_at, approved_at)
             SELECT gen_random_uuid(), person_id, 'CHARGE', 'CARD', delta, 'APPROVED', key, '', created_at, created_at
             FROM wallet_entry WHERE person_id = '{person}' AND kind = 'CHARGE' ORDER BY sequence LIMIT 1;
             UPDATE wallet_entry e SET payment_id = p.id FROM payment p
             WHERE p.purpose = 'CHARGE' AND e.person_id = p.person_id AND e.key = p.idempotency_key AND e.kind = 'CHARGE';
             ALTER TABLE wallet_entry ENABLE TRIGGER wallet_entry_append_only"
        ))
        .await;
    busy.world.books_are_true().await;
    busy
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_cards_and_refunds_are_named() {
    let Busy { world, show, bought, held, .. } = busy_with_cards().await;
    let payment = payment_of(&world, &bought).await;
    let charge =
        world.texts("SELECT id::text FROM payment WHERE purpose = 'CHARGE'").await.remove(0);
    let sql = |text: &str| {
        text.replace("THE_SALE", &bought)
            .replace("THE_PAYMENT", &payment)
            .replace("THE_CHARGE", &charge)
            .replace("THE_HOLD", &held)
            .replace("THE_SHOW", &show.id)
    };
    let pending = "INSERT INTO payment (id, person_id, reservation_id, method, amount, status, idempotency_key, fingerprint, created_at,
                                        held_until, look_at, call_off_at)
                   SELECT gen_random_uuid(), person_id, id, 'CARD', total_price, 'PENDING', 'k', '', now(), expires_at, LOOK, CALL_OFF
                   FROM reservation WHERE id = 'THE_HOLD'";
    let gone = "DELETE FROM payment WHERE status = 'PENDING'";
    let soon = "now() + interval '1 minute'";
    let cases = [
        // A charge by card that was booked, and is to go back.
        ("UPDATE payment SET refund_status = 'PENDING', refund_id = id, refund_asked_at = now(), refund_try_at = now()
          WHERE id = 'THE_CHARGE'".to_owned(),
         "UPDATE payment SET refund_status = NULL, refund_id = NULL, refund_asked_at = NULL, refund_try_at = NULL
          WHERE id = 'THE_CHARGE'".to_owned(),
         "card_charges_are_booked", "THE_CHARGE"),
        // One that failed, and was booked.
        ("UPDATE payment SET status = 'FAILED', approved_at = NULL, failure_code = 'CARD_DECLINED' WHERE id = 'THE_CHARGE'".to_owned(),
         "UPDATE payment SET status = 'APPROVED', approved_at = created_at, failure_code = NULL WHERE id = 'THE_CHARGE'".to_owned(),
         "entries_belong_to_payments", "THE_CHARGE"),
        // Of another amount.
        ("UPDATE payment SET amount = amount + 1 WHERE id = 'THE_CHARGE'".to_owned(),
         "UPDATE payment SET amount = amount - 1 WHERE id = 'THE_CHARGE'".to_owned(),
         "entries_belong_to_payments", "THE_CHARGE"),
        // Seats kept, and their money on its way back.
        ("UPDATE payment SET refund_status = 'FAILED', refund_id = id, refund_asked_at = now() WHERE id = 'THE_PAYMENT'".to_owned(),
         "UPDATE payment SET refund_status = NULL, refund_id = NULL, refund_asked_at = NULL WHERE id = 'THE_PAYMENT'".to_owned(),
         "confirmed_reservations_are_paid_once", "THE_SALE"),
        // Called off while the seats may be somebody else's already.
        (pending.replace("LOOK", soon).replace("CALL_OFF", "expires_at + interval '1 s'"), gone.to_owned(),
         "pending_payments_keep_their_seats", "THE_HOLD"),
        // Nobody looks.
        (pending.replace("LOOK", "now() - interval '2 hours'").replace("CALL_OFF", soon), gone.to_owned(),
         "payments_are_looked_into", "PENDING"),
        ("UPDATE reservation SET extendable_until = expires_at - interval '1 s' WHERE id = 'THE_HOLD'".to_owned(),
         "UPDATE reservation SET extendable_until = held_at + interval '10 min' WHERE id = 'THE_HOLD'".to_owned(),
         "holds_end_in_time", "THE_HOLD"),
        // Back before it came.
        ("UPDATE payment SET refunded_at = approved_at - interval '1 s' WHERE status = 'REFUNDED'".to_owned(),
         "UPDATE payment SET refunded_at = approved_at + interval '1 s' WHERE status = 'REFUNDED'".to_owned(),
         "refunds_follow_payments", "approved at"),
        // Sold after it was called off.
        ("UPDATE schedule SET status = 'CANCELLED', cancelled_at = now() - interval '1 hour' WHERE id = 'THE_SHOW'".to_owned(),
         "UPDATE schedule SET status = 'ON_SALE', cancelled_at = NULL WHERE id = 'THE_SHOW'".to_owned(),
         "called_off_performances_sell_nothing", "THE_SALE"),
    ];
    for (plant, repair, check, row) in &cases {
        finds(&world, &sql(plant), check, &sql(row)).await;
        world.sql(&sql(repair)).await;
        world.books_are_true().await;
    }
    for guard in ["payment_pending_agrees", "payment_refund_agrees", "payment_purpose_agrees"] {
        let drop = format!("ALTER TABLE payment DROP CONSTRAINT {guard}");
        finds(&world, &drop, "guards_are_in_place", guard).await;
    }
}

/// Runs `frontrow audit --gateway` against a sandbox; exit status, and what it prints.
async fn compared(world: &World, url: &str) -> (i32, String, String) {
    let environment = [
        ("DATABASE_URL", world.database.url.as_str()),
        ("FRONTROW_CARD_GATEWAY", "sandbox"),
        ("FRONTROW_SANDBOX_URL", url),
        ("FRONTROW_SANDBOX_SECRET", SECRET),
    ];
    let ended = crate::cli::run(&["audit", "--gateway"], &environment, "").await;
    (ended.code, ended.out, ended.err)
}

/// A payment by its name, whether it was charged and refunded there, and our row from its status on.
const PLANTED: &[(&str, bool, bool, Option<&str>)] = &[
    (
        "agrees",
        true,
        false,
        Some("'APPROVED', NULL, now() - interval '1 h', NULL, NULL, NULL, NULL, NULL, NULL"),
    ),
    (
        "refund agrees",
        true,
        true,
        Some(
            "'REFUNDED', NULL, now() - interval '1 h', now() - interval '1 h', NULL, gen_random_uuid(), NULL, NULL, NULL",
        ),
    ),
    (
        "failed",
        true,
        false,
        Some("'FAILED', 'CARD_DECLINED', NULL, NULL, NULL, NULL, NULL, NULL, NULL"),
    ),
    (
        "never charged",
        false,
        false,
        Some("'APPROVED', NULL, now() - interval '1 h', NULL, NULL, NULL, NULL, NULL, NULL"),
    ),
    (
        "not refunded there",
        true,
        false,
        Some(
            "'REFUNDED', NULL, now() - interval '1 h', now() - interval '1 h', NULL, gen_random_uuid(), NULL, NULL, NULL",
        ),
    ),
    (
        "not refunded here",
        true,
        true,
        Some("'APPROVED', NULL, now() - interval '1 h', NULL, NULL, NULL, NULL, NULL, NULL"),
    ),
    ("unknown", true, false, None),
    ("young", true, false, Some("'PENDING', NULL, NULL, NULL, NULL, NULL, NULL, now(), now()")),
    (
        "old",
        true,
        false,
        Some("'PENDING', NULL, NULL, NULL, NULL, NULL, NULL, now(), now() - interval '1 h'"),
    ),
];

/// Payments as both sides have them: what ours says, and what became of it there.
async fn planted(world: &World, sandbox: &Sandbox) -> BTreeMap<&'static str, String> {
    let (gateway, amount) = (sandbox.gateway(), Points::new(1_000).unwrap());
    let mut names = BTreeMap::new();
    for (name, there, refunded, ours) in PLANTED.iter().copied() {
        let id = PaymentId::new();
        let payment = CardPayment { id, amount, reference: None };
        if there {
            gateway.begin(&payment, Card { token: "tok_ok", return_url: None }).await.unwrap();
        }
        if refunded {
            let refund = CardRefund { id: RefundId::new(), attempt: 1, amount, payment };
            gateway.refund(&refund).await.unwrap();
            eventually("the refund", async || {
                (sandbox
                    .list()
                    .await
                    .iter()
                    .any(|it| it["paymentId"] == id.to_string() && it["refunded"] == 1_000))
                .then_some(())
            })
            .await;
        }
        if let Some(ours) = ours {
            world
                .sql(&format!(
                    "INSERT INTO payment (id, person_id, purpose, method, amount, idempotency_key, fingerprint, created_at,
                                          status, failure_code, approved_at, refunded_at, refund_status, refund_id, refund_asked_at,
                                          look_at, call_off_at)
                     SELECT '{id}', id, 'CHARGE', 'CARD', 1000, '{name}', '', now() - interval '1 h', {ours} FROM person LIMIT 1"
                ))
                .await;
        }
        names.insert(name, id.to_string());
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_list_is_compared_with_ours() {
    let world = World::new().await;
    let instance = world.quiet_instance(&[]).await;
    shop::fan(&world, &instance).await;
    let sandbox = Sandbox::start().await;
    assert_eq!(compared(&world, &sandbox.url).await.0, 0, "nothing agrees with nothing");
    let names = planted(&world, &sandbox).await;
    let (code, told, _) = compared(&world, &sandbox.url).await;
    assert_eq!(code, 1, "{told}");
    let lines: Vec<&str> = told
        .lines()
        .skip_while(|line| !line.starts_with("payments_agree_with_the_gateway: 6 at fault"))
        .filter(|line| line.starts_with("  payment "))
        .collect();
    assert_eq!(lines.len(), 6, "{told}");
    for (name, words) in [
        ("failed", "FAILED of 1000 here"),
        ("never charged", "APPROVED here with 1000, and not charged there"),
        ("not refunded there", "0 refunded there, REFUNDED of 1000 here"),
        ("not refunded here", "1000 refunded there, APPROVED of 1000 here without a refund"),
        ("unknown", "and unknown here"),
        ("old", "PENDING of 1000 here for too long"),
    ] {
        let line = lines.iter().find(|line| line.contains(&names[name]));
        assert!(line.is_some_and(|line| line.contains(words)), "{name}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_did_is_compared_with_ours() {
    let (world, stripe) = (World::new().await, LikeStripe::start().await);
    let flags: Vec<String> = stripe
        .environment()
        .iter()
        .map(|(name, value)| {
            let name = name.trim_start_matches("FRONTROW_").to_lowercase().replace('_', "-");
            format!("--{name}={value}")
        })
        .collect();
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    flags.push("--return-origins=https://shop.example");
    let instance = world.instance_with(&flags).await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let people = buying::buyers(&world, &[&instance], &show, 3).await;
    let mut payments = Vec::new();
    // One pays, one has the money back, one is declined.
    for (seat, number) in
        ["4242424242424242", "4242424242424242", "4000000000000341"].into_iter().enumerate()
    {
        let (buyer, card) = (&people[seat], stripe.card(number).await);
        let id = buyer.held(&show, seat).await;
        let paid = buyer.client.pay_card(&id, "pay", &card).await;
        let status = if seat == 2 { "FAILED" } else { "APPROVED" };
        assert_eq!(paid["payment"]["status"], status, "{paid}");
        payments.push(paid["payment"]["id"].as_str().unwrap().to_owned());
        if seat == 1 {
            buyer.client.cancel(&id).await;
            let back = "SELECT count(*) FROM payment WHERE status = 'REFUNDED'";
            eventually("the money to be back", async || {
                (world.number(back).await == 1).then_some(())
            })
            .await;
        }
    }
    let compared = async || {
        let mut environment = stripe.environment().to_vec();
        environment.push(("DATABASE_URL", world.database.url.as_str()));
        crate::cli::run(&["audit", "--gateway"], &environment, "").await
    };
    let ended = compared().await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "All 27 checks hold.\n"), "{ended:?}");
    // A card that we think was charged, and a refund that we do not know of.
    let declined = "UPDATE payment SET status = 'APPROVED', approved_at = created_at, failure_code = NULL WHERE status = 'FAILED'";
    let kept = "UPDATE payment SET status = 'APPROVED', refunded_at = NULL, refund_id = NULL, refund_asked_at = NULL WHERE status = 'REFUNDED'";
    for (plant, payment) in [(declined, &payments[2]), (kept, &payments[1])] {
        world.sql(plant).await;
        let ended = compared().await;
        let told = ended
            .out
            .lines()
            .skip_while(|line| !line.starts_with("payments_agree_with_the_gateway"));
        let named = told.filter(|line| line.contains(payment.as_str())).count();
        assert_eq!((ended.code, named), (1, 1), "{plant}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_be_asked_is_no_fault_and_no_all_clear() {
    let world = World::new().await;
    let (code, told, why) = compared(&world, "http://127.0.0.1:1").await;
    assert_eq!(code, 2, "{told} {why}");
    assert!(told.starts_with("All ") && why.starts_with("frontrow: "), "{told} {why}");
    let url = [("DATABASE_URL", world.database.url.as_str())];
    let none = crate::cli::run(&["audit", "--gateway"], &url, "").await;
    assert_eq!((none.code, none.err.contains("FRONTROW_CARD_GATEWAY")), (2, true), "{none:?}");
    world.sql("INSERT INTO person (id, email, name, password_hash, role) VALUES (gen_random_uuid(), 'a@b.example', 'A', '-', 'FAN');
               INSERT INTO wallet SELECT id, 1 FROM person").await;
    assert_eq!(
        compared(&world, "http://127.0.0.1:1").await.0,
        1,
        "the books are known to be false"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_audit_by_themselves_one_at_a_time_and_show_what_they_found() {
    let world = World::new().await;
    let flags = ["--audit-every=1"];
    let (a, b) = (world.instance_with(&flags).await, world.instance_with(&flags).await);
    let shown = |instance: &crate::support::world::Instance, line: &str| {
        instance.app.metrics.render().lines().any(|it| it == line).then_some(())
    };
    let check = "frontrow_audit_faults{check=\"balances_are_the_sum_of_entries\"}";
    for instance in [&a, &b] {
        eventually("an audit", async || shown(instance, &format!("{check} 0"))).await;
    }
    world.sql("INSERT INTO person (id, email, name, password_hash, role) VALUES (gen_random_uuid(), 'a@b.example', 'A', '-', 'FAN');
               INSERT INTO wallet SELECT id, 1 FROM person").await;
    for instance in [&a, &b] {
        eventually("the fault", async || shown(instance, &format!("{check} 1"))).await;
    }
    world.sql("DELETE FROM wallet").await;
    for instance in [&a, &b] {
        eventually("the repair", async || shown(instance, &format!("{check} 0"))).await;
        let page = instance.app.metrics.render();
        assert!(
            page.contains("frontrow_audit_finished_seconds ")
                && page.contains("frontrow_audit_seconds ")
        );
    }
}
