//! Claiming seats.

use std::sync::LazyLock;

use sea_orm::{FromQueryResult, Value, sea_query::ArrayType};

use crate::{
    db::{Db, Session, array, bigints, uuids},
    kernel::{Fault, PersonId, Points, QueueTokenId, ReservationId, ScheduleId, SeatId, Timestamp},
    reservation::{
        HoldTerms, Reservation, ReservationStatus, SeatChange, SeatStatus, rules::HoldFacts,
    },
    waiting_room::{Change, QueueStatus},
};

/// What is to be held, and by whom.
#[derive(Debug, Clone)]
pub(in crate::reservation) struct HoldOrder {
    pub queue_token_id: QueueTokenId,
    pub schedule_id: ScheduleId,
    pub person_id: PersonId,
    /// Sorted, without doubles.
    pub seat_ids: Vec<SeatId>,
    pub reservation_id: ReservationId,
}

/// What becomes of a hold when somebody else has locked the person's token, or what they held by an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::reservation) enum Locks {
    /// The hold is left out, and costs the others of its group no time.
    Skipped,
    /// The hold waits; for one that is by itself.
    Awaited,
}

/// A hold that was just made, and what has to be told.
#[derive(Debug)]
pub(in crate::reservation) struct Held {
    pub reservation: Reservation,
    pub seats: Vec<SeatChange>,
    pub token: Change,
}

#[derive(Debug, FromQueryResult)]
struct HeldRow {
    n: i64,
    seat_id: SeatId,
    seat_version: i32,
    total_price: Points,
    held_at: Timestamp,
    hold_expires_at: Timestamp,
    number: i64,
    token_version: i64,
    activated_at: Option<Timestamp>,
    token_expires_at: Option<Timestamp>,
}

/// Makes many holds in one statement, each of them whole or not at all. The answers come in the order of `orders`. `None`
/// says that something stood in the way of that hold, and that nothing of it was changed. Each person has one order at most.
///
/// Locks in the order tokens, reservations of earlier tokens, seats. A token's row lock lets one hold of a person through
/// at a time, and the version it finds there must be that of the statement's snapshot: else another hold of theirs was
/// committed in between, and the seats counted against the limit are stale. What the person holds by an earlier token is
/// locked too: it may be being paid, and a payment that comes later finds it lapsed if this hold did. A seat whose hold has
/// lapsed is free; its version grows by two, one for the lapse that nobody has written down yet.
pub(in crate::reservation) async fn hold(
    db: &Db,
    orders: &[&HoldOrder],
    terms: HoldTerms,
    locks: Locks,
) -> Result<Vec<Option<Held>>, Fault> {
    const GROUP: &str = include_str!("hold.sql");
    static ALONE: LazyLock<String> =
        LazyLock::new(|| GROUP.replace("SKIP LOCKED -- unless alone", ""));
    let counts =
        orders.iter().map(|order| i32::try_from(order.seat_ids.len()).unwrap_or(i32::MAX).into());
    let [tokens, schedules, people] = asked(orders);
    let [of, seats] = wanted(orders);
    let values = vec![
        tokens,
        schedules,
        people,
        uuids(orders.iter().map(|order| order.reservation_id.0)),
        array(ArrayType::Int, counts),
        of,
        seats,
        f64::from(terms.hold_seconds).into(),
        terms.lapses_free.into(),
    ];
    let sql: &'static str = match locks {
        Locks::Skipped => GROUP,
        Locks::Awaited => &ALONE,
    };
    let rows: Vec<HeldRow> = db.rows(sql, values).await?;
    let mut held: Vec<Option<Held>> = orders.iter().map(|_| None).collect();
    for row in rows {
        let Some(at) = index(row.n) else { continue };
        let (Some(place), Some(order)) = (held.get_mut(at), orders.get(at)) else { continue };
        place.get_or_insert_with(|| made(order, &row)).seats.push(SeatChange {
            seat_id: row.seat_id,
            status: SeatStatus::Hold,
            version: row.seat_version,
            hold_expires_at: Some(row.hold_expires_at),
        });
    }
    Ok(held)
}

/// A hold as it was written, without its seats.
fn made(order: &HoldOrder, row: &HeldRow) -> Held {
    let reservation = Reservation {
        id: order.reservation_id,
        person_id: order.person_id,
        schedule_id: order.schedule_id,
        queue_token_id: order.queue_token_id,
        status: ReservationStatus::Hold,
        seat_count: i32::try_from(order.seat_ids.len()).unwrap_or(i32::MAX),
        total_price: row.total_price,
        held_at: row.held_at,
        expires_at: row.hold_expires_at,
        // Twice the hold's time in all, as the statement writes it.
        extendable_until: row.hold_expires_at + (row.hold_expires_at - row.held_at),
        confirmed_at: None,
        cancelled_at: None,
        now: row.held_at,
    };
    let token = Change {
        number: row.number,
        person_id: order.person_id,
        status: QueueStatus::Active,
        version: row.token_version,
        activated_at: row.activated_at,
        expires_at: row.token_expires_at,
        was_active: true,
        ended_because: None,
    };
    Held { reservation, seats: Vec::new(), token }
}

/// Where a statement's n-th order stands.
fn index(n: i64) -> Option<usize> {
    usize::try_from(n).ok()?.checked_sub(1)
}

/// Tokens, schedules and people of some orders.
fn asked(orders: &[&HoldOrder]) -> [Value; 3] {
    [
        uuids(orders.iter().map(|order| order.queue_token_id.0)),
        uuids(orders.iter().map(|order| order.schedule_id.0)),
        uuids(orders.iter().map(|order| order.person_id.0)),
    ]
}

/// The seats of some orders: of which order each is, and its id.
fn wanted(orders: &[&HoldOrder]) -> [Value; 2] {
    let of = (1_i64..).zip(orders).flat_map(|(n, order)| order.seat_ids.iter().map(move |_| n));
    [bigints(of), uuids(orders.iter().flat_map(|order| &order.seat_ids).map(|seat| seat.0))]
}

#[derive(Debug, FromQueryResult)]
struct HoldFactsRow {
    n: i64,
    token: Option<QueueStatus>,
    on_sale: bool,
    taken: i64,
    seat_limit: i32,
    rests_for: Option<i64>,
    seat_id: Option<SeatId>,
    seat_status: Option<SeatStatus>,
}

/// What stood in the way of some holds, in the order of the orders.
pub(in crate::reservation) async fn hold_facts(
    db: &Db,
    orders: &[&HoldOrder],
    terms: HoldTerms,
) -> Result<Vec<HoldFacts>, Fault> {
    const SQL: &str = include_str!("hold_facts.sql");
    let mut facts: Vec<HoldFacts> = orders.iter().map(|_| HoldFacts::default()).collect();
    if orders.is_empty() {
        return Ok(facts);
    }
    let mut values: Vec<Value> = asked(orders).into_iter().chain(wanted(orders)).collect();
    values.extend([f64::from(terms.hold_seconds).into(), terms.lapses_free.into()]);
    let rows: Vec<HoldFactsRow> = db.rows(SQL, values).await?;
    for row in rows {
        let Some(facts) = index(row.n).and_then(|at| facts.get_mut(at)) else { continue };
        (facts.token, facts.on_sale) = (row.token, row.on_sale);
        (facts.taken, facts.limit) = (row.taken, row.seat_limit);
        facts.rests_for = u32::try_from(row.rests_for.unwrap_or(0)).unwrap_or(u32::MAX);
        facts.seats.extend(row.seat_id.zip(row.seat_status));
    }
    Ok(facts)
}
