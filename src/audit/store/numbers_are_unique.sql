-- Numbers in the line are given once, by the counter or by the draw.
SELECT format('queue token %s has number %s of schedule %s, the counter stands at %s',
              t.id, t.number, t.schedule_id, coalesce(c.last_number::text, 'nothing')) AS fault
FROM queue_token t LEFT JOIN queue_counter c ON c.schedule_id = t.schedule_id
WHERE t.number > coalesce(c.last_number, 0)
UNION ALL
SELECT format('queue tokens %s share number %s of schedule %s', string_agg(id::text, ', '), number, schedule_id)
FROM queue_token GROUP BY schedule_id, number HAVING count(*) > 1
UNION ALL
SELECT format('queue tokens %s of person %s for schedule %s are live at once',
              string_agg(id::text, ', '), person_id, schedule_id)
FROM queue_token WHERE status IN ('WAITING', 'ACTIVE') GROUP BY schedule_id, person_id HAVING count(*) > 1
