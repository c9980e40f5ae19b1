-- Every seat is sold, and all places are free: nobody may go in.
UPDATE waiting_room SET max_active = 100;
WITH buyer AS (
    SELECT t.schedule_id, t.id, t.person_id FROM queue_token t WHERE t.status = 'ACTIVE'
), sale AS (
    INSERT INTO reservation (id, person_id, schedule_id, queue_token_id, status, seat_count, total_price, held_at, expires_at,
                             confirmed_at)
        SELECT id, person_id, schedule_id, id, 'CONFIRMED', 100, 100000, now(), now(), now() FROM buyer
        RETURNING id, schedule_id
)
UPDATE seat SET status = 'SOLD_OUT', version = 2, reservation_id = sale.id FROM sale WHERE sale.schedule_id = seat.schedule_id
