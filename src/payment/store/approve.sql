-- A card was charged for seats. They are the payer's if they are still held for them, or have lapsed and nobody else has them; else
-- the money has to go back. $1 payment, $2 the gateway's name for it, $3 the refund, should there be one.
WITH mine AS MATERIALIZED (
    SELECT p.id, r.id AS reservation_id, r.schedule_id, r.person_id, r.queue_token_id
    FROM payment p JOIN reservation r ON r.id = p.reservation_id
    WHERE p.id = $1 AND p.status = 'PENDING'
),
-- The token that the seats were held with, and the person's live one if that is another.
seen AS MATERIALIZED (
    SELECT t.id, t.version, t.number FROM mine, LATERAL (
        SELECT t.id, t.version, t.number FROM queue_token t WHERE t.id = mine.queue_token_id
        UNION ALL
        SELECT t.id, t.version, t.number FROM queue_token t
        WHERE t.schedule_id = mine.schedule_id AND t.person_id = mine.person_id AND t.status IN ('WAITING', 'ACTIVE')
          AND t.id <> mine.queue_token_id
    ) t
),
token AS MATERIALIZED (
    SELECT t.id, t.status FROM (SELECT * FROM seen ORDER BY number OFFSET 0) s, LATERAL (
        SELECT t.id, t.version, t.status FROM queue_token t WHERE t.id = s.id
        FOR NO KEY UPDATE
    ) t
    WHERE t.version = s.version
),
current AS MATERIALIZED (
    SELECT r.id, r.schedule_id, r.person_id, r.status, r.seat_count, r.expires_at, s.max_seats_per_person,
           s.status AS schedule_status
    FROM mine JOIN reservation r ON r.id = mine.reservation_id
    JOIN schedule s ON s.id = r.schedule_id
    WHERE (SELECT count(*) FROM seen) = (SELECT count(*) FROM token)
    ORDER BY r.id
    FOR NO KEY UPDATE OF r
),
bill AS MATERIALIZED (
    SELECT p.id FROM current JOIN payment p ON p.id = $1
    WHERE p.status = 'PENDING'
    FOR NO KEY UPDATE OF p
),
-- Whosever they are now.
place AS MATERIALIZED (
    SELECT seat.id, seat.status, seat.hold_expires_at, seat.reservation_id
    FROM bill CROSS JOIN current
    JOIN reservation_seat l ON l.reservation_id = current.id
    JOIN seat ON seat.id = l.seat_id
    ORDER BY seat.id
    FOR NO KEY UPDATE OF seat
),
-- The time at which every lock was there.
clock AS MATERIALIZED (SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM place) every_seat),
decided AS MATERIALIZED (
    SELECT current.*, current.status = 'HOLD' AND current.schedule_status = 'CANCELLED' AS called_off,
           current.status IN ('HOLD', 'EXPIRED') AND current.schedule_status <> 'CANCELLED'
           AND (SELECT count(*) FROM place
                WHERE (place.reservation_id = current.id AND place.status = 'HOLD')
                   OR is_free(place.status, place.hold_expires_at, clock.now)) = current.seat_count
           -- A hold that has lapsed does not count any more: the person may have held others since.
           AND ((current.status = 'HOLD' AND current.expires_at > clock.now)
                OR current.seat_count + others.seats <= current.max_seats_per_person) AS theirs
    FROM bill CROSS JOIN clock CROSS JOIN current, LATERAL (
        SELECT coalesce(sum(r.seat_count), 0) AS seats FROM reservation r
        WHERE r.schedule_id = current.schedule_id AND r.person_id = current.person_id AND r.id <> current.id
          AND (r.status = 'CONFIRMED' OR (r.status = 'HOLD' AND r.expires_at > clock.now))
    ) others
),
approved AS (
    UPDATE payment p
    SET status = 'APPROVED', approved_at = clock.now, look_at = NULL, action_url = NULL, action_secret = NULL,
        gateway_reference = coalesce($2, p.gateway_reference),
        refund_status = CASE WHEN NOT decided.theirs THEN 'PENDING' END,
        refund_id = CASE WHEN NOT decided.theirs THEN $3::uuid END,
        refund_asked_at = CASE WHEN NOT decided.theirs THEN clock.now END,
        refund_try_at = CASE WHEN NOT decided.theirs THEN clock.now END
    FROM bill, decided, clock
    WHERE p.id = bill.id
    RETURNING p.id
),
settled AS (
    UPDATE reservation r
    SET status = CASE WHEN decided.theirs THEN 'CONFIRMED' WHEN decided.called_off THEN 'CANCELLED' ELSE 'EXPIRED' END,
        confirmed_at = CASE WHEN decided.theirs THEN clock.now END,
        cancelled_at = CASE WHEN decided.called_off THEN clock.now END,
        -- The hold ends now, if it has not ended before.
        expires_at = CASE WHEN decided.theirs THEN r.expires_at ELSE least(r.expires_at, clock.now) END
    FROM current, decided, clock
    WHERE r.id = current.id AND r.status IN ('HOLD', 'EXPIRED')
),
moved AS (
    UPDATE seat
    SET status = CASE WHEN decided.theirs THEN 'SOLD_OUT' ELSE 'AVAILABLE' END,
        reservation_id = CASE WHEN decided.theirs THEN decided.id END,
        hold_expires_at = NULL,
        -- One for a lapse that nobody has written down yet.
        version = seat.version + CASE WHEN has_lapsed(place.status, place.hold_expires_at, clock.now) THEN 2 ELSE 1 END
    FROM place, decided, clock
    WHERE seat.id = place.id
      AND (decided.theirs OR (place.reservation_id = decided.id AND place.status = 'HOLD'))
    RETURNING seat.id, seat.version, seat.status
),
-- As with points: the live token's time starts anew, or ends with the last seat that the person may own.
touched AS (
    UPDATE queue_token t
    SET version = t.version + 1, last_action_at = clock.now,
        expires_at = CASE WHEN t.status = 'ACTIVE' AND t.expires_at > clock.now THEN greatest(
            active_until(t.activated_at, clock.now, own.idle_seconds, own.active_seconds),
            own.until) ELSE t.expires_at END,
        status = CASE WHEN own.every_seat AND t.status IN ('WAITING', 'ACTIVE') THEN 'USED' ELSE t.status END,
        ended_at = CASE WHEN own.every_seat AND t.status IN ('WAITING', 'ACTIVE') THEN clock.now ELSE t.ended_at END
    FROM clock, decided, token, LATERAL (
        SELECT w.idle_seconds, w.active_seconds,
               decided.theirs AND decided.seat_count
                   + coalesce(sum(r.seat_count) FILTER (WHERE r.status = 'CONFIRMED'), 0)
                   >= decided.max_seats_per_person AS every_seat,
               max(r.expires_at) FILTER (WHERE r.status = 'HOLD' AND r.queue_token_id = token.id
                                           AND r.id <> decided.id AND r.expires_at > clock.now) AS until
        FROM waiting_room w
        LEFT JOIN reservation r
            ON r.schedule_id = w.schedule_id AND r.person_id = decided.person_id AND r.status IN ('HOLD', 'CONFIRMED')
        WHERE w.schedule_id = decided.schedule_id
        GROUP BY w.idle_seconds, w.active_seconds
    ) own
    WHERE t.id = token.id
    RETURNING token.status AS before, t.number, t.status, t.version, t.activated_at, t.expires_at
)
SELECT decided.theirs, decided.schedule_id, decided.person_id, decided.id AS reservation_id,
       moved.id AS seat_id, moved.version AS seat_version, moved.status AS seat_status,
       NULL::timestamptz AS hold_expires_at,
       live.number, live.status AS token_status, live.version AS token_version, live.activated_at,
       live.expires_at AS token_expires_at
FROM approved CROSS JOIN decided LEFT JOIN moved ON true
-- One of the tokens at most was live; a place in line that stays what it was is no news.
LEFT JOIN touched live ON live.before = 'ACTIVE' OR (live.before = 'WAITING' AND live.status = 'USED')
