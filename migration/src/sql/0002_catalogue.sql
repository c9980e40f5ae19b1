-- What can be bought: concerts, their performances (schedules) and the seats of each performance.

CREATE TABLE concert (
    id           uuid        NOT NULL CONSTRAINT concert_pkey PRIMARY KEY,
    organizer_id uuid        NOT NULL CONSTRAINT concert_organizer_fkey REFERENCES person (id),
    title        text        NOT NULL,
    artist       text        NOT NULL,
    venue        text        NOT NULL,
    description  text        NOT NULL,
    time_zone    text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT concert_title_length CHECK (char_length(title) BETWEEN 1 AND 200),
    CONSTRAINT concert_artist_length CHECK (char_length(artist) BETWEEN 1 AND 200),
    CONSTRAINT concert_venue_length CHECK (char_length(venue) BETWEEN 1 AND 200),
    CONSTRAINT concert_description_length CHECK (char_length(description) <= 5000)
);

CREATE TABLE schedule (
    id                   uuid        NOT NULL CONSTRAINT schedule_pkey PRIMARY KEY,
    concert_id           uuid        NOT NULL CONSTRAINT schedule_concert_fkey REFERENCES concert (id),
    status               text        NOT NULL DEFAULT 'DRAFT',
    starts_at            timestamptz NOT NULL,
    sales_open_at        timestamptz NOT NULL,
    sales_close_at       timestamptz NOT NULL,
    max_seats_per_person integer     NOT NULL,
    seat_count           integer     NOT NULL,
    created_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT schedule_status_known CHECK (status IN ('DRAFT', 'ON_SALE', 'CLOSED')),
    CONSTRAINT schedule_sale_window CHECK (sales_open_at < sales_close_at),
    CONSTRAINT schedule_seat_limit CHECK (max_seats_per_person BETWEEN 1 AND 20),
    CONSTRAINT schedule_seat_count CHECK (seat_count BETWEEN 1 AND 100000)
);

CREATE INDEX schedule_of_concert ON schedule (concert_id, starts_at);

-- One row a seat, and the row names its one holder: a double sale cannot be written down.
-- The changing columns (status, version, reservation_id, hold_expires_at) are in no index, and pages keep
-- some room, so that updates stay heap-only.
CREATE TABLE seat (
    id              uuid        NOT NULL CONSTRAINT seat_pkey PRIMARY KEY,
    schedule_id     uuid        NOT NULL CONSTRAINT seat_schedule_fkey REFERENCES schedule (id),
    section         text        NOT NULL,
    row_label       text        NOT NULL,
    row_index       integer     NOT NULL,
    number          integer     NOT NULL,
    grade           text        NOT NULL,
    price           bigint      NOT NULL,
    -- Lower is better: front rows and the middle come first within a grade.
    preference      integer     NOT NULL,
    status          text        NOT NULL DEFAULT 'AVAILABLE',
    version         integer     NOT NULL DEFAULT 1,
    reservation_id  uuid,
    hold_expires_at timestamptz,
    CONSTRAINT seat_price_range CHECK (price BETWEEN 0 AND 9007199254740991),
    CONSTRAINT seat_version_positive CHECK (version > 0),
    CONSTRAINT seat_status_agrees CHECK (
        (status = 'AVAILABLE' AND reservation_id IS NULL AND hold_expires_at IS NULL)
        OR (status = 'HOLD' AND reservation_id IS NOT NULL AND hold_expires_at IS NOT NULL)
        OR (status = 'SOLD_OUT' AND reservation_id IS NOT NULL AND hold_expires_at IS NULL)
    )
) WITH (fillfactor = 70);

CREATE UNIQUE INDEX seat_place_unique ON seat (schedule_id, section, row_index, number);
