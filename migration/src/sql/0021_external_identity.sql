-- Whose a name at an identity provider is. Nobody refers to these rows, so they may be deleted.
CREATE TABLE external_identity (
    issuer     text        NOT NULL,
    subject    text        NOT NULL,
    person_id  uuid        NOT NULL CONSTRAINT external_identity_person_fkey REFERENCES person (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT external_identity_pkey PRIMARY KEY (issuer, subject),
    CONSTRAINT external_identity_subject_length CHECK (octet_length(subject) BETWEEN 1 AND 255)
);

CREATE INDEX external_identity_of_person ON external_identity (person_id);
