-- Money goes back after it came, and by card under the id that it was asked for with.
SELECT format('payment %s was approved at %s and refunded at %s, under refund %s', id, approved_at, refunded_at,
              coalesce(refund_id::text, 'nothing')) AS fault
FROM payment
WHERE status = 'REFUNDED' AND (refunded_at < approved_at OR (method = 'CARD' AND refund_id IS NULL))
