-- Whether a seat is sold, apart from its status, so that the unsold seats of a schedule can have an index. Without one, whoever
-- asks whether anything is left goes through all seats of a sold-out hall.
-- The column is generated: no statement has to keep it. Only a sale and a refund change it, so that updates between AVAILABLE
-- and HOLD stay heap-only; an index on the status itself would end that.
ALTER TABLE seat ADD COLUMN sold boolean NOT NULL GENERATED ALWAYS AS (status = 'SOLD_OUT') STORED;

CREATE INDEX seat_unsold ON seat (schedule_id) WHERE NOT sold;
