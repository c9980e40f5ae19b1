//! Payments that a card gateway decides: begun, looked into, approved, or failed.

use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Session},
    gateway::{Action, CardPayment},
    kernel::{
        Fault, POINTS_MAX, PaymentId, PersonId, Points, RefundId, ReservationId, ScheduleId,
        SeatId, Timestamp, WalletEntryId,
    },
    payment::{PayRefusal, PaymentStatus, store::Order},
    reservation::{SeatChange, SeatStatus},
    waiting_room::{Change, QueueStatus, TouchedToken},
};

/// Payments of one reservation that may fail. Then there are no further records of failures, and no further cards.
pub(in crate::payment) const FAILURES_MAX: i64 = 20;
/// A payment that is not decided yet is looked into again after a quarter of its age, but neither sooner nor later than this.
const PAUSE_LEAST: f64 = 1.0;
const PAUSE_MOST: f64 = 30.0;
/// A webhook comes while the answer is on its way, as a rule: the look waits this long for that.
const NOTICE_PAUSE: f64 = 0.25;

/// How long a payment may take, in seconds.
#[derive(Debug, Clone, Copy)]
pub(in crate::payment) struct Pace {
    /// After this a worker looks, whoever began it.
    pub look: f64,
    /// After this it is called off.
    pub call_off: f64,
    /// For this long the seats are kept beyond that: somebody has to call it off, and hear the answer.
    pub margin: f64,
    /// For this long a payment is left to the instance that looks into it.
    pub lease: f64,
}

/// What a payment by card changed, and what has to be told.
#[derive(Debug)]
pub(in crate::payment) struct Moved {
    pub schedule_id: ScheduleId,
    pub person_id: PersonId,
    pub reservation_id: ReservationId,
    /// The seats are the payer's now.
    pub theirs: bool,
    pub seats: Vec<SeatChange>,
    /// The person's ACTIVE time, if it moved or ended.
    pub token: Option<Change>,
}

#[derive(Debug, FromQueryResult)]
struct MovedRow {
    theirs: bool,
    schedule_id: ScheduleId,
    person_id: PersonId,
    reservation_id: ReservationId,
    seat_id: Option<SeatId>,
    seat_version: Option<i32>,
    seat_status: Option<SeatStatus>,
    hold_expires_at: Option<Timestamp>,
    #[sea_orm(nested)]
    touched: TouchedToken,
}

impl MovedRow {
    fn seat(&self) -> Option<SeatChange> {
        Some(SeatChange {
            seat_id: self.seat_id?,
            status: self.seat_status?,
            version: self.seat_version?,
            hold_expires_at: self.hold_expires_at,
        })
    }

    fn token(&self) -> Option<Change> {
        // A place that had ended before is no news.
        self.touched.change(self.person_id, |status| {
            status == QueueStatus::Active || (self.theirs && status == QueueStatus::Used)
        })
    }
}

fn moved(rows: &[MovedRow]) -> Option<Moved> {
    let first = rows.first()?;
    Some(Moved {
        schedule_id: first.schedule_id,
        person_id: first.person_id,
        reservation_id: first.reservation_id,
        theirs: first.theirs,
        seats: rows.iter().filter_map(MovedRow::seat).collect(),
        token: first.token(),
    })
}

/// Begins a payment by card for seats, and keeps them. `None` when something stands in its way.
///
/// Locks in the order token, reservation, seats, and then reads the time. The token's version is raised, so that whoever
/// gives the reservation back meanwhile sees the payment.
pub(in crate::payment) async fn begin(
    db: &Db,
    id: PaymentId,
    order: &Order,
    pace: Pace,
) -> Result<Option<Moved>, Fault> {
    const SQL: &str = include_str!("begin.sql");
    let values = vec![
        order.reservation_id.into(),
        order.person_id.into(),
        order.amount.into(),
        id.into(),
        order.key.as_str().into(),
        order.fingerprint.to_vec().into(),
        pace.look.into(),
        pace.call_off.into(),
        pace.margin.into(),
        FAILURES_MAX.into(),
    ];
    Ok(moved(&db.rows::<MovedRow>(SQL, values).await?))
}

