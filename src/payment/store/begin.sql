-- A payment by card begins: it is PENDING, and keeps the seats until it is decided. $1 reservation, $2 person, $3 amount, $4 the new
-- payment, $5 key, $6 fingerprint, $7 seconds after which a worker looks, $8 seconds after which it is called off, $9 seconds for
-- which the seats are kept beyond that, $10 how many payments of a reservation may fail.
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
    SELECT r.id, r.schedule_id, r.person_id, r.seat_count, r.expires_at
    FROM token
    JOIN seen ON seen.version = token.version
    JOIN reservation r ON r.id = $1
    JOIN schedule s ON s.id = r.schedule_id
    WHERE r.status = 'HOLD' AND r.total_price = $3 AND s.status <> 'CANCELLED'
      AND (SELECT count(*) FROM payment p WHERE p.reservation_id = $1 AND p.status = 'FAILED') < $10
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
begun AS (
    INSERT INTO payment (id, person_id, reservation_id, purpose, method, amount, status, idempotency_key, fingerprint, created_at,
                         asked_at, held_until, look_at, call_off_at)
    SELECT $4, current.person_id, current.id, 'SEATS', 'CARD', $3, 'PENDING', $5, $6, clock.now,
           clock.now, current.expires_at, clock.now + make_interval(secs => $7), clock.now + make_interval(secs => $8)
    FROM current, clock
    WHERE current.expires_at > clock.now AND (SELECT count(*) FROM place) = current.seat_count
    -- A key that was used, or another payment that is live: the caller answers it.
    ON CONFLICT DO NOTHING
    RETURNING call_off_at
),
kept AS (
    UPDATE reservation r SET expires_at = greatest(r.expires_at, begun.call_off_at + make_interval(secs => $9))
    FROM begun, current
    WHERE r.id = current.id
    RETURNING r.expires_at
),
moved AS (
    UPDATE seat SET hold_expires_at = kept.expires_at, version = seat.version + 1
    FROM kept, place
    WHERE seat.id = place.id
    RETURNING seat.id, seat.version, seat.status, seat.hold_expires_at
),
-- Paying is something that the person does, and whoever holds seats stays in.
touched AS (
    UPDATE queue_token t
    SET version = t.version + 1, last_action_at = clock.now,
        expires_at = CASE WHEN t.status = 'ACTIVE' AND t.expires_at > clock.now THEN greatest(
            t.expires_at, active_until(t.activated_at, clock.now, w.idle_seconds, w.active_seconds),
            kept.expires_at) ELSE t.expires_at END
    FROM token, kept, clock, waiting_room w
    WHERE t.id = token.id AND w.schedule_id = t.schedule_id
    RETURNING t.number, t.status, t.version, t.activated_at, t.expires_at
)
SELECT false AS theirs, current.schedule_id, current.person_id, current.id AS reservation_id,
       moved.id AS seat_id, moved.version AS seat_version, moved.status AS seat_status, moved.hold_expires_at,
       touched.number, touched.status AS token_status, touched.version AS token_version, touched.activated_at,
       touched.expires_at AS token_expires_at
FROM current CROSS JOIN moved CROSS JOIN touched
