-- The settings of some rooms, how they stand, and how their lines moved of late. $1 schedules, $2 seconds that count as of late.
WITH clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now, clock_timestamp() - make_interval(secs => $2) AS start
)
SELECT s.id AS schedule_id, clock.now, c.organizer_id, s.status AS schedule_status, s.sales_open_at, s.sales_close_at, w.paused,
       sha256(w.draw_secret) AS draw_commitment,
       CASE WHEN w.drawn_at IS NOT NULL THEN w.draw_secret END AS draw_secret,
       -- The LIMIT has one seat looked up for each room; an EXISTS may become one walk through all seats of all rooms.
       coalesce((SELECT false FROM seat WHERE seat.schedule_id = s.id AND NOT seat.sold LIMIT 1), true) AS sold_out,
       s.status = 'ON_SALE' AND (SELECT seat.id FROM seat
                                 WHERE seat.schedule_id = s.id AND NOT seat.sold
                                   AND is_free(seat.status, seat.hold_expires_at, clock.now)
                                 LIMIT 1) IS NULL AS none_free,
       w.max_active, w.admit_per_round, w.round_ms, inside.active,
       (SELECT count(*) FROM queue_token t
        WHERE t.schedule_id = s.id AND t.activated_at > clock.start AND coalesce(t.ended_at, t.activated_at) > clock.start) AS admitted,
       away.passed_over, away.absent, gone.gave_up, gone.freed,
       (1000 * (inside.seconds + gone.seconds))::bigint AS active_ms
FROM schedule s
JOIN concert c ON c.id = s.concert_id
JOIN waiting_room w ON w.schedule_id = s.id
CROSS JOIN clock
CROSS JOIN LATERAL (
    SELECT count(*) AS active,
           coalesce(sum(extract(epoch FROM clock.now - greatest(t.activated_at, clock.start))), 0) AS seconds
    FROM queue_token t
    WHERE t.schedule_id = s.id AND t.status = 'ACTIVE' AND t.expires_at > clock.now
) inside
CROSS JOIN LATERAL (
    SELECT count(*) AS absent, count(*) FILTER (WHERE t.passed_over_at > clock.start) AS passed_over
    FROM queue_token t
    WHERE t.schedule_id = s.id AND t.status = 'WAITING' AND t.passed_over_at IS NOT NULL
) away
-- While on sale only: when a line is sent home, nobody asks how fast it moves.
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE t.activated_at IS NULL AND t.passed_over_at IS NULL) AS gave_up,
           count(t.activated_at) AS freed,
           coalesce(sum(extract(epoch FROM t.ended_at - greatest(t.activated_at, clock.start)))
                    FILTER (WHERE t.activated_at IS NOT NULL), 0) AS seconds
    FROM queue_token t
    WHERE t.schedule_id = s.id AND t.ended_at > clock.start AND coalesce(t.ended_at, t.activated_at) > clock.start
      AND s.status = 'ON_SALE'
) gone
WHERE s.id = ANY($1)