/// The seats of a payment that was charged are its payer's, or its money has to go back. `None` when it was decided before,
/// or when something of the person's changed at that instant.
///
/// Locks in the order tokens, reservation, payment, seats, and then reads the time.
pub(in crate::payment) async fn approve(
    db: &Db,
    id: PaymentId,
    reference: Option<&str>,
) -> Result<Option<Moved>, Fault> {
    const SQL: &str = include_str!("approve.sql");
    let values = vec![id.into(), reference.into(), RefundId::new().0.into()];
    Ok(moved(&db.rows::<MovedRow>(SQL, values).await?))
}

/// A payment for seats has failed. `None` as in [`approve`], and when the gateway was asked more often than `attempts`.
pub(in crate::payment) async fn fail(
    db: &Db,
    id: PaymentId,
    code: PayRefusal,
    reference: Option<&str>,
    attempts: Option<i32>,
) -> Result<Option<Moved>, Fault> {
    const SQL: &str = include_str!("fail.sql");
    let values = vec![id.into(), code.as_str().into(), reference.into(), attempts.into()];
    Ok(moved(&db.rows::<MovedRow>(SQL, values).await?))
}

/// Begins a charge by card; `false` when its key was used before.
pub(in crate::payment) async fn begin_charge(
    db: &Db,
    id: PaymentId,
    charge: &CardCharge<'_>,
    pace: Pace,
) -> Result<bool, Fault> {
    const SQL: &str = "
        INSERT INTO payment (id, person_id, purpose, method, amount, status, idempotency_key, fingerprint, created_at, asked_at,
                             look_at, call_off_at)
        SELECT $1, $2, 'CHARGE', 'CARD', $3, 'PENDING', $4, $5, clock.now, clock.now, clock.now + make_interval(secs => $6),
               clock.now + make_interval(secs => $7)
        FROM (SELECT clock_timestamp() AS now) clock
        ON CONFLICT DO NOTHING";
    let values = vec![
        id.into(),
        charge.person_id.into(),
        charge.amount.into(),
        charge.key.into(),
        charge.fingerprint.to_vec().into(),
        pace.look.into(),
        pace.call_off.into(),
    ];
    Ok(db.run(SQL, values).await? > 0)
}

/// Points that a card is to pay for.
#[derive(Debug)]
pub(in crate::payment) struct CardCharge<'a> {
    pub person_id: PersonId,
    pub amount: Points,
    pub key: &'a str,
    pub fingerprint: [u8; 32],
}

/// Books what a card has paid for, or has the money go back: the wallet is full, or the key was used without a card
/// meanwhile. Nothing changes for a payment that was decided before.
///
/// Locks in the order payment, wallet; the person has a wallet.
pub(in crate::payment) async fn credit(
    db: &Db,
    id: PaymentId,
    reference: Option<&str>,
) -> Result<(), Fault> {
    const SQL: &str = include_str!("credit.sql");
    let values = vec![
        id.into(),
        reference.into(),
        RefundId::new().0.into(),
        WalletEntryId::new().into(),
        POINTS_MAX.into(),
    ];
    db.run(SQL, values).await?;
    Ok(())
}

/// A charge has failed, if it was not decided before, and the gateway was not asked more often than `attempts`.
pub(in crate::payment) async fn fail_charge(
    db: &Db,
    id: PaymentId,
    code: PayRefusal,
    reference: Option<&str>,
    attempts: Option<i32>,
) -> Result<(), Fault> {
    const SQL: &str = "
        UPDATE payment p
        SET status = 'FAILED', failure_code = $2, look_at = NULL, action_url = NULL, action_secret = NULL,
            gateway_reference = coalesce($3, p.gateway_reference)
        WHERE p.id = $1 AND p.status = 'PENDING' AND p.purpose = 'CHARGE' AND ($4::integer IS NULL OR p.attempts <= $4)";
    let values = vec![id.into(), code.as_str().into(), reference.into(), attempts.into()];
    db.run(SQL, values).await?;
    Ok(())
}

/// A payment that is not decided yet.
#[derive(Debug, Clone)]
pub(in crate::payment) struct Undecided {
    /// As the gateway knows it.
    pub card: CardPayment,
    /// For seats, and not for points.
    pub for_seats: bool,
    /// How often the gateway was asked for the money.
    pub attempts: i32,
    /// The buyer was asked to do something.
    pub had_action: bool,
    /// It is time to call it off.
    pub overdue: bool,
    /// Nobody can still be asking the gateway for the money.
    pub quiet: bool,
}

impl Undecided {
    /// One that was just begun.
    pub(in crate::payment) const fn new(card: CardPayment, for_seats: bool) -> Self {
        Self { card, for_seats, attempts: 1, had_action: false, overdue: false, quiet: false }
    }
}

