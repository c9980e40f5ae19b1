-- One round of a waiting room. $1 schedule, $2 people who are away, $3 seconds after which an absence ends a place,
-- $4 the last number that was looked at, $5 how many are sent away at most.
WITH start AS MATERIALIZED (SELECT clock_timestamp() AS now),
seen AS MATERIALIZED (SELECT version FROM admission WHERE schedule_id = $1),
held AS MATERIALIZED (
    SELECT version FROM admission WHERE schedule_id = $1 FOR NO KEY UPDATE SKIP LOCKED
),
turn AS MATERIALIZED (SELECT held.version FROM held JOIN seen ON seen.version = held.version),
room AS MATERIALIZED (
    SELECT w.max_active, w.admit_per_round, w.round_ms, w.idle_seconds, w.active_seconds, s.sales_open_at, s.sales_close_at,
           (SELECT count(*) FROM queue_token t WHERE t.schedule_id = $1 AND t.status = 'ACTIVE') AS active
    FROM turn, start, schedule s
    JOIN waiting_room w ON w.schedule_id = s.id
    WHERE s.id = $1 AND s.status = 'ON_SALE' AND NOT w.paused AND w.drawn_at IS NOT NULL
      AND start.now >= s.sales_open_at
      AND (SELECT seat.id FROM seat
           WHERE seat.schedule_id = s.id AND NOT seat.sold
             AND is_free(seat.status, seat.hold_expires_at, start.now)
           LIMIT 1) IS NOT NULL
),
-- Each half has an index of its own; together they would be read in the order of the whole journal.
due AS MATERIALIZED (
    SELECT id FROM (
        SELECT t.id FROM turn, start, queue_token t
        WHERE t.schedule_id = $1 AND t.status = 'ACTIVE' AND t.expires_at <= start.now
        UNION ALL
        SELECT t.id FROM turn, start, queue_token t
        WHERE t.schedule_id = $1 AND t.status = 'WAITING' AND t.passed_over_at IS NOT NULL
          AND t.passed_over_at <= start.now - make_interval(secs => $3)
    ) either
    LIMIT $5
),
-- The front: as many as could be admitted at best, and those among them who are away.
front AS MATERIALIZED (
    SELECT t.id FROM queue_token t
    WHERE t.schedule_id = $1 AND t.status = 'WAITING' AND t.passed_over_at IS NULL AND t.number <= $4
    ORDER BY t.number
    LIMIT coalesce((SELECT least(room.max_active, greatest(0, room.max_active - room.active) + (SELECT count(*) FROM due),
                                 room.admit_per_round) + cardinality($2::uuid[]) FROM room), 0)
),
-- Tokens are locked in the order of their numbers, here and wherever several are. So everybody whom this round concerns is
-- locked at once, whether they are to come in, to be passed over, or to go.
locked AS MATERIALIZED (
    SELECT t.id, t.number, t.person_id, t.status, t.expires_at, t.passed_over_at
    FROM queue_token t
    WHERE t.id = ANY (ARRAY(SELECT id FROM due UNION ALL SELECT id FROM front)) AND t.status IN ('WAITING', 'ACTIVE')
    ORDER BY t.number
    FOR NO KEY UPDATE OF t
),
-- From here on the time is that at which every lock was there, and of a token counts what it is under its lock.
clock AS MATERIALIZED (SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM locked) every),
over AS MATERIALIZED (
    SELECT locked.id FROM locked, clock
    WHERE (locked.status = 'ACTIVE' AND locked.expires_at <= clock.now)
       OR (locked.status = 'WAITING' AND locked.passed_over_at <= clock.now - make_interval(secs => $3))
),
ended AS (
    UPDATE queue_token t
    SET status = 'EXPIRED', ended_at = clock.now,
        ended_because = why_ended(t.status, t.activated_at, t.expires_at, clock.now,
                                  (SELECT w.active_seconds FROM waiting_room w WHERE w.schedule_id = $1), 'AWAY')
    FROM over, clock
    WHERE t.id = over.id
    RETURNING t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at, t.ended_because
),
-- The count of ACTIVE people is that of the snapshot. Nobody else lets people in, so by now there may only be fewer.
free AS MATERIALIZED (
    SELECT greatest(0, least(
        room.max_active - room.active + (SELECT count(*) FROM ended WHERE activated_at IS NOT NULL),
        room.admit_per_round - (
            SELECT count(*) FROM queue_token t
            WHERE t.schedule_id = $1
              AND t.activated_at > clock.now - make_interval(secs => room.round_ms / 1000.0)
              AND coalesce(t.ended_at, t.activated_at) > clock.now - make_interval(secs => room.round_ms / 1000.0)))) AS places
    FROM room, clock
    WHERE clock.now < room.sales_close_at
),
line AS MATERIALIZED (
    SELECT locked.id, locked.number FROM locked
    WHERE locked.status = 'WAITING' AND locked.passed_over_at IS NULL AND NOT (locked.person_id = ANY($2))
    ORDER BY locked.number
    LIMIT coalesce((SELECT places FROM free), 0)
),
-- Only those whose turn it is: somebody behind them is admitted, or a place is left over. Another round may have taken the
-- places since this one looked who is away.
passed AS (
    UPDATE queue_token t SET passed_over_at = clock.now
    FROM locked, free, clock
    WHERE t.id = locked.id AND locked.status = 'WAITING' AND locked.passed_over_at IS NULL AND locked.person_id = ANY($2)
      AND (free.places > (SELECT count(*) FROM line) OR locked.number < (SELECT max(number) FROM line))
    RETURNING t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at
),
admitted AS (
    UPDATE queue_token t
    SET status = 'ACTIVE', activated_at = clock.now, last_action_at = clock.now, passed_over_at = NULL,
        expires_at = active_until(clock.now, clock.now, room.idle_seconds, room.active_seconds)
    FROM line, room, clock
    WHERE t.id = line.id
    RETURNING t.number, t.person_id, t.status, t.version, t.activated_at, t.expires_at, t.entered_at
),
bumped AS (
    UPDATE admission SET version = version + 1
    WHERE schedule_id = $1 AND EXISTS (SELECT 1 FROM admitted)
)
SELECT a.number, a.person_id, a.status, a.version, a.activated_at, a.expires_at, NULL AS ended_because,
       (1000 * extract(epoch FROM a.activated_at - greatest(a.entered_at, room.sales_open_at)))::bigint AS waited_ms
FROM admitted a, room
UNION ALL
SELECT number, person_id, status, version, activated_at, expires_at, ended_because, NULL FROM ended
UNION ALL
SELECT number, person_id, status, version, activated_at, expires_at, NULL, NULL FROM passed
ORDER BY number
