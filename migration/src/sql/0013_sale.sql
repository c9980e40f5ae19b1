-- What the audit judges order, pace and the sale's times by, and the formulas that several statements share.

-- Triggers note these, so that they are noted whoever makes the change.
ALTER TABLE schedule
    -- When the sale was closed. Null while it is not, and where it was before anybody noted it.
    ADD COLUMN closed_at    timestamptz,
    -- When the sale was last made shorter. Who was let in before that was let in by right.
    ADD COLUMN shortened_at timestamptz;

ALTER TABLE waiting_room
    -- When rounds were last made smaller or rarer.
    ADD COLUMN slowed_at           timestamptz,
    -- From when on the absences below are complete.
    ADD COLUMN absences_noted_from timestamptz NOT NULL DEFAULT now();

-- When this person was passed over, until when; without an absence that goes on.
ALTER TABLE queue_token ADD COLUMN absences tstzmultirange;

CREATE FUNCTION note_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.closed_at := CASE WHEN NEW.status = 'CLOSED' THEN clock_timestamp() END;
    RETURN NEW;
END
$$;

CREATE TRIGGER schedule_closed
    BEFORE UPDATE OF status ON schedule
    FOR EACH ROW WHEN ((NEW.status = 'CLOSED') <> (OLD.status = 'CLOSED'))
    EXECUTE FUNCTION note_closed();

CREATE FUNCTION note_shortened() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.shortened_at := clock_timestamp();
    RETURN NEW;
END
$$;

CREATE TRIGGER schedule_shortened
    BEFORE UPDATE OF sales_open_at, sales_close_at ON schedule
    FOR EACH ROW WHEN (NEW.sales_open_at > OLD.sales_open_at OR NEW.sales_close_at < OLD.sales_close_at)
    EXECUTE FUNCTION note_shortened();

CREATE FUNCTION note_slowed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.slowed_at := clock_timestamp();
    RETURN NEW;
END
$$;

CREATE TRIGGER waiting_room_slowed
    BEFORE UPDATE OF admit_per_round, round_ms ON waiting_room
    FOR EACH ROW WHEN (NEW.admit_per_round < OLD.admit_per_round OR NEW.round_ms > OLD.round_ms)
    EXECUTE FUNCTION note_slowed();

-- Thirty absences of one person are kept apart. More become one from the first to the last: then the audit says less, and
-- never anything wrong.
CREATE FUNCTION note_absence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.absences := coalesce(OLD.absences, '{}')
        + tstzmultirange(tstzrange(OLD.passed_over_at, greatest(OLD.passed_over_at, clock_timestamp()), '[]'));
    IF (SELECT count(*) > 30 FROM unnest(NEW.absences)) THEN
        NEW.absences := tstzmultirange(range_merge(NEW.absences));
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER queue_token_absence
    BEFORE UPDATE OF passed_over_at ON queue_token
    FOR EACH ROW WHEN (OLD.passed_over_at IS NOT NULL AND NEW.passed_over_at IS DISTINCT FROM OLD.passed_over_at)
    EXECUTE FUNCTION note_absence();

-- The formulas. Postgres writes their text into the statement, so that they cost nothing and indexes are used as before; that
-- needs plain SQL, and a clock that is handed in at most once.

-- Whether a hold has lapsed that may not be tidied yet: of a seat, or of a reservation.
CREATE FUNCTION has_lapsed(status text, hold_expires_at timestamptz, at timestamptz) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN status = 'HOLD' AND hold_expires_at <= at;

-- Whether a seat can be held.
CREATE FUNCTION is_free(status text, hold_expires_at timestamptz, at timestamptz) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN status = 'AVAILABLE' OR (status = 'HOLD' AND hold_expires_at <= at);

-- Until when somebody is ACTIVE who was admitted at `activated_at` and does something `at` this time.
CREATE FUNCTION active_until(activated_at timestamptz, at timestamptz, idle_seconds integer, active_seconds integer)
    RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
RETURN least(at + make_interval(secs => idle_seconds), activated_at + make_interval(secs => active_seconds));
