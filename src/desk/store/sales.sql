-- What was sold at performances. $1 which. A row for each grade, dearest first.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
-- Seats that name an owner were paid for, at their price: the audit sees to that.
hall AS (
    SELECT s.schedule_id, s.grade, max(s.price) AS price,
           count(*) FILTER (WHERE s.status = 'HOLD' AND s.hold_expires_at > clock.now) AS held,
           count(*) FILTER (WHERE s.status = 'SOLD_OUT') AS sold,
           coalesce(sum(s.price) FILTER (WHERE s.status = 'SOLD_OUT'), 0) AS revenue
    FROM clock, seat s
    WHERE s.schedule_id = ANY($1)
    GROUP BY s.schedule_id, s.grade
),
-- Money that was paid for seats which are free again: back with its owner, or not yet.
over AS MATERIALIZED (
    SELECT r.schedule_id, r.id, p.amount, p.status = 'REFUNDED' AS refunded
    FROM reservation r JOIN payment p ON p.reservation_id = r.id
    WHERE r.schedule_id = ANY($1) AND r.status IN ('CANCELLED', 'EXPIRED') AND p.status IN ('APPROVED', 'REFUNDED')
),
owed AS (
    SELECT over.schedule_id, s.grade, sum(l.price) AS revenue
    FROM over JOIN reservation_seat l ON l.reservation_id = over.id JOIN seat s ON s.id = l.seat_id
    WHERE NOT over.refunded
    GROUP BY over.schedule_id, s.grade
),
back AS (SELECT schedule_id, sum(amount) AS refunded FROM over WHERE refunded GROUP BY schedule_id)
SELECT hall.schedule_id, hall.grade, hall.held, hall.sold, (hall.revenue + coalesce(owed.revenue, 0))::bigint AS revenue,
       coalesce(back.refunded, 0)::bigint AS refunded
FROM hall
LEFT JOIN owed ON owed.schedule_id = hall.schedule_id AND owed.grade = hall.grade
LEFT JOIN back ON back.schedule_id = hall.schedule_id
ORDER BY hall.price DESC, hall.grade
