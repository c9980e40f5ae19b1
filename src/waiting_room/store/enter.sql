-- People who ask for a place: newcomers into the journal, and what became of everybody else.
-- $1 schedule, $2 people, $3 their new tokens, $4 how many draws met a number that was taken.
-- Returns a row for each person: NEW with a new place, LIVE with the one they have, REFUSED with the reason, or GONE when their
-- account was deleted. A person who got a place elsewhere since the statement began is left out, and is to be asked for again.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
-- Each look-up stands in a LATERAL with a LIMIT or an aggregate, so that it goes by its index and is never planned as a join
-- with the whole table.
sale AS MATERIALIZED (
    SELECT s.status, s.max_seats_per_person, c.organizer_id, s.sales_close_at <= clock.now AS over, left_over.id IS NULL AS sold_out
    FROM clock, schedule s
    JOIN concert c ON c.id = s.concert_id
    LEFT JOIN LATERAL (
        SELECT seat.id FROM seat WHERE seat.schedule_id = s.id AND NOT seat.sold LIMIT 1
    ) left_over ON true
    WHERE s.id = $1
),
asked AS MATERIALIZED (
    SELECT p.person_id, p.token_id, p.place, live.*, coalesce(theirs.holding, false) AS holding, account.id IS NULL AS gone,
           CASE WHEN sale.status IS NULL OR (sale.status = 'DRAFT' AND sale.organizer_id <> p.person_id) THEN 'SCHEDULE_NOT_FOUND'
                WHEN sale.status = 'DRAFT' THEN 'SALE_NOT_OPEN'
                WHEN sale.status <> 'ON_SALE' OR sale.over THEN 'SALE_CLOSED'
                WHEN theirs.owned >= sale.max_seats_per_person THEN 'SEAT_LIMIT_REACHED'
                WHEN sale.sold_out THEN 'SOLD_OUT'
           END AS refusal
    FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS p (person_id, token_id, place)
    LEFT JOIN sale ON true
    LEFT JOIN LATERAL (
        SELECT t.id, t.number, t.status, t.version, t.entered_at, t.passed_over_at, t.activated_at, t.expires_at
        FROM queue_token t
        WHERE t.schedule_id = $1 AND t.person_id = p.person_id AND t.status IN ('WAITING', 'ACTIVE')
        LIMIT 1
    ) live ON true
    LEFT JOIN LATERAL (
        SELECT sum(r.seat_count) FILTER (WHERE r.status = 'CONFIRMED') AS owned, bool_or(r.status = 'HOLD') AS holding
        FROM reservation r
        WHERE r.schedule_id = $1 AND r.person_id = p.person_id AND r.status IN ('HOLD', 'CONFIRMED')
    ) theirs ON true
    LEFT JOIN LATERAL (SELECT a.id FROM person a WHERE a.id = p.person_id AND a.erased_at IS NULL LIMIT 1) account ON true
),
-- A deleted account must not cost the others of the statement their places.
newcomer AS MATERIALIZED (
    SELECT asked.person_id, asked.token_id, asked.holding, row_number() OVER (ORDER BY asked.place) AS place
    FROM asked WHERE asked.id IS NULL AND NOT asked.gone AND asked.refusal IS NULL
),
locked AS MATERIALIZED (
    SELECT c.last_number FROM queue_counter c
    WHERE c.schedule_id = $1 AND EXISTS (SELECT 1 FROM newcomer)
    FOR NO KEY UPDATE
),
-- The clock is read under the counter's lock. So a transaction that has held that lock after the opening (close_draw.sql)
-- knows that everybody who takes part in the draw is committed.
counter AS MATERIALIZED (
    SELECT locked.last_number, w.draw_secret, w.drawn_at IS NULL AND clock_timestamp() < s.sales_open_at AS drawing
    FROM locked, waiting_room w, schedule s
    WHERE w.schedule_id = $1 AND s.id = $1
),
counted AS (
    UPDATE queue_counter c SET last_number = counter.last_number + (SELECT count(*) FROM newcomer)
    FROM counter WHERE c.schedule_id = $1 AND NOT counter.drawing
),
written AS (
    INSERT INTO queue_token (id, schedule_id, person_id, number, entered_at)
    SELECT n.token_id, $1, n.person_id,
           CASE WHEN counter.drawing
                -- A person who left and comes back is drawn anew, so that no two places ever share a number.
                THEN draw_number(counter.draw_secret, $1, n.person_id, $4 + (
                    SELECT count(*)::integer FROM queue_token t WHERE t.schedule_id = $1 AND t.person_id = n.person_id))
                ELSE counter.last_number + n.place
           END,
           clock_timestamp()
    FROM newcomer n, counter
    ORDER BY n.place
    ON CONFLICT (schedule_id, person_id) WHERE status IN ('WAITING', 'ACTIVE') DO NOTHING
    RETURNING id, person_id, number, status, version, entered_at, passed_over_at, activated_at, expires_at
)
SELECT 'NEW' AS outcome, person_id, NULL AS refusal,
       id, number, status, version, entered_at, passed_over_at, activated_at, expires_at, clock_timestamp() AS now
FROM written
UNION ALL
SELECT 'LIVE', person_id, NULL,
       id, number, status, version, entered_at, passed_over_at, activated_at, expires_at, clock_timestamp()
FROM asked WHERE id IS NOT NULL
UNION ALL
SELECT CASE WHEN gone THEN 'GONE' ELSE 'REFUSED' END, person_id, refusal,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, clock_timestamp()
FROM asked WHERE id IS NULL AND (gone OR refusal IS NOT NULL)
UNION ALL
-- A newcomer who holds a seat may be paying for it this instant; see `settle` in enter.rs.
SELECT 'HOLDING', person_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, clock_timestamp()
FROM newcomer WHERE holding
