-- Payments that somebody else decides: by card, for seats or for points.

-- What is paid for: a reservation's seats, or points for the wallet.
ALTER TABLE payment
    ALTER COLUMN reservation_id DROP NOT NULL,
    ADD COLUMN purpose text NOT NULL DEFAULT 'SEATS',
    -- The gateway's own name for it, once it has told one.
    ADD COLUMN gateway_reference text,
    -- What the buyer has to do while it is PENDING.
    ADD COLUMN action_url        text,
    ADD COLUMN action_secret     text,
    ADD COLUMN action_expires_at timestamptz,
    -- When the hold would have lapsed by itself: a payment that is PENDING keeps the seats for longer.
    ADD COLUMN held_until        timestamptz,
    -- When a PENDING payment is looked into next, and when it is called off.
    ADD COLUMN look_at           timestamptz,
    ADD COLUMN call_off_at       timestamptz,
    -- A refund on its way: PENDING, or FAILED and in need of a person. Null when none was asked for, and once it is done: then
    -- the payment is REFUNDED.
    ADD COLUMN refund_status     text,
    ADD COLUMN refund_id         uuid,
    -- Counts up when the gateway says that an attempt has failed; part of its idempotency key.
    ADD COLUMN refund_attempt    integer NOT NULL DEFAULT 1,
    ADD COLUMN refund_asked_at   timestamptz,
    ADD COLUMN refund_try_at     timestamptz,
    ADD CONSTRAINT payment_purpose_agrees CHECK (
        (purpose = 'SEATS' AND reservation_id IS NOT NULL)
        OR (purpose = 'CHARGE' AND reservation_id IS NULL AND method = 'CARD')
    ),
    ADD CONSTRAINT payment_pending_agrees CHECK (
        (status = 'PENDING' AND method = 'CARD' AND look_at IS NOT NULL AND call_off_at IS NOT NULL)
        OR (status <> 'PENDING' AND look_at IS NULL AND action_url IS NULL AND action_secret IS NULL)
    ),
    ADD CONSTRAINT payment_refund_agrees CHECK (
        (refund_status IS NULL AND refund_try_at IS NULL)
        OR (refund_status = 'PENDING' AND status = 'APPROVED' AND refund_id IS NOT NULL AND refund_asked_at IS NOT NULL
            AND refund_try_at IS NOT NULL)
        OR (refund_status = 'FAILED' AND status = 'APPROVED' AND refund_id IS NOT NULL AND refund_asked_at IS NOT NULL
            AND refund_try_at IS NULL)
    );

-- A key is one person's, for one purpose.
CREATE UNIQUE INDEX payment_key_unique ON payment (person_id, purpose, idempotency_key);
DROP INDEX payment_idempotency_unique;

CREATE INDEX payment_to_look_at ON payment (look_at) WHERE status = 'PENDING';
CREATE INDEX payment_to_refund ON payment (refund_try_at) WHERE refund_status = 'PENDING';

-- Points that a card has paid for name the payment.
ALTER TABLE wallet_entry
    DROP CONSTRAINT wallet_entry_kind_agrees,
    ADD CONSTRAINT wallet_entry_kind_agrees CHECK (
        (kind = 'CHARGE' AND purpose = 'CHARGE' AND delta > 0)
        OR (kind = 'DEDUCT' AND purpose = 'PAYMENT' AND delta <= 0 AND payment_id IS NOT NULL)
        OR (kind = 'ROLLBACK' AND purpose = 'REFUND' AND delta >= 0 AND payment_id IS NOT NULL)
    );

-- How far a hold can be extended; null for holds of earlier versions, which end when they end.
ALTER TABLE reservation ADD COLUMN extendable_until timestamptz;

-- A performance that does not take place, and until when fans may give their seats back (until it starts, where nothing is set).
ALTER TABLE schedule
    DROP CONSTRAINT schedule_status_known,
    ADD CONSTRAINT schedule_status_known CHECK (status IN ('DRAFT', 'ON_SALE', 'CLOSED', 'CANCELLED')),
    ADD COLUMN cancelled_at timestamptz,
    ADD COLUMN cancel_until timestamptz;
