-- When maxActive was lowered last. The audit judges only admissions since then: before, more people were let in by right.
-- A trigger, so that it is noted whoever lowers it.

ALTER TABLE waiting_room ADD COLUMN max_active_lowered_at timestamptz;

CREATE FUNCTION note_max_active_lowered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.max_active_lowered_at := clock_timestamp();
    RETURN NEW;
END
$$;

CREATE TRIGGER waiting_room_max_active_lowered
    BEFORE UPDATE OF max_active ON waiting_room
    FOR EACH ROW WHEN (NEW.max_active < OLD.max_active)
    EXECUTE FUNCTION note_max_active_lowered();
