-- A CONFIRMED reservation has exactly one APPROVED payment, and one that is not has none, but for money that is on its way back.
SELECT format('reservation %s is %s with %s approved payments', r.id, r.status, count(p.id)) AS fault
FROM reservation r LEFT JOIN payment p ON p.reservation_id = r.id AND p.status = 'APPROVED' AND p.refund_status IS NULL
GROUP BY r.id, r.status
HAVING count(p.id) <> CASE r.status WHEN 'CONFIRMED' THEN 1 ELSE 0 END
