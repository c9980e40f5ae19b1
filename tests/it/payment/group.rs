//! Payments that arrive while a lane is busy share the next statement, and each has an outcome of its own.

use frontrow::lanes::LANES;
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    holders::{Holder, holders, shared_statements},
    token_status, world,
};
use crate::support::{
    buying,
    client::{Client, refusal},
    eventually,
    shop::{self, Setup},
    wire::Wire,
    world::World,
};

/// Keeps every lane busy for a moment, by a payment each. The first `LANES` of these people pay.
async fn busy(world: &World, slow: &[Holder]) -> Vec<JoinHandle<Option<String>>> {
    world
        .sql(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM pg_sleep(1.5); RETURN NEW; END $$;
             CREATE TRIGGER dawdle BEFORE INSERT ON payment
                 FOR EACH ROW WHEN (NEW.idempotency_key = 'slow') EXECUTE FUNCTION dawdle()",
        )
        .await;
    let asleep = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let mut paying = Vec::new();
    for holder in &slow[..LANES] {
        let holder = holder.clone();
        paying.push(tokio::spawn(async move { holder.pays("slow").await }));
        let count = i64::try_from(paying.len()).unwrap();
        eventually("a lane to be busy", async || {
            (world.number(asleep).await == count).then_some(())
        })
        .await;
    }
    paying
}

