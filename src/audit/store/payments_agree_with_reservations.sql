-- A payment is its reservation's, of the same person and amount. APPROVED: the reservation is CONFIRMED, and with points
-- it was paid before it lapsed; or the money is on its way back. REFUNDED with points: it is CANCELLED.
SELECT format('payment %s of %s by person %s is %s, its reservation %s of %s by person %s is %s', p.id, p.amount,
              p.person_id, p.status, r.id, r.total_price, r.person_id, r.status) AS fault
FROM payment p JOIN reservation r ON r.id = p.reservation_id
WHERE p.amount <> r.total_price OR p.person_id <> r.person_id
   OR (p.status = 'APPROVED' AND p.refund_status IS NULL AND r.status <> 'CONFIRMED')
   OR (p.status = 'APPROVED' AND p.method = 'POINT' AND p.approved_at >= r.expires_at)
   OR (p.status = 'REFUNDED' AND p.method = 'POINT' AND r.status <> 'CANCELLED')
