-- Each entry of a ledger goes on from the balance that the one before it left.
SELECT format('wallet entry %s of person %s says %s after %s, and the balance before was %s',
              id, person_id, balance_after, delta, before) AS fault
FROM (
    SELECT id, person_id, delta, balance_after,
           lag(balance_after, 1, 0::bigint) OVER (PARTITION BY person_id ORDER BY sequence) AS before
    FROM wallet_entry
) entry
WHERE balance_after <> before + delta
