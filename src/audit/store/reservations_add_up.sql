-- A reservation's price and number of seats are those of its lines.
SELECT format('reservation %s says %s seats for %s, its lines %s for %s',
              r.id, r.seat_count, r.total_price, coalesce(line.seats, 0), coalesce(line.price, 0)) AS fault
FROM reservation r
-- All lines at once: one look-up for each of a million reservations takes longer.
LEFT JOIN (
    SELECT reservation_id, count(*) AS seats, sum(price) AS price FROM reservation_seat GROUP BY reservation_id
) line ON line.reservation_id = r.id
WHERE line.seats IS DISTINCT FROM r.seat_count OR line.price IS DISTINCT FROM r.total_price
