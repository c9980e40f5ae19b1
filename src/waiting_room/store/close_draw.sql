-- Ends the draw of a room whose sale has opened, or was closed before it did. $1 schedule.
-- Entering decides under the counter's lock whether it is before the opening. Once that lock was held after the opening,
-- everybody who takes part is committed, and only then may anybody be admitted or the secret be shown.
WITH due AS MATERIALIZED (
    SELECT w.schedule_id FROM waiting_room w
    JOIN schedule s ON s.id = w.schedule_id
    WHERE w.schedule_id = $1 AND w.drawn_at IS NULL AND s.status <> 'DRAFT'
      AND (s.sales_open_at <= clock_timestamp() OR s.status IN ('CLOSED', 'CANCELLED'))
),
held AS MATERIALIZED (
    SELECT c.schedule_id FROM queue_counter c
    JOIN due ON due.schedule_id = c.schedule_id
    FOR NO KEY UPDATE OF c
)
UPDATE waiting_room w SET drawn_at = clock_timestamp()
FROM held
WHERE w.schedule_id = held.schedule_id AND w.drawn_at IS NULL
RETURNING w.schedule_id
