//! A thousand races of each kind, in groups of one instance and of two, and the books looked at afterwards.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::join_all,
    stream::{self, FuturesUnordered},
};
use serde_json::json;

use super::holders::{
    Holder, cancel, hold, holders, lapse_in_turn, pay, shared_statements, try_to_pay,
};
use crate::support::{
    client::{Client, refusal},
    eventually,
    process::Process,
    shop::{self, Setup, Show},
    world::{Instance, World},
};

const RACES: usize = 1_000;
/// So many races are under way at once: more than a group holds.
const AT_ONCE: usize = 100;

async fn hall(world: &World, a: &Instance, seats: usize) -> Show {
    let room = json!({ "maxActive": 100_000, "admitPerRound": 100_000, "roundSeconds": 0.1 });
    let rows = i32::try_from(seats.div_ceil(50)).unwrap();
    let setup = Setup { rows, seats_per_row: 50, waiting_room: room, ..Setup::default() };
    shop::show(world, a, setup).await
}

/// Runs all races, some at once; of every other pair both are at one instance.
#[expect(clippy::future_not_send, reason = "a test awaits it where it stands")]
async fn run<T>(
    people: &[Holder],
    (a, b): (&Instance, &Instance),
    race: impl AsyncFn(&Holder, &Client) -> T,
) -> Vec<T> {
    let races = people.iter().enumerate().map(|(n, holder)| {
        let here = Holder { client: holder.at(if n % 4 < 2 { a } else { b }), ..holder.clone() };
        let there = holder.at(if n % 2 == 0 { a } else { b });
        let race = &race;
        async move { race(&here, &there).await }
    });
    stream::iter(races).buffer_unordered(AT_ONCE).collect().await
}

async fn balances(world: &World) -> i64 {
    world.number("SELECT sum(balance)::bigint FROM wallet").await
}

fn points(people: usize) -> i64 {
    i64::try_from(people * 1_000).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_payments_against_the_same_payment_are_a_thousand() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = hall(&world, &a, RACES).await;
    let people = holders(&world, &a, &show, 0, RACES).await;
    run(&people, (&a, &b), async |here, there| {
        let again = pay(there, &here.reservation, "pay");
        let (first, second) = tokio::join!(pay(&here.client, &here.reservation, "pay"), again);
        assert_eq!(first["payment"]["status"], "APPROVED", "{first}");
        assert_eq!(first["payment"]["id"], second["payment"]["id"], "{second}");
    })
    .await;
    assert_eq!(balances(&world).await, 0);
    let count = i64::try_from(RACES).unwrap();
    assert_eq!(world.number("SELECT count(*) FROM payment").await, count);
    assert_eq!(world.number("SELECT count(*) FROM queue_token WHERE status = 'USED'").await, count);
    assert!(shared_statements(&world).await > count / 4, "hardly a group");
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_payments_against_another_payment_of_the_same_seat_one_each_is_made() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = hall(&world, &a, RACES).await;
    let people = holders(&world, &a, &show, 0, RACES).await;
    run(&people, (&a, &b), async |here, there| {
        let other = pay(there, &here.reservation, "other");
        let (first, second) = tokio::join!(pay(&here.client, &here.reservation, "pay"), other);
        let mut codes = [refusal(&first), refusal(&second)];
        codes.sort_unstable();
        assert_eq!(codes, [None, Some("RESERVATION_NOT_PAYABLE")], "{first} {second}");
    })
    .await;
    assert_eq!(balances(&world).await, 0);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_payments_against_cancelling_are_refunded_or_never_made() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = hall(&world, &a, RACES).await;
    let people = holders(&world, &a, &show, 0, RACES).await;
    let paid = run(&people, (&a, &b), async |here, there| {
        let (code, cancelled) = tokio::join!(here.pays("pay"), cancel(there, &here.reservation));
        assert_eq!(cancelled["reservation"]["status"], "CANCELLED", "{cancelled}");
        assert!(matches!(code.as_deref(), None | Some("RESERVATION_NOT_PAYABLE")), "{code:?}");
        code.is_none()
    })
    .await;
    let paid = paid.into_iter().filter(|paid| *paid).count();
    assert!((1..RACES).contains(&paid), "hardly a race: {paid} were paid and refunded");
    assert_eq!(balances(&world).await, points(RACES));
    assert_eq!(world.number("SELECT count(*) FROM seat WHERE status <> 'AVAILABLE'").await, 0);
    world.books_are_true().await;
}

