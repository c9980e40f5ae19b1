-- A seat that is held or sold agrees with the reservation that it names. A lapsed hold that nobody has tidied agrees too.
SELECT format('seat %s is %s under reservation %s: %s', s.id, s.status, s.reservation_id, why.text) AS fault
FROM seat s
LEFT JOIN reservation r ON r.id = s.reservation_id
LEFT JOIN reservation_seat l ON l.reservation_id = s.reservation_id AND l.seat_id = s.id
CROSS JOIN LATERAL (VALUES
    (r.id IS NULL, 'there is no such reservation'),
    (r.schedule_id <> s.schedule_id, 'which is for another performance'),
    (r.id IS NOT NULL AND l.seat_id IS NULL, 'which has no line for it'),
    (s.status = 'HOLD' AND r.status <> 'HOLD', format('which is %s', r.status)),
    (s.status = 'SOLD_OUT' AND r.status <> 'CONFIRMED', format('which is %s', r.status)),
    (s.status = 'HOLD' AND s.hold_expires_at IS DISTINCT FROM r.expires_at,
     format('held until %s, the reservation until %s', s.hold_expires_at, r.expires_at)),
    (s.status = 'AVAILABLE', 'a free seat names nobody')
) AS why (wrong, text)
WHERE s.reservation_id IS NOT NULL AND why.wrong
  -- The same once more, before any text is made: nearly all seats are right.
  AND (r.id IS NULL OR r.schedule_id <> s.schedule_id OR l.seat_id IS NULL OR s.status = 'AVAILABLE'
       OR r.status <> CASE s.status WHEN 'HOLD' THEN 'HOLD' ELSE 'CONFIRMED' END
       OR (s.status = 'HOLD' AND s.hold_expires_at IS DISTINCT FROM r.expires_at))
UNION ALL
SELECT format('seat %s is %s under no reservation', s.id, s.status)
FROM seat s
WHERE s.reservation_id IS NULL AND s.status <> 'AVAILABLE'
