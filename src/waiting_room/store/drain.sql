-- Sends people home whose sale is over, 5,000 at most, and notes when nobody is left. $1 schedule.
WITH start AS MATERIALIZED (SELECT clock_timestamp() AS now),
room AS MATERIALIZED (
    SELECT w.schedule_id FROM waiting_room w WHERE w.schedule_id = $1 FOR NO KEY UPDATE SKIP LOCKED
),
-- A person who holds a seat may still pay for it, and stays.
seen AS MATERIALIZED (
    SELECT t.id, t.version FROM room, start, queue_token t
    WHERE t.schedule_id = $1 AND t.status IN ('WAITING', 'ACTIVE')
      AND (t.status = 'WAITING' OR NOT EXISTS (
          SELECT 1 FROM reservation r
          WHERE r.queue_token_id = t.id AND r.schedule_id = t.schedule_id AND r.person_id = t.person_id
            AND r.status = 'HOLD' AND r.expires_at > start.now))
    ORDER BY t.number LIMIT 5000
),
-- A person who is busy, with a hold that is being written, is looked at the next time: nothing is waited for under the
-- room's lock.
held AS MATERIALIZED (
    SELECT t.id, t.version FROM queue_token t
    -- As an array, so that the people are looked up by their ids, and never found by going through all lines.
    WHERE t.id = ANY (ARRAY(SELECT id FROM seen)) AND t.status IN ('WAITING', 'ACTIVE')
    ORDER BY t.number
    FOR NO KEY UPDATE OF t SKIP LOCKED
),
-- Seen must equal held: a hold that was committed in between has raised the version. Counted and not joined, because two long
-- lists of unknown length may be joined by comparing each with each.
leaving AS MATERIALIZED (
    SELECT id FROM (SELECT id, version FROM seen UNION ALL SELECT id, version FROM held) both_times
    GROUP BY id, version HAVING count(*) = 2
),
-- What there is to be told: that the performance was called off, or that nothing was left when the sale ended.
why AS MATERIALIZED (
    SELECT CASE WHEN s.status = 'CANCELLED' THEN 'SCHEDULE_CANCELLED'
                WHEN (SELECT seat.id FROM seat WHERE seat.schedule_id = s.id AND NOT seat.sold LIMIT 1) IS NULL THEN 'SOLD_OUT'
                ELSE 'SALE_CLOSED' END AS because,
           w.active_seconds
    FROM room, schedule s, waiting_room w
    WHERE s.id = room.schedule_id AND w.schedule_id = room.schedule_id
),
ended AS (
    UPDATE queue_token t
    SET status = 'EXPIRED', ended_at = clock_timestamp(),
        ended_because = why_ended(t.status, t.activated_at, t.expires_at, start.now, why.active_seconds, why.because)
    FROM why, start
    WHERE t.id = ANY (ARRAY(SELECT id FROM leaving))
    RETURNING t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at, t.ended_because
),
finished AS (
    UPDATE waiting_room w SET drained_at = clock_timestamp()
    FROM room
    WHERE w.schedule_id = room.schedule_id
      AND NOT EXISTS (SELECT 1 FROM queue_token t
                      WHERE t.schedule_id = $1 AND t.status IN ('WAITING', 'ACTIVE'))
)
SELECT number, person_id, status, version, activated_at, expires_at, ended_because FROM ended ORDER BY number
