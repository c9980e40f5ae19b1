-- Newcomers into the journal. $1 schedule, $2 people, $3 their new tokens, $4 how many draws met a number that was taken.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
sale AS MATERIALIZED (
    SELECT s.id FROM schedule s, clock
    WHERE s.id = $1 AND s.status = 'ON_SALE' AND clock.now < s.sales_close_at
      AND EXISTS (SELECT 1 FROM seat WHERE seat.schedule_id = s.id AND seat.status <> 'SOLD_OUT')
),
newcomer AS MATERIALIZED (
    SELECT p.person_id, p.token_id, row_number() OVER (ORDER BY p.place) AS place
    FROM sale, unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS p (person_id, token_id, place)
    -- A scalar subquery, so that it is always looked up in the index and never planned as a join with the whole journal.
    WHERE (SELECT t.number FROM queue_token t
           WHERE t.schedule_id = $1 AND t.person_id = p.person_id AND t.status IN ('WAITING', 'ACTIVE')
           LIMIT 1) IS NULL
      -- Whose account was deleted must not cost the others of the statement their places.
      AND (SELECT a.id FROM person a WHERE a.id = p.person_id) IS NOT NULL
),
locked AS MATERIALIZED (
    SELECT c.last_number FROM queue_counter c
    WHERE c.schedule_id = $1 AND EXISTS (SELECT 1 FROM newcomer)
    FOR NO KEY UPDATE
),
-- The clock is read under the counter's lock: whoever has held that lock after the opening (close_draws.sql) knows that
-- everybody who takes part in the draw is committed.
counter AS MATERIALIZED (
    SELECT locked.last_number, w.draw_secret, w.drawn_at IS NULL AND clock_timestamp() < s.sales_open_at AS drawing
    FROM locked, waiting_room w, schedule s
    WHERE w.schedule_id = $1 AND s.id = $1
),
counted AS (
    UPDATE queue_counter c SET last_number = counter.last_number + (SELECT count(*) FROM newcomer)
    FROM counter WHERE c.schedule_id = $1 AND NOT counter.drawing
)
INSERT INTO queue_token (id, schedule_id, person_id, number, entered_at)
SELECT n.token_id, $1, n.person_id,
       CASE WHEN counter.drawing
            -- Who left and comes back is drawn anew, so that no two places ever share a number.
            THEN draw_number(counter.draw_secret, $1, n.person_id, $4 + (
                SELECT count(*)::integer FROM queue_token t WHERE t.schedule_id = $1 AND t.person_id = n.person_id))
            ELSE counter.last_number + n.place
       END,
       clock_timestamp()
FROM newcomer n, counter
ORDER BY n.place
ON CONFLICT (schedule_id, person_id) WHERE status IN ('WAITING', 'ACTIVE') DO NOTHING
RETURNING id, schedule_id, person_id, number, status, version, entered_at, passed_over_at, activated_at, expires_at,
          clock_timestamp() AS now
