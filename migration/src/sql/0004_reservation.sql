-- Reservations: who holds or owns which seats, at which price.

CREATE TABLE reservation (
    id             uuid        NOT NULL CONSTRAINT reservation_pkey PRIMARY KEY,
    person_id      uuid        NOT NULL CONSTRAINT reservation_person_fkey REFERENCES person (id),
    schedule_id    uuid        NOT NULL CONSTRAINT reservation_schedule_fkey REFERENCES schedule (id),
    queue_token_id uuid        NOT NULL CONSTRAINT reservation_queue_token_fkey REFERENCES queue_token (id),
    status         text        NOT NULL DEFAULT 'HOLD',
    seat_count     integer     NOT NULL,
    total_price    bigint      NOT NULL,
    held_at        timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    confirmed_at   timestamptz,
    cancelled_at   timestamptz,
    CONSTRAINT reservation_seat_count CHECK (seat_count > 0),
    CONSTRAINT reservation_price_range CHECK (total_price BETWEEN 0 AND 9007199254740991),
    CONSTRAINT reservation_status_agrees CHECK (
        (status IN ('HOLD', 'EXPIRED') AND confirmed_at IS NULL AND cancelled_at IS NULL)
        OR (status = 'CONFIRMED' AND confirmed_at IS NOT NULL AND cancelled_at IS NULL)
        OR (status = 'CANCELLED' AND cancelled_at IS NOT NULL)
    )
) WITH (fillfactor = 85);

CREATE INDEX reservation_of_person ON reservation (person_id, id DESC);
CREATE INDEX reservation_counting ON reservation (schedule_id, person_id) WHERE status IN ('HOLD', 'CONFIRMED');
CREATE INDEX reservation_lapsing ON reservation (expires_at) WHERE status = 'HOLD';

-- The lines of a reservation keep the price paid, and stay when the seats are free again.
CREATE TABLE reservation_seat (
    reservation_id uuid   NOT NULL CONSTRAINT reservation_seat_reservation_fkey REFERENCES reservation (id),
    seat_id        uuid   NOT NULL CONSTRAINT reservation_seat_seat_fkey REFERENCES seat (id),
    price          bigint NOT NULL,
    CONSTRAINT reservation_seat_pkey PRIMARY KEY (reservation_id, seat_id),
    CONSTRAINT reservation_seat_price_range CHECK (price BETWEEN 0 AND 9007199254740991)
);

ALTER TABLE seat ADD CONSTRAINT seat_reservation_fkey FOREIGN KEY (reservation_id) REFERENCES reservation (id);
