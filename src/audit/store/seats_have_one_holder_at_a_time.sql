-- No seat was ever two people's at once. A hold that takes over a lapsed one notes the time at which it began, which is
-- earlier than the lapse by as long as it may run: ten seconds. Whoever paid by card after the hold had lapsed had the seat twice.
SELECT format('seat %s was held under reservation %s until %s, and under reservation %s from %s on',
              seat_id, before, until, id, since) AS fault
FROM (
    SELECT seat_id, id, since, lag(id) OVER w AS before, lag(until) OVER w AS until
    FROM (
        SELECT l.seat_id, r.id, r.held_at AS since,
               CASE WHEN r.confirmed_at >= r.expires_at THEN r.expires_at
                    WHEN r.status = 'CONFIRMED' THEN 'infinity'
                    WHEN r.status = 'CANCELLED' THEN r.cancelled_at
                    ELSE r.expires_at END AS until
        FROM reservation_seat l JOIN reservation r ON r.id = l.reservation_id
        UNION ALL
        SELECT l.seat_id, r.id, r.confirmed_at, CASE r.status WHEN 'CANCELLED' THEN r.cancelled_at ELSE 'infinity' END
        FROM reservation_seat l JOIN reservation r ON r.id = l.reservation_id
        WHERE r.confirmed_at >= r.expires_at
    ) had
    WINDOW w AS (PARTITION BY seat_id ORDER BY since, id)
) turn
WHERE since < until - interval '10 s'
