-- The front of the line, without those who were passed over. They stand before everybody else by their numbers, and a round
-- that looked for the next in `queue_token_in_line` went past all of them.
CREATE INDEX queue_token_front ON queue_token (schedule_id, number) WHERE status = 'WAITING' AND passed_over_at IS NULL;
