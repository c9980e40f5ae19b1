-- A hold kept for longer. $1 reservation, $2 person, $3 seconds that a hold lasts.
WITH seen AS MATERIALIZED (
    SELECT t.version FROM reservation r JOIN queue_token t ON t.id = r.queue_token_id
    WHERE r.id = $1 AND r.person_id = $2
),
token AS MATERIALIZED (
    SELECT t.id, t.version FROM queue_token t
    JOIN reservation r ON r.queue_token_id = t.id
    WHERE r.id = $1 AND r.person_id = $2
    FOR NO KEY UPDATE OF t
),
current AS MATERIALIZED (
    SELECT r.id, r.seat_count, r.expires_at, r.extendable_until
    FROM token
    JOIN seen ON seen.version = token.version
    JOIN reservation r ON r.id = $1
    WHERE r.status = 'HOLD'
      -- The payment keeps the seats for as long as it takes.
      AND NOT EXISTS (SELECT 1 FROM payment p WHERE p.reservation_id = r.id AND p.status = 'PENDING')
    FOR NO KEY UPDATE OF r
),
place AS MATERIALIZED (
    SELECT seat.id FROM current
    JOIN reservation_seat l ON l.reservation_id = current.id
    JOIN seat ON seat.id = l.seat_id
    WHERE seat.reservation_id = current.id AND seat.status = 'HOLD'
    ORDER BY seat.id
    FOR NO KEY UPDATE OF seat
),
-- The time at which every lock was there. Waiting for the last of them may have taken until after the lapse.
clock AS MATERIALIZED (SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM place) every_seat),
-- Never earlier than it is, and only where there is something to gain.
decided AS MATERIALIZED (
    SELECT current.id, until.at AS until
    FROM current, clock, LATERAL (
        -- A hold of an earlier version ends when it ends.
        SELECT least(clock.now + make_interval(secs => $3), coalesce(current.extendable_until, current.expires_at)) AS at
    ) until
    WHERE current.expires_at > clock.now AND until.at > current.expires_at
      AND current.seat_count = (SELECT count(*) FROM place)
),
kept AS (
    -- By two: an instance that has not heard of this may have shown the lapse, which counts as one.
    UPDATE seat SET hold_expires_at = decided.until, version = seat.version + 2
    FROM decided, place
    WHERE seat.id = place.id
    RETURNING seat.id, seat.version
),
extended AS (
    UPDATE reservation r SET expires_at = decided.until
    FROM decided
    WHERE r.id = decided.id
    RETURNING r.id, r.person_id, r.schedule_id, r.queue_token_id, r.status, r.seat_count, r.total_price,
              r.held_at, r.expires_at, r.extendable_until, r.confirmed_at, r.cancelled_at
),
-- Extending is something that the person does, and they stay ACTIVE for as long as they hold.
touched AS (
    UPDATE queue_token t
    SET version = t.version + 1, last_action_at = clock.now,
        expires_at = CASE WHEN t.status = 'ACTIVE' AND t.expires_at > clock.now THEN greatest(
            active_until(t.activated_at, clock.now, w.idle_seconds, w.active_seconds),
            decided.until,
            -- By person: where HOLD is asked for among the conditions, all live holds may be gone through by their time.
            (SELECT max(other.expires_at) FILTER (WHERE other.status = 'HOLD') FROM reservation other
             WHERE other.queue_token_id = t.id AND other.schedule_id = t.schedule_id
               AND other.person_id = $2 AND other.id <> $1
               AND other.status IN ('HOLD', 'CONFIRMED') AND other.expires_at > clock.now)) ELSE t.expires_at END
    FROM token, decided, waiting_room w, clock
    WHERE t.id = token.id AND w.schedule_id = t.schedule_id
    RETURNING t.number, t.status, t.version, t.activated_at, t.expires_at
)
SELECT kept.id AS seat_id, kept.version AS seat_version,
       touched.number, touched.status AS token_status, touched.version AS token_version, touched.activated_at,
       touched.expires_at AS token_expires_at, extended.*, clock.now
FROM extended CROSS JOIN clock CROSS JOIN touched CROSS JOIN kept
