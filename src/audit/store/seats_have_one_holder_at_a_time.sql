-- No seat was ever two people's at once. A hold that takes over a lapsed one notes the time at which it began, which is
-- earlier than the lapse by as long as it may run: ten seconds.
SELECT format('seat %s was held under reservation %s until %s, and under reservation %s from %s on',
              seat_id, before, until, id, held_at) AS fault
FROM (
    SELECT l.seat_id, r.id, r.held_at,
           lag(r.id) OVER w AS before,
           lag(CASE r.status WHEN 'CONFIRMED' THEN 'infinity' WHEN 'CANCELLED' THEN r.cancelled_at
                             ELSE r.expires_at END) OVER w AS until
    FROM reservation_seat l JOIN reservation r ON r.id = l.reservation_id
    WINDOW w AS (PARTITION BY l.seat_id ORDER BY r.held_at, r.id)
) turn
WHERE held_at < until - interval '10 s'
