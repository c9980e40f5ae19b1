//! The statements of a round: what is free, who is next, and letting them in.

use sea_orm::FromQueryResult;

use super::journal::ChangeRow;
use crate::{
    db::{Db, Session, uuids},
    kernel::{Fault, PersonId, ScheduleId, Timestamp},
    waiting_room::{Change, rules::RoomFacts},
};

/// How many people one round sends away at most; the next one follows at once.
pub(in crate::waiting_room) const ENDED_MAX: usize = 5_000;

#[derive(Debug, FromQueryResult)]
struct IdRow {
    schedule_id: ScheduleId,
}

/// The rooms that a round could admit somebody in: somebody is in front, a place is free, and a seat.
///
/// Asked of every room four times a second, so it is one statement, cheapest question first: a line without people costs one
/// look into an index, and a full room no more than counting to maxActive.
pub(in crate::waiting_room) async fn with_people_in_front(
    db: &Db,
) -> Result<Vec<ScheduleId>, Fault> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
        room AS MATERIALIZED (
            SELECT s.id, w.max_active
            FROM schedule s
            JOIN waiting_room w ON w.schedule_id = s.id
            CROSS JOIN clock
            WHERE w.drained_at IS NULL AND w.drawn_at IS NOT NULL AND s.status = 'ON_SALE' AND NOT w.paused
              AND clock.now >= s.sales_open_at AND clock.now < s.sales_close_at
        ),
        -- A scalar subquery, so that the front is always looked up in the index and never planned as a join.
        busy AS MATERIALIZED (
            SELECT room.id, room.max_active FROM room
            WHERE (SELECT t.number FROM queue_token t
                   WHERE t.schedule_id = room.id AND t.status = 'WAITING' AND t.passed_over_at IS NULL
                   ORDER BY t.number LIMIT 1) IS NOT NULL
        )
        SELECT busy.id AS schedule_id FROM busy, clock
        WHERE (SELECT count(*) FROM (
                   SELECT FROM queue_token t
                   WHERE t.schedule_id = busy.id AND t.status = 'ACTIVE' AND t.expires_at > clock.now
                   LIMIT busy.max_active) in_there) < busy.max_active
          AND (SELECT seat.id FROM seat
               WHERE seat.schedule_id = busy.id AND NOT seat.sold
                 AND is_free(seat.status, seat.hold_expires_at, clock.now)
               LIMIT 1) IS NOT NULL";
    let rows: Vec<IdRow> = db.rows(SQL, vec![]).await?;
    Ok(rows.into_iter().map(|row| row.schedule_id).collect())
}

/// The rooms that have somebody whose time is over. Looks at everybody ACTIVE, so it is asked less often.
pub(in crate::waiting_room) async fn with_time_over(db: &Db) -> Result<Vec<ScheduleId>, Fault> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
        SELECT w.schedule_id
        FROM waiting_room w
        CROSS JOIN clock
        WHERE w.drained_at IS NULL AND (
            EXISTS (SELECT 1 FROM queue_token t
                    WHERE t.schedule_id = w.schedule_id AND t.status = 'ACTIVE' AND t.expires_at <= clock.now)
            -- The smallest, not any: so it is looked up in the index of those who were passed over.
            OR (SELECT min(t.passed_over_at) FROM queue_token t
                WHERE t.schedule_id = w.schedule_id AND t.status = 'WAITING' AND t.passed_over_at IS NOT NULL)
               <= clock.now - make_interval(secs => $1))";
    let rows: Vec<IdRow> = db.rows(SQL, vec![away_seconds().into()]).await?;
    Ok(rows.into_iter().map(|row| row.schedule_id).collect())
}

/// The rooms whose draw is to be ended: their sale has opened, or was closed before it did.
pub(in crate::waiting_room) async fn with_draws_over(db: &Db) -> Result<Vec<ScheduleId>, Fault> {
    const SQL: &str = "
        SELECT w.schedule_id FROM waiting_room w
        JOIN schedule s ON s.id = w.schedule_id
        WHERE w.drawn_at IS NULL AND s.status <> 'DRAFT'
          AND (s.sales_open_at <= clock_timestamp() OR s.status IN ('CLOSED', 'CANCELLED'))
        ORDER BY s.sales_open_at LIMIT 100";
    let rows: Vec<IdRow> = db.rows(SQL, vec![]).await?;
    Ok(rows.into_iter().map(|row| row.schedule_id).collect())
}

/// Ends the draw of a room whose sale has opened; whether this did. Nobody is admitted before.
pub(in crate::waiting_room) async fn close_draw(
    db: &Db,
    schedule_id: ScheduleId,
) -> Result<bool, Fault> {
    const SQL: &str = include_str!("close_draw.sql");
    let row: Option<IdRow> = db.row(SQL, vec![schedule_id.into()]).await?;
    Ok(row.is_some())
}

