-- A balance is the sum of its entries, and what the last of them says.
SELECT format('wallet of person %s holds %s, its entries add up to %s, and the last of them says %s',
              w.person_id, w.balance, coalesce(ledger.total, 0), coalesce(last.balance_after::text, 'nothing')) AS fault
FROM wallet w
LEFT JOIN (SELECT person_id, sum(delta) AS total FROM wallet_entry GROUP BY person_id) ledger
    ON ledger.person_id = w.person_id
LEFT JOIN LATERAL (
    SELECT e.balance_after FROM wallet_entry e WHERE e.person_id = w.person_id ORDER BY e.sequence DESC LIMIT 1
) last ON true
WHERE w.balance <> coalesce(ledger.total, 0) OR w.balance <> coalesce(last.balance_after, 0)
