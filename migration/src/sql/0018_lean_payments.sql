-- A payment writes less: two index entries, and a foreign key that follows from another one.

-- Of a payment that lives, payment_live_unique knows the reservation.
CREATE INDEX payment_past_of_reservation ON payment (reservation_id, id DESC) WHERE status IN ('FAILED', 'REFUNDED');
DROP INDEX payment_of_reservation;

-- One index for both: whoever ended was admitted before that, or never. A query for the admitted names both columns.
CREATE INDEX queue_token_moved ON queue_token (schedule_id, coalesce(ended_at, activated_at))
    WHERE coalesce(ended_at, activated_at) IS NOT NULL;
DROP INDEX queue_token_activated;
DROP INDEX queue_token_ended;

-- A payment for seats has its reservation's person, and one for points begins with a wallet. The audit compares.
ALTER TABLE payment DROP CONSTRAINT payment_person_fkey;
