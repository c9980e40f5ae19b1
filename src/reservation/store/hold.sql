-- Holds, each all or none, whatever becomes of the others. For each request: $1 queue token, $2 schedule, $3 person, $4 the new
-- reservation, $5 how many seats. For each seat: $6 its request (from 1), $7 which. $8 seconds that a hold lasts, $9 how many
-- may lapse before their person rests.
-- Of one person there is one request. Of several for one seat the first has it.
WITH ask AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::integer[])
        WITH ORDINALITY AS a (token_id, schedule_id, person_id, reservation_id, seats, n)
),
-- LATERAL and OFFSET 0: each is looked up by its id, whatever the planner thinks of a table that it does not know yet.
turn AS MATERIALIZED (
    SELECT ask.*, held.activated_at, held.expires_at
    FROM ask,
    LATERAL (SELECT version FROM queue_token WHERE id = ask.token_id OFFSET 0) seen,
    LATERAL (
        SELECT t.schedule_id, t.person_id, t.status, t.version, t.activated_at, t.expires_at FROM queue_token t
        WHERE t.id = ask.token_id
        OFFSET 0 FOR NO KEY UPDATE SKIP LOCKED -- unless alone
    ) held
    WHERE seen.version = held.version
      AND held.schedule_id = ask.schedule_id AND held.person_id = ask.person_id AND held.status = 'ACTIVE'
),
had AS MATERIALIZED (
    SELECT turn.n, r.* FROM turn, LATERAL (
        SELECT r.id, r.seat_count, r.status, r.expires_at, r.queue_token_id <> turn.token_id AS earlier FROM reservation r
        WHERE r.schedule_id = turn.schedule_id AND r.person_id = turn.person_id AND r.status IN ('HOLD', 'CONFIRMED')
        OFFSET 0
    ) r
),
-- The token's lock stops everything else that is done with this token, not the payment of a hold made with an earlier one.
kept AS MATERIALIZED (
    SELECT had.n, r.* FROM had, LATERAL (
        SELECT r.seat_count, r.status, r.expires_at FROM reservation r
        WHERE r.id = had.id AND r.status IN ('HOLD', 'CONFIRMED')
        FOR NO KEY UPDATE SKIP LOCKED -- unless alone
    ) r
    WHERE had.earlier
),
-- The time at which every lock was there that may have been waited for.
clock AS MATERIALIZED (SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM kept) locked),
ready AS MATERIALIZED (
    SELECT turn.*, sale.idle_seconds, sale.active_seconds, has.until
    FROM clock, turn,
    LATERAL (
        SELECT s.max_seats_per_person, w.idle_seconds, w.active_seconds
        FROM schedule s JOIN waiting_room w ON w.schedule_id = s.id
        WHERE s.id = turn.schedule_id AND s.status = 'ON_SALE'
          AND clock.now >= s.sales_open_at AND clock.now < s.sales_close_at
        OFFSET 0
    ) sale,
    LATERAL (
        SELECT coalesce(sum(r.seat_count) FILTER (WHERE r.status = 'CONFIRMED' OR r.expires_at > clock.now), 0) AS seats,
               max(r.expires_at) FILTER (WHERE r.status = 'HOLD' AND NOT r.earlier) AS until,
               count(*) AS reservations
        FROM (SELECT seat_count, status, expires_at, false AS earlier FROM had WHERE had.n = turn.n AND NOT had.earlier
              UNION ALL
              SELECT seat_count, status, expires_at, true FROM kept WHERE kept.n = turn.n) r
    ) has,
    LATERAL (
        SELECT count(*) AS lapses, max(r.expires_at) AS latest
        FROM ((SELECT r.expires_at FROM reservation r
               WHERE r.schedule_id = turn.schedule_id AND r.person_id = turn.person_id AND r.status = 'EXPIRED'
                 AND r.expires_at > clock.now - interval '1 day'
               ORDER BY r.expires_at DESC LIMIT $9 + 10)
              UNION ALL
              SELECT had.expires_at FROM had WHERE had.n = turn.n AND has_lapsed(had.status, had.expires_at, clock.now)) r
    ) lapsed
    WHERE turn.expires_at > clock.now
      -- What is held may keep a token ACTIVE for longer; nothing new is held with it.
      AND turn.activated_at + make_interval(secs => sale.active_seconds) > clock.now
      AND has.seats + turn.seats <= sale.max_seats_per_person
      AND coalesce(rests_until(lapsed.lapses, $9, lapsed.latest, $8) <= clock.now, true)
      -- One that is locked, or cancelled since: the next try knows.
      AND has.reservations = (SELECT count(*) FROM had WHERE had.n = turn.n)
),
claimable AS MATERIALIZED (
    SELECT wanted.n, seat.id, seat.price
    FROM clock, (
        SELECT DISTINCT ON (w.seat_id) w.n, w.seat_id, ready.schedule_id
        FROM ready JOIN unnest($6::bigint[], $7::uuid[]) AS w (n, seat_id) USING (n)
        ORDER BY w.seat_id, w.n
        OFFSET 0
    ) wanted,
    LATERAL (
        SELECT seat.id, seat.price FROM seat
        WHERE seat.id = wanted.seat_id AND seat.schedule_id = wanted.schedule_id
          -- By the time at which it is held from now on: no seat has two holders at once, not for a millisecond.
          AND is_free(seat.status, seat.hold_expires_at, clock.now)
        FOR NO KEY UPDATE SKIP LOCKED
    ) seat
),
granted AS MATERIALIZED (
    SELECT ready.*, place.price, clock.now AS held_at, clock.now + make_interval(secs => $8) AS hold_expires_at
    FROM clock, ready
    JOIN (SELECT n, count(*) AS seats, sum(price)::bigint AS price FROM claimable GROUP BY n) place USING (n)
    WHERE place.seats = ready.seats
),
held AS (
    INSERT INTO reservation
        (id, person_id, schedule_id, queue_token_id, seat_count, total_price, held_at, expires_at, extendable_until)
    SELECT reservation_id, person_id, schedule_id, token_id, seats, price, held_at, hold_expires_at,
           held_at + make_interval(secs => 2 * $8) FROM granted
),
lines AS (
    INSERT INTO reservation_seat (reservation_id, seat_id, price)
    SELECT granted.reservation_id, claimable.id, claimable.price FROM granted JOIN claimable USING (n)
),
claimed AS (
    UPDATE seat
    SET status = 'HOLD', reservation_id = place.reservation_id, hold_expires_at = place.hold_expires_at,
        -- One for the lapse that nobody has written down yet.
        version = seat.version + CASE seat.status WHEN 'HOLD' THEN 2 ELSE 1 END
    FROM (SELECT claimable.id, granted.n, granted.reservation_id, granted.hold_expires_at
          FROM granted JOIN claimable USING (n)) place
    WHERE seat.id = place.id
    RETURNING place.n, seat.id, seat.version
),
touched AS (
    UPDATE queue_token t
    SET version = t.version + 1, last_action_at = granted.held_at,
        expires_at = greatest(
            active_until(granted.activated_at, granted.held_at, granted.idle_seconds, granted.active_seconds),
            granted.hold_expires_at, granted.until)
    FROM granted
    WHERE t.id = granted.token_id
    RETURNING granted.n, t.number, t.version, t.expires_at
)
SELECT claimed.n, claimed.id AS seat_id, claimed.version AS seat_version, granted.price AS total_price, granted.held_at,
       granted.hold_expires_at, granted.activated_at, touched.number, touched.version AS token_version,
       touched.expires_at AS token_expires_at
FROM claimed JOIN granted USING (n) JOIN touched USING (n)
