-- Who held and owns seats at a performance, newest first. $1 the performance, $2 those before this one, $3 states or null, $4
-- patterns that are found in names and addresses or null, $5 one that is found in ids or null, $6 how many.
SELECT r.id, r.person_id, r.schedule_id, r.queue_token_id, r.status, r.seat_count, r.total_price,
       r.held_at, r.expires_at, r.extendable_until, r.confirmed_at, r.cancelled_at, clock_timestamp() AS now
FROM reservation r
LEFT JOIN person p ON p.id = r.person_id
WHERE r.schedule_id = $1 AND r.id < $2
  AND ($3::text[] IS NULL
       OR CASE WHEN has_lapsed(r.status, r.expires_at, clock_timestamp()) THEN 'EXPIRED' ELSE r.status END = ANY($3))
  -- The collation knows the case of every script; that of the database may know English letters only.
  AND ($4::text[] IS NULL OR p.name COLLATE "und-x-icu" ILIKE ANY ($4) OR p.email COLLATE "und-x-icu" ILIKE ANY ($4)
       OR ($5::text IS NOT NULL
           AND (r.id::text LIKE $5 OR r.person_id::text LIKE $5
                OR EXISTS (SELECT 1 FROM payment pay WHERE pay.reservation_id = r.id AND pay.id::text LIKE $5))))
ORDER BY r.id DESC LIMIT $6
