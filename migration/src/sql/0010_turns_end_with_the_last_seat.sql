-- Whoever owns as many seats as they may is done, also where they have paid under an earlier place and wait in line again:
-- a place can be USED without ever having been ACTIVE.
ALTER TABLE queue_token
    DROP CONSTRAINT queue_token_status_agrees,
    ADD CONSTRAINT queue_token_status_agrees CHECK (
        (status = 'WAITING' AND activated_at IS NULL AND expires_at IS NULL AND ended_at IS NULL)
        OR (status = 'ACTIVE' AND activated_at IS NOT NULL AND last_action_at IS NOT NULL
            AND expires_at IS NOT NULL AND ended_at IS NULL)
        OR (status IN ('USED', 'EXPIRED') AND ended_at IS NOT NULL)
    );
