-- People are admitted in the order of their numbers. Who is away is passed over, and the journal forgets it when they
-- are back; but nobody is held to be away within 60 seconds of entering, so what happened then is certain. An end that
-- came with the admission may have been noted a little later than it.
SELECT format('queue token %s, number %s of schedule %s, entered at %s, was overtaken at %s',
              id, number, schedule_id, entered_at, overtaken_at) AS fault
FROM (
    SELECT id, schedule_id, number, entered_at, activated_at, ended_at,
           min(activated_at) OVER (PARTITION BY schedule_id ORDER BY number DESC
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS overtaken_at
    FROM queue_token
) t
WHERE overtaken_at < entered_at + interval '50 s'
  AND (activated_at > overtaken_at
       OR (activated_at IS NULL AND (ended_at IS NULL OR ended_at > overtaken_at + interval '10 s')))
