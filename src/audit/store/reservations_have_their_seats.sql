-- A reservation's lines are seats of its performance. A CONFIRMED one has all its seats sold to it, a live HOLD has all of them held
-- for it.
SELECT format('reservation %s for schedule %s is %s, and its seat %s of schedule %s is %s under %s', r.id, r.schedule_id, r.status,
              l.seat_id, s.schedule_id, s.status, coalesce(s.reservation_id::text, 'nobody')) AS fault
FROM reservation r
JOIN reservation_seat l ON l.reservation_id = r.id
LEFT JOIN seat s ON s.id = l.seat_id
WHERE s.schedule_id IS DISTINCT FROM r.schedule_id
   OR (r.status = 'CONFIRMED'
       AND (s.reservation_id IS DISTINCT FROM r.id OR s.status <> 'SOLD_OUT'))
   OR (r.status = 'HOLD' AND r.expires_at > clock_timestamp()
       AND (s.reservation_id IS DISTINCT FROM r.id OR s.status <> 'HOLD'))
