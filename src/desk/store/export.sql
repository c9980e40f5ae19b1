-- Some reservations of a performance that somebody holds or owns, or that money was paid for, oldest first. $1 the performance,
-- $2 the last one seen, $3 how many.
SELECT r.id, CASE WHEN has_lapsed(r.status, r.expires_at, clock_timestamp()) THEN 'EXPIRED' ELSE r.status END AS status,
       p.name, p.email, r.person_id, r.total_price, r.held_at, r.confirmed_at, r.cancelled_at, line.seats,
       money.paid, money.method, money.paid_at, money.refund_status, money.refunded, money.refunded_at, money.payment_ids
FROM reservation r
LEFT JOIN person p ON p.id = r.person_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(pay.amount), 0)::bigint AS paid, max(pay.method) AS method, max(pay.approved_at) AS paid_at,
           CASE WHEN count(*) FILTER (WHERE pay.refund_status = 'FAILED') > 0 THEN 'FAILED'
                WHEN count(*) FILTER (WHERE pay.refund_status = 'PENDING') > 0 THEN 'PENDING'
                WHEN count(*) FILTER (WHERE pay.status = 'REFUNDED') > 0 THEN 'DONE' END AS refund_status,
           coalesce(sum(pay.amount) FILTER (WHERE pay.status = 'REFUNDED'), 0)::bigint AS refunded,
           max(pay.refunded_at) AS refunded_at,
           string_agg(pay.id::text, ' ' ORDER BY pay.id) AS payment_ids
    FROM payment pay WHERE pay.reservation_id = r.id AND pay.status IN ('APPROVED', 'REFUNDED')
) money
CROSS JOIN LATERAL (
    SELECT json_agg(json_build_object('section', s.section, 'row', s.row_label, 'number', s.number, 'grade', s.grade,
                                      'price', l.price) ORDER BY s.section, s.row_index, s.number)::text AS seats
    FROM reservation_seat l JOIN seat s ON s.id = l.seat_id WHERE l.reservation_id = r.id
) line
WHERE r.schedule_id = $1 AND r.id > $2
  AND (money.payment_ids IS NOT NULL OR r.status = 'CONFIRMED' OR (r.status = 'HOLD' AND r.expires_at > clock_timestamp()))
ORDER BY r.id LIMIT $3
