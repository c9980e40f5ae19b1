//! The statements of a round: what is free, who is next, and letting them in.

use sea_orm::FromQueryResult;

use super::journal::ChangeRow;
use crate::{
    db::{Db, Session, uuids},
    kernel::{Fault, PersonId, ScheduleId},
    waiting_room::Change,
};

#[derive(Debug, FromQueryResult)]
struct IdRow {
    schedule_id: ScheduleId,
}

/// The rooms that a round could admit somebody in.
pub(in crate::waiting_room) async fn with_people_in_front(
    db: &Db,
) -> Result<Vec<ScheduleId>, Fault> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
        SELECT s.id AS schedule_id
        FROM schedule s
        JOIN waiting_room w ON w.schedule_id = s.id
        CROSS JOIN clock
        WHERE w.drained_at IS NULL AND s.status = 'ON_SALE' AND NOT w.paused
          AND clock.now >= s.sales_open_at AND clock.now < s.sales_close_at
          AND EXISTS (SELECT 1 FROM queue_token t
                      WHERE t.schedule_id = s.id AND t.status = 'WAITING' AND t.passed_over_at IS NULL)";
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
            OR EXISTS (SELECT 1 FROM queue_token t
                       WHERE t.schedule_id = w.schedule_id AND t.status = 'WAITING'
                         AND t.passed_over_at <= clock.now - make_interval(secs => $1)))";
    let rows: Vec<IdRow> = db.rows(SQL, vec![away_seconds().into()]).await?;
    Ok(rows.into_iter().map(|row| row.schedule_id).collect())
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
    /// How fast the line moves, as in [`super::room`].
    pub admitted: i64,
    pub window_ms: i64,
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
        SELECT CASE WHEN s.status = 'ON_SALE' AND NOT w.paused
                         AND clock.now >= s.sales_open_at AND clock.now < s.sales_close_at
                         AND EXISTS (SELECT 1 FROM seat
                                     WHERE seat.schedule_id = s.id
                                       AND (seat.status = 'AVAILABLE'
                                            OR (seat.status = 'HOLD' AND seat.hold_expires_at <= clock.now)))
                    THEN least(
                        w.max_active - (SELECT count(*) FROM queue_token t
                                        WHERE t.schedule_id = s.id AND t.status = 'ACTIVE'
                                          AND t.expires_at > clock.now),
                        w.admit_per_round - round.admitted)
                    ELSE 0 END AS places,
               EXISTS (SELECT 1 FROM queue_token t
                       WHERE t.schedule_id = s.id AND t.status = 'ACTIVE' AND t.expires_at <= clock.now)
               OR EXISTS (SELECT 1 FROM queue_token t
                          WHERE t.schedule_id = s.id AND t.status = 'WAITING'
                            AND t.passed_over_at <= clock.now - make_interval(secs => $2)) AS overdue,
               ceil(w.round_ms - extract(epoch FROM clock.now - round.started) * 1000)::bigint AS next_round_ms,
               rate.admitted, rate.window_ms
        FROM schedule s
        JOIN waiting_room w ON w.schedule_id = s.id
        CROSS JOIN clock
        CROSS JOIN LATERAL (
            SELECT count(*) AS admitted, min(t.activated_at) AS started FROM queue_token t
            WHERE t.schedule_id = s.id AND t.activated_at > clock.now - make_interval(secs => w.round_ms / 1000.0)
        ) round
        CROSS JOIN LATERAL (
            SELECT count(*) AS admitted,
                   coalesce(greatest(1000, extract(epoch FROM clock.now - min(t.activated_at)) * 1000), 0)::bigint
                       AS window_ms
            FROM queue_token t
            WHERE t.schedule_id = s.id AND t.activated_at > clock.now - interval '60 s'
        ) rate
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

