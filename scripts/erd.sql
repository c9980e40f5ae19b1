-- The tables and what refers to what, as a Mermaid erDiagram, a line a row. scripts/erd.sh writes them into docs/data-model.md, and
-- a test compares.
WITH
tables AS (
    SELECT c.oid, c.relname::text AS name
    FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname <> 'seaql_migrations'
),
fields AS (
    SELECT t.oid, t.name AS of_table, a.attnum, a.attname::text AS name, a.attnotnull AS required,
           CASE y.typname WHEN 'int4' THEN 'integer' WHEN 'int8' THEN 'bigint' WHEN 'bool' THEN 'boolean' WHEN 'float8' THEN 'double'
                          ELSE y.typname::text END AS kind
    FROM tables t
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type y ON y.oid = a.atttypid
),
-- One column refers to one row. More than one in a key would need more than this draws.
keys AS (
    SELECT f.oid, f.attnum, f.of_table, f.name, f.required, parent.name AS parent,
           EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = f.oid AND i.indisunique AND i.indnkeyatts = 1
                     AND i.indkey[0] = f.attnum AND i.indpred IS NULL) AS alone
    FROM pg_constraint k
    JOIN fields f ON f.oid = k.conrelid AND f.attnum = k.conkey[1]
    JOIN tables parent ON parent.oid = k.confrelid
    WHERE k.contype = 'f' AND cardinality(k.conkey) = 1
),
-- Columns that name a row of another table without a foreign key.
named AS (
    SELECT f.oid, f.attnum, f.of_table, f.name, f.required, parent.name AS parent, false AS alone
    FROM fields f
    JOIN tables parent ON f.name = parent.name || '_id'
    WHERE NOT EXISTS (SELECT 1 FROM keys k WHERE k.oid = f.oid AND k.attnum = f.attnum)
),
lines AS (
    SELECT 1 AS part, of_table AS at, attnum, parent || CASE WHEN required THEN ' ||' ELSE ' |o' END || '--'
           || CASE WHEN alone THEN 'o| ' ELSE 'o{ ' END || of_table || ' : ' || name AS line
    FROM keys
    UNION ALL
    SELECT 2, of_table, attnum, parent || CASE WHEN required THEN ' ||' ELSE ' |o' END || '..o{ ' || of_table || ' : ' || name
    FROM named
    UNION ALL
    SELECT 3, name, 0, name || ' {' FROM tables
    UNION ALL
    SELECT 3, f.of_table, f.attnum,
           '    ' || f.kind || ' ' || f.name
           || coalesce(' ' || nullif(concat_ws(', ',
               CASE WHEN EXISTS (SELECT 1 FROM pg_constraint p WHERE p.conrelid = f.oid AND p.contype = 'p' AND f.attnum = ANY (p.conkey))
                    THEN 'PK' END,
               CASE WHEN EXISTS (SELECT 1 FROM keys k WHERE k.oid = f.oid AND k.attnum = f.attnum) THEN 'FK' END,
               CASE WHEN EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = f.oid AND i.indisunique AND NOT i.indisprimary
                                   AND i.indnkeyatts = 1 AND i.indkey[0] = f.attnum AND i.indpred IS NULL)
                    THEN 'UK' END), ''), '')
           || CASE WHEN f.required THEN '' ELSE ' "may be null"' END
    FROM fields f
    UNION ALL
    SELECT 3, name, 32767, '}' FROM tables
)
SELECT '    ' || line AS line FROM (
    SELECT 0 AS part, '' AS at, 0 AS attnum, '' AS line WHERE false
    UNION ALL SELECT part, at, attnum, line FROM lines
) every_line
ORDER BY part, at COLLATE "C", attnum
