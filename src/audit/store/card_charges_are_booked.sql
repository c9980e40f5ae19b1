-- Points that a card has paid for are booked once, unless the money is on its way back; no other charge by card is.
SELECT format('payment %s of %s by person %s for points is %s with %s CHARGE entries', p.id, p.amount, p.person_id,
              concat_ws(', refund ', p.status, p.refund_status), count(e.id)) AS fault
FROM payment p LEFT JOIN wallet_entry e ON e.payment_id = p.id AND e.kind = 'CHARGE'
WHERE p.purpose = 'CHARGE'
GROUP BY p.id
HAVING count(e.id) <> CASE WHEN p.status = 'APPROVED' AND p.refund_status IS NULL THEN 1 ELSE 0 END
