INSERT INTO bench_journal (id, schedule_id, person_id, number, entered_at)
VALUES (gen_random_uuid(), bench_id(1, 9, 0), gen_random_uuid(), nextval('bench_number'), clock_timestamp())
ON CONFLICT DO NOTHING;
