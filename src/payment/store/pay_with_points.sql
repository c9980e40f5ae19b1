-- A payment with points. $1 reservation, $2 person, $3 amount, $4 the new payment, $5 key, $6 fingerprint, $7 the ledger entry.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
seen AS MATERIALIZED (
    SELECT t.version FROM reservation r JOIN queue_token t ON t.id = r.queue_token_id
    WHERE r.id = $1 AND r.person_id = $2
),
token AS MATERIALIZED (
    SELECT t.id, t.version, t.status FROM reservation r
    JOIN queue_token t ON t.id = r.queue_token_id
    WHERE r.id = $1 AND r.person_id = $2
    FOR NO KEY UPDATE OF t
),
current AS MATERIALIZED (
    SELECT r.id, r.schedule_id, r.seat_count, r.total_price, r.expires_at
    FROM token
    JOIN seen ON seen.version = token.version
    JOIN reservation r ON r.id = $1
    WHERE r.status = 'HOLD' AND r.expires_at > clock_timestamp() AND r.total_price = $3
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
purse AS MATERIALIZED (
    SELECT w.balance FROM current
    JOIN wallet w ON w.person_id = $2
    WHERE (SELECT count(*) FROM place) = current.seat_count AND w.balance >= current.total_price
    FOR NO KEY UPDATE OF w
),
-- The time at which every lock was there. Waiting for the last of them may have taken until after the lapse.
decided AS MATERIALIZED (SELECT clock_timestamp() AS at FROM purse),
paid AS (
    INSERT INTO payment (id, person_id, reservation_id, method, amount, status, idempotency_key,
                         fingerprint, created_at, approved_at)
    SELECT $4, $2, current.id, 'POINT', current.total_price, 'APPROVED', $5, $6, clock.now, clock.now
    FROM current, decided, clock
    WHERE current.expires_at > decided.at
    RETURNING id, person_id, reservation_id, method, amount, status, failure_code,
              created_at, approved_at, refunded_at
),
confirmed AS (
    UPDATE reservation r SET status = 'CONFIRMED', confirmed_at = clock.now
    FROM paid, clock
    WHERE r.id = paid.reservation_id
    RETURNING r.schedule_id
),
sold AS (
    UPDATE seat SET status = 'SOLD_OUT', hold_expires_at = NULL, version = seat.version + 1
    FROM place, paid
    WHERE seat.id = place.id
    RETURNING seat.id, seat.version
),
spent AS (
    UPDATE wallet w SET balance = w.balance - paid.amount FROM paid WHERE w.person_id = $2
    RETURNING w.balance
),
entry AS (
    INSERT INTO wallet_entry
        (id, person_id, kind, delta, balance_after, purpose, key, payment_id, created_at)
    SELECT $7, $2, 'DEDUCT', -paid.amount, spent.balance, 'PAYMENT', paid.id::text, paid.id, clock.now
    FROM paid, spent, clock
),
touched AS (
    UPDATE queue_token t
    SET version = t.version + 1, last_action_at = clock.now,
        expires_at = CASE WHEN t.status = 'ACTIVE' AND t.expires_at > clock_timestamp() THEN greatest(
            least(clock.now + make_interval(secs => w.idle_seconds),
                  t.activated_at + make_interval(secs => w.active_seconds)),
            -- By person: where HOLD is asked for among the conditions, all live holds may be gone through by their time.
            (SELECT max(other.expires_at) FILTER (WHERE other.status = 'HOLD') FROM reservation other
             WHERE other.queue_token_id = t.id AND other.schedule_id = t.schedule_id
               AND other.person_id = $2 AND other.id <> $1
               AND other.status IN ('HOLD', 'CONFIRMED') AND other.expires_at > clock.now)) ELSE t.expires_at END,
        status = CASE WHEN used.up AND t.status = 'ACTIVE' THEN 'USED' ELSE t.status END,
        ended_at = CASE WHEN used.up AND t.status = 'ACTIVE' THEN clock.now ELSE t.ended_at END
    FROM token, current, paid, waiting_room w, clock, LATERAL (
        SELECT current.seat_count + coalesce(sum(r.seat_count), 0) >= s.max_seats_per_person AS up
        FROM schedule s
        LEFT JOIN reservation r
            ON r.schedule_id = s.id AND r.person_id = $2 AND r.status = 'CONFIRMED'
        WHERE s.id = current.schedule_id
        GROUP BY s.max_seats_per_person
    ) used
    WHERE t.id = token.id AND w.schedule_id = t.schedule_id
    RETURNING t.number, token.status AS before, t.status, t.version, t.activated_at, t.expires_at
)
SELECT sold.id AS seat_id, sold.version AS seat_version, confirmed.schedule_id,
       touched.number, touched.before AS token_before, touched.status AS token_status, touched.version AS token_version,
       touched.activated_at, touched.expires_at AS token_expires_at, paid.*
FROM paid, confirmed, sold, touched