#[derive(Debug, FromQueryResult)]
struct UndecidedRow {
    id: PaymentId,
    amount: Points,
    gateway_reference: Option<String>,
    for_seats: bool,
    attempts: i32,
    had_action: bool,
    overdue: bool,
    quiet: bool,
}

impl From<UndecidedRow> for Undecided {
    fn from(row: UndecidedRow) -> Self {
        Self {
            card: CardPayment { id: row.id, amount: row.amount, reference: row.gateway_reference },
            for_seats: row.for_seats,
            attempts: row.attempts,
            had_action: row.had_action,
            overdue: row.overdue,
            quiet: row.quiet,
        }
    }
}

/// A payment, unless it is decided.
pub(in crate::payment) async fn undecided(
    db: &Db,
    id: PaymentId,
    pace: Pace,
) -> Result<Option<Undecided>, Fault> {
    const SQL: &str = "
        SELECT p.id, p.amount, p.gateway_reference, p.purpose = 'SEATS' AS for_seats, p.attempts,
               p.action_expires_at IS NOT NULL AS had_action, p.call_off_at <= clock_timestamp() AS overdue,
               coalesce(p.asked_at, p.created_at) + make_interval(secs => $2) <= clock_timestamp() AS quiet
        FROM payment p WHERE p.id = $1 AND p.status = 'PENDING'";
    let row: Option<UndecidedRow> = db.row(SQL, vec![id.into(), pace.look.into()]).await?;
    Ok(row.map(Undecided::from))
}

