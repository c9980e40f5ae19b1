-- At most admitPerRound people are admitted within any roundSeconds. What was admitted under larger or more frequent rounds than
-- today's is not judged, nor what may have been on its way when they were changed: a statement runs ten seconds at most.
SELECT format('schedule %s admitted more than %s people within %s ms, up to %s', schedule_id, admit_per_round, round_ms, at)
           AS fault
FROM (
    SELECT t.schedule_id, w.admit_per_round, w.round_ms, t.activated_at AS at, w.slowed_at,
           lag(t.activated_at, w.admit_per_round)
               OVER (PARTITION BY t.schedule_id ORDER BY t.activated_at, t.number) AS one_round_before
    FROM queue_token t JOIN waiting_room w ON w.schedule_id = t.schedule_id
    WHERE t.activated_at IS NOT NULL
) admission
WHERE one_round_before > at - make_interval(secs => round_ms / 1000.0)
  AND at > coalesce(slowed_at + interval '10 s', '-infinity')
GROUP BY schedule_id, admit_per_round, round_ms, at
