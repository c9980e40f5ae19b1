//! Performances that are called off: holds end, the line goes home, and everybody is refunded, once, whoever dies meanwhile.

use std::time::{Duration, Instant};

use frontrow::{kernel::ScheduleId, payment::RefundProgress};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    buying,
    client::{Client, refusal},
    eventually,
    owners::{self, Owner, PRICE},
    process::Process,
    random::Random,
    sandbox::Sandbox,
    shop::{self, Setup, Show},
    world::{Instance, World},
};

/// Calls a mutation that takes a schedule and nothing else; the payload.
async fn change(organizer: &Client, field: &str, id: &str) -> Value {
    let query = format!(
        "mutation ($id: ID!) {{ {field}(scheduleId: $id) {{
            schedule {{ status waitingRoom {{ status }} }} userErrors {{ code message path }} }} }}"
    );
    organizer.payload(&query, json!({ "id": id })).await
}

async fn call_off(show: &Show) -> Value {
    change(&show.organizer, "cancelSchedule", &show.id).await
}

async fn progress(instance: &Instance, show: &Show) -> Option<RefundProgress> {
    let id = ScheduleId::parse(&show.id).unwrap();
    let progress = instance.app.payments.refund_progress(&[id]).await;
    progress.unwrap_or_else(|fault| panic!("{}", fault.report())).remove(&id)
}

