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
ended AS (
    UPDATE queue_token t SET status = 'EXPIRED', ended_at = clock_timestamp()
    WHERE t.id = ANY (ARRAY(SELECT id FROM leaving))
    RETURNING t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at
),
finished AS (
    UPDATE waiting_room w SET drained_at = clock_timestamp()
    FROM room
    WHERE w.schedule_id = room.schedule_id
      AND NOT EXISTS (SELECT 1 FROM queue_token t
                      WHERE t.schedule_id = $1 AND t.status IN ('WAITING', 'ACTIVE'))
)
SELECT number, person_id, status, version, activated_at, expires_at FROM ended ORDER BY number
