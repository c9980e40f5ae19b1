-- One round of a waiting room. $1 schedule, $2 people who are away, $3 seconds after which an absence ends a place,
-- $4 the last number that was looked at, $5 how many are sent away at most.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
seen AS MATERIALIZED (SELECT version FROM admission WHERE schedule_id = $1),
held AS MATERIALIZED (
    SELECT version FROM admission WHERE schedule_id = $1 FOR NO KEY UPDATE SKIP LOCKED
),
turn AS MATERIALIZED (SELECT held.version FROM held JOIN seen ON seen.version = held.version),
-- Each half has an index of its own; together they would be read in the order of the whole journal.
due AS MATERIALIZED (
    SELECT id FROM (
        SELECT t.id FROM turn, clock, queue_token t
        WHERE t.schedule_id = $1 AND t.status = 'ACTIVE' AND t.expires_at <= clock.now
        UNION ALL
        SELECT t.id FROM turn, clock, queue_token t
        WHERE t.schedule_id = $1 AND t.status = 'WAITING' AND t.passed_over_at IS NOT NULL
          AND t.passed_over_at <= clock.now - make_interval(secs => $3)
    ) either
    LIMIT $5
),
-- Tokens are locked in the order of their numbers, here and wherever several are. Once it is locked, each is asked again.
over AS MATERIALIZED (
    SELECT t.id FROM clock, queue_token t
    WHERE t.id = ANY (ARRAY(SELECT id FROM due)) AND (
        (t.status = 'ACTIVE' AND t.expires_at <= clock.now)
        OR (t.status = 'WAITING' AND t.passed_over_at <= clock.now - make_interval(secs => $3)))
    ORDER BY t.number
    FOR NO KEY UPDATE OF t
),
ended AS (
    UPDATE queue_token t SET status = 'EXPIRED', ended_at = clock.now
    FROM over, clock
    WHERE t.id = over.id
    RETURNING t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at
),
room AS MATERIALIZED (
    SELECT w.max_active, w.admit_per_round, w.round_ms, w.idle_seconds, w.active_seconds
    FROM turn, clock, schedule s
    JOIN waiting_room w ON w.schedule_id = s.id
    WHERE s.id = $1 AND s.status = 'ON_SALE' AND NOT w.paused AND w.drawn_at IS NOT NULL
      AND clock.now >= s.sales_open_at AND clock.now < s.sales_close_at
      AND EXISTS (SELECT 1 FROM seat
                  WHERE seat.schedule_id = s.id
                    AND (seat.status = 'AVAILABLE'
                         OR (seat.status = 'HOLD' AND seat.hold_expires_at <= clock.now)))
),
free AS MATERIALIZED (
    SELECT greatest(0, least(
        room.max_active
            - (SELECT count(*) FROM queue_token t WHERE t.schedule_id = $1 AND t.status = 'ACTIVE')
            + (SELECT count(*) FROM ended WHERE activated_at IS NOT NULL),
        room.admit_per_round - (
            SELECT count(*) FROM queue_token t
            WHERE t.schedule_id = $1
              AND t.activated_at > clock.now - make_interval(secs => room.round_ms / 1000.0)))) AS places
    FROM room, clock
),
line AS MATERIALIZED (
    SELECT t.id, t.number FROM queue_token t
    WHERE t.schedule_id = $1 AND t.status = 'WAITING' AND t.passed_over_at IS NULL
      AND NOT (t.person_id = ANY($2)) AND t.number <= $4
    ORDER BY t.number
    LIMIT coalesce((SELECT places FROM free), 0)
    FOR NO KEY UPDATE
),
-- Only those whose turn it is: somebody behind them is admitted, or a place is left over. Another round may have taken the
-- places since this one looked who is away.
passed AS (
    UPDATE queue_token t SET passed_over_at = clock.now
    FROM free, clock
    WHERE t.schedule_id = $1 AND t.status = 'WAITING' AND t.passed_over_at IS NULL AND t.person_id = ANY($2)
      AND (free.places > (SELECT count(*) FROM line) OR t.number < (SELECT max(number) FROM line))
    RETURNING t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at
),
admitted AS (
    UPDATE queue_token t
    SET status = 'ACTIVE', activated_at = clock.now, last_action_at = clock.now, passed_over_at = NULL,
        expires_at = clock.now + make_interval(secs => least(room.idle_seconds, room.active_seconds))
    FROM line, room, clock
    WHERE t.id = line.id
    RETURNING t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at, t.entered_at
),
bumped AS (
    UPDATE admission SET version = version + 1
    WHERE schedule_id = $1 AND EXISTS (SELECT 1 FROM admitted)
)
SELECT a.number, a.person_id, a.status, a.version, a.activated_at, a.expires_at,
       (1000 * extract(epoch FROM a.activated_at - greatest(a.entered_at, s.sales_open_at)))::bigint AS waited_ms
FROM admitted a JOIN schedule s ON s.id = $1
UNION ALL
SELECT number, person_id, status, version, activated_at, expires_at, NULL FROM ended
UNION ALL
SELECT number, person_id, status, version, activated_at, expires_at, NULL FROM passed
ORDER BY number
