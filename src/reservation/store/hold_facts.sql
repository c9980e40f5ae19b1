-- What stands in the way of holds. For each request: $1 queue token, $2 schedule, $3 person. For each seat: $4 its request
-- (from 1), $5 which. $6 seconds that a hold lasts, $7 how many may
-- lapse before their person rests. A row for each seat; one without a seat where none was asked for, or where there is none of that id.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
ask AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS a (token_id, schedule_id, person_id, n)
),
stand AS MATERIALIZED (
    SELECT ask.n, ask.schedule_id, sale.on_sale, sale.max_seats_per_person AS seat_limit, taken.seats AS taken,
           extract(epoch FROM rests_until(lapsed.lapses, $7, lapsed.latest, $6) - clock.now) AS rests_for,
           -- Past the ACTIVE time after admission nothing new is held, though a hold may keep the token for longer.
           CASE WHEN token.status = 'ACTIVE'
                     AND (token.expires_at <= clock.now
                          OR token.activated_at + make_interval(secs => sale.active_seconds) <= clock.now)
                THEN 'EXPIRED' ELSE token.status END AS token
    FROM clock CROSS JOIN ask
    LEFT JOIN LATERAL (
        SELECT s.max_seats_per_person, w.active_seconds,
               s.status = 'ON_SALE' AND clock.now >= s.sales_open_at AND clock.now < s.sales_close_at AS on_sale
        FROM schedule s JOIN waiting_room w ON w.schedule_id = s.id
        WHERE s.id = ask.schedule_id
        OFFSET 0
    ) sale ON true
    LEFT JOIN LATERAL (
        SELECT t.status, t.expires_at, t.activated_at, t.schedule_id, t.person_id FROM queue_token t
        WHERE t.id = ask.token_id
        OFFSET 0
    ) token ON token.schedule_id = ask.schedule_id AND token.person_id = ask.person_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(r.seat_count), 0) AS seats FROM reservation r
        WHERE r.schedule_id = ask.schedule_id AND r.person_id = ask.person_id AND r.status IN ('HOLD', 'CONFIRMED')
          AND (r.status = 'CONFIRMED' OR r.expires_at > clock.now)
    ) taken
    CROSS JOIN LATERAL (
        SELECT count(*) AS lapses, max(r.expires_at) AS latest
        FROM ((SELECT r.expires_at FROM reservation r
               WHERE r.schedule_id = ask.schedule_id AND r.person_id = ask.person_id AND r.status = 'EXPIRED'
                 AND r.expires_at > clock.now - interval '1 day'
               ORDER BY r.expires_at DESC LIMIT $7 + 10)
              UNION ALL
              SELECT r.expires_at FROM reservation r
              WHERE r.schedule_id = ask.schedule_id AND r.person_id = ask.person_id AND r.status IN ('HOLD', 'CONFIRMED')
                AND has_lapsed(r.status, r.expires_at, clock.now)) r
    ) lapsed
)
SELECT stand.n, stand.token, coalesce(stand.on_sale, false) AS on_sale, stand.taken::bigint AS taken,
       coalesce(stand.seat_limit, 0) AS seat_limit, ceil(greatest(stand.rests_for, 0))::bigint AS rests_for, seat.id AS seat_id, seat.status AS seat_status
FROM stand
LEFT JOIN unnest($4::bigint[], $5::uuid[]) AS wanted (n, seat_id) ON wanted.n = stand.n
LEFT JOIN LATERAL (
    SELECT seat.id, seat.schedule_id, CASE WHEN has_lapsed(seat.status, seat.hold_expires_at, clock_timestamp())
                                           THEN 'AVAILABLE' ELSE seat.status END AS status
    FROM seat WHERE seat.id = wanted.seat_id
    OFFSET 0
) seat ON seat.schedule_id = stand.schedule_id
