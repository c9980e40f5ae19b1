-- Points of a refund that is on its way, into a wallet that has room for them. $1 payment, $2 points that a wallet holds at most,
-- $3 the ledger entry.
WITH due AS MATERIALIZED (
    SELECT p.id, p.person_id, p.amount FROM payment p
    WHERE p.id = $1 AND p.method = 'POINT' AND p.refund_status = 'PENDING'
    FOR NO KEY UPDATE
),
purse AS MATERIALIZED (
    SELECT w.person_id, due.id AS payment_id, due.amount FROM due
    JOIN wallet w ON w.person_id = due.person_id
    WHERE w.balance <= $2 - due.amount
    ORDER BY w.person_id
    FOR NO KEY UPDATE OF w
),
done AS (
    UPDATE payment p
    SET status = 'REFUNDED', refunded_at = clock_timestamp(), refund_status = NULL, refund_try_at = NULL
    FROM due JOIN purse ON purse.payment_id = due.id
    WHERE p.id = due.id
    RETURNING p.id
),
funded AS (
    UPDATE wallet w SET balance = w.balance + purse.amount
    FROM purse JOIN done ON done.id = purse.payment_id
    WHERE w.person_id = purse.person_id
    RETURNING w.balance
)
INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, payment_id, created_at)
SELECT $3, purse.person_id, 'ROLLBACK', purse.amount, funded.balance, 'REFUND', purse.payment_id::text, purse.payment_id,
       clock_timestamp()
FROM purse, funded
