-- A payment with points that was APPROVED has one DEDUCT, one that was REFUNDED one ROLLBACK besides; no other has any.
SELECT format('payment %s is %s with points, with %s DEDUCT and %s ROLLBACK entries',
              p.id, p.status, coalesce(moved.deducts, 0), coalesce(moved.rollbacks, 0)) AS fault
FROM payment p
LEFT JOIN (
    SELECT e.person_id, e.key, count(*) FILTER (WHERE e.kind = 'DEDUCT') AS deducts,
           count(*) FILTER (WHERE e.kind = 'ROLLBACK') AS rollbacks
    FROM wallet_entry e
    WHERE e.purpose IN ('PAYMENT', 'REFUND')
    GROUP BY e.person_id, e.key
) moved ON moved.person_id = p.person_id AND moved.key = p.id::text
WHERE p.method = 'POINT'
  AND (coalesce(moved.deducts, 0) <> CASE WHEN p.status IN ('APPROVED', 'REFUNDED') THEN 1 ELSE 0 END
       OR coalesce(moved.rollbacks, 0) <> CASE WHEN p.status = 'REFUNDED' THEN 1 ELSE 0 END)