fn away_seconds() -> f64 {
    crate::waiting_room::rules::AWAY_LIMIT.as_secs_f64()
}

/// What a round could do now.
#[derive(Debug, Clone, FromQueryResult)]
pub(in crate::waiting_room) struct Outlook {
    /// How many people may be admitted at this instant; 0 or less when nobody may.
    pub places: i64,
    /// Whether somebody's time is over.
    pub overdue: bool,
    /// Milliseconds until an admission of the last roundSeconds stops counting; null when none count.
    pub next_round_ms: Option<i64>,
}

/// What is free in a room: places, this round's budget, and at least one seat. `None` when there is no such room.
///
/// At most admitPerRound people are admitted within *any* roundSeconds: the budget is what the last roundSeconds left of it.
pub(in crate::waiting_room) async fn outlook(
    db: &Db,
    schedule_id: ScheduleId,
) -> Result<Option<Outlook>, Fault> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
        SELECT CASE WHEN s.status = 'ON_SALE' AND NOT w.paused AND w.drawn_at IS NOT NULL
                         AND clock.now >= s.sales_open_at AND clock.now < s.sales_close_at
                         AND (SELECT seat.id FROM seat
                              WHERE seat.schedule_id = s.id AND NOT seat.sold
                                AND is_free(seat.status, seat.hold_expires_at, clock.now)
                              LIMIT 1) IS NOT NULL
                    THEN least(
                        w.max_active - (SELECT count(*) FROM queue_token t
                                        WHERE t.schedule_id = s.id AND t.status = 'ACTIVE'
                                          AND t.expires_at > clock.now),
                        w.admit_per_round - round.admitted)
                    ELSE 0 END AS places,
               EXISTS (SELECT 1 FROM queue_token t
                       WHERE t.schedule_id = s.id AND t.status = 'ACTIVE' AND t.expires_at <= clock.now)
               -- The smallest, not any: so it is looked up in the index of those who were passed over.
               OR coalesce((SELECT min(t.passed_over_at) FROM queue_token t
                            WHERE t.schedule_id = s.id AND t.status = 'WAITING' AND t.passed_over_at IS NOT NULL)
                           <= clock.now - make_interval(secs => $2), false) AS overdue,
               ceil(w.round_ms - extract(epoch FROM clock.now - round.started) * 1000)::bigint AS next_round_ms
        FROM schedule s
        JOIN waiting_room w ON w.schedule_id = s.id
        CROSS JOIN clock
        CROSS JOIN LATERAL (
            SELECT count(*) AS admitted, min(t.activated_at) AS started FROM queue_token t
            WHERE t.schedule_id = s.id AND t.activated_at > clock.now - make_interval(secs => w.round_ms / 1000.0)
              AND coalesce(t.ended_at, t.activated_at) > clock.now - make_interval(secs => w.round_ms / 1000.0)
        ) round
        WHERE s.id = $1";
    Ok(db.row(SQL, vec![schedule_id.into(), away_seconds().into()]).await?)
}

/// Somebody near the front.
#[derive(Debug, Clone, FromQueryResult)]
pub(in crate::waiting_room) struct Candidate {
    pub person_id: PersonId,
    pub number: i64,
    /// Entered so recently that nobody need look for them.
    pub fresh: bool,
}

/// The front of the line behind `after`, without those who were passed over already.
pub(in crate::waiting_room) async fn candidates(
    db: &Db,
    schedule_id: ScheduleId,
    after: i64,
    limit: i64,
) -> Result<Vec<Candidate>, Fault> {
    const SQL: &str = "
        SELECT person_id, number, entered_at > clock_timestamp() - make_interval(secs => $4) AS fresh
        FROM queue_token
        WHERE schedule_id = $1 AND status = 'WAITING' AND passed_over_at IS NULL AND number > $2
        ORDER BY number LIMIT $3";
    let fresh = crate::waiting_room::rules::POLL_PRESENCE.as_secs_f64();
    Ok(db.rows(SQL, vec![schedule_id.into(), after.into(), limit.into(), fresh.into()]).await?)
}

/// One round, in one statement: ends what is over, passes over people who are away, and admits the front of the line.
///
/// The admission row is the round's lock. A round that finds it taken, or with another version than in the statement's
/// snapshot (somebody admitted in between, so the counts are stale), changes nothing. Everybody concerned is locked at once,
/// in the order of their numbers, and judged by what they are under the lock. The count of ACTIVE people is that of the
/// snapshot less those that this statement itself has ended; so a token that was extended at the last moment still counts.
/// Nobody behind number `upto` is admitted.
pub(in crate::waiting_room) async fn admit(
    db: &Db,
    schedule_id: ScheduleId,
    away: &[PersonId],
    upto: i64,
) -> Result<Vec<Turn>, Fault> {
    const SQL: &str = include_str!("admit.sql");
    let away = uuids(away.iter().map(|person| person.0));
    let limit = i64::try_from(ENDED_MAX).unwrap_or(i64::MAX);
    let values = vec![schedule_id.into(), away, away_seconds().into(), upto.into(), limit.into()];
    let rows: Vec<TurnRow> = db.rows(SQL, values).await?;
    let turn = |row: TurnRow| Turn { change: row.change.into(), waited_ms: row.waited_ms };
    Ok(rows.into_iter().map(turn).collect())
}

