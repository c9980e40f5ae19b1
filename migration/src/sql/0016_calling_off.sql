-- Performances that are called off, and until when fans give their seats back.

ALTER TABLE schedule
    ADD CONSTRAINT schedule_cancelled_agrees CHECK ((status = 'CANCELLED') = (cancelled_at IS NOT NULL)),
    ADD CONSTRAINT schedule_cancel_until_in_time CHECK (cancel_until <= starts_at);

-- What is called off is closed from that moment on; a sale that was closed before stays closed since then.
CREATE OR REPLACE FUNCTION note_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.closed_at := CASE WHEN NEW.status IN ('CLOSED', 'CANCELLED') THEN clock_timestamp() END;
    RETURN NEW;
END
$$;

DROP TRIGGER schedule_closed ON schedule;
CREATE TRIGGER schedule_closed
    BEFORE UPDATE OF status ON schedule
    FOR EACH ROW WHEN ((NEW.status IN ('CLOSED', 'CANCELLED')) <> (OLD.status IN ('CLOSED', 'CANCELLED')))
    EXECUTE FUNCTION note_closed();

-- Workers look for reservations of these again and again.
CREATE INDEX schedule_called_off ON schedule (id) WHERE status = 'CANCELLED';
-- Everything that was ever reserved at a performance, newest first.
CREATE INDEX reservation_of_schedule ON reservation (schedule_id, id DESC);