/// One round, in one statement: ends what is over, passes over who is away, and admits the front of the line.
///
/// The admission row is the round's lock. Whoever finds it taken, or with another version than in the statement's snapshot
/// (somebody admitted in between, so the counts are stale), changes nothing. The count of ACTIVE people is that of the
/// snapshot less those that this statement itself has ended under their row locks; so a token that was extended at the last
/// moment still counts.
pub(in crate::waiting_room) async fn admit(
    db: &Db,
    schedule_id: ScheduleId,
    away: &[PersonId],
) -> Result<Vec<Change>, Fault> {
    const SQL: &str = include_str!("admit.sql");
    let values =
        vec![schedule_id.into(), uuids(away.iter().map(|person| person.0)), away_seconds().into()];
    let rows: Vec<ChangeRow> = db.rows(SQL, values).await?;
    Ok(rows.into_iter().map(Change::from).collect())
}

/// Sends everybody home whose sale is over: up to 5,000 people of one room, and the room's id.
///
/// ACTIVE people with a live hold stay until it ends; rooms where somebody still waits come first. A newcomer whose
/// statement began before the close can land in the journal after it, so an empty room is looked at for a minute more.
pub(in crate::waiting_room) async fn drain(db: &Db) -> Result<Vec<(ScheduleId, Change)>, Fault> {
    const SQL: &str = "
        WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
        room AS MATERIALIZED (
            SELECT w.schedule_id FROM waiting_room w
            JOIN schedule s ON s.id = w.schedule_id
            CROSS JOIN clock
            CROSS JOIN LATERAL (
                SELECT EXISTS (SELECT 1 FROM queue_token t
                               WHERE t.schedule_id = w.schedule_id AND t.status = 'WAITING') AS waiting
            ) line
            WHERE (w.drained_at IS NULL OR (w.drained_at > clock.now - interval '1 minute' AND line.waiting))
              AND s.status <> 'DRAFT' AND (s.status = 'CLOSED' OR s.sales_close_at <= clock.now)
            ORDER BY line.waiting DESC, random() LIMIT 1
            FOR NO KEY UPDATE OF w SKIP LOCKED
        ),
        leaving AS MATERIALIZED (
            SELECT t.id FROM queue_token t, room, clock
            WHERE t.schedule_id = room.schedule_id AND (t.status = 'WAITING' OR (
                t.status = 'ACTIVE' AND NOT EXISTS (
                    SELECT 1 FROM reservation r
                    WHERE r.queue_token_id = t.id AND r.schedule_id = t.schedule_id AND r.person_id = t.person_id
                      AND r.status = 'HOLD' AND r.expires_at > clock.now)))
            ORDER BY t.number LIMIT 5000
            FOR NO KEY UPDATE OF t
        ),
        ended AS (
            UPDATE queue_token t SET status = 'EXPIRED', ended_at = clock.now
            FROM leaving, clock
            WHERE t.id = leaving.id AND t.status IN ('WAITING', 'ACTIVE')
            RETURNING t.schedule_id, t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at
        ),
        finished AS (
            UPDATE waiting_room w SET drained_at = clock.now
            FROM room, clock
            WHERE w.schedule_id = room.schedule_id AND NOT EXISTS (SELECT 1 FROM leaving)
              AND NOT EXISTS (SELECT 1 FROM queue_token t
                              WHERE t.schedule_id = w.schedule_id AND t.status IN ('WAITING', 'ACTIVE'))
        )
        SELECT schedule_id, number, person_id, status, version, activated_at, expires_at FROM ended ORDER BY number";
    let rows: Vec<DrainRow> = db.rows(SQL, vec![]).await?;
    Ok(rows.into_iter().map(DrainRow::split).collect())
}

#[derive(Debug, FromQueryResult)]
struct DrainRow {
    schedule_id: ScheduleId,
    #[sea_orm(nested)]
    change: ChangeRow,
}

impl DrainRow {
    fn split(self) -> (ScheduleId, Change) {
        (self.schedule_id, self.change.into())
    }
}
