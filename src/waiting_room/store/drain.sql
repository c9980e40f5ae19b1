-- Sends people home whose sale is over, 5,000 at most, and notes when nobody is left. $1 schedule.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
room AS MATERIALIZED (
    SELECT w.schedule_id FROM waiting_room w WHERE w.schedule_id = $1 FOR NO KEY UPDATE SKIP LOCKED
),
leaving AS MATERIALIZED (
    SELECT t.id FROM room, clock, queue_token t
    WHERE t.schedule_id = $1 AND t.status IN ('WAITING', 'ACTIVE')
      AND (t.status = 'WAITING' OR NOT EXISTS (
          SELECT 1 FROM reservation r
          WHERE r.queue_token_id = t.id AND r.schedule_id = t.schedule_id AND r.person_id = t.person_id
            AND r.status = 'HOLD' AND r.expires_at > clock.now))
    ORDER BY t.number LIMIT 5000
    FOR NO KEY UPDATE OF t
),
ended AS (
    UPDATE queue_token t SET status = 'EXPIRED', ended_at = clock.now
    FROM clock
    -- As an array, so that the people are looked up by their ids, and never found by going through all lines.
    WHERE t.id = ANY (ARRAY(SELECT id FROM leaving)) AND t.status IN ('WAITING', 'ACTIVE')
    RETURNING t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at
),
finished AS (
    UPDATE waiting_room w SET drained_at = clock.now
    FROM room, clock
    WHERE w.schedule_id = room.schedule_id AND NOT EXISTS (SELECT 1 FROM leaving)
      AND NOT EXISTS (SELECT 1 FROM queue_token t
                      WHERE t.schedule_id = $1 AND t.status IN ('WAITING', 'ACTIVE'))
)
SELECT number, person_id, status, version, activated_at, expires_at FROM ended ORDER BY number
