-- Money: a wallet of points per person, its append-only ledger, and payments.

CREATE TABLE wallet (
    person_id uuid   NOT NULL CONSTRAINT wallet_pkey PRIMARY KEY
                     CONSTRAINT wallet_person_fkey REFERENCES person (id),
    balance   bigint NOT NULL DEFAULT 0,
    CONSTRAINT wallet_balance_range CHECK (balance BETWEEN 0 AND 9007199254740991)
) WITH (fillfactor = 70);

CREATE TABLE payment (
    id              uuid        NOT NULL CONSTRAINT payment_pkey PRIMARY KEY,
    person_id       uuid        NOT NULL CONSTRAINT payment_person_fkey REFERENCES person (id),
    reservation_id  uuid        NOT NULL CONSTRAINT payment_reservation_fkey REFERENCES reservation (id),
    method          text        NOT NULL,
    amount          bigint      NOT NULL,
    status          text        NOT NULL,
    failure_code    text,
    idempotency_key text        NOT NULL,
    fingerprint     bytea       NOT NULL,
    created_at      timestamptz NOT NULL,
    approved_at     timestamptz,
    refunded_at     timestamptz,
    CONSTRAINT payment_method_known CHECK (method IN ('POINT', 'CARD')),
    CONSTRAINT payment_amount_range CHECK (amount BETWEEN 0 AND 9007199254740991),
    CONSTRAINT payment_key_length CHECK (char_length(idempotency_key) BETWEEN 1 AND 255),
    CONSTRAINT payment_status_agrees CHECK (
        (status = 'PENDING' AND approved_at IS NULL AND refunded_at IS NULL AND failure_code IS NULL)
        OR (status = 'APPROVED' AND approved_at IS NOT NULL AND refunded_at IS NULL AND failure_code IS NULL)
        OR (status = 'FAILED' AND approved_at IS NULL AND refunded_at IS NULL AND failure_code IS NOT NULL)
        OR (status = 'REFUNDED' AND approved_at IS NOT NULL AND refunded_at IS NOT NULL AND failure_code IS NULL)
    )
);

CREATE UNIQUE INDEX payment_idempotency_unique ON payment (person_id, idempotency_key);
CREATE UNIQUE INDEX payment_live_unique ON payment (reservation_id) WHERE status IN ('PENDING', 'APPROVED');
CREATE INDEX payment_of_reservation ON payment (reservation_id, id DESC);

-- `purpose` and `key` name what moved the money: a CHARGE its idempotency key, a PAYMENT and a REFUND the payment's id.
CREATE TABLE wallet_entry (
    id            uuid        NOT NULL CONSTRAINT wallet_entry_pkey PRIMARY KEY,
    person_id     uuid        NOT NULL CONSTRAINT wallet_entry_wallet_fkey REFERENCES wallet (person_id),
    sequence      bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    kind          text        NOT NULL,
    delta         bigint      NOT NULL,
    balance_after bigint      NOT NULL,
    purpose       text        NOT NULL,
    key           text        NOT NULL,
    payment_id    uuid        CONSTRAINT wallet_entry_payment_fkey REFERENCES payment (id),
    created_at    timestamptz NOT NULL,
    CONSTRAINT wallet_entry_balance_range CHECK (balance_after BETWEEN 0 AND 9007199254740991),
    CONSTRAINT wallet_entry_key_length CHECK (char_length(key) BETWEEN 1 AND 255),
    CONSTRAINT wallet_entry_kind_agrees CHECK (
        (kind = 'CHARGE' AND purpose = 'CHARGE' AND delta > 0 AND payment_id IS NULL)
        OR (kind = 'DEDUCT' AND purpose = 'PAYMENT' AND delta <= 0 AND payment_id IS NOT NULL)
        OR (kind = 'ROLLBACK' AND purpose = 'REFUND' AND delta >= 0 AND payment_id IS NOT NULL)
    )
);

CREATE UNIQUE INDEX wallet_entry_purpose_unique ON wallet_entry (person_id, purpose, key);
CREATE INDEX wallet_entry_of_person ON wallet_entry (person_id, sequence DESC);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_TABLE_NAME || '_append_only';
END
$$;

CREATE TRIGGER wallet_entry_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON wallet_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
