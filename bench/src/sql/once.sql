-- Sets for the benchmark. bench_id is the SQL of `id` in scenery.rs.
CREATE FUNCTION bench_id(part integer, kind integer, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(part), 8, '0') || lpad(to_hex(kind), 4, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid
$$;

-- Performances of a thousand seats, as many as `people` need.
CREATE FUNCTION bench_schedules(part integer, people integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO person (id, email, name, password_hash, role)
        VALUES (bench_id(part, 8, 0), 'organizer' || part || '@bench.example', 'Organizer', '-', 'ORGANIZER');
    INSERT INTO concert (id, organizer_id, title, artist, venue, description, time_zone)
        VALUES (bench_id(part, 7, 0), bench_id(part, 8, 0), 'Bench', 'Bench', 'Bench', '', 'Asia/Seoul');
    INSERT INTO schedule (id, concert_id, status, starts_at, sales_open_at, sales_close_at, max_seats_per_person,
                          seat_count)
        SELECT bench_id(part, 9, s), bench_id(part, 7, 0), 'ON_SALE', now() + interval '30 days',
               now() - interval '1 hour', now() + interval '29 days', 1, 1000
        FROM generate_series(0, (people - 1) / 1000) s;
    INSERT INTO waiting_room (schedule_id, max_active, admit_per_round, round_ms, idle_seconds, active_seconds)
        SELECT bench_id(part, 9, s), 1000000, 1, 600000, 7200, 7200 FROM generate_series(0, (people - 1) / 1000) s;
    INSERT INTO queue_counter (schedule_id)
        SELECT bench_id(part, 9, s) FROM generate_series(0, (people - 1) / 1000) s;
    INSERT INTO admission (schedule_id)
        SELECT bench_id(part, 9, s) FROM generate_series(0, (people - 1) / 1000) s;
$$;

CREATE FUNCTION bench_people(part integer, people integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO person (id, email, name, password_hash, role)
        SELECT bench_id(part, 1, n), 'fan' || part || '-' || n || '@bench.example', 'Fan', '-', 'FAN'
        FROM generate_series(0, people - 1) n;
$$;

-- One performance in whose line everybody waits.
CREATE FUNCTION bench_line(part integer, people integer) RETURNS void LANGUAGE sql AS $$
    SELECT bench_schedules(part, 1);
    SELECT bench_people(part, people);
    INSERT INTO queue_token (id, schedule_id, person_id, number, entered_at)
        SELECT bench_id(part, 2, n), bench_id(part, 9, 0), bench_id(part, 1, n), n + 1, now()
        FROM generate_series(0, people - 1) n;
    UPDATE queue_counter SET last_number = people WHERE schedule_id = bench_id(part, 9, 0);
$$;

CREATE FUNCTION bench_set(part integer, people integer, held boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM bench_schedules(part, people);
    PERFORM bench_people(part, people);
    INSERT INTO seat (id, schedule_id, section, row_label, row_index, number, grade, price, preference)
        SELECT bench_id(part, 3, n), bench_id(part, 9, n / 1000), 'Floor', 'A', n / 50, n % 50 + 1, 'R', 1000, n
        FROM generate_series(0, people - 1) n;
    INSERT INTO queue_token (id, schedule_id, person_id, number, status, entered_at, activated_at, last_action_at,
                             expires_at)
        SELECT bench_id(part, 2, n), bench_id(part, 9, n / 1000), bench_id(part, 1, n), n + 1, 'ACTIVE', now(), now(), now(),
               now() + interval '2 hours'
        FROM generate_series(0, people - 1) n;
    IF held THEN
        INSERT INTO reservation (id, person_id, schedule_id, queue_token_id, seat_count, total_price, held_at, expires_at)
            SELECT bench_id(part, 4, n), bench_id(part, 1, n), bench_id(part, 9, n / 1000), bench_id(part, 2, n), 1, 1000, now(),
                   now() + interval '1 hour'
            FROM generate_series(0, people - 1) n;
        INSERT INTO reservation_seat (reservation_id, seat_id, price)
            SELECT bench_id(part, 4, n), bench_id(part, 3, n), 1000 FROM generate_series(0, people - 1) n;
        UPDATE seat SET status = 'HOLD', version = 2, hold_expires_at = now() + interval '1 hour',
               reservation_id = bench_id(part, 4, preference)
            FROM schedule s WHERE s.id = seat.schedule_id AND s.concert_id = bench_id(part, 7, 0);
        INSERT INTO wallet (person_id, balance) SELECT bench_id(part, 1, n), 5000 FROM generate_series(0, people - 1) n;
        INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, created_at)
            SELECT bench_id(part, 5, n), bench_id(part, 1, n), 'CHARGE', 5000, 5000, 'CHARGE', 'bench', now()
            FROM generate_series(0, people - 1) n;
    END IF;
END
$$;

CREATE FUNCTION bench_newcomers(part integer, people integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM bench_schedules(part, 1);
    PERFORM bench_people(part, people);
    INSERT INTO seat (id, schedule_id, section, row_label, row_index, number, grade, price, preference)
        VALUES (bench_id(part, 3, 0), bench_id(part, 9, 0), 'Floor', 'A', 0, 1, 'R', 1000, 0);
END
$$;
