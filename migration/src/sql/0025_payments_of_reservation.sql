-- Payments are looked for by their reservation whatever became of them: sales, refunds, exports, and the words for a refused
-- cancellation. Two indexes with conditions serve no query that asks for both kinds, so each read the whole table.
CREATE INDEX payment_of_reservation ON payment (reservation_id, id DESC);
DROP INDEX payment_past_of_reservation;
