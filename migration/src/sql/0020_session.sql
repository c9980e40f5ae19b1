-- Sessions that can be refreshed and ended, and accounts that were deleted.

-- One row for what began with a log-in and goes on by refreshing. Of the refresh token only hashes are kept: of the half that
-- stays the same (`family`), of the half that changes with each use (`secret`), and of the one before (`previous`). The salt
-- is what the present secret was made from, together with the one before; so whoever lost the answer can be given it again.
-- Nothing refers to these rows, so they may be deleted. docs/adr/0025-sessions.md says why it is so.
CREATE TABLE session (
    id           uuid        NOT NULL CONSTRAINT session_pkey PRIMARY KEY,
    person_id    uuid        NOT NULL CONSTRAINT session_person_fkey REFERENCES person (id) ON DELETE CASCADE,
    family       bytea       NOT NULL,
    secret       bytea       NOT NULL,
    previous     bytea,
    salt         uuid,
    opened_at    timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    -- When the refresh token ends, unless it is used before.
    expires_at   timestamptz NOT NULL,
    -- When the last access token ends that this session was given.
    access_until timestamptz NOT NULL,
    CONSTRAINT session_hashes CHECK (octet_length(family) = 32 AND octet_length(secret) = 32 AND octet_length(previous) = 32),
    CONSTRAINT session_previous_agrees CHECK ((previous IS NULL) = (salt IS NULL))
) WITH (fillfactor = 70);

CREATE UNIQUE INDEX session_family_unique ON session (family);
CREATE INDEX session_of_person ON session (person_id, refreshed_at DESC);
CREATE INDEX session_expiring ON session (expires_at);

-- Sessions that ended before their time. Access tokens are checked in memory, so each instance knows these until the last
-- token of such a session is over by itself.
CREATE TABLE ended_session (
    session_id uuid        NOT NULL CONSTRAINT ended_session_pkey PRIMARY KEY,
    ended_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    until      timestamptz NOT NULL
);

CREATE INDEX ended_session_lately ON ended_session (ended_at);
CREATE INDEX ended_session_over ON ended_session (until);

-- Who has deleted their account: the books refer to the row, and nothing in it says who it was.
ALTER TABLE person
    ALTER COLUMN password_hash DROP NOT NULL,
    ADD COLUMN erased_at timestamptz,
    ADD CONSTRAINT person_erased_has_no_password CHECK (erased_at IS NULL OR password_hash IS NULL);

CREATE INDEX person_erased ON person (erased_at) WHERE erased_at IS NOT NULL;
