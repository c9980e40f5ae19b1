-- Somebody looks into every payment that is being decided, and tries every refund that is on its way: each look sets the time of the
-- next one. One that is an hour late is looked into by nobody.
SELECT format('payment %s is PENDING, and should have been looked into at %s', id, look_at) AS fault
FROM payment WHERE status = 'PENDING' AND look_at < clock_timestamp() - interval '1 hour'
UNION ALL
SELECT format('the refund of payment %s is on its way, and should have been tried at %s', id, refund_try_at)
FROM payment WHERE refund_status = 'PENDING' AND refund_try_at < clock_timestamp() - interval '1 hour'
