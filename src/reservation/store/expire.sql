-- Lapsed holds tidied. $1 how many at most.
WITH lapsed AS MATERIALIZED (
    SELECT r.id, r.schedule_id, r.person_id FROM reservation r
    -- A time that stands still while the statement runs: only such a one is found by the index, and not among all live holds.
    WHERE has_lapsed(r.status, r.expires_at, statement_timestamp())
      AND NOT EXISTS (SELECT 1 FROM payment p WHERE p.reservation_id = r.id AND p.status = 'PENDING')
    ORDER BY r.expires_at LIMIT $1
    FOR NO KEY UPDATE OF r SKIP LOCKED
),
place AS MATERIALIZED (
    SELECT seat.id, lapsed.id AS reservation_id FROM lapsed
    JOIN reservation_seat l ON l.reservation_id = lapsed.id
    JOIN seat ON seat.id = l.seat_id
    WHERE seat.reservation_id = lapsed.id AND seat.status = 'HOLD'
    ORDER BY seat.id
    FOR NO KEY UPDATE OF seat
),
freed AS (
    UPDATE seat
    SET status = 'AVAILABLE', reservation_id = NULL, hold_expires_at = NULL, version = seat.version + 1
    FROM place
    WHERE seat.id = place.id
    RETURNING seat.id, seat.version, place.reservation_id
),
expired AS (
    UPDATE reservation r SET status = 'EXPIRED' FROM lapsed WHERE r.id = lapsed.id
    RETURNING r.id
)
SELECT lapsed.id AS reservation_id, lapsed.schedule_id, lapsed.person_id,
       freed.id AS seat_id, freed.version AS seat_version
FROM lapsed
JOIN expired ON expired.id = lapsed.id
LEFT JOIN freed ON freed.reservation_id = lapsed.id
