-- Holds that lapse, one after the other, keep seats from everybody without a payment. Each one more makes their owner's next wait
-- longer.

-- What somebody let lapse at one performance.
CREATE INDEX reservation_lapsed ON reservation (schedule_id, person_id, expires_at) WHERE status = 'EXPIRED';

-- Until when somebody holds nothing new whose last holds lapsed: so many of them, the latest then. Some are free. After the first that
-- is not, the rest is a fifth of the time that a hold lasts, and it doubles with each one more, up to three times that time.
CREATE FUNCTION rests_until(lapses bigint, free integer, latest timestamptz, hold_seconds double precision) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN lapses > free
            THEN latest + make_interval(secs => hold_seconds * least(0.2 * power(2::double precision, lapses - free - 1), 3)) END;
