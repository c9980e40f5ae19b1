-- Every number of a draw is what its person drew: the n-th place has the n-th number, or one of the next where that was
-- taken. Nobody who takes part in a draw entered after it was over, unless the sale was closed at that moment: nobody is
-- admitted then, and entering may have begun before.
SELECT format('queue token %s of person %s has number %s, which the draw of schedule %s does not give',
              t.id, t.person_id, t.number, t.schedule_id) AS fault
FROM (
    SELECT *, row_number() OVER (PARTITION BY schedule_id, person_id ORDER BY entered_at, id) - 1 AS earlier
    FROM queue_token WHERE number < 0
) t
JOIN waiting_room w ON w.schedule_id = t.schedule_id
WHERE NOT EXISTS (SELECT 1 FROM generate_series(t.earlier, t.earlier + 4) n
                  WHERE draw_number(w.draw_secret, t.schedule_id, t.person_id, n::integer) = t.number)
UNION ALL
SELECT format('queue token %s entered the draw of schedule %s at %s, which was over at %s',
              t.id, t.schedule_id, t.entered_at, w.drawn_at)
FROM queue_token t JOIN waiting_room w ON w.schedule_id = t.schedule_id
JOIN schedule s ON s.id = t.schedule_id
WHERE t.number < 0 AND t.entered_at > w.drawn_at AND w.drawn_at >= s.sales_open_at
UNION ALL
SELECT format('queue token %s of schedule %s was admitted at %s, before the draw was over', t.id, t.schedule_id, t.activated_at)
FROM queue_token t JOIN waiting_room w ON w.schedule_id = t.schedule_id
WHERE t.activated_at IS NOT NULL AND (w.drawn_at IS NULL OR t.activated_at < w.drawn_at)
