-- A cancellation. $1 reservation, $2 its person, $3 the ledger entry of a refund, $4 the refund, $5 points that a wallet holds at
-- most, $6 whether the organizer cancels: then it is never too late, and nothing that the person did; $7 whether there is a gateway
-- to give a card its money back.
WITH seen AS MATERIALIZED (
    SELECT t.version FROM reservation r JOIN queue_token t ON t.id = r.queue_token_id
    WHERE r.id = $1 AND r.person_id = $2
),
token AS MATERIALIZED (
    SELECT t.id, t.version, t.status FROM queue_token t
    JOIN reservation r ON r.queue_token_id = t.id
    WHERE r.id = $1 AND r.person_id = $2
    FOR NO KEY UPDATE OF t
),
current AS MATERIALIZED (
    SELECT r.id, r.status, r.expires_at, s.status = 'CANCELLED' AS called_off,
           coalesce(s.cancel_until, s.starts_at) AS cancel_until
    FROM token
    JOIN seen ON seen.version = token.version
    JOIN reservation r ON r.id = $1
    JOIN schedule s ON s.id = r.schedule_id
    WHERE r.status IN ('HOLD', 'CONFIRMED')
      AND NOT EXISTS (SELECT 1 FROM payment p WHERE p.reservation_id = r.id AND p.status = 'PENDING')
      AND ($7 OR NOT EXISTS (SELECT 1 FROM payment p
                             WHERE p.reservation_id = r.id AND p.status = 'APPROVED' AND p.method = 'CARD'))
    FOR NO KEY UPDATE OF r
),
money AS MATERIALIZED (
    SELECT p.id, p.amount, p.method FROM current
    JOIN payment p ON p.reservation_id = current.id
    WHERE current.status = 'CONFIRMED' AND p.status = 'APPROVED'
    ORDER BY p.id
    FOR NO KEY UPDATE OF p
),
place AS MATERIALIZED (
    SELECT seat.id FROM current
    CROSS JOIN (SELECT count(*) FROM money) the_payment
    JOIN reservation_seat l ON l.reservation_id = current.id
    JOIN seat ON seat.id = l.seat_id
    WHERE seat.reservation_id = current.id
    ORDER BY seat.id
    FOR NO KEY UPDATE OF seat
),
-- Only a refund of points needs the wallet.
purse AS MATERIALIZED (
    SELECT w.person_id, w.balance FROM money
    CROSS JOIN (SELECT count(*) FROM place) every_seat
    JOIN wallet w ON w.person_id = $2
    WHERE money.method = 'POINT'
    FOR NO KEY UPDATE OF w
),
-- The time at which every lock was there. Waiting for the last of them may have taken until after the lapse, or the end of the
-- time for cancelling.
clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now
    FROM (SELECT count(*) FROM place) every_seat, (SELECT count(*) FROM purse) the_wallet
),
decided AS MATERIALIZED (
    SELECT current.id FROM current, clock
    WHERE (current.status = 'HOLD' AND current.expires_at > clock.now)
       OR (current.status = 'CONFIRMED' AND ($6 OR current.called_off OR current.cancel_until > clock.now))
),
freed AS (
    UPDATE seat
    SET status = 'AVAILABLE', reservation_id = NULL, hold_expires_at = NULL, version = seat.version + 1
    FROM decided, place
    WHERE seat.id = place.id
    RETURNING seat.id, seat.version
),
cancelled AS (
    UPDATE reservation r SET status = 'CANCELLED', cancelled_at = clock.now
    FROM decided, clock
    WHERE r.id = decided.id
    RETURNING r.id, r.person_id, r.schedule_id, r.queue_token_id, r.status, r.seat_count, r.total_price,
              r.held_at, r.expires_at, r.extendable_until, r.confirmed_at, r.cancelled_at
),
-- Points are back at once, if the wallet has room for them. Everything else is on its way from now on.
back AS MATERIALIZED (
    SELECT money.id, money.amount,
           money.amount = 0 OR (money.method = 'POINT' AND coalesce(purse.balance <= $5 - money.amount, false)) AS at_once
    FROM decided CROSS JOIN money LEFT JOIN purse ON true
),
refunded AS (
    UPDATE payment p
    SET status = CASE WHEN back.at_once THEN 'REFUNDED' ELSE p.status END,
        refunded_at = CASE WHEN back.at_once THEN clock.now END,
        refund_status = CASE WHEN NOT back.at_once THEN 'PENDING' END,
        refund_id = $4, refund_asked_at = clock.now,
        refund_try_at = CASE WHEN NOT back.at_once THEN clock.now END
    FROM back JOIN money ON money.id = back.id, clock
    WHERE p.id = money.id
    RETURNING p.id, p.amount, p.method, p.status
),
funded AS (
    UPDATE wallet w SET balance = w.balance + refunded.amount
    FROM refunded
    WHERE w.person_id = $2 AND refunded.status = 'REFUNDED' AND refunded.method = 'POINT'
    RETURNING w.balance
),
entry AS (
    INSERT INTO wallet_entry
        (id, person_id, kind, delta, balance_after, purpose, key, payment_id, created_at)
    SELECT $3, $2, 'ROLLBACK', refunded.amount, funded.balance, 'REFUND', refunded.id::text, refunded.id,
           clock.now
    FROM refunded, funded, clock
),
touched AS (
    UPDATE queue_token t
    SET version = t.version + 1, last_action_at = CASE WHEN $6 THEN t.last_action_at ELSE clock.now END,
        expires_at = CASE WHEN NOT $6 AND t.status = 'ACTIVE' AND t.expires_at > clock.now THEN greatest(
            active_until(t.activated_at, clock.now, w.idle_seconds, w.active_seconds),
            -- By person: where HOLD is asked for among the conditions, all live holds may be gone through by their time.
            (SELECT max(other.expires_at) FILTER (WHERE other.status = 'HOLD') FROM reservation other
             WHERE other.queue_token_id = t.id AND other.schedule_id = t.schedule_id
               AND other.person_id = $2 AND other.id <> $1
               AND other.status IN ('HOLD', 'CONFIRMED') AND other.expires_at > clock.now)) ELSE t.expires_at END
    FROM token, decided, waiting_room w, clock
    WHERE t.id = token.id AND w.schedule_id = t.schedule_id
    RETURNING t.number, t.status, t.version, t.activated_at, t.expires_at
)
SELECT freed.id AS seat_id, freed.version AS seat_version, (SELECT status = 'REFUNDED' FROM refunded) AS refunded,
       touched.number, touched.status AS token_status, touched.version AS token_version, touched.activated_at,
       touched.expires_at AS token_expires_at, cancelled.*, clock.now
FROM cancelled CROSS JOIN clock CROSS JOIN touched LEFT JOIN freed ON true
