-- Open rooms, and one that is over and has left its journal behind.
CREATE FUNCTION bench_idle(rooms integer, ended integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM bench_schedules(1, rooms * 1000);
    UPDATE waiting_room SET max_active = 1, admit_per_round = 10, round_ms = 1000;
    INSERT INTO seat (id, schedule_id, section, row_label, row_index, number, grade, price, preference)
        SELECT bench_id(1, 3, r * 100 + n), bench_id(1, 9, r), 'Floor', 'A', n / 50, n % 50 + 1, 'R', 1000, n
        FROM generate_series(0, rooms - 1) r, generate_series(0, 99) n;
    PERFORM bench_people(1, rooms * 6);
    PERFORM bench_schedules(2, 1);
    PERFORM bench_people(2, 1000);
    UPDATE schedule SET status = 'CLOSED' WHERE id = bench_id(2, 9, 0);
    UPDATE waiting_room SET drained_at = now() - interval '1 day' WHERE schedule_id = bench_id(2, 9, 0);
    INSERT INTO queue_token (id, schedule_id, person_id, number, status, entered_at, activated_at, ended_at)
        SELECT bench_id(2, 2, n), bench_id(2, 9, 0), bench_id(2, 1, n % 1000), n + 1, 'EXPIRED', now() - interval '2 days',
               now() - interval '1 day', now() - interval '1 day'
        FROM generate_series(0, ended - 1) n;
END
$$;
