-- A reservation has its token's person and performance: the statement that holds takes them from the token's row, which
-- references both. Two checks fewer for each hold, and no lock on the performance's row, which everybody would share. The audit
-- compares (`holds_prove_admission`).

ALTER TABLE reservation
    DROP CONSTRAINT reservation_schedule_fkey,
    DROP CONSTRAINT reservation_person_fkey;
