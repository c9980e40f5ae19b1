-- In every room one person is in for two hours, and five wait for the place.
INSERT INTO queue_token (id, schedule_id, person_id, number, status, entered_at, activated_at, last_action_at, expires_at)
    SELECT bench_id(1, 2, n), bench_id(1, 9, n / 6), bench_id(1, 1, n), n % 6 + 1,
           CASE WHEN n % 6 = 0 THEN 'ACTIVE' ELSE 'WAITING' END, now(), CASE WHEN n % 6 = 0 THEN now() END,
           CASE WHEN n % 6 = 0 THEN now() END, CASE WHEN n % 6 = 0 THEN now() + interval '2 hours' END
    FROM generate_series(0, 6 * (SELECT count(*) FROM schedule WHERE concert_id = bench_id(1, 7, 0))::integer - 1) n;
UPDATE queue_counter SET last_number = 6 WHERE last_number = 0
