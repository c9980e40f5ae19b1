//! Writing newcomers into the journal, and what becomes of those who get no place.

use sea_orm::{FromQueryResult, Value};

use super::{TokenRow, journal::ChangeRow};
use crate::{
    db::{Db, Session, constraint, uuids},
    kernel::{Fault, PersonId, QueueTokenId, ScheduleId, Timestamp},
    waiting_room::{Change, QueueRefusal, QueueStatus, QueueToken, draw::TRIES},
};

/// What the statement says of one person.
#[derive(Debug, Clone)]
pub(in crate::waiting_room) enum Outcome {
    /// They have a new place.
    New(QueueToken),
    /// They have one already. It reads EXPIRED when its ACTIVE time has lapsed.
    Live(QueueToken),
    /// They get none.
    Refused(QueueRefusal),
    /// Their account was deleted.
    Gone,
    /// They have a new place, and hold a seat from an earlier one, for which they may be paying this instant.
    Holding,
}

#[derive(Debug, FromQueryResult)]
struct Row {
    outcome: String,
    person_id: PersonId,
    refusal: Option<QueueRefusal>,
    id: Option<QueueTokenId>,
    number: Option<i64>,
    status: Option<QueueStatus>,
    version: Option<i64>,
    entered_at: Option<Timestamp>,
    passed_over_at: Option<Timestamp>,
    activated_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    now: Timestamp,
}

impl Row {
    fn token(&self, schedule_id: ScheduleId) -> Option<QueueToken> {
        let row = TokenRow {
            id: self.id?,
            schedule_id,
            person_id: self.person_id,
            number: self.number?,
            status: self.status?,
            version: self.version?,
            entered_at: self.entered_at?,
            passed_over_at: self.passed_over_at,
            activated_at: self.activated_at,
            expires_at: self.expires_at,
            ended_because: None,
            now: self.now,
        };
        Some(row.into())
    }

    fn outcome(&self, schedule_id: ScheduleId) -> Option<Outcome> {
        match self.outcome.as_str() {
            "NEW" => self.token(schedule_id).map(Outcome::New),
            "LIVE" => self.token(schedule_id).map(Outcome::Live),
            "REFUSED" => self.refusal.map(Outcome::Refused),
            "GONE" => Some(Outcome::Gone),
            "HOLDING" => Some(Outcome::Holding),
            _ => None,
        }
    }
}

/// Writes newcomers into the journal in one statement, and tells of everybody what became of them. People who are not told
/// of got a place, or lost one, since the statement began: they are to be asked for again.
///
/// The counter's row lock makes the order of numbers the order of commit, over all instances; before the opening numbers are
/// drawn.
pub(in crate::waiting_room) async fn enter(
    db: &Db,
    schedule_id: ScheduleId,
    people: &[PersonId],
) -> Result<Vec<(PersonId, Outcome)>, Fault> {
    const SQL: &str = include_str!("enter.sql");
    // A number that is taken is rarer than anything. Among many people it is nobody's fault in particular, so the batch is
    // tried in halves. A person who is left alone is drawn again. Once more the same, in case they have left a place this
    // instant.
    let redraws = if people.len() == 1 { TRIES } else { 0 };
    let mut taken = None;
    for redraw in [0].into_iter().chain(0..redraws) {
        let values: Vec<Value> = vec![
            schedule_id.into(),
            uuids(people.iter().map(|person| person.0)),
            uuids(people.iter().map(|_| QueueTokenId::new().0)),
            redraw.into(),
        ];
        match db.rows::<Row>(SQL, values).await {
            Ok(rows) => {
                let told = |row: Row| row.outcome(schedule_id).map(|it| (row.person_id, it));
                let told: Option<Vec<_>> = rows.into_iter().map(told).collect();
                return told.ok_or(Fault::internal("enter.sql told of an unknown outcome"));
            }
            Err(error) if constraint(&error) == Some("queue_token_number_unique") => {
                taken = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(taken.map_or(Fault::internal("no draw was tried"), Fault::from))
}

/// Ends the places of those of these people who own as many seats as one person may. They were given one while a payment
/// of theirs may have been under way.
///
/// The first statement waits for such a payment, which has the lock of the token that the seats were held with. It also
/// raises that token's version: a payment that began before this, and is late, finds that it has seen an old state, and
/// looks again. So one of the two sees the other, whichever is first: this one the seats, or the payment the new place.
pub(in crate::waiting_room) async fn settle(
    db: &Db,
    schedule_id: ScheduleId,
    people: &[PersonId],
) -> Result<Vec<Change>, Fault> {
    const FENCE: &str = "
        WITH held AS MATERIALIZED (
            SELECT t.id FROM queue_token t
            WHERE t.id = ANY (ARRAY(
                SELECT r.queue_token_id FROM reservation r
                WHERE r.schedule_id = $1 AND r.person_id = ANY($2) AND r.status IN ('HOLD', 'CONFIRMED')))
            ORDER BY t.number
            FOR NO KEY UPDATE
        )
        UPDATE queue_token t SET version = t.version + 1 FROM held WHERE t.id = held.id";
    const END: &str = "
        WITH owner AS MATERIALIZED (
            SELECT p.person_id FROM unnest($2::uuid[]) AS p (person_id)
            CROSS JOIN LATERAL (
                SELECT coalesce(sum(r.seat_count), 0) AS seats FROM reservation r
                WHERE r.schedule_id = $1 AND r.person_id = p.person_id AND r.status = 'CONFIRMED'
            ) owned
            WHERE owned.seats >= (SELECT s.max_seats_per_person FROM schedule s WHERE s.id = $1)
        ),
        held AS MATERIALIZED (
            SELECT t.id FROM queue_token t
            WHERE t.schedule_id = $1 AND t.person_id = ANY (ARRAY(SELECT person_id FROM owner))
              AND t.status IN ('WAITING', 'ACTIVE')
            ORDER BY t.number
            FOR NO KEY UPDATE
        )
        UPDATE queue_token t SET status = 'EXPIRED', ended_at = clock_timestamp(), ended_because = 'SEAT_LIMIT_REACHED'
        FROM held WHERE t.id = held.id
        RETURNING t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at, t.ended_because";
    let values = || vec![schedule_id.into(), uuids(people.iter().map(|person| person.0))];
    db.run(FENCE, values()).await?;
    // A statement of its own, which sees what the one before has waited for.
    let rows: Vec<ChangeRow> = db.rows(END, values()).await?;
    Ok(rows.into_iter().map(Change::from).collect())
}
