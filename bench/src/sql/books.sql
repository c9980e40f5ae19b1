-- Ten million rows of true books, for `frontrow audit` to be timed on: 100 performances of 20,000 seats, 200,000 people, two million
-- places, 1.3 million reservations, 1.2 million payments half of which are by card, and a ledger. Into a migrated database of its own,
-- as a superuser: foreign keys are not looked at while the rows are made, the audit looks at what they would.
SET session_replication_role = replica;
SET synchronous_commit = off;

CREATE FUNCTION pg_temp.id(kind text, a integer, b integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN (lpad(to_hex(a), 8, '0') || '-' || kind || '-7000-8000-' || lpad(to_hex(b), 12, '0'))::uuid;

INSERT INTO person (id, email, name, password_hash, role, created_at)
SELECT pg_temp.id('0001', 0, n), format('fan-%s@bench.example', n), format('Fan %s', n), '-', CASE n WHEN 0 THEN 'ORGANIZER' ELSE 'FAN' END,
       now() - interval '30 days'
FROM generate_series(0, 200000) n;

INSERT INTO concert (id, organizer_id, title, artist, venue, description, time_zone)
VALUES (pg_temp.id('0002', 0, 0), pg_temp.id('0001', 0, 0), 'Books', 'Bench', 'Hall', '', 'Asia/Seoul');

INSERT INTO schedule (id, concert_id, status, starts_at, sales_open_at, sales_close_at, max_seats_per_person, seat_count)
SELECT pg_temp.id('0003', s, 0), pg_temp.id('0002', 0, 0), 'ON_SALE', now() + interval '30 days', now() - interval '10 days',
       now() + interval '20 days', 2, 20000
FROM generate_series(1, 100) s;
INSERT INTO waiting_room (schedule_id, max_active, admit_per_round, round_ms, idle_seconds, active_seconds, drawn_at, absences_noted_from)
SELECT id, 1000000, 1000, 1000, 120, 900, sales_open_at, sales_open_at FROM schedule;
INSERT INTO queue_counter (schedule_id, last_number) SELECT id, 20000 FROM schedule;
INSERT INTO admission (schedule_id) SELECT id FROM schedule;

-- The n-th place of a performance, a hundred admitted a second; every person is in line at ten performances.
INSERT INTO queue_token (id, schedule_id, person_id, number, status, entered_at, activated_at, last_action_at, expires_at, ended_at)
SELECT pg_temp.id('0004', s, n), pg_temp.id('0003', s, 0), pg_temp.id('0001', 0, 1 + (n - 1) * 10 + s % 10), n,
       CASE WHEN n <= 3000 THEN 'USED' ELSE 'EXPIRED' END, at, at + interval '1 s', at + interval '5 min', at + interval '15 min',
       at + interval '15 min'
FROM generate_series(1, 100) s, generate_series(1, 20000) n, LATERAL (SELECT now() - interval '10 days' + n * interval '10 ms' AS at) t;

-- 10,000 own seats, 3,000 of them two; 2,000 gave theirs back; 1,000 let them lapse.
INSERT INTO reservation (id, person_id, schedule_id, queue_token_id, status, seat_count, total_price, held_at, expires_at, extendable_until,
                         confirmed_at, cancelled_at)
SELECT pg_temp.id('0005', s, n), pg_temp.id('0001', 0, 1 + (n - 1) * 10 + s % 10), pg_temp.id('0003', s, 0), pg_temp.id('0004', s, n),
       CASE WHEN n <= 10000 THEN 'CONFIRMED' WHEN n <= 12000 THEN 'CANCELLED' ELSE 'EXPIRED' END,
       1 + (n <= 3000)::int, 1000 * (1 + (n <= 3000)::int), at + interval '1 min', at + interval '6 min', at + interval '11 min',
       CASE WHEN n <= 12000 THEN at + interval '2 min' END, CASE WHEN n > 10000 AND n <= 12000 THEN at + interval '3 min' END
FROM generate_series(1, 100) s, generate_series(1, 13000) n, LATERAL (SELECT now() - interval '10 days' + n * interval '10 ms' AS at) t;

INSERT INTO seat (id, schedule_id, section, row_label, row_index, number, grade, price, preference, status, version, reservation_id)
SELECT pg_temp.id('0006', s, n), pg_temp.id('0003', s, 0), 'Floor ' || n / 5000, 'R' || n % 5000 / 100, n % 5000 / 100, n % 100 + 1,
       (ARRAY['VIP', 'R', 'S', 'A'])[1 + n / 5000], 1000, n, CASE WHEN n < 13000 THEN 'SOLD_OUT' ELSE 'AVAILABLE' END, 3,
       CASE WHEN n < 10000 THEN pg_temp.id('0005', s, n + 1) WHEN n < 13000 THEN pg_temp.id('0005', s, n - 9999) END
FROM generate_series(1, 100) s, generate_series(0, 19999) n;

INSERT INTO reservation_seat (reservation_id, seat_id, price)
SELECT pg_temp.id('0005', s, n), pg_temp.id('0006', s, CASE WHEN n <= 10000 THEN n - 1 ELSE n + 2999 END), 1000
FROM generate_series(1, 100) s, generate_series(1, 13000) n
UNION ALL
SELECT pg_temp.id('0005', s, n), pg_temp.id('0006', s, n + 9999), 1000 FROM generate_series(1, 100) s, generate_series(1, 3000) n;

-- Every second place pays by card.
INSERT INTO payment (id, person_id, reservation_id, method, amount, status, idempotency_key, fingerprint, created_at, approved_at,
                     refunded_at, gateway_reference, refund_id, refund_asked_at)
SELECT pg_temp.id('0007', s, n), r.person_id, r.id, CASE n % 2 WHEN 0 THEN 'POINT' ELSE 'CARD' END, r.total_price,
       CASE r.status WHEN 'CONFIRMED' THEN 'APPROVED' ELSE 'REFUNDED' END, 'pay ' || s || ' ' || n, '', r.confirmed_at, r.confirmed_at,
       r.cancelled_at, CASE n % 2 WHEN 1 THEN 'pi_' || s || '_' || n END,
       CASE WHEN n % 2 = 1 AND r.status = 'CANCELLED' THEN pg_temp.id('0008', s, n) END,
       CASE WHEN n % 2 = 1 AND r.status = 'CANCELLED' THEN r.cancelled_at END
FROM generate_series(1, 100) s, generate_series(1, 12000) n, LATERAL (SELECT * FROM reservation r WHERE r.id = pg_temp.id('0005', s, n)) r;

-- Five charges a person, and what payments with points moved.
CREATE TEMP TABLE moved AS
SELECT person_id, kind, delta, purpose, key, payment_id, at, row_number() OVER (PARTITION BY person_id ORDER BY at, key, kind) AS place
FROM (
    SELECT pg_temp.id('0001', 0, n) AS person_id, 'CHARGE' AS kind, 10000 AS delta, 'CHARGE' AS purpose, 'charge ' || c AS key,
           NULL::uuid AS payment_id, now() - interval '20 days' AS at
    FROM generate_series(1, 200000) n, generate_series(1, 5) c
    UNION ALL
    SELECT person_id, 'DEDUCT', -amount, 'PAYMENT', id::text, id, approved_at FROM payment WHERE method = 'POINT'
    UNION ALL
    SELECT person_id, 'ROLLBACK', amount, 'REFUND', id::text, id, refunded_at FROM payment WHERE method = 'POINT' AND status = 'REFUNDED'
) m;
INSERT INTO wallet (person_id, balance) SELECT person_id, sum(delta) FROM moved GROUP BY person_id;
INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, payment_id, created_at)
SELECT gen_random_uuid(), person_id, kind, delta, sum(delta) OVER (PARTITION BY person_id ORDER BY place), purpose, key, payment_id, at
FROM moved ORDER BY at, person_id, place;
VACUUM ANALYZE;
