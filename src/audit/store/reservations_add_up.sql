-- A reservation's price and number of seats are those of its lines, and the lines are seats of its performance.
SELECT format('reservation %s says %s seats for %s, its lines %s for %s, %s of them at other performances',
              r.id, r.seat_count, r.total_price, line.seats, line.price, line.strangers) AS fault
FROM reservation r
CROSS JOIN LATERAL (
    SELECT count(*) AS seats, coalesce(sum(l.price), 0) AS price,
           count(*) FILTER (WHERE s.schedule_id <> r.schedule_id) AS strangers
    FROM reservation_seat l JOIN seat s ON s.id = l.seat_id
    WHERE l.reservation_id = r.id
) line
WHERE line.seats <> r.seat_count OR line.price <> r.total_price OR line.strangers > 0
