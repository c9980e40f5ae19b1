-- Payments by card: how often the gateway was asked for the money, and when the last time. What it does not know of may be on its
-- way for a while; and whoever heard that surely nothing has happened may say so only if nobody else has asked.
ALTER TABLE payment
    ADD COLUMN attempts integer NOT NULL DEFAULT 1,
    ADD COLUMN asked_at timestamptz;
