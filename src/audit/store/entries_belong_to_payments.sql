-- A DEDUCT is a payment with points of that person and amount, a ROLLBACK one that was refunded. A CHARGE that names a payment
-- is one by card, for points and under the same key.
SELECT format('wallet entry %s of person %s is a %s of %s for payment %s: %s for %s of %s by person %s, %s',
              e.id, e.person_id, e.kind, abs(e.delta), e.payment_id, p.method, p.purpose, p.amount, p.person_id, p.status)
           AS fault
FROM wallet_entry e JOIN payment p ON p.id = e.payment_id
WHERE p.person_id <> e.person_id OR p.amount <> abs(e.delta)
   OR (e.kind = 'CHARGE' AND (p.method <> 'CARD' OR p.purpose <> 'CHARGE' OR e.key <> p.idempotency_key
                              OR p.status <> 'APPROVED' OR p.refund_status IS NOT NULL))
   OR (e.kind <> 'CHARGE' AND (p.method <> 'POINT' OR p.purpose <> 'SEATS' OR e.key <> p.id::text))
   OR (e.kind = 'DEDUCT' AND p.status NOT IN ('APPROVED', 'REFUNDED'))
   OR (e.kind = 'ROLLBACK' AND p.status <> 'REFUNDED')
