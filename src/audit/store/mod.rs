//! The checks, each a file of SQL that returns a line of text for every row at fault.

mod cards;
mod run;

use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) use cards::{booked, now, paid_by_card};
pub(super) use run::{LastRun, claim, finish, last_run};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::Check;
use crate::{
    db::{Db, Session, Tx},
    kernel::Fault,
};

/// Faults of one check that are told; the rest is counted only.
macro_rules! told_at_most {
    () => {
        "20"
    };
}

/// The name of a check and its statement, from the file of the same name.
macro_rules! checks {
    ($($name:literal,)+) => {
        &[$(($name, concat!(
            "SELECT fault, count(*) OVER () AS faults FROM (", include_str!(concat!($name, ".sql")),
            ") found ORDER BY fault LIMIT ", told_at_most!()
        ))),+]
    };
}

const CHECKS: &[(&str, &str)] = checks![
    "seats_name_their_owner",
    "reservations_have_their_seats",
    "reservations_add_up",
    "seats_have_one_holder_at_a_time",
    "people_keep_to_the_seat_limit",
    "holds_prove_admission",
    "holds_end_in_time",
    "balances_are_the_sum_of_entries",
    "entries_follow_each_other",
    "entries_belong_to_payments",
    "payments_moved_points",
    "card_charges_are_booked",
    "payments_agree_with_reservations",
    "pending_payments_keep_their_seats",
    "payments_are_looked_into",
    "refunds_follow_payments",
    "confirmed_reservations_are_paid_once",
    "numbers_are_unique",
    "never_too_many_active",
    "nobody_is_overtaken",
    "rounds_keep_their_pace",
    "sales_keep_their_times",
    "called_off_performances_sell_nothing",
    "draws_follow_the_secret",
    "used_tokens_paid",
    "guards_are_in_place",
];

#[derive(Debug, FromQueryResult)]
struct FaultRow {
    fault: String,
    faults: i64,
}

/// Sorting millions of rows in memory is what makes the audit quick. Two connections share the checks, so each has a core.
const ROOM: &str = "SET LOCAL work_mem = '128MB'; SET LOCAL max_parallel_workers_per_gather = 0";
/// One that runs by itself beside a sale has one core at most, and little memory.
const GENTLY: &str = "SET LOCAL max_parallel_workers_per_gather = 0";

/// Runs every check on the same state of the books, as quickly as can be.
pub(super) async fn run(db: &Db) -> Result<Vec<Check>, Fault> {
    let next = AtomicUsize::new(0);
    let some = async |tx: &Tx| run_some(tx, ROOM, &next).await;
    let found = db.snapshot_twice(some, some).await?;
    let mut checks: Vec<(usize, Check)> = found.into_iter().flatten().collect();
    checks.sort_by_key(|(place, _)| *place);
    Ok(checks.into_iter().map(|(_, check)| check).collect())
}

/// The same, for nobody to feel.
pub(super) async fn run_gently(db: &Db) -> Result<Vec<Check>, Fault> {
    let next = AtomicUsize::new(0);
    let checks = db.snapshot(async |tx| run_some(tx, GENTLY, &next).await).await?;
    Ok(checks.into_iter().map(|(_, check)| check).collect())
}

/// Runs checks, one after the other, until there is none left that nobody has taken; with their places.
async fn run_some(
    tx: &Tx,
    settings: &'static str,
    next: &AtomicUsize,
) -> Result<Vec<(usize, Check)>, Fault> {
    tx.connection().execute_unprepared(settings).await?;
    let mut checks = Vec::new();
    loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        let Some((name, sql)) = CHECKS.get(place) else { return Ok(checks) };
        checks.push((place, check(tx, name, sql).await?));
    }
}

async fn check(tx: &Tx, name: &'static str, sql: &'static str) -> Result<Check, Fault> {
    let rows: Vec<FaultRow> = tx.rows(sql, vec![]).await?;
    let count = rows.first().map_or(0, |row| row.faults);
    Ok(Check { name, count, faults: rows.into_iter().map(|row| row.fault).collect() })
}