/// Waits until nobody holds or owns anything at a performance, nor stands in its line.
async fn empty(world: &World, show: &Show) {
    let id = &show.id;
    let sql = format!(
        "SELECT (SELECT count(*) FROM reservation WHERE schedule_id = '{id}' AND status IN ('HOLD', 'CONFIRMED'))
              + (SELECT count(*) FROM queue_token WHERE schedule_id = '{id}' AND status IN ('WAITING', 'ACTIVE'))
              + (SELECT count(*) FROM seat WHERE schedule_id = '{id}' AND status <> 'AVAILABLE')"
    );
    eventually("everybody to have left", async || (world.number(&sql).await == 0).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_end_the_line_goes_home_and_everybody_is_refunded() {
    let (world, sandbox) = (World::new().await, Sandbox::start().await);
    let flags = sandbox.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (a, b) = (world.instance_with(&flags).await, world.instance_with(&flags).await);
    let room = json!({ "maxActive": 2, "admitPerRound": 10, "roundSeconds": 0.1 });
    let show = shop::show(&world, &a, Setup { waiting_room: room, ..Setup::default() }).await;
    let gateway = sandbox.gateway();
    let tokens = [None, Some("tok_ok"), Some("tok_refund_fails_twice")];
    let owners = owners::owners(&world, &a, Some(&gateway), &show, &tokens).await;
    let inside = buying::buyers(&world, &[&a, &b], &show, 2).await;
    let held = inside[0].held(&show, 5).await;
    let waiting = shop::fan(&world, &b).await;
    assert_eq!(waiting.enter(&show.id).await["queueToken"]["status"], "WAITING");
    let mut watching = waiting.watch_queue(&show.id).await;
    assert_eq!(progress(&a, &show).await, None, "it was not called off");

    let called_off = call_off(&show).await;
    assert_eq!(refusal(&called_off), None, "{called_off}");
    assert_eq!(
        called_off["schedule"],
        json!({ "status": "CANCELLED", "waitingRoom": { "status": "CLOSED" } })
    );
    // From now on nothing begins.
    let newcomer = shop::fan(&world, &b).await;
    assert_eq!(refusal(&newcomer.enter(&show.id).await), Some("SALE_CLOSED"));
    let refused = inside[1].hold(&show, 6).await;
    assert!(matches!(refusal(&refused), Some("SALE_CLOSED" | "QUEUE_ENDED")), "{refused}");
    inside[0].client.charge(PRICE, "charge").await;
    let refused = inside[0].client.pay(&held, PRICE, "pay").await;
    assert_eq!(refusal(&refused), Some("RESERVATION_NOT_PAYABLE"), "{refused}");

    empty(&world, &show).await;
    assert_eq!(inside[0].client.reservation(&held).await["status"], "CANCELLED");
    for owner in &owners {
        owner.is("REFUNDED", "DONE").await;
        assert_eq!(owner.client.reservation(&owner.reservation_id).await["status"], "CANCELLED");
    }
    assert_eq!(owners[0].client.balance().await, PRICE);
    assert_eq!(progress(&b, &show).await, Some(RefundProgress { total: 3, done: 3, failed: 0 }));
    eventually("the line to be told", async || {
        (watching.field().await["status"] == "EXPIRED").then_some(())
    })
    .await;
    assert_eq!(waiting.queue_status(&show.id).await["roomStatus"], "CLOSED");
    for line in sandbox.list().await {
        assert_eq!((&line["charged"], &line["refunded"]), (&json!(PRICE), &json!(PRICE)), "{line}");
    }
    // Safe to repeat.
    assert_eq!(call_off(&show).await["schedule"]["status"], "CANCELLED");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_not_to_call_off_has_its_code() {
    let world = World::new().await;
    let instance = world.instance().await;
    let draft = shop::show(&world, &instance, Setup { open_sale: false, ..Setup::default() }).await;
    assert_eq!(refusal(&call_off(&draft).await), Some("WRONG_STATE"));
    let stranger = shop::person(&world, &instance, "ORGANIZER").await;
    for (organizer, id) in [
        (&stranger, draft.id.as_str()),
        (&draft.organizer, "no id"),
        (&draft.organizer, "00000000-0000-7000-8000-000000000000"),
    ] {
        let refused = change(organizer, "cancelSchedule", id).await;
        assert_eq!(refusal(&refused), Some("NOT_FOUND"), "{refused}");
        assert_eq!(refused["schedule"], Value::Null);
    }
    change(&draft.organizer, "openSale", &draft.id).await;
    change(&draft.organizer, "closeSale", &draft.id).await;
    let closed_at = world.texts("SELECT closed_at::text FROM schedule").await;
    assert_eq!(call_off(&draft).await["schedule"]["status"], "CANCELLED");
    assert_eq!(world.texts("SELECT closed_at::text FROM schedule").await, closed_at);
    for field in ["openSale", "closeSale"] {
        let refused = change(&draft.organizer, field, &draft.id).await;
        assert_eq!(refusal(&refused), Some("WRONG_STATE"), "{field}: {refused}");
    }
    assert_eq!(progress(&instance, &draft).await, Some(RefundProgress::default()));
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_called_off_is_found_by_who_asks_for_it() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    call_off(&show).await;
    let (client, id) = (instance.client(), json!({ "id": show.concert_id }));
    let query = "query ($id: ID!) {
        on_sale: schedules(concertId: $id) { id }
        off: schedules(concertId: $id, status: [CANCELLED]) { id status remainingSeats }
        all: schedules(concertId: $id, status: null) { status } }";
    let found = client.data(query, id).await;
    assert_eq!(found["on_sale"], json!([]));
    assert_eq!(
        found["off"],
        json!([{ "id": show.id, "status": "CANCELLED", "remainingSeats": 10 }])
    );
    assert_eq!(found["all"], json!([{ "status": "CANCELLED" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_performance_is_called_off_after_it_began_and_a_line_before_its_draw() {
    let world = World::new().await;
    let instance = world.instance().await;
    let begun = shop::show(&world, &instance, Setup::default()).await;
    let owner = owners::owners(&world, &instance, None, &begun, &[None]).await.remove(0);
    world
        .sql("UPDATE schedule SET cancel_until = now(), starts_at = now(), sales_close_at = now()")
        .await;
    assert_eq!(
        refusal(&owner.client.cancel(&owner.reservation_id).await),
        Some("CANCELLATION_CLOSED")
    );
    assert_eq!(refusal(&call_off(&begun).await), None);
    owner.is("REFUNDED", "DONE").await;
    let drawn = shop::show(&world, &instance, Setup { opens_in: 3_600, ..Setup::default() }).await;
    let fan = shop::fan(&world, &instance).await;
    assert_eq!(fan.enter(&drawn.id).await["queueToken"]["position"], Value::Null);
    call_off(&drawn).await;
    eventually("the line to go home", async || {
        (fan.queue_status(&drawn.id).await["status"] == "EXPIRED").then_some(())
    })
    .await;
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_performance_is_called_off_in_the_middle_of_a_crowd() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    for round in 0..3_u64 {
        let show = shop::show(&world, &a, Setup { rows: 4, ..Setup::default() }).await;
        let buyers = buying::buyers(&world, &[&a, &b], &show, 32).await;
        let crowd = join_all(buyers.iter().enumerate().map(async |(seat, buyer)| {
            buyer.client.charge(PRICE, "charge").await;
            let held = buyer.hold(&show, seat).await;
            assert!(matches!(refusal(&held), None | Some("SALE_CLOSED" | "QUEUE_ENDED")), "{held}");
            let Some(id) = held["reservation"]["id"].as_str() else { return };
            let paid = buyer.client.pay(id, PRICE, "pay").await;
            assert!(matches!(refusal(&paid), None | Some("RESERVATION_NOT_PAYABLE")), "{paid}");
            if seat % 4 == 0 {
                let cancelled = buyer.client.cancel(id).await;
                assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "{cancelled}");
            }
        }));
        let organizer = async {
            tokio::time::sleep(Duration::from_millis(40 * round)).await;
            for payload in join_all([call_off(&show), call_off(&show)]).await {
                assert_eq!(refusal(&payload), None, "{payload}");
            }
        };
        tokio::join!(crowd, organizer);
        empty(&world, &show).await;
        for buyer in &buyers {
            assert_eq!(buyer.client.balance().await, PRICE);
        }
        let progress = progress(&a, &show).await.unwrap();
        assert_eq!((progress.done, progress.failed), (progress.total, 0));
        world.books_are_true().await;
    }
}

/// A number that somebody who runs the tests by hand may choose.
fn chosen(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// How long a shop may take for everybody; per reservation, since a large number is chosen by hand.
fn patience(reservations: usize) -> Duration {
    Duration::from_secs(60 + u64::try_from(reservations / 20).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_refunded_once_though_instances_are_killed_and_the_gateway_is_in_trouble() {
    let people = chosen("FRONTROW_TEST_CALLED_OFF", 300);
    let kills = chosen("FRONTROW_TEST_KILLS", 2);
    let mut random = Random::seeded();
    let (world, sandbox) = (World::new().await, Sandbox::start().await);
    let flags = sandbox.flags();
    let own = ["--gateway-timeout-ms=1000", "--refund-seconds=600"];
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(own).collect();
    let office = world.quiet_instance(&flags).await;
    let rows = i32::try_from(people.div_ceil(100)).unwrap();
    let setup = Setup { rows, seats_per_row: 100, ..Setup::default() };
    let show = shop::show(&world, &office, setup).await;
    // Half of them by card, and some of these with trouble of their own.
    let token = |n: usize| match n % 20 {
        1 => Some("tok_refund_late"),
        3 => Some("tok_refund_fails_twice"),
        n if n % 2 == 1 => Some("tok_ok"),
        _ => None,
    };
    let tokens: Vec<Option<&str>> = (0..people).map(token).collect();
    let gateway = sandbox.gateway();
    let owners = owners::owners(&world, &office, Some(&gateway), &show, &tokens).await;
    let mut processes =
        [Process::start(&world, &flags).await, Process::start(&world, &flags).await];
    let start = Instant::now();
    let organizer = show.organizer.at(processes[0].address);
    let called_off = change(&organizer, "cancelSchedule", &show.id).await;
    assert_eq!(called_off["schedule"]["status"], "CANCELLED", "{called_off}");
    let total = i32::try_from(people).unwrap();
    let (mut killed, mut shown, mut troubled) = (0, 0, false);
    while shown < total {
        assert!(start.elapsed() < patience(people), "{shown} of {total} are refunded");
        let now = progress(&office, &show).await.unwrap();
        assert!(
            (now.total, now.failed) == (total, 0) && now.done >= shown,
            "{now:?} after {shown}"
        );
        shown = now.done;
        // The kills are spread over the work, and so is the gateway's trouble.
        let share = total.saturating_mul(i32::try_from(killed + 1).unwrap())
            / i32::try_from(kills + 1).unwrap();
        if killed < kills && shown >= share {
            let victim = &mut processes[killed % 2];
            let address = victim.address;
            victim.kill();
            killed += 1;
            if !troubled && killed * 2 >= kills {
                sandbox.trouble(2, killed % 2 == 0).await;
                troubled = true;
            }
            let pause = u64::try_from(random.below(300)).unwrap();
            tokio::time::sleep(Duration::from_millis(pause)).await;
            *victim = Process::start_at(&world, address, &flags).await;
        }
        tokio::time::sleep(Duration::from_millis(u64::try_from(random.below(40)).unwrap())).await;
    }
    #[expect(clippy::print_stderr, reason = "the figures of a run by hand")]
    {
        eprintln!(
            "{people} reservations were refunded in {:.1?}, with {killed} kills",
            start.elapsed()
        );
    }
    empty(&world, &show).await;
    everybody_has_their_money(&world, &sandbox, &owners).await;
}

/// Everybody was refunded once, by our books and by the gateway's.
async fn everybody_has_their_money(world: &World, sandbox: &Sandbox, owners: &[Owner]) {
    let cards = owners.iter().filter(|owner| owner.by_card).count();
    let list = sandbox.list().await;
    assert_eq!(list.len(), cards);
    for line in &list {
        assert_eq!((&line["charged"], &line["refunded"]), (&json!(PRICE), &json!(PRICE)), "{line}");
    }
    let count = async |sql: &str| usize::try_from(world.number(sql).await).unwrap();
    assert_eq!(count("SELECT count(*) FROM payment WHERE status = 'REFUNDED'").await, owners.len());
    let rollbacks = "SELECT count(*) FROM wallet_entry WHERE kind = 'ROLLBACK'";
    assert_eq!(count(rollbacks).await, owners.len() - cards);
    let poor = format!("SELECT count(*) FROM wallet WHERE balance <> {PRICE}");
    assert_eq!(count(&poor).await, 0, "points are back to the last one");
    world.books_are_true().await;
}
