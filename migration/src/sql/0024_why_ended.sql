-- Why a place ended without a purchase, so that its person can be told. Null for those that ended before this was noted, and
-- while an older server still ends some.
ALTER TABLE queue_token
    ADD COLUMN ended_because text,
    ADD CONSTRAINT queue_token_ended_because_known CHECK (ended_because IN (
        'LEFT', 'IDLE', 'TIME_OVER', 'AWAY', 'SALE_CLOSED', 'SOLD_OUT', 'SCHEDULE_CANCELLED', 'SEAT_LIMIT_REACHED')),
    ADD CONSTRAINT queue_token_ended_because_agrees CHECK (ended_because IS NULL OR status = 'EXPIRED');

-- Why a place ends `at` this time. Whose ACTIVE time has lapsed by then is over because of that, whoever tidies it and whatever
-- else would end it: what was told of a place does not change when it is written down.
CREATE FUNCTION why_ended(status text, activated_at timestamptz, expires_at timestamptz, at timestamptz, active_seconds integer,
                          otherwise text)
    RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN status <> 'ACTIVE' OR expires_at > at THEN otherwise
            WHEN expires_at >= activated_at + make_interval(secs => active_seconds) THEN 'TIME_OVER'
            ELSE 'IDLE' END;
