-- A queue token is USED by paying, under whichever token of the person: they have a reservation of this performance that is
-- or was CONFIRMED.
SELECT format('queue token %s of person %s is USED, and nothing was paid', t.id, t.person_id) AS fault
FROM queue_token t
WHERE t.status = 'USED'
  AND NOT EXISTS (SELECT 1 FROM reservation r
                  WHERE r.schedule_id = t.schedule_id AND r.person_id = t.person_id AND r.confirmed_at IS NOT NULL)
