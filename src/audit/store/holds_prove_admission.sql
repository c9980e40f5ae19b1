-- Seats were held by an ACTIVE queue token of the same person and performance. A token that ends while somebody holds
-- seats with it notes the time at which its end began: ten seconds earlier at most.
SELECT format('reservation %s was held at %s by queue token %s of person %s for schedule %s, admitted at %s, ended at %s',
              r.id, r.held_at, t.id, t.person_id, t.schedule_id, t.activated_at, t.ended_at) AS fault
FROM reservation r JOIN queue_token t ON t.id = r.queue_token_id
WHERE t.person_id <> r.person_id OR t.schedule_id <> r.schedule_id
   OR t.activated_at IS NULL OR t.activated_at > r.held_at
   OR t.ended_at < r.held_at - interval '10 s'
