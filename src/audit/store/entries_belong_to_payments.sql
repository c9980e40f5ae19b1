-- A DEDUCT is a payment with points of that person and amount, a ROLLBACK one that was refunded.
SELECT format('wallet entry %s of person %s is a %s of %s for payment %s: %s of %s by person %s, %s',
              e.id, e.person_id, e.kind, abs(e.delta), e.payment_id, p.method, p.amount, p.person_id, p.status)
           AS fault
FROM wallet_entry e JOIN payment p ON p.id = e.payment_id
WHERE p.person_id <> e.person_id OR p.amount <> abs(e.delta) OR p.method <> 'POINT' OR e.key <> p.id::text
   OR (e.kind = 'DEDUCT' AND p.status NOT IN ('APPROVED', 'REFUNDED'))
   OR (e.kind = 'ROLLBACK' AND p.status <> 'REFUNDED')
