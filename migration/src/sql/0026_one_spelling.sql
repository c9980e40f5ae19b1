-- Letters that keyboards compose in different ways have one spelling, NFC: what is written from now on has it, and what was written
-- before gets it here. Two accounts whose addresses differ by nothing else stay two; their log-ins find each as it was given.

UPDATE person SET name = normalize(name, NFC)
WHERE name IS NOT NFC NORMALIZED AND char_length(normalize(name, NFC)) <= 100;

WITH apart AS MATERIALIZED (
    SELECT id, normalize(email, NFC) AS composed, lower(normalize(email, NFC) COLLATE "und-x-icu") AS key
    FROM person WHERE email IS NOT NFC NORMALIZED
), alone AS (
    SELECT a.id, a.composed FROM apart a
    WHERE char_length(a.composed) BETWEEN 3 AND 254
      AND NOT EXISTS (SELECT FROM apart b WHERE b.key = a.key AND b.id <> a.id)
      AND NOT EXISTS (SELECT FROM person p WHERE lower(p.email COLLATE "und-x-icu") = a.key)
)
UPDATE person SET email = alone.composed FROM alone WHERE person.id = alone.id;

UPDATE concert
SET title = normalize(title, NFC), artist = normalize(artist, NFC), venue = normalize(venue, NFC),
    description = normalize(description, NFC)
WHERE (title || artist || venue || description) IS NOT NFC NORMALIZED
  AND greatest(char_length(normalize(title, NFC)), char_length(normalize(artist, NFC)), char_length(normalize(venue, NFC))) <= 200
  AND char_length(normalize(description, NFC)) <= 5000;
