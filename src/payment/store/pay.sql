-- Payments with points, all in one statement. $1 reservations, $2 people, $3 amounts, $4 new payments, $5 keys,
-- $6 fingerprints, $7 ledger entries. LATERAL with a lock or OFFSET 0 keeps every look-up one row, however little is known of
-- the tables.
-- Of one person only the first is taken: a row that is changed twice in one statement is changed once. The arrays stand in
-- subqueries, so that no plan is made for their length: each would look better than the one that is kept, and cost 2 ms.
WITH ask AS MATERIALIZED (
    SELECT DISTINCT ON (a.person_id) a.*
    FROM unnest((SELECT $1::uuid[]), (SELECT $2::uuid[]), (SELECT $3::bigint[]), (SELECT $4::uuid[]), (SELECT $5::text[]),
                (SELECT $6::bytea[]), (SELECT $7::uuid[]))
        WITH ORDINALITY AS a (reservation_id, person_id, amount, payment_id, key, fingerprint, entry_id, n)
    ORDER BY a.person_id, a.n
),
mine AS MATERIALIZED (
    SELECT ask.*, r.schedule_id, r.queue_token_id FROM ask, LATERAL (
        SELECT r.schedule_id, r.queue_token_id FROM reservation r
        WHERE r.id = ask.reservation_id AND r.person_id = ask.person_id OFFSET 0
    ) r
    -- Another payment was first, or the key was used: the caller answers it. Of what is committed meanwhile the unique indexes tell,
    -- at the price of the whole group's next try. LIMIT keeps these look-ups, too.
    WHERE (SELECT p.id FROM payment p
           WHERE p.reservation_id = ask.reservation_id AND p.status IN ('PENDING', 'APPROVED') LIMIT 1) IS NULL
      AND (SELECT p.id FROM payment p
           WHERE p.person_id = ask.person_id AND p.purpose = 'SEATS' AND p.idempotency_key = ask.key LIMIT 1) IS NULL
),
-- The token that the seats were held with, and the person's live one if that is another.
seen AS MATERIALIZED (
    SELECT mine.n, t.id, t.version, t.number FROM mine, LATERAL (
        SELECT t.id, t.version, t.number FROM queue_token t WHERE t.id = mine.queue_token_id
        UNION ALL
        SELECT t.id, t.version, t.number FROM queue_token t
        WHERE t.schedule_id = mine.schedule_id AND t.person_id = mine.person_id AND t.status IN ('WAITING', 'ACTIVE')
          AND t.id <> mine.queue_token_id
    ) t
),
token AS MATERIALIZED (
    SELECT s.n, t.id, t.status FROM (SELECT * FROM seen ORDER BY number OFFSET 0) s, LATERAL (
        SELECT t.id, t.version, t.status FROM queue_token t WHERE t.id = s.id
        FOR NO KEY UPDATE SKIP LOCKED
    ) t
    WHERE t.version = s.version
),
ready AS MATERIALIZED (
    SELECT mine.* FROM mine JOIN (
        SELECT seen.n FROM seen LEFT JOIN token ON token.n = seen.n AND token.id = seen.id
        GROUP BY seen.n HAVING count(*) = count(token.id)
    ) every_token USING (n)
),
current AS MATERIALIZED (
    SELECT ready.*, r.seat_count, r.total_price, r.expires_at FROM ready, LATERAL (
        SELECT * FROM reservation r
        WHERE r.id = ready.reservation_id AND r.status = 'HOLD' AND r.expires_at > clock_timestamp()
          AND r.total_price = ready.amount
          -- Nothing is paid for a performance that was called off.
          AND (SELECT s.status FROM schedule s WHERE s.id = r.schedule_id) <> 'CANCELLED'
        FOR NO KEY UPDATE SKIP LOCKED
    ) r
),
place AS MATERIALIZED (
    SELECT current.n, seat.id FROM current, LATERAL (
        SELECT l.seat_id FROM reservation_seat l WHERE l.reservation_id = current.reservation_id
        ORDER BY l.seat_id OFFSET 0
    ) l, LATERAL (
        SELECT seat.id FROM seat
        WHERE seat.id = l.seat_id AND seat.reservation_id = current.reservation_id AND seat.status = 'HOLD'
        FOR NO KEY UPDATE SKIP LOCKED
    ) seat
),
whole AS MATERIALIZED (
    SELECT current.* FROM current JOIN (SELECT n, count(*) AS seats FROM place GROUP BY n) place
        ON place.n = current.n AND place.seats = current.seat_count
),
purse AS MATERIALIZED (
    SELECT whole.* FROM whole, LATERAL (
        SELECT w.person_id FROM wallet w WHERE w.person_id = whole.person_id AND w.balance >= whole.total_price
        FOR NO KEY UPDATE SKIP LOCKED
    ) w
),
-- The time at which every lock was there. Waiting for the last of them may have taken until after the lapse.
clock AS MATERIALIZED (SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM purse) every_lock),
paid AS (
    INSERT INTO payment (id, person_id, reservation_id, method, amount, status, idempotency_key, fingerprint,
                         created_at, approved_at)
    SELECT purse.payment_id, purse.person_id, purse.reservation_id, 'POINT', purse.total_price, 'APPROVED', purse.key,
           purse.fingerprint, clock.now, clock.now
    FROM purse, clock
    WHERE purse.expires_at > clock.now
    RETURNING id, person_id, reservation_id, method, amount, status, failure_code, created_at, approved_at, refunded_at
),
done AS MATERIALIZED (SELECT purse.* FROM paid JOIN purse ON purse.payment_id = paid.id),
confirmed AS (
    UPDATE reservation r SET status = 'CONFIRMED', confirmed_at = clock.now
    FROM done, clock
    WHERE r.id = done.reservation_id
),
sold AS (
    UPDATE seat SET status = 'SOLD_OUT', hold_expires_at = NULL, version = seat.version + 1
    FROM done JOIN place ON place.n = done.n
    WHERE seat.id = place.id
    RETURNING done.n, seat.id, seat.version
),
spent AS (
    UPDATE wallet w SET balance = w.balance - done.total_price
    FROM done
    WHERE w.person_id = done.person_id
    RETURNING done.n, w.balance
),
entry AS (
    INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, payment_id, created_at)
    SELECT done.entry_id, done.person_id, 'DEDUCT', -done.total_price, spent.balance, 'PAYMENT', done.payment_id::text,
           done.payment_id, clock.now
    FROM clock, done JOIN spent ON spent.n = done.n
),
-- Paying is something that the person does: the live token's time starts anew, or ends with the last seat that they may own.
touched AS (
    UPDATE queue_token t
    SET version = t.version + 1, last_action_at = clock.now,
        expires_at = CASE WHEN t.status = 'ACTIVE' AND t.expires_at > clock.now THEN greatest(
            active_until(t.activated_at, clock.now, own.idle_seconds, own.active_seconds),
            own.until) ELSE t.expires_at END,
        status = CASE WHEN own.every_seat AND t.status IN ('WAITING', 'ACTIVE') THEN 'USED' ELSE t.status END,
        ended_at = CASE WHEN own.every_seat AND t.status IN ('WAITING', 'ACTIVE') THEN clock.now ELSE t.ended_at END
    FROM clock, done JOIN token ON token.n = done.n, LATERAL (
        SELECT w.idle_seconds, w.active_seconds,
               done.seat_count + coalesce(sum(r.seat_count) FILTER (WHERE r.status = 'CONFIRMED'), 0)
                   >= s.max_seats_per_person AS every_seat,
               max(r.expires_at) FILTER (WHERE r.status = 'HOLD' AND r.queue_token_id = token.id
                                           AND r.id <> done.reservation_id AND r.expires_at > clock.now) AS until
        FROM schedule s
        JOIN waiting_room w ON w.schedule_id = s.id
        LEFT JOIN reservation r
            ON r.schedule_id = s.id AND r.person_id = done.person_id AND r.status IN ('HOLD', 'CONFIRMED')
        WHERE s.id = done.schedule_id
        GROUP BY w.idle_seconds, w.active_seconds, s.max_seats_per_person
    ) own
    WHERE t.id = token.id
    RETURNING done.n, token.status AS before, t.number, t.status, t.version, t.activated_at, t.expires_at
)
SELECT sold.id AS seat_id, sold.version AS seat_version, done.schedule_id,
       live.number, live.status AS token_status, live.version AS token_version, live.activated_at,
       live.expires_at AS token_expires_at,
       -- A place that got free is news where somebody waits for one. Whoever comes later asks by themselves.
       (SELECT t.number FROM queue_token t WHERE t.schedule_id = done.schedule_id AND t.status = 'WAITING'
        ORDER BY t.number LIMIT 1) IS NOT NULL AS awaited,
       paid.*
FROM paid JOIN done ON done.payment_id = paid.id JOIN sold ON sold.n = done.n
-- One of the tokens at most was live; a place in line that stays what it was is no news.
LEFT JOIN touched live
    ON live.n = done.n AND (live.before = 'ACTIVE' OR (live.before = 'WAITING' AND live.status = 'USED'))