/// Takes payments that somebody has to look into, the longest due first. For a while no other instance takes them.
pub(in crate::payment) async fn take_due(
    db: &Db,
    most: i64,
    pace: Pace,
) -> Result<Vec<Undecided>, Fault> {
    const SQL: &str = "
        WITH due AS MATERIALIZED (
            -- A time that stands still while the statement runs: only such a one is found by the index.
            SELECT p.id FROM payment p WHERE p.status = 'PENDING' AND p.look_at <= statement_timestamp()
            ORDER BY p.look_at LIMIT $1
            FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE payment p SET look_at = clock_timestamp() + make_interval(secs => $2)
        FROM due
        WHERE p.id = due.id
        RETURNING p.id, p.amount, p.gateway_reference, p.purpose = 'SEATS' AS for_seats, p.attempts,
                  p.action_expires_at IS NOT NULL AS had_action, p.call_off_at <= clock_timestamp() AS overdue,
                  coalesce(p.asked_at, p.created_at) + make_interval(secs => $3) <= clock_timestamp() AS quiet";
    let values = vec![most.into(), pace.lease.into(), pace.look.into()];
    let rows: Vec<UndecidedRow> = db.rows(SQL, values).await?;
    Ok(rows.into_iter().map(Undecided::from).collect())
}

/// Notes that the gateway is asked for the money once more; how often that is by now. `None` when the payment is decided, or
/// about to be called off.
pub(in crate::payment) async fn attempt_again(
    db: &Db,
    id: PaymentId,
    pace: Pace,
) -> Result<Option<i32>, Fault> {
    const SQL: &str = "
        UPDATE payment p
        SET attempts = p.attempts + 1, asked_at = clock_timestamp(),
            look_at = greatest(p.look_at, clock_timestamp() + make_interval(secs => $2))
        WHERE p.id = $1 AND p.status = 'PENDING' AND p.call_off_at > clock_timestamp()
        RETURNING p.attempts";
    #[derive(FromQueryResult)]
    struct Row {
        attempts: i32,
    }
    let row: Option<Row> = db.row(SQL, vec![id.into(), pace.look.into()]).await?;
    Ok(row.map(|row| row.attempts))
}

/// Notes how a payment stands that the gateway has not decided: what the buyer has to do, if anything, and when to look again.
pub(in crate::payment) async fn note_standing(
    db: &Db,
    id: PaymentId,
    reference: Option<&str>,
    action: Option<&Action>,
) -> Result<(), Fault> {
    const SQL: &str = "
        UPDATE payment p
        SET gateway_reference = coalesce($2, p.gateway_reference), action_url = $3, action_secret = $4,
            action_expires_at = CASE WHEN $5 THEN least($6::timestamptz, p.call_off_at) ELSE p.action_expires_at END,
            look_at = least(
                clock.now + make_interval(secs => least($8::float8, greatest(
                    $7::float8, extract(epoch FROM clock.now - p.created_at)::float8 / 4))),
                CASE WHEN p.call_off_at > clock.now THEN p.call_off_at END)
        FROM (SELECT clock_timestamp() AS now) clock
        WHERE p.id = $1 AND p.status = 'PENDING'";
    let values = vec![
        id.into(),
        reference.into(),
        action.and_then(|action| action.redirect_url.as_deref()).into(),
        action.and_then(|action| action.client_secret.as_deref()).into(),
        action.is_some().into(),
        action.and_then(|action| action.expires_at).into(),
        PAUSE_LEAST.into(),
        PAUSE_MOST.into(),
    ];
    db.run(SQL, values).await?;
    Ok(())
}

/// Notes that the gateway could not be asked, and is asked again later.
pub(in crate::payment) async fn look_later(db: &Db, id: PaymentId) -> Result<(), Fault> {
    const SQL: &str = "
        UPDATE payment p
        SET look_at = least(
                clock.now + make_interval(secs => least($3::float8, greatest(
                    $2::float8, extract(epoch FROM clock.now - p.created_at)::float8 / 4))),
                CASE WHEN p.call_off_at > clock.now THEN p.call_off_at END)
        FROM (SELECT clock_timestamp() AS now) clock
        WHERE p.id = $1 AND p.status = 'PENDING'";
    db.run(SQL, vec![id.into(), PAUSE_LEAST.into(), PAUSE_MOST.into()]).await?;
    Ok(())
}

/// Notes that something may have happened to a payment: somebody should look soon.
pub(in crate::payment) async fn look_soon(db: &Db, id: PaymentId) -> Result<(), Fault> {
    const SQL: &str = "
        UPDATE payment p SET look_at = least(p.look_at, clock_timestamp() + make_interval(secs => $2))
        WHERE p.id = $1 AND p.status = 'PENDING'";
    db.run(SQL, vec![id.into(), NOTICE_PAUSE.into()]).await?;
    Ok(())
}

/// A charge by card, as its key stands for it.
#[derive(Debug, FromQueryResult)]
pub(in crate::payment) struct ChargeRow {
    pub id: PaymentId,
    pub status: PaymentStatus,
    pub failure_code: Option<PayRefusal>,
    pub fingerprint: Vec<u8>,
    pub action_url: Option<String>,
    pub action_secret: Option<String>,
    pub action_expires_at: Option<Timestamp>,
}

/// The charge by card that a key was used for.
pub(in crate::payment) async fn charge_by_key(
    db: &Db,
    person_id: PersonId,
    key: &str,
) -> Result<Option<ChargeRow>, Fault> {
    const SQL: &str = "
        SELECT id, status, failure_code, fingerprint, action_url, action_secret, action_expires_at
        FROM payment WHERE person_id = $1 AND purpose = 'CHARGE' AND idempotency_key = $2";
    Ok(db.row(SQL, vec![person_id.into(), key.into()]).await?)
}

/// A record of a payment with points that was refused for good; `false` when the reservation has enough of them, is no longer
/// a HOLD, or has a payment that is live, and when the key was used meanwhile.
pub(in crate::payment) async fn record_failure(
    db: &Db,
    id: PaymentId,
    order: &Order,
    code: PayRefusal,
) -> Result<bool, Fault> {
    const SQL: &str = "
        INSERT INTO payment (id, person_id, reservation_id, method, amount, status, failure_code, idempotency_key, fingerprint,
                             created_at)
        SELECT $1, r.person_id, r.id, 'POINT', r.total_price, 'FAILED', $4, $5, $6, clock_timestamp()
        FROM reservation r
        WHERE r.id = $2 AND r.person_id = $3 AND r.status = 'HOLD' AND r.total_price = $7
          AND NOT EXISTS (SELECT 1 FROM payment p WHERE p.reservation_id = r.id AND p.status IN ('PENDING', 'APPROVED'))
          AND (SELECT count(*) FROM payment p WHERE p.reservation_id = r.id AND p.status = 'FAILED') < $8
        ON CONFLICT DO NOTHING";
    let values = vec![
        id.into(),
        order.reservation_id.into(),
        order.person_id.into(),
        code.as_str().into(),
        order.key.as_str().into(),
        order.fingerprint.to_vec().into(),
        order.amount.into(),
        FAILURES_MAX.into(),
    ];
    Ok(db.run(SQL, values).await? > 0)
}
