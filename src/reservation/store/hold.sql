-- A hold. $1 queue token, $2 schedule, $3 person, $4 seats (sorted), $5 the new reservation, $6 seconds it lasts.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
seen AS MATERIALIZED (SELECT version FROM queue_token WHERE id = $1),
token AS MATERIALIZED (
    SELECT t.id, t.version, t.activated_at, s.max_seats_per_person, w.idle_seconds, w.active_seconds
    FROM queue_token t
    JOIN schedule s ON s.id = t.schedule_id
    JOIN waiting_room w ON w.schedule_id = t.schedule_id
    CROSS JOIN clock
    WHERE t.id = $1 AND t.schedule_id = $2 AND t.person_id = $3
      AND t.status = 'ACTIVE' AND t.expires_at > clock_timestamp()
      AND s.status = 'ON_SALE' AND clock.now >= s.sales_open_at AND clock.now < s.sales_close_at
    FOR NO KEY UPDATE OF t
),
-- The token's lock stops everything else that is done with this token, not the payment of a hold made with an earlier one.
earlier AS MATERIALIZED (
    SELECT r.seat_count, r.status, r.expires_at
    FROM token
    JOIN seen ON seen.version = token.version
    JOIN reservation r ON r.schedule_id = $2 AND r.person_id = $3 AND r.queue_token_id <> token.id
    WHERE r.status IN ('HOLD', 'CONFIRMED')
    ORDER BY r.id
    FOR NO KEY UPDATE OF r
),
taken AS MATERIALIZED (
    SELECT coalesce(sum(r.seat_count), 0) AS seats
    FROM clock, (
        SELECT seat_count, status, expires_at FROM reservation
        WHERE schedule_id = $2 AND person_id = $3 AND queue_token_id = $1
        UNION ALL
        SELECT seat_count, status, expires_at FROM earlier
    ) r
    WHERE r.status = 'CONFIRMED' OR (r.status = 'HOLD' AND r.expires_at > clock.now)
),
claimable AS MATERIALIZED (
    SELECT seat.id, seat.price
    FROM token
    JOIN seen ON seen.version = token.version
    JOIN taken ON taken.seats + cardinality($4::uuid[]) <= token.max_seats_per_person
    JOIN seat ON seat.id = ANY($4) AND seat.schedule_id = $2
    WHERE seat.status = 'AVAILABLE'
       OR (seat.status = 'HOLD' AND seat.hold_expires_at <= clock_timestamp())
    ORDER BY seat.id
    FOR NO KEY UPDATE OF seat SKIP LOCKED
),
granted AS MATERIALIZED (
    SELECT count(*)::integer AS seats, sum(price)::bigint AS price FROM claimable
    HAVING count(*) = cardinality($4)
),
held AS (
    INSERT INTO reservation
        (id, person_id, schedule_id, queue_token_id, seat_count, total_price, held_at, expires_at)
    SELECT $5, $3, $2, token.id, granted.seats, granted.price,
           clock.now, clock.now + make_interval(secs => $6)
    FROM token, granted, clock
    RETURNING id, person_id, schedule_id, queue_token_id, status, seat_count, total_price, held_at,
              expires_at, confirmed_at, cancelled_at
),
lines AS (
    INSERT INTO reservation_seat (reservation_id, seat_id, price)
    SELECT held.id, claimable.id, claimable.price FROM held, claimable
),
claimed AS (
    UPDATE seat
    SET status = 'HOLD', reservation_id = held.id, hold_expires_at = held.expires_at,
        version = seat.version + CASE seat.status WHEN 'HOLD' THEN 2 ELSE 1 END
    FROM claimable, held
    WHERE seat.id = claimable.id
    RETURNING seat.id, seat.version
),
touched AS (
    UPDATE queue_token t
    SET version = t.version + 1, last_action_at = clock.now,
        expires_at = greatest(
            least(clock.now + make_interval(secs => token.idle_seconds),
                  token.activated_at + make_interval(secs => token.active_seconds)),
            held.expires_at,
            -- By person: where HOLD is asked for among the conditions, all live holds may be gone through by their time.
            (SELECT max(other.expires_at) FILTER (WHERE other.status = 'HOLD') FROM reservation other
             WHERE other.queue_token_id = t.id AND other.schedule_id = t.schedule_id
               AND other.person_id = $3
               AND other.status IN ('HOLD', 'CONFIRMED') AND other.expires_at > clock.now))
    FROM token, held, clock
    WHERE t.id = token.id
    RETURNING t.number, t.version, t.activated_at, t.expires_at
)
SELECT claimed.id AS seat_id, claimed.version AS seat_version,
       touched.number, touched.version AS token_version, touched.activated_at,
       touched.expires_at AS token_expires_at, held.*, clock.now
FROM held, touched, claimed, clock
