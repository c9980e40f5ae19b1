-- People are admitted in the order of their numbers, apart from those who are away: nobody is admitted in front of somebody
-- who waits and is present. What happened within ten seconds of an absence or an end is not certain, a statement runs for as
-- long at most. Where absences were not noted yet, the first 50 seconds are judged alone: nobody is held to be away in the
-- first 60.
WITH everybody AS (
    SELECT t.id, t.schedule_id, t.number, t.entered_at, t.absences, t.passed_over_at, w.absences_noted_from,
           coalesce(t.activated_at, t.ended_at - interval '10 s', 'infinity') AS until,
           min(t.activated_at) OVER (PARTITION BY t.schedule_id ORDER BY t.number DESC
                                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS first_overtaken_at
    FROM queue_token t
    JOIN waiting_room w ON w.schedule_id = t.schedule_id
),
-- Most people never were away. Of them two instants are compared, and not the ranges below: that is quicker by ten times.
suspect AS (
    SELECT * FROM everybody
    WHERE CASE WHEN absences IS NULL AND passed_over_at IS NULL AND entered_at >= absences_noted_from
               THEN first_overtaken_at >= entered_at AND first_overtaken_at < until ELSE true END
),
place AS (
    SELECT t.id, t.schedule_id, t.number, t.entered_at, t.first_overtaken_at,
           tstzmultirange(tstzrange(least(t.entered_at, t.until), t.until)) - away.absences - unknown.absences AS present
    FROM suspect t
    CROSS JOIN LATERAL (
        SELECT CASE WHEN t.absences IS NULL AND t.passed_over_at IS NULL THEN '{}' ELSE (
            SELECT range_agg(tstzrange(lower(absence) - interval '10 s', upper(absence) + interval '10 s'))
            FROM unnest(coalesce(t.absences, '{}') + CASE WHEN t.passed_over_at IS NULL THEN '{}'::tstzmultirange
                                                          ELSE tstzmultirange(tstzrange(t.passed_over_at, NULL)) END) absence
        ) END AS absences
    ) away
    CROSS JOIN LATERAL (
        SELECT tstzmultirange(tstzrange(
            t.entered_at + interval '50 s',
            greatest(t.entered_at + interval '50 s', t.absences_noted_from + interval '10 s'))) AS absences
        WHERE t.entered_at < t.absences_noted_from
        UNION ALL
        SELECT '{}' WHERE t.entered_at >= t.absences_noted_from
    ) unknown
)
SELECT format('queue token %s, number %s of schedule %s, entered at %s, was overtaken at %s',
              place.id, place.number, place.schedule_id, place.entered_at, overtaken.at) AS fault
FROM place
CROSS JOIN LATERAL (
    SELECT min(at) AS at FROM (
        SELECT place.first_overtaken_at AS at WHERE place.first_overtaken_at <@ place.present
        UNION ALL
        -- People who come back stand in front, and are admitted soon: these are short.
        SELECT behind.activated_at
        FROM unnest(place.present) later
        CROSS JOIN LATERAL (
            SELECT t.activated_at FROM queue_token t
            WHERE t.schedule_id = place.schedule_id AND t.number > place.number
              AND t.activated_at >= lower(later) AND t.activated_at < coalesce(upper(later), 'infinity')
            LIMIT 1
        ) behind
        WHERE lower(later) > place.entered_at
    ) either
) overtaken
WHERE overtaken.at IS NOT NULL
