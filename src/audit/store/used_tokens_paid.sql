-- A queue token is USED by paying: it has a reservation that is or was CONFIRMED.
SELECT format('queue token %s of person %s is USED, and nothing was paid with it', t.id, t.person_id) AS fault
FROM queue_token t
WHERE t.status = 'USED'
  AND NOT EXISTS (SELECT 1 FROM reservation r WHERE r.queue_token_id = t.id AND r.confirmed_at IS NOT NULL)
