-- People: fans and organizers. Wallets hang on the person, sessions are signed tokens and stored nowhere.

CREATE TABLE person (
    id            uuid        NOT NULL CONSTRAINT person_pkey PRIMARY KEY,
    email         text        NOT NULL,
    name          text        NOT NULL,
    password_hash text        NOT NULL,
    role          text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT person_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT person_email_length CHECK (char_length(email) BETWEEN 3 AND 254),
    CONSTRAINT person_role_known CHECK (role IN ('FAN', 'ORGANIZER'))
);

CREATE UNIQUE INDEX person_email_unique ON person (lower(email COLLATE "und-x-icu"));
