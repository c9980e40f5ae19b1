-- A payment with points that was APPROVED has one DEDUCT, one that was REFUNDED one ROLLBACK besides; no other has any.
SELECT format('payment %s is %s with points, with %s DEDUCT and %s ROLLBACK entries',
              p.id, p.status, moved.deducts, moved.rollbacks) AS fault
FROM payment p
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE e.kind = 'DEDUCT') AS deducts,
           count(*) FILTER (WHERE e.kind = 'ROLLBACK') AS rollbacks
    FROM wallet_entry e
    WHERE e.person_id = p.person_id AND e.purpose IN ('PAYMENT', 'REFUND') AND e.key = p.id::text
) moved ON true
WHERE p.method = 'POINT'
  AND (moved.deducts <> CASE WHEN p.status IN ('APPROVED', 'REFUNDED') THEN 1 ELSE 0 END
       OR moved.rollbacks <> CASE WHEN p.status = 'REFUNDED' THEN 1 ELSE 0 END)
