-- A card was charged for points. They are booked with it; where they cannot be, the money has to go back. $1 payment, $2 the gateway's
-- name for it, $3 the refund, should there be one, $4 the ledger entry, $5 points that a wallet holds at most.
WITH bill AS MATERIALIZED (
    SELECT p.id, p.person_id, p.amount, p.idempotency_key FROM payment p
    WHERE p.id = $1 AND p.status = 'PENDING' AND p.purpose = 'CHARGE'
    FOR NO KEY UPDATE
),
purse AS MATERIALIZED (
    SELECT w.person_id, w.balance FROM bill JOIN wallet w ON w.person_id = bill.person_id
    ORDER BY w.person_id
    FOR NO KEY UPDATE OF w
),
clock AS MATERIALIZED (SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM purse) every_lock),
entry AS (
    INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, payment_id, created_at)
    SELECT $4, purse.person_id, 'CHARGE', bill.amount, purse.balance + bill.amount, 'CHARGE', bill.idempotency_key, bill.id,
           clock.now
    FROM bill CROSS JOIN purse CROSS JOIN clock
    WHERE purse.balance <= $5 - bill.amount
    -- The key was used for points without a card meanwhile.
    ON CONFLICT DO NOTHING
    RETURNING balance_after
),
funded AS (
    UPDATE wallet w SET balance = entry.balance_after
    FROM entry, purse
    WHERE w.person_id = purse.person_id
),
booked AS MATERIALIZED (SELECT count(*) > 0 AS done FROM entry)
UPDATE payment p
SET status = 'APPROVED', approved_at = clock.now, look_at = NULL, action_url = NULL, action_secret = NULL,
    gateway_reference = coalesce($2, p.gateway_reference),
    refund_status = CASE WHEN NOT booked.done THEN 'PENDING' END,
    refund_id = CASE WHEN NOT booked.done THEN $3::uuid END,
    refund_asked_at = CASE WHEN NOT booked.done THEN clock.now END,
    refund_try_at = CASE WHEN NOT booked.done THEN clock.now END
FROM bill, booked, clock
WHERE p.id = bill.id
