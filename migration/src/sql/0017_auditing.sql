-- When the server itself audited the books last, and what it found. One row: whoever moves `began_at` on audits.
CREATE TABLE audit_run (
    id          integer          NOT NULL CONSTRAINT audit_run_pkey PRIMARY KEY,
    began_at    timestamptz      NOT NULL,
    finished_at timestamptz,
    seconds     double precision NOT NULL DEFAULT 0,
    -- Check -> rows at fault, of all checks.
    faults      text             NOT NULL DEFAULT '{}',
    CONSTRAINT audit_run_once CHECK (id = 1)
);

-- The first one comes when its time is over once.
INSERT INTO audit_run (id, began_at) VALUES (1, clock_timestamp());

-- Everything that was ever reserved at a performance, newest first.
CREATE INDEX IF NOT EXISTS reservation_of_schedule ON reservation (schedule_id, id DESC);