/// What a round did to one person.
#[derive(Debug, Clone)]
pub(in crate::waiting_room) struct Turn {
    pub change: Change,
    /// How long they waited, if they were admitted: since they entered, or since the opening if that was later.
    pub waited_ms: Option<i64>,
}

#[derive(Debug, FromQueryResult)]
struct TurnRow {
    #[sea_orm(nested)]
    change: ChangeRow,
    waited_ms: Option<i64>,
}

/// How a room stands and how many people it has, apart from the line as a whole, which may be long.
#[derive(Debug, Clone, FromQueryResult)]
pub(in crate::waiting_room) struct Headcount {
    pub schedule_id: ScheduleId,
    pub active: i64,
    pub absent: i64,
    now: Timestamp,
    on_sale: bool,
    sales_open_at: Timestamp,
    sales_close_at: Timestamp,
    paused: bool,
    sold_out: bool,
    none_free: bool,
}

impl Headcount {
    pub(in crate::waiting_room) const fn facts(&self) -> RoomFacts {
        RoomFacts {
            now: self.now,
            on_sale: self.on_sale,
            sales_open_at: self.sales_open_at,
            sales_close_at: self.sales_close_at,
            paused: self.paused,
            sold_out: self.sold_out,
            none_free: self.none_free,
        }
    }
}

/// Counts the people of every room that has been opened and is not over yet, and says how each stands.
pub(in crate::waiting_room) async fn headcounts(db: &Db) -> Result<Vec<Headcount>, Fault> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
        SELECT w.schedule_id, clock.now, s.status = 'ON_SALE' AS on_sale, s.sales_open_at, s.sales_close_at, w.paused,
               -- As in rooms.sql.
               coalesce((SELECT false FROM seat WHERE seat.schedule_id = s.id AND NOT seat.sold LIMIT 1), true) AS sold_out,
               s.status = 'ON_SALE' AND (SELECT seat.id FROM seat
                                         WHERE seat.schedule_id = s.id AND NOT seat.sold
                                           AND is_free(seat.status, seat.hold_expires_at, clock.now)
                                         LIMIT 1) IS NULL AS none_free,
               (SELECT count(*) FROM queue_token t
                WHERE t.schedule_id = s.id AND t.status = 'ACTIVE' AND t.expires_at > clock.now) AS active,
               (SELECT count(*) FROM queue_token t
                WHERE t.schedule_id = s.id AND t.status = 'WAITING' AND t.passed_over_at IS NOT NULL) AS absent
        FROM waiting_room w
        JOIN schedule s ON s.id = w.schedule_id
        CROSS JOIN clock
        WHERE w.drained_at IS NULL AND s.status <> 'DRAFT'";
    Ok(db.rows(SQL, vec![]).await?)
}

/// Sends people home whose sale is over: up to 5,000 of one room. Returns their changes, each with the room's id.
///
/// ACTIVE people with a live hold stay until it ends, and people who are busy this instant stay for now. Rooms where
/// somebody still waits come first. A newcomer whose statement began before the close can land in the journal after it, so
/// an empty room is looked at for a minute more.
pub(in crate::waiting_room) async fn drain(db: &Db) -> Result<Vec<(ScheduleId, Change)>, Fault> {
    // Asked twice a second for ever, so it looks at rooms only, and at people only of those that are over.
    const OVER: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
        SELECT w.schedule_id
        FROM waiting_room w
        JOIN schedule s ON s.id = w.schedule_id
        CROSS JOIN clock
        CROSS JOIN LATERAL (
            SELECT (SELECT t.number FROM queue_token t WHERE t.schedule_id = w.schedule_id AND t.status = 'WAITING'
                    LIMIT 1) IS NOT NULL AS waiting
        ) line
        WHERE (w.drained_at IS NULL OR w.drained_at > clock.now - interval '1 minute')
          AND s.status <> 'DRAFT' AND (s.status IN ('CLOSED', 'CANCELLED') OR s.sales_close_at <= clock.now)
          AND (w.drained_at IS NULL OR line.waiting)
        ORDER BY line.waiting DESC, random() LIMIT 1";
    const SQL: &str = include_str!("drain.sql");
    let over: Option<IdRow> = db.row(OVER, vec![]).await?;
    let Some(IdRow { schedule_id }) = over else { return Ok(Vec::new()) };
    let rows: Vec<ChangeRow> = db.rows(SQL, vec![schedule_id.into()]).await?;
    Ok(rows.into_iter().map(|row| (schedule_id, row.into())).collect())
}
