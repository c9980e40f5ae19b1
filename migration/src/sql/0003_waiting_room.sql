-- The waiting room: its settings, the counter that hands out numbers, and the journal of everybody's place.

CREATE TABLE waiting_room (
    schedule_id     uuid    NOT NULL CONSTRAINT waiting_room_pkey PRIMARY KEY
                            CONSTRAINT waiting_room_schedule_fkey REFERENCES schedule (id),
    max_active      integer NOT NULL,
    admit_per_round integer NOT NULL,
    round_ms        integer NOT NULL,
    idle_seconds    integer NOT NULL,
    active_seconds  integer NOT NULL,
    paused          boolean NOT NULL DEFAULT false,
    -- When everybody still in line was sent home after the sale; null until then.
    drained_at      timestamptz,
    CONSTRAINT waiting_room_max_active CHECK (max_active BETWEEN 1 AND 1000000),
    CONSTRAINT waiting_room_admit_per_round CHECK (admit_per_round BETWEEN 1 AND 100000),
    CONSTRAINT waiting_room_round CHECK (round_ms BETWEEN 100 AND 600000),
    CONSTRAINT waiting_room_idle CHECK (idle_seconds BETWEEN 5 AND 86400),
    CONSTRAINT waiting_room_active CHECK (active_seconds BETWEEN 5 AND 86400)
);

-- The counter is a row of its own: its lock is what orders the line, and it must not wait for anything else.
CREATE TABLE queue_counter (
    schedule_id uuid   NOT NULL CONSTRAINT queue_counter_pkey PRIMARY KEY
                       CONSTRAINT queue_counter_schedule_fkey REFERENCES schedule (id),
    last_number bigint NOT NULL DEFAULT 0,
    CONSTRAINT queue_counter_positive CHECK (last_number >= 0)
) WITH (fillfactor = 10);

-- `version` grows with every admission: an admission that finds another version under the lock than in its
-- snapshot has counted stale rows and lets go. `generation` names the Redis index that was built last.
CREATE TABLE admission (
    schedule_id uuid   NOT NULL CONSTRAINT admission_pkey PRIMARY KEY
                       CONSTRAINT admission_schedule_fkey REFERENCES schedule (id),
    version     bigint NOT NULL DEFAULT 0,
    generation  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- `version` grows with every hold, payment and cancellation under this token; see docs/adr/0003-one-statement-per-hold.md.
CREATE TABLE queue_token (
    id             uuid        NOT NULL CONSTRAINT queue_token_pkey PRIMARY KEY,
    schedule_id    uuid        NOT NULL CONSTRAINT queue_token_schedule_fkey REFERENCES schedule (id),
    person_id      uuid        NOT NULL CONSTRAINT queue_token_person_fkey REFERENCES person (id),
    number         bigint      NOT NULL,
    status         text        NOT NULL DEFAULT 'WAITING',
    version        bigint      NOT NULL DEFAULT 0,
    entered_at     timestamptz NOT NULL,
    passed_over_at timestamptz,
    activated_at   timestamptz,
    last_action_at timestamptz,
    expires_at     timestamptz,
    ended_at       timestamptz,
    CONSTRAINT queue_token_number_positive CHECK (number > 0),
    CONSTRAINT queue_token_status_agrees CHECK (
        (status = 'WAITING' AND activated_at IS NULL AND expires_at IS NULL AND ended_at IS NULL)
        OR (status = 'ACTIVE' AND activated_at IS NOT NULL AND last_action_at IS NOT NULL
            AND expires_at IS NOT NULL AND ended_at IS NULL)
        OR (status = 'USED' AND activated_at IS NOT NULL AND ended_at IS NOT NULL)
        OR (status = 'EXPIRED' AND ended_at IS NOT NULL)
    )
) WITH (fillfactor = 85);

CREATE UNIQUE INDEX queue_token_live_unique ON queue_token (schedule_id, person_id)
    WHERE status IN ('WAITING', 'ACTIVE');
CREATE UNIQUE INDEX queue_token_number_unique ON queue_token (schedule_id, number);
CREATE INDEX queue_token_in_line ON queue_token (schedule_id, number) WHERE status = 'WAITING';
CREATE INDEX queue_token_active ON queue_token (schedule_id) WHERE status = 'ACTIVE';
CREATE INDEX queue_token_passed_over ON queue_token (schedule_id, passed_over_at)
    WHERE status = 'WAITING' AND passed_over_at IS NOT NULL;
CREATE INDEX queue_token_activated ON queue_token (schedule_id, activated_at) WHERE activated_at IS NOT NULL;
CREATE INDEX queue_token_ended ON queue_token (schedule_id, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX queue_token_of_person ON queue_token (person_id, schedule_id, number DESC);