/// Pays as the hold lapses, while somebody else takes the seat over as soon as that can be; whether it was paid.
async fn pays_or_loses(
    show: &Show,
    seat: usize,
    payer: &Holder,
    taker: &Holder,
    there: &Client,
) -> bool {
    let takes = async {
        loop {
            let taken = hold(there, show, seat, &taker.queue_token).await;
            match refusal(&taken) {
                Some("SEAT_HELD") => {}
                None => return true,
                Some(code) => {
                    assert_eq!(code, "SEAT_SOLD");
                    return false;
                }
            }
        }
    };
    let (code, taken) = tokio::join!(payer.pays("pay"), takes);
    assert!(matches!(code.as_deref(), None | Some("HOLD_EXPIRED")), "{code:?}");
    assert_eq!(code.is_none(), !taken, "exactly one of them has it");
    code.is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_payments_against_the_lapse_exactly_those_in_time_are_made() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = hall(&world, &a, 2 * RACES).await;
    let payers = holders(&world, &a, &show, 0, RACES).await;
    // They hold a seat elsewhere, and may have another one here once that is given back.
    let takers = holders(&world, &a, &show, RACES, RACES).await;
    world
        .sql(&format!("UPDATE schedule SET max_seats_per_person = 2 WHERE id = '{}'", show.id))
        .await;
    let (mut paid, mut seat) = (0, 0);
    let mut apart_ms = 4.0;
    for batch in payers.chunks(AT_ONCE / 2) {
        lapse_in_turn(&world, batch, apart_ms).await;
        let races = batch.iter().enumerate().map(|(n, payer)| {
            let seat = seat + n;
            let taker = &takers[seat];
            let payer =
                Holder { client: payer.at(if n % 2 == 0 { &a } else { &b }), ..payer.clone() };
            let there = taker.at(if n % 4 < 2 { &a } else { &b });
            let show = &show;
            async move { pays_or_loses(show, seat, &payer, taker, &there).await }
        });
        let in_time = join_all(races).await.into_iter().filter(|paid| *paid).count();
        // However quick the machine is, some are in time and some are not.
        apart_ms *= match in_time * 3 / batch.len() {
            0 => 2.0,
            1 => 1.0,
            _ => 0.5,
        };
        paid += in_time;
        seat += batch.len();
    }
    assert!((RACES / 50..RACES - RACES / 50).contains(&paid), "hardly a race: {paid} were paid");
    assert_eq!(balances(&world).await, points(2 * RACES - paid));
    world.books_are_true().await;
}

/// Pays at one instance or the other until somebody answers, as a client would; the payment's id.
async fn pays_until_told(holder: &Holder, addresses: [SocketAddr; 2], first: usize) -> String {
    let mut turn = first;
    loop {
        let client = holder.client.at(addresses[turn % 2]);
        if let Some(paid) = try_to_pay(&client, &holder.reservation, "pay").await {
            assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
            return paid["payment"]["id"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        turn += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_payments_are_made_once_each_though_instances_are_killed_in_the_middle() {
    let world = World::new().await;
    let office = world.quiet_instance(&[]).await;
    let show = hall(&world, &office, RACES).await;
    let people = holders(&world, &office, &show, 0, RACES).await;
    let mut processes = [Process::start(&world, &[]).await, Process::start(&world, &[]).await];
    let addresses = processes.each_ref().map(|process| process.address);
    let told = AtomicUsize::new(0);
    let crowd = async {
        let mut waiting = people.iter().enumerate();
        let mut paying = FuturesUnordered::new();
        let mut ids = Vec::new();
        loop {
            while paying.len() < AT_ONCE
                && let Some((n, holder)) = waiting.next()
            {
                paying.push(pays_until_told(holder, addresses, n));
            }
            let Some(id) = paying.next().await else { return ids };
            ids.push(id);
            told.fetch_add(1, Ordering::Relaxed);
        }
    };
    let killer = async {
        for round in 0..6 {
            let enough = (round + 1) * RACES / 8;
            eventually("payments to be made", async || {
                (told.load(Ordering::Relaxed) >= enough).then_some(())
            })
            .await;
            let victim = &mut processes[round % 2];
            let address = victim.address;
            victim.kill();
            *victim = Process::start_at(&world, address, &[]).await;
        }
    };
    let (mut ids, ()) = tokio::join!(crowd, killer);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), RACES);
    assert_eq!(world.number("SELECT count(*) FROM payment").await, i64::try_from(RACES).unwrap());
    assert_eq!(balances(&world).await, 0);
    assert!(shared_statements(&world).await > 0, "hardly a group");
    world.books_are_true().await;
}
