-- People are admitted from the opening of the sale until its end, or until it is closed; nobody enters and nobody holds a seat
-- later. A statement that began in time may note a time ten seconds later at most. What happened before the sale was made
-- shorter is not judged.
WITH sale AS (
    SELECT id, sales_open_at, least(sales_close_at, closed_at) AS over_at,
           least(sales_close_at, closed_at) + interval '10 s' AS certainly_over_at,
           coalesce(shortened_at + interval '10 s', '-infinity') AS judged_from
    FROM schedule
)
SELECT format('queue token %s entered the line of schedule %s at %s, whose sale was over at %s',
              t.id, sale.id, t.entered_at, sale.over_at) AS fault
FROM queue_token t JOIN sale ON sale.id = t.schedule_id
WHERE t.entered_at > sale.certainly_over_at AND t.entered_at > sale.judged_from
UNION ALL
SELECT format('queue token %s of schedule %s was admitted at %s, its sale was from %s to %s',
              t.id, sale.id, t.activated_at, sale.sales_open_at, sale.over_at)
FROM queue_token t JOIN sale ON sale.id = t.schedule_id
WHERE (t.activated_at < sale.sales_open_at OR t.activated_at > sale.certainly_over_at) AND t.activated_at > sale.judged_from
UNION ALL
SELECT format('reservation %s of schedule %s was held at %s, its sale was over at %s',
              r.id, sale.id, r.held_at, sale.over_at)
FROM reservation r JOIN sale ON sale.id = r.schedule_id
WHERE r.held_at > sale.certainly_over_at AND r.held_at > sale.judged_from
