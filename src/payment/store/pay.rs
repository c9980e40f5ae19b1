//! Moving points for seats.

use std::{collections::HashMap, sync::LazyLock};

use sea_orm::{DbErr, FromQueryResult, Value, sea_query::ArrayType};

use super::PaymentRow;
use crate::{
    db::{Db, Session, array, bigints, constraint, uuids},
    kernel::{
        Fault, PaymentId, PersonId, Points, ReservationId, ScheduleId, SeatId, WalletEntryId,
    },
    payment::{Payment, rules::PayFacts},
    reservation::{ReservationStatus, SeatChange, SeatStatus},
    waiting_room::{Change, TouchedToken},
};

/// What is to be paid with points, and by whom.
#[derive(Debug, Clone)]
pub(in crate::payment) struct Order {
    pub person_id: PersonId,
    pub reservation_id: ReservationId,
    pub amount: Points,
    pub key: String,
    pub fingerprint: [u8; 32],
}

/// A payment that was just made, and what has to be told.
#[derive(Debug)]
pub(in crate::payment) struct Paid {
    pub payment: Payment,
    pub schedule_id: ScheduleId,
    pub seats: Vec<SeatChange>,
    /// The person's live token, which the payment prolonged or ended.
    pub token: Option<Change>,
    /// Whether somebody waits for a place at this performance.
    pub awaited: bool,
}

#[derive(Debug, FromQueryResult)]
struct PaidRow {
    seat_id: SeatId,
    seat_version: i32,
    schedule_id: ScheduleId,
    #[sea_orm(nested)]
    touched: TouchedToken,
    awaited: bool,
    #[sea_orm(nested)]
    payment: PaymentRow,
}

impl PaidRow {
    fn seat(&self) -> SeatChange {
        SeatChange {
            seat_id: self.seat_id,
            status: SeatStatus::SoldOut,
            version: self.seat_version,
            hold_expires_at: None,
        }
    }
}

/// These refuse a second payment for a reservation, or under a key.
const TAKEN: [&str; 2] = ["payment_live_unique", "payment_key_unique"];
/// The statement as it is for a group: it waits for nobody's lock.
const GROUP: &str = include_str!("pay.sql");
/// The same statement for one order that nobody else has to wait for.
static ALONE: LazyLock<String> = LazyLock::new(|| GROUP.replace(" SKIP LOCKED", ""));

/// Pays each of these orders whole or not at all: reservation, seats, wallet, ledger, queue tokens, in one statement. An
/// order that something stood in the way of gets `None`, and nothing was changed for it. The orders are of different people;
/// of one person's orders only the first is looked at.
///
/// Locks in the order tokens, reservation, seats, wallet; each step needs the one before. Somebody else's lock is not waited
/// for: its order is left out, so that one person keeps nobody waiting and groups close no circle.
///
/// A seat that somebody took over after the hold had lapsed is missing from `place`, and then nothing is paid. Nothing is
/// paid either when the hold has lapsed by the time at which the last lock was there: since the lapse the person may have
/// held other seats instead.
///
/// With the last seat that the person may own their live token is USED up, whichever token paid. So that token is locked
/// along with the reservation's own, and each payment raises the versions of both: a version that is not that of the
/// statement's snapshot tells that another payment of theirs was committed in between, and that the seats counted are stale.
/// A person who comes into line in the very instant of paying is not seen, and keeps a place that gives them nothing.
pub(in crate::payment) async fn pay_group(
    db: &Db,
    orders: &[Order],
) -> Result<Vec<Option<Paid>>, DbErr> {
    pay(db, GROUP, orders).await
}

/// Pays one order as [`pay_group`] does, and waits until nobody else has a lock on anything of it.
pub(in crate::payment) async fn pay_alone(db: &Db, order: &Order) -> Result<Option<Paid>, DbErr> {
    Ok(pay(db, &ALONE, std::slice::from_ref(order)).await?.pop().flatten())
}

async fn pay(db: &Db, sql: &'static str, orders: &[Order]) -> Result<Vec<Option<Paid>>, DbErr> {
    let payments: Vec<PaymentId> = orders.iter().map(|_| PaymentId::new()).collect();
    let keys = orders.iter().map(|order| Value::from(order.key.as_str()));
    let fingerprints = orders.iter().map(|order| Value::from(order.fingerprint.to_vec()));
    let values = vec![
        uuids(orders.iter().map(|order| order.reservation_id.0)),
        uuids(orders.iter().map(|order| order.person_id.0)),
        bigints(orders.iter().map(|order| order.amount.get())),
        uuids(payments.iter().map(|id| id.0)),
        array(ArrayType::String, keys),
        array(ArrayType::Bytes, fingerprints),
        uuids(orders.iter().map(|_| WalletEntryId::new().0)),
    ];
    let rows = match db.rows::<PaidRow>(sql, values).await {
        // Somebody was faster since the statement began. Of several the lane finds out whom that concerns.
        Err(error)
            if orders.len() == 1
                && constraint(&error).is_some_and(|name| TAKEN.contains(&name)) =>
        {
            Vec::new()
        }
        rows => rows?,
    };
    let mut paid: HashMap<PaymentId, Paid> = HashMap::new();
    for row in rows {
        let seat = row.seat();
        let payment = paid.entry(row.payment.id).or_insert_with(|| Paid {
            schedule_id: row.schedule_id,
            seats: Vec::new(),
            // The statement names live tokens only.
            token: row.touched.change(row.payment.person_id, |_| true),
            awaited: row.awaited,
            payment: row.payment.into(),
        });
        payment.seats.push(seat);
    }
    Ok(payments.iter().map(|id| paid.remove(id)).collect())
}

#[derive(Debug, FromQueryResult)]
struct PayFactsRow {
    status: ReservationStatus,
    price: Points,
    balance: Option<Points>,
    pending: bool,
    seats_kept: bool,
    failures: i64,
}

/// What stood in the way of a payment; `None` when there is no such reservation of this person.
pub(in crate::payment) async fn pay_facts(
    db: &Db,
    person_id: PersonId,
    reservation_id: ReservationId,
) -> Result<Option<PayFacts>, Fault> {
    const SQL: &str = "
        SELECT CASE WHEN has_lapsed(r.status, r.expires_at, clock_timestamp()) THEN 'EXPIRED'
                    -- About to be given up, since the performance was called off.
                    WHEN r.status = 'HOLD' AND s.status = 'CANCELLED' THEN 'CANCELLED'
                    ELSE r.status END AS status,
               r.total_price AS price,
               (SELECT balance FROM wallet WHERE person_id = $2) AS balance,
               EXISTS (SELECT 1 FROM payment p WHERE p.reservation_id = r.id AND p.status = 'PENDING') AS pending,
               (SELECT count(*) FROM reservation_seat l JOIN seat ON seat.id = l.seat_id
                WHERE l.reservation_id = r.id AND seat.reservation_id = r.id) = r.seat_count AS seats_kept,
               (SELECT count(*) FROM payment p WHERE p.reservation_id = r.id AND p.status = 'FAILED') AS failures
        FROM reservation r JOIN schedule s ON s.id = r.schedule_id
        WHERE r.id = $1 AND r.person_id = $2";
    let row: Option<PayFactsRow> =
        db.row(SQL, vec![reservation_id.into(), person_id.into()]).await?;
    Ok(row.map(|row| PayFacts {
        status: row.status,
        price: row.price,
        balance: row.balance,
        pending: row.pending,
        seats_kept: row.seats_kept,
        failures: row.failures,
    }))
}
