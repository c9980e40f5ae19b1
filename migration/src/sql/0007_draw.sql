-- The draw of the pre-queue. Who enters before the sale opens gets a negative number, which follows from the room's secret
-- and from who they are; so the order is known to nobody before the secret is, and the opening itself writes nothing.
-- docs/fairness.md says what that proves.

-- Two random UUIDs are 244 random bits from the operating system, without an extension.
ALTER TABLE waiting_room
    ADD COLUMN draw_secret bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
    -- From here on nobody takes part in the draw any more, and the secret is shown.
    ADD COLUMN drawn_at    timestamptz,
    ADD CONSTRAINT waiting_room_draw_secret CHECK (octet_length(draw_secret) = 32);

-- Where people stand in line already, nobody shall be drawn in front of them.
UPDATE waiting_room w SET drawn_at = clock_timestamp()
FROM schedule s
WHERE s.id = w.schedule_id
  AND (s.sales_open_at <= clock_timestamp() OR EXISTS (SELECT 1 FROM queue_token t WHERE t.schedule_id = s.id));

CREATE INDEX waiting_room_undrawn ON waiting_room (schedule_id) WHERE drawn_at IS NULL;

-- A secret that could be changed would prove nothing, and a draw is never taken back.
CREATE FUNCTION refuse_another_draw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the draw of waiting room % cannot be changed', OLD.schedule_id
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'waiting_room_draw_stands';
END
$$;

CREATE TRIGGER waiting_room_draw_stands
    BEFORE UPDATE OF draw_secret, drawn_at ON waiting_room
    FOR EACH ROW WHEN (NEW.draw_secret IS DISTINCT FROM OLD.draw_secret
                       OR (OLD.drawn_at IS NOT NULL AND NEW.drawn_at IS DISTINCT FROM OLD.drawn_at))
    EXECUTE FUNCTION refuse_another_draw();

-- The number of a person's n-th place in a draw (n from 0): -1 minus the first 52 bits of
-- SHA-256(secret, schedule, person, n), so that a double holds it exactly. src/waiting_room/draw.rs computes the same.
CREATE FUNCTION draw_number(secret bytea, schedule_id uuid, person_id uuid, n integer) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN -1 - ('x' || left(encode(
    sha256(secret || uuid_send(schedule_id) || uuid_send(person_id) || int4send(n)), 'hex'), 13))::bit(52)::bigint;

ALTER TABLE queue_token
    DROP CONSTRAINT queue_token_number_positive,
    ADD CONSTRAINT queue_token_number CHECK (number >= -4503599627370496 AND number <> 0);

-- Of a person's places the latest is not the one with the largest number any more.
DROP INDEX queue_token_of_person;
CREATE INDEX queue_token_of_person ON queue_token (person_id, schedule_id, entered_at DESC);
