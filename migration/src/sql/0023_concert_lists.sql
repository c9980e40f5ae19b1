-- An organizer's own concerts, the latest made first.
CREATE INDEX concert_of_organizer ON concert (organizer_id, id DESC);
-- What is on sale now, among all that ever was: a sale that its time has closed is stored as ON_SALE.
CREATE INDEX schedule_on_sale ON schedule (sales_close_at, concert_id) WHERE status = 'ON_SALE';
