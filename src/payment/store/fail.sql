-- A payment by card for seats has failed: no money moves, and the hold lapses when it would have lapsed without it. $1 payment,
-- $2 why, $3 the gateway's name for it, $4 how often the gateway was asked at most for this to be so, or null.
WITH mine AS MATERIALIZED (
    SELECT p.id, r.id AS reservation_id, r.queue_token_id FROM payment p JOIN reservation r ON r.id = p.reservation_id
    WHERE p.id = $1 AND p.status = 'PENDING'
),
seen AS MATERIALIZED (SELECT t.version FROM mine JOIN queue_token t ON t.id = mine.queue_token_id),
token AS MATERIALIZED (
    SELECT t.id, t.version FROM mine JOIN queue_token t ON t.id = mine.queue_token_id
    ORDER BY t.number
    FOR NO KEY UPDATE OF t
),
current AS MATERIALIZED (
    SELECT r.id, r.schedule_id, r.person_id FROM token
    JOIN seen ON seen.version = token.version
    CROSS JOIN mine
    JOIN reservation r ON r.id = mine.reservation_id
    ORDER BY r.id
    FOR NO KEY UPDATE OF r
),
bill AS MATERIALIZED (
    SELECT p.id, p.held_until FROM current JOIN payment p ON p.id = $1
    WHERE p.status = 'PENDING' AND ($4::integer IS NULL OR p.attempts <= $4)
    FOR NO KEY UPDATE OF p
),
place AS MATERIALIZED (
    SELECT seat.id FROM bill CROSS JOIN current
    JOIN reservation_seat l ON l.reservation_id = current.id
    JOIN seat ON seat.id = l.seat_id
    WHERE seat.reservation_id = current.id AND seat.status = 'HOLD'
    ORDER BY seat.id
    FOR NO KEY UPDATE OF seat
),
clock AS MATERIALIZED (SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM place) every_seat),
failed AS (
    UPDATE payment p
    SET status = 'FAILED', failure_code = $2, look_at = NULL, action_url = NULL, action_secret = NULL,
        gateway_reference = coalesce($3, p.gateway_reference)
    FROM bill
    WHERE p.id = bill.id
    RETURNING p.id
),
back AS (
    UPDATE reservation r SET expires_at = least(r.expires_at, bill.held_until)
    FROM bill, current
    WHERE r.id = current.id AND r.status = 'HOLD'
    RETURNING r.expires_at
),
moved AS (
    UPDATE seat SET hold_expires_at = back.expires_at, version = seat.version + 1
    FROM back, place
    WHERE seat.id = place.id
    RETURNING seat.id, seat.version, seat.status, seat.hold_expires_at
),
touched AS (
    UPDATE queue_token t
    SET version = t.version + 1, last_action_at = clock.now,
        expires_at = CASE WHEN t.status = 'ACTIVE' AND t.expires_at > clock.now THEN greatest(
            active_until(t.activated_at, clock.now, w.idle_seconds, w.active_seconds),
            (SELECT back.expires_at FROM back),
            -- By person: where HOLD is asked for among the conditions, all live holds may be gone through by their time.
            (SELECT max(other.expires_at) FILTER (WHERE other.status = 'HOLD') FROM reservation other
             WHERE other.queue_token_id = t.id AND other.schedule_id = t.schedule_id
               AND other.person_id = current.person_id AND other.id <> current.id
               AND other.status IN ('HOLD', 'CONFIRMED') AND other.expires_at > clock.now)) ELSE t.expires_at END
    FROM token, bill, current, clock, waiting_room w
    WHERE t.id = token.id AND w.schedule_id = t.schedule_id
    RETURNING t.number, t.status, t.version, t.activated_at, t.expires_at
)
SELECT false AS theirs, current.schedule_id, current.person_id, current.id AS reservation_id,
       moved.id AS seat_id, moved.version AS seat_version, moved.status AS seat_status, moved.hold_expires_at,
       touched.number, touched.status AS token_status, touched.version AS token_version, touched.activated_at,
       touched.expires_at AS token_expires_at
FROM failed CROSS JOIN current CROSS JOIN touched LEFT JOIN moved ON true
