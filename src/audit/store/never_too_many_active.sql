-- At each admission there were at most maxActive people in. An end is noted no later than the admission that counted on
-- it. What was admitted under a larger maxActive than today's is not judged, nor what may have been on its way when it
-- was lowered: a statement runs ten seconds at most.
SELECT format('schedule %s had %s people in at %s, with maxActive %s', p.schedule_id, p.people, p.at, w.max_active)
           AS fault
FROM (
    SELECT schedule_id, at, change,
           sum(change) OVER (PARTITION BY schedule_id ORDER BY at) AS people
    FROM (
        SELECT schedule_id, activated_at AS at, 1 AS change FROM queue_token WHERE activated_at IS NOT NULL
        UNION ALL
        SELECT schedule_id, ended_at, -1 FROM queue_token WHERE activated_at IS NOT NULL AND ended_at IS NOT NULL
    ) step
) p
JOIN waiting_room w ON w.schedule_id = p.schedule_id
WHERE p.change = 1 AND p.people > w.max_active
  AND p.at > coalesce(w.max_active_lowered_at + interval '10 s', '-infinity')
GROUP BY p.schedule_id, p.people, p.at, w.max_active
