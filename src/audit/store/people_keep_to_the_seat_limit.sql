-- Nobody holds and owns more seats of a performance than one person may.
SELECT format('person %s holds and owns %s seats of schedule %s, which allows %s',
              r.person_id, sum(r.seat_count), r.schedule_id, s.max_seats_per_person) AS fault
FROM reservation r JOIN schedule s ON s.id = r.schedule_id
WHERE r.status = 'CONFIRMED' OR (r.status = 'HOLD' AND r.expires_at > clock_timestamp())
GROUP BY r.person_id, r.schedule_id, s.max_seats_per_person
HAVING sum(r.seat_count) > s.max_seats_per_person