/// Everybody who was kept busy has paid.
async fn done(busy: Vec<JoinHandle<Option<String>>>) {
    for paid in busy {
        assert_eq!(paid.await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_group_has_an_outcome_of_its_own() {
    let setup = Setup { seats_per_row: 40, max_seats_per_person: 2, ..Setup::default() };
    let (world, a, _b, show) = world(setup).await;
    let fine = holders(&world, &a, &show, 0, 16).await;
    let people = buying::buyers(&world, &[&a], &show, 3).await;
    // Nothing in the wallet; a key that paid for something else; two seats in one.
    let poor = people[0].held(&show, 20).await;
    let first = people[1].bought(&show, 21, 1_000).await;
    let second = people[1].held(&show, 22).await;
    people[1].client.charge(1_000, "more").await;
    people[2].client.charge(2_000, "charge").await;
    let pair = people[2].hold_seats(&show, &[23, 24]).await;
    let pair = pair["reservation"]["id"].as_str().unwrap();
    world.lapse(&fine[8].reservation).await;
    fine[9].client.cancel(&fine[9].reservation).await;
    let wallet = format!(
        "SELECT 1 FROM wallet WHERE person_id = '{}' FOR UPDATE",
        fine[10].client.person_id.as_deref().unwrap()
    );
    let lock = world.pool.begin().await.unwrap();
    lock.execute_unprepared(&wallet).await.unwrap();

    let busy = busy(&world, &fine[14..]).await;
    let kept = tokio::spawn({
        let holder = fine[10].clone();
        async move { holder.pays("pay").await }
    });
    let used = format!("pay {first}");
    let code = |payload: Value| refusal(&payload).map(str::to_owned);
    let odd = async {
        tokio::join!(
            async { code(people[0].client.pay(&poor, 1_000, "pay").await) },
            async { code(people[1].client.pay(&second, 1_000, &used).await) },
            async { code(people[2].client.pay(pair, 2_000, "pay").await) },
            async { code(fine[11].client.pay(&fine[11].reservation, 999, "pay").await) },
            async { code(fine[12].client.pay(&fine[13].reservation, 1_000, "pay").await) },
        )
    };
    let (codes, odd) = tokio::join!(join_all(fine[..10].iter().map(|it| it.pays("pay"))), odd);
    assert_eq!(codes[..8], [const { None::<String> }; 8]);
    assert_eq!(codes[8].as_deref(), Some("HOLD_EXPIRED"));
    assert_eq!(codes[9].as_deref(), Some("RESERVATION_NOT_PAYABLE"));
    assert_eq!(odd.0.as_deref(), Some("INSUFFICIENT_BALANCE"));
    assert_eq!(odd.1.as_deref(), Some("IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(odd.2, None);
    assert_eq!(odd.3.as_deref(), Some("AMOUNT_MISMATCH"));
    assert_eq!(odd.4.as_deref(), Some("RESERVATION_NOT_FOUND"));
    // All others were answered; whoever met a lock waits for it alone.
    assert!(!kept.is_finished());
    lock.rollback().await.unwrap();
    assert_eq!(kept.await.unwrap(), None);
    done(busy).await;
    assert!(shared_statements(&world).await >= 8, "hardly a group");
    assert_eq!(token_status(&world, &people[2]).await, "USED");
    assert_eq!(world.number("SELECT count(*) FROM seat WHERE status = 'SOLD_OUT'").await, 14);
    world.books_are_true().await;
}

const PAY: &str = "mutation ($input: PayInput!) { pay(input: $input) { payment { status } userErrors { code } } }";

/// Pays; `APPROVED`, or the code of what went wrong.
async fn paid(client: &Client, reservation: &str, key: &str) -> String {
    let input = json!({ "reservationId": reservation, "method": "POINT", "amount": 1_000, "idempotencyKey": key });
    let answer = client.send(PAY, json!({ "input": input })).await;
    let status = answer["data"]["pay"]["payment"]["status"].as_str();
    let code = answer["errors"][0]["extensions"]["code"].as_str();
    status.or(code).unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Has the database refuse payments whose key is `cursed`, with an error of this class.
async fn curse(world: &World, class: &str) {
    world
        .sql(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION 'cursed' USING ERRCODE = '{class}'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON payment
                 FOR EACH ROW WHEN (NEW.idempotency_key = 'cursed') EXECUTE FUNCTION refuse()"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_the_database_cannot_take_costs_nobody_else_theirs() {
    let (world, a, _b, show) = world(Setup { seats_per_row: 24, ..Setup::default() }).await;
    let people = holders(&world, &a, &show, 0, 24).await;
    curse(&world, "P0001").await;
    let busy = busy(&world, &people[22..]).await;
    let payments = people[..22].iter().enumerate().map(async |(n, it)| {
        let key = if n % 10 == 3 { "cursed" } else { "pay" };
        paid(&it.client, &it.reservation, key).await
    });
    for (n, outcome) in join_all(payments).await.into_iter().enumerate() {
        assert_eq!(outcome, if n % 10 == 3 { "INTERNAL" } else { "APPROVED" }, "{n}");
    }
    done(busy).await;
    assert!(shared_statements(&world).await > 2, "hardly a group");
    assert_eq!(people[3].pays("another").await, None);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_the_database_cannot_serve_now_is_told_so_and_nothing_is_written() {
    let (world, a, _b, show) = world(Setup { seats_per_row: 24, ..Setup::default() }).await;
    let people = holders(&world, &a, &show, 0, 24).await;
    curse(&world, "53100").await;
    let busy = busy(&world, &people[22..]).await;
    let payments = people[..22].iter().enumerate().map(async |(n, it)| {
        let key = if n == 9 { "cursed" } else { "pay" };
        paid(&it.client, &it.reservation, key).await
    });
    let outcomes = join_all(payments).await;
    done(busy).await;
    let away = outcomes.iter().filter(|outcome| *outcome == "OVERLOADED").count();
    assert!(away > 1, "hardly a group: {outcomes:?}");
    assert_eq!(outcomes[9], "OVERLOADED");
    let made = i64::try_from(24 - away).unwrap();
    assert_eq!(world.number("SELECT count(*) FROM payment").await, made, "{outcomes:?}");
    world.books_are_true().await;
    world.sql("DROP TRIGGER refuse ON payment").await;
    for it in &people[..22] {
        assert_eq!(
            it.pays(if it.reservation == people[9].reservation { "cursed" } else { "pay" }).await,
            None
        );
    }
    assert_eq!(world.number("SELECT count(*) FROM payment").await, 24);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_answer_was_lost_is_found_by_its_key() {
    let (world, office, _b, show) = world(Setup::default()).await;
    let (wire, url) = Wire::to_url(&world.database.url).await;
    let a = world.instance_with(&[&format!("--database-url={url}"), "--patience-ms=1000"]).await;
    let people = holders(&world, &office, &show, 0, 3).await;
    let at_a: Vec<Holder> =
        people.iter().map(|it| Holder { client: it.at(&a), ..it.clone() }).collect();
    let busy = busy(&world, &at_a[..2]).await;
    // Committed, and nobody hears of it by these connections.
    wire.swallow_replies();
    eventually("the payments to be made", async || {
        (world.number("SELECT count(*) FROM payment").await == 2).then_some(())
    })
    .await;
    wire.reply();
    done(busy).await;
    assert_eq!(at_a[2].pays("pay").await, None, "the lanes go on");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_persons_orders_in_one_statement_the_first_is_paid() {
    let setup = Setup { max_seats_per_person: 2, ..Setup::default() };
    let (world, a, _b, show) = world(setup).await;
    let buyer = buying::buyer(&world, &a, &show).await;
    buyer.client.charge(5_000, "charge").await;
    let (one, two) = (buyer.held(&show, 0).await, buyer.held(&show, 1).await);
    let other = holders(&world, &a, &show, 2, 1).await;
    let stranger = other[0].client.person_id.as_deref().unwrap();
    let me = buyer.person_id();
    let id = || uuid::Uuid::now_v7().to_string();
    let lists = [
        format!("'{{{one},{two},{}}}'", other[0].reservation),
        format!("'{{{me},{me},{stranger}}}'"),
        "'{1000,1000,1000}'".to_owned(),
        format!("'{{{},{},{}}}'", id(), id(), id()),
        "'{one,two,three}'".to_owned(),
        r#"'{"\\x01","\\x02","\\x03"}'"#.to_owned(),
        format!("'{{{},{},{}}}'", id(), id(), id()),
    ];
    let mut sql = include_str!("../../../src/payment/store/pay.sql").to_owned();
    for (n, list) in lists.iter().enumerate() {
        sql = sql.replace(&format!("${}", n + 1), list);
    }
    world.sql(&sql).await;
    world.books_are_true().await;
    let keys = world.texts("SELECT idempotency_key FROM payment ORDER BY 1").await;
    assert_eq!(keys, ["one", "three"]);
    assert_eq!(buyer.client.balance().await, 4_000);
    assert_eq!(refusal(&buyer.client.pay(&two, 1_000, "two").await), None);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_of_a_group_and_everybody_who_looks_on_is_told() {
    let (world, a, b, show) = world(Setup { seats_per_row: 16, ..Setup::default() }).await;
    let people = holders(&world, &a, &show, 0, 10).await;
    let watcher = shop::fan(&world, &b).await;
    watcher.enter(&show.id).await;
    let mut watches = Vec::new();
    for it in &people[..8] {
        let mut watch = it.at(&b).watch_queue(&show.id).await;
        assert_eq!(watch.field().await["status"], "ACTIVE");
        watches.push(watch);
    }
    let busy = busy(&world, &people[8..]).await;
    let codes = join_all(people[..8].iter().map(|it| it.pays("pay"))).await;
    assert_eq!(codes, [const { None::<String> }; 8]);
    for watch in &mut watches {
        watch.until("USED", |token| token["status"] == "USED").await;
    }
    done(busy).await;
    assert!(shared_statements(&world).await > 2, "hardly a group");
    world.books_are_true().await;
}
