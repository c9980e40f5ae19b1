-- A reservation's price and number of seats are those of its lines, and the lines are seats of its performance.
SELECT format('reservation %s says %s seats for %s, its lines %s for %s, %s of them at other performances',
              r.id, r.seat_count, r.total_price, coalesce(line.seats, 0), coalesce(line.price, 0), coalesce(line.strangers, 0)) AS fault
FROM reservation r
-- All lines at once: one look-up for each of a million reservations takes longer.
LEFT JOIN (
    SELECT l.reservation_id, count(*) AS seats, sum(l.price) AS price,
           count(*) FILTER (WHERE s.schedule_id <> own.schedule_id) AS strangers
    FROM reservation_seat l JOIN seat s ON s.id = l.seat_id JOIN reservation own ON own.id = l.reservation_id
    GROUP BY l.reservation_id
) line ON line.reservation_id = r.id
WHERE line.seats IS DISTINCT FROM r.seat_count OR line.price IS DISTINCT FROM r.total_price OR line.strangers > 0
