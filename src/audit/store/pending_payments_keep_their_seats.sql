-- While a card is being decided its hold lasts until it is called off at least, and whatever has become of the reservation, it is
-- not CONFIRMED by another payment.
SELECT format('payment %s is PENDING until %s, its reservation %s is %s until %s', p.id, p.call_off_at, r.id, r.status, r.expires_at)
           AS fault
FROM payment p JOIN reservation r ON r.id = p.reservation_id
WHERE p.status = 'PENDING'
  AND (r.status = 'CONFIRMED' OR (r.status = 'HOLD' AND r.expires_at < p.call_off_at))
