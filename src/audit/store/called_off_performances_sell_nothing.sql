-- Once a performance is called off nobody enters, is admitted, holds or buys. A statement that began before may note a time ten
-- seconds later at most.
WITH over AS (
    SELECT id, cancelled_at, cancelled_at + interval '10 s' AS certainly FROM schedule WHERE status = 'CANCELLED'
)
SELECT format('queue token %s of schedule %s, called off at %s, entered at %s and was admitted at %s', t.id, over.id,
              over.cancelled_at, t.entered_at, t.activated_at) AS fault
FROM over JOIN queue_token t ON t.schedule_id = over.id
WHERE t.entered_at > over.certainly OR t.activated_at > over.certainly
UNION ALL
SELECT format('reservation %s of schedule %s, called off at %s, was held at %s and confirmed at %s', r.id, over.id,
              over.cancelled_at, r.held_at, r.confirmed_at)
FROM over JOIN reservation r ON r.schedule_id = over.id
WHERE r.held_at > over.certainly OR r.confirmed_at > over.certainly
