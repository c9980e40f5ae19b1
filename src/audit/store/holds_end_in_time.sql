-- No hold lasts longer than it can be extended, unless a payment for it is being decided.
SELECT format('reservation %s is held until %s, and may be until %s', r.id, r.expires_at, r.extendable_until) AS fault
FROM reservation r
WHERE r.status = 'HOLD' AND r.expires_at > r.extendable_until
  AND NOT EXISTS (SELECT 1 FROM payment p WHERE p.reservation_id = r.id AND p.status = 'PENDING')
